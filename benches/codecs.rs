//! What a content costs on its way from storage to plaintext: error correction, decryption, decompression, hash.
//!
//! `cargo bench --features testkit --bench codecs`; one core, contents of a few MiB as Kopia writes them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot start has nothing to measure"
)]

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rokopia::codec::{CompressionId, ReedSolomonCrc, Size, decompress};
use rokopia::crypto::{
    ContentCipher, ContentHasher, EncryptionAlgorithm, HashAlgorithm, KeyDerivation, Secret, hkdf_sha256,
};

/// Length of an average content.
const CONTENT: usize = 4 << 20;

/// Length of a small file or a page of directory entries.
const SMALL: usize = 4 << 10;

const IV: [u8; 16] = [7; 16];

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

/// Log lines: text that compresses about five to one, as configuration and database dumps do.
fn text(length: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(length + 100);
    for (number, random) in noise(length / 8).chunks_exact(8).enumerate() {
        let (user, took, path) = (random[0] % 50, random[1], u32::from(random[2]) * u32::from(random[3]));
        writeln!(
            text,
            "2024-11-{:02}T12:{:02}:07Z user-{user} GET /api/v1/items/{path} {took} ms id={number}",
            number % 30,
            number % 60
        )
        .expect("memory is never full");
        if text.len() >= length {
            break;
        }
    }
    text.truncate(length);
    text
}

fn compressed(header: u32, data: &[u8]) -> Vec<u8> {
    let io = "memory is never full";
    match header {
        0x1000 => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
            encoder.write_all(data).expect(io);
            encoder.finish().expect(io)
        }
        0x1500 => {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
            encoder.write_all(data).expect(io);
            encoder.finish().expect(io)
        }
        0x1100 => {
            let mut encoder = zstd::Encoder::new(Vec::new(), 3).expect(io);
            encoder.include_checksum(true).expect(io);
            encoder.write_all(data).expect(io);
            encoder.finish().expect(io)
        }
        0x1200 => {
            let mut encoder = minlz::Writer::new(Vec::new());
            encoder.write_all(data).expect(io);
            encoder.flush().expect(io);
            encoder.get_ref().clone()
        }
        _ => {
            let info = lz4_flex::frame::FrameInfo::new()
                .block_size(lz4_flex::frame::BlockSize::Max4MB)
                .content_checksum(true);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(data).expect(io);
            encoder.finish().expect(io)
        }
    }
}

fn decompression(c: &mut Criterion) {
    for (label, data) in [("4MiB", text(CONTENT)), ("4KiB", text(SMALL))] {
        let mut group = c.benchmark_group(format!("decompress/{label}"));
        group.throughput(Throughput::Bytes(data.len() as u64));
        for header in [0x1000, 0x1100, 0x1200, 0x1400, 0x1500] {
            let id = CompressionId::from_header(header).expect("the header is known");
            let stream = compressed(header, &data);
            let mut out = Vec::new();
            for (how, size) in [("exact", Size::Exact(data.len())), ("at-most", Size::AtMost(1 << 30))] {
                group.bench_function(format!("{}/{how}", id.codec()), |b| {
                    b.iter(|| {
                        decompress(id, black_box(&stream), size, &mut out).expect("the stream is good")
                    });
                });
            }
        }
        group.finish();
    }
}

fn decryption(c: &mut Criterion) {
    let master_key = Secret::new(vec![1; 32]);
    for (label, length) in [("4MiB", CONTENT), ("4KiB", SMALL), ("100B", 100)] {
        let mut group = c.benchmark_group(format!("open/{label}"));
        group.throughput(Throughput::Bytes(length as u64));
        for algorithm in [EncryptionAlgorithm::Aes256Gcm, EncryptionAlgorithm::ChaCha20Poly1305] {
            let cipher = ContentCipher::new(algorithm, &master_key).expect("the key is good");
            let sealed = cipher.seal(&IV, &[3; 12], &noise(length)).expect("it is not too long");
            let mut data = sealed.clone();
            group.bench_function(algorithm.name(), |b| {
                b.iter_custom(|rounds| {
                    // Opened in place: each round needs its own ciphertext, which is not what is measured.
                    let mut taken = Duration::ZERO;
                    for _ in 0..rounds {
                        data.copy_from_slice(&sealed);
                        let start = Instant::now();
                        cipher.open_in_place(&IV, black_box(&mut data)).expect("it is what was sealed");
                        taken += start.elapsed();
                    }
                    taken
                });
            });
        }
        group.finish();
    }
}

