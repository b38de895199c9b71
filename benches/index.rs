//! Looking contents up in an index of a million entries.

#![allow(clippy::expect_used, reason = "a benchmark that cannot start has nothing to measure")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rokopia::index::{ContentId, PackedIndex};

const ENTRIES: u32 = 1_000_000;
const KEY: u8 = 17;
const ENTRY: u16 = 19;

/// A version 2 index of pseudo-random content IDs, all in one pack.
fn packed() -> Vec<u8> {
    let name = b"p0123456789abcdef0123456789abcdef-s0011223344556677147";
    let mut ids: Vec<[u8; 16]> = (0..ENTRIES).map(hash).collect();
    ids.sort_unstable();
    let mut bytes = vec![2, KEY];
    bytes.extend(ENTRY.to_be_bytes());
    bytes.extend(ENTRIES.to_be_bytes());
    bytes.extend(1_u32.to_be_bytes());
    bytes.push(1);
    bytes.extend(0_u32.to_be_bytes());
    for id in ids {
        bytes.push(0);
        bytes.extend(id);
        bytes.extend(1_700_000_000_u32.to_be_bytes());
        bytes.extend(32_u32.to_be_bytes());
        bytes.extend([0, 0, 100, 0, 0, 128, 0, 0, 0, 0, 0]);
    }
    let names_at = bytes.len() as u32 + 5 + 6;
    bytes.push(name.len() as u8);
    bytes.extend(names_at.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 3, 0]);
    bytes.extend(name);
    bytes
}

fn hash(n: u32) -> [u8; 16] {
    let mixed = (u128::from(n) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    (mixed ^ (mixed >> 61)).to_be_bytes()
}

fn index(c: &mut Criterion) {
    let bytes = packed();
    let mut group = c.benchmark_group("index");
    group.throughput(Throughput::Elements(ENTRIES.into()));
    group.sample_size(10);
    group.bench_function("parse 1,000,000 entries", |b| {
        b.iter_batched(
            || bytes.clone(),
            |bytes| PackedIndex::parse(bytes).expect("the index is valid"),
            BatchSize::LargeInput,
        );
    });
    let index = PackedIndex::parse(bytes).expect("the index is valid");
    let ids: Vec<ContentId> = (0..1000).filter_map(|n| ContentId::new(None, &hash(n * 997))).collect();
    group.sample_size(50);
    group.throughput(Throughput::Elements(ids.len() as u64));
    group.bench_function("1,000 look-ups among 1,000,000", |b| {
        b.iter(|| ids.iter().filter_map(|id| index.get(black_box(id))).count());
    });
    group.finish();
}

criterion_group!(benches, index);
criterion_main!(benches);
