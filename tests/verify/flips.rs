//! Every single byte of a small repository, changed one at a time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rokopia::blob::{BlobId, FileSystem};
use rokopia::crypto::Password;
use rokopia::format::RepositoryFormat;
use rokopia::pack::Postamble;
use rokopia::testkit::{Epochs, Hooked, Options, RepositoryWriter, Shape};
use rokopia::verify::{Level, Report, Settings, Verdict, Verifier};
use rokopia::{Options as Reading, Repository};

use super::common::memory::Memory;
use super::common::{Counter, in_parallel};
use super::made::{PASSWORD, source};

/// Blobs in memory, one byte of which is not what it was.
fn flipped(blobs: &Arc<Memory>, blob: &BlobId, place: usize, mask: u8) -> Hooked<Arc<Memory>> {
    let blob = blob.clone();
    Hooked::new(Arc::clone(blobs)).delivered(move |id, offset, bytes| {
        let at = place.checked_sub(offset as usize);
        if let Some(byte) = at.filter(|_| *id == blob).and_then(|at| bytes.get_mut(at)) {
            *byte ^= mask;
        }
    })
}

/// A repository of all kinds of blobs, as small as may be.
fn blobs(dir: &Path, ecc_percent: u8) -> Arc<Memory> {
    let epochs = Epochs { advance_at: 2, compact: true, ..Epochs::default() };
    let options = Options { pack_size: 20_000, ecc_percent, epochs, ..Options::default() };
    let mut writer = RepositoryWriter::create(dir, options).unwrap();
    for (seed, files) in [(1, 6), (2, 5), (3, 2)] {
        let tree = Shape::Small { files }.tree(seed).unwrap();
        let root = writer.write_tree(&tree).unwrap();
        writer.snapshot(&source(), &root);
        writer.flush().unwrap();
    }
    writer.finish().unwrap();
    Arc::new(Memory::copy_of(&FileSystem::open(dir).unwrap()).unwrap())
}

/// What a flip came to.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug, Clone, Copy)]
enum Outcome {
    Damage,
    Unneeded,
    Repaired,
    NotOpened,
    Missed,
}

fn verify(repository: &Repository) -> Outcome {
    let settings = Settings { level: Level::Hash, threads: 1, ..Settings::default() };
    match Verifier::new(repository, &settings).run() {
        Err(_) => Outcome::NotOpened,
        Ok(Report { result: Verdict::Damaged, .. }) => Outcome::Damage,
        Ok(report) if !report.unneeded.is_empty() => Outcome::Unneeded,
        Ok(report) if report.ecc.repaired_blobs > 0 => Outcome::Repaired,
        Ok(report) => {
            assert_eq!(report.result, Verdict::Clean);
            Outcome::Missed
        }
    }
}

/// Ranges of packs in which something is stored: contents, the local index, the postamble.
fn used(repository: &Repository, blobs: &Memory) -> BTreeMap<BlobId, Vec<Range<u64>>> {
    let mut used: BTreeMap<BlobId, Vec<Range<u64>>> = BTreeMap::new();
    let index = repository.contents().unwrap().index();
    for entry in index.iter() {
        let pack = index.pack(entry.pack).unwrap().clone();
        used.entry(pack).or_default().push(entry.offset.into()..entry.end());
    }
    for (pack, ranges) in &mut used {
        let bytes = &blobs.0[pack];
        let postamble = Postamble::parse(bytes).unwrap();
        ranges.push(postamble.offset..postamble.offset + postamble.length);
        ranges.push(bytes.len() as u64 - postamble.size..bytes.len() as u64);
    }
    used
}

/// Flips every `step`-th byte of every blob, and every `format_step`-th of the format blob, whose key has to be
/// derived each time.
fn flip(ecc_percent: u8, step: usize, format_step: usize) {
    let dir = tempfile::tempdir().unwrap();
    let blobs = blobs(dir.path(), ecc_percent);
    let password = Password::new(PASSWORD);
    let format = Arc::new(
        RepositoryFormat::open(&FileSystem::open(dir.path()).unwrap(), &password, Reading::default().open)
            .unwrap(),
    );
    let flipped = |blob: &BlobId, offset: usize, mask: u8| flipped(&blobs, blob, offset, mask);
    let open = |store| Repository::with_format(store, Arc::clone(&format), Reading::default());
    let first = blobs.0.keys().next().unwrap();
    let whole = open(flipped(first, 0, 0));
    assert_eq!(verify(&whole), Outcome::Missed, "nothing is changed, nothing is found");
    let used = used(&whole, &blobs);

    let is_format = |blob: &BlobId| blob.as_str() == "kopia.repository";
    let places: Vec<(&BlobId, usize)> = blobs
        .0
        .iter()
        .flat_map(|(blob, bytes)| {
            let step = if is_format(blob) { format_step } else { step };
            (0..bytes.len()).step_by(step).map(move |offset| (blob, offset))
        })
        .collect();
    let counts: Mutex<BTreeMap<(char, Outcome), u64>> = Mutex::default();
    let (found, empty) = (Counter::new(), Counter::new());
    let flip = |&(blob, offset): &(&BlobId, usize)| {
        let mask = 1 << (offset % 8);
        let outcome = if is_format(blob) {
            let opened = Repository::open(flipped(blob, offset, mask), &password)
                .map(|repository| verify(&repository));
            opened.unwrap_or(Outcome::NotOpened)
        } else {
            verify(&open(flipped(blob, offset, mask)))
        };
        let kind = blob.as_str().chars().next().unwrap();
        *counts.lock().unwrap().entry((kind, outcome)).or_default() += 1;
        // A format blob that opens with every content still proved under its keys has lost nothing.
        let holds_nothing = is_format(blob)
            || used
                .get(blob)
                .is_some_and(|ranges| !ranges.iter().any(|used| used.contains(&(offset as u64))));
        match outcome {
            Outcome::Missed if holds_nothing => empty.add(1),
            Outcome::Missed => return vec![format!("missed: {blob} at {offset}")],
            _ => found.add(1),
        }
        Vec::new()
    };
    in_parallel(&places, flip);
    println!("{:?}", counts.into_inner().unwrap());
    println!(
        "{} flips with {ecc_percent} % error correction: {} found, {} in bytes that hold no data",
        places.len(),
        found.get(),
        empty.get()
    );
}

#[test]
fn some_flipped_bytes_are_found() {
    flip(0, 101, 61);
    flip(10, 499, 1021);
}

/// Minutes: `cargo test --profile quick --features testkit --test verify every_flipped -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes"]
fn every_flipped_byte_is_found() {
    flip(0, 1, 1);
}

/// As above; `every_flipped_byte_with` chooses it alone.
#[test]
#[ignore = "takes minutes"]
fn every_flipped_byte_with_error_correction_is_found() {
    flip(10, 1, 1);
}