fn hashes(c: &mut Criterion) {
    let data = noise(CONTENT);
    let mut group = c.benchmark_group("hash/4MiB");
    group.throughput(Throughput::Bytes(CONTENT as u64));
    for algorithm in HashAlgorithm::ALL {
        let hasher = ContentHasher::new(algorithm, &[2; 32]).expect("the key is good");
        group.bench_function(algorithm.name(), |b| b.iter(|| hasher.hash(black_box(&data))));
    }
    group.finish();

    let hasher = ContentHasher::new(HashAlgorithm::Blake2b256_128, &[2; 32]).expect("the key is good");
    let equal: Vec<&[u8]> = data.chunks(CONTENT / 8).collect();
    // Lengths from 1 to 8 parts, in an order as contents have it.
    let mut rest = &data[..];
    let mixed: Vec<&[u8]> = [3, 8, 1, 6, 2, 7, 5, 4]
        .iter()
        .map(|parts| {
            let (part, after) = rest.split_at(CONTENT / 36 * parts);
            rest = after;
            part
        })
        .collect();
    let small: Vec<&[u8]> = data.chunks(SMALL).collect();
    for (label, slices) in [("8-equal", equal), ("8-mixed", mixed), ("1024-small", small)] {
        let mut group = c.benchmark_group(format!("hash-many/{label}"));
        group.throughput(Throughput::Bytes(slices.iter().map(|slice| slice.len() as u64).sum()));
        group.bench_function("one-by-one", |b| {
            b.iter(|| black_box(&slices).iter().map(|slice| hasher.hash(slice)).collect::<Vec<_>>());
        });
        group.bench_function("lanes", |b| b.iter(|| hasher.hash_many(black_box(&slices))));
        group.finish();
    }
}

fn error_correction(c: &mut Criterion) {
    let content = noise(CONTENT);
    let mut group = c.benchmark_group("ecc/4MiB");
    group.throughput(Throughput::Bytes(CONTENT as u64));
    group.sample_size(10);
    for percent in [1, 2, 10, 50] {
        let ecc = ReedSolomonCrc::new(percent).expect("the percentage is possible");
        let intact = ecc.encode(&content).expect("it is not too long");
        let mut out = Vec::new();
        group.bench_function(format!("{percent}%/intact"), |b| {
            b.iter(|| ecc.decode_into(black_box(&intact), &mut out).expect("it is intact"));
        });
        let mut damaged = intact.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        group.bench_function(format!("{percent}%/one-shard-damaged"), |b| {
            b.iter(|| ecc.decode_into(black_box(&damaged), &mut out).expect("it can be repaired"));
        });
        // With less overhead that is more than a block can bear.
        if percent >= 10 {
            for at in (0..damaged.len()).step_by(16 << 10) {
                damaged[at] ^= 1;
            }
            group.bench_function(format!("{percent}%/a-byte-in-16KiB-damaged"), |b| {
                b.iter(|| ecc.decode_into(black_box(&damaged), &mut out).expect("it can be repaired"));
            });
        }
    }
    group.finish();
}

fn keys(c: &mut Criterion) {
    let mut group = c.benchmark_group("key");
    group.sample_size(10);
    for kdf in [KeyDerivation::Scrypt65536_8_1, KeyDerivation::Pbkdf2Sha256_600000] {
        group.bench_function(kdf.name(), |b| {
            b.iter(|| kdf.derive(b"password", &[5; 32]).expect("the salt is good"))
        });
    }
    group.bench_function("hkdf-sha256", |b| {
        b.iter(|| hkdf_sha256(black_box(&[1; 32]), b"salt", b"AES", 32).expect("it is short enough"));
    });
    group.finish();
}

criterion_group!(benches, decompression, decryption, hashes, error_correction, keys);
criterion_main!(benches);
