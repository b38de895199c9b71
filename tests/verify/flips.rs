//! Every single byte of a small repository, changed one at a time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rokopia::blob::{BlobId, BlobMetadata, BlobStore, Error, FileSystem};
use rokopia::crypto::Password;
use rokopia::format::RepositoryFormat;
use rokopia::pack::Postamble;
use rokopia::testkit::{Damage, Epochs, Options, RepositoryWriter, Shape};
use rokopia::verify::{Level, Report, Settings, Verdict, Verifier};
use rokopia::{Options as Reading, Repository};

use super::made::{PASSWORD, source};
use super::support::in_parallel;

type Blobs = Arc<BTreeMap<BlobId, Vec<u8>>>;

/// Blobs in memory, one byte of which is not what it was.
struct Flipped {
    blobs: Blobs,
    blob: BlobId,
    offset: usize,
    mask: u8,
}

impl Flipped {
    fn bytes(&self, id: &BlobId, offset: u64, length: usize) -> Result<Vec<u8>, Error> {
        let whole = self.blobs.get(id).ok_or_else(|| Error::NotFound { blob: id.clone() })?;
        let from = (offset as usize).min(whole.len());
        let mut bytes = whole[from..(from + length).min(whole.len())].to_vec();
        if *id == self.blob
            && let Some(byte) = self.offset.checked_sub(from).and_then(|at| bytes.get_mut(at))
        {
            *byte ^= self.mask;
        }
        Ok(bytes)
    }
}

impl BlobStore for Flipped {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        let blobs = self.blobs.iter().filter(|(id, _)| id.as_str().starts_with(prefix));
        let described = |(id, bytes): (&BlobId, &Vec<u8>)| BlobMetadata {
            id: id.clone(),
            size: bytes.len() as u64,
            modified: None,
        };
        Ok(blobs.map(described).collect())
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        self.bytes(id, 0, usize::MAX >> 1).map(|bytes| bytes.len() as u64)
    }

    fn read(&self, id: &BlobId, _limit: u64) -> Result<Vec<u8>, Error> {
        self.bytes(id, 0, usize::MAX >> 1)
    }

    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let bytes = self.bytes(id, offset, buffer.len())?;
        let short = Error::ShortRead {
            blob: id.clone(),
            offset,
            wanted: buffer.len() as u64,
            got: bytes.len() as u64,
        };
        let (read, _) = buffer.split_at_mut_checked(bytes.len()).ok_or(short)?;
        if read.len() < buffer.len() {
            return Err(Error::ShortRead { blob: id.clone(), offset, wanted: 1, got: 0 });
        }
        buffer.copy_from_slice(&bytes);
        Ok(())
    }

    fn describe(&self) -> String {
        "memory".into()
    }
}

/// A repository of all kinds of blobs, as small as may be.
fn blobs(dir: &Path, ecc_percent: u8) -> Blobs {
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
    let stored = Damage::open(dir).unwrap();
    let names = stored.names("").unwrap();
    Arc::new(names.iter().map(|name| (BlobId::new(name).unwrap(), stored.read(name).unwrap())).collect())
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
fn used(repository: &Repository, blobs: &Blobs) -> BTreeMap<BlobId, Vec<Range<u64>>> {
    let mut used: BTreeMap<BlobId, Vec<Range<u64>>> = BTreeMap::new();
    let index = repository.contents().unwrap().index();
    for entry in index.iter() {
        let pack = index.pack(entry.pack).unwrap().clone();
        used.entry(pack).or_default().push(entry.offset.into()..entry.end());
    }
    for (pack, ranges) in &mut used {
        let bytes = &blobs[pack];
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
    let flipped = |blob: &BlobId, offset: usize, mask: u8| Flipped {
        blobs: Arc::clone(&blobs),
        blob: blob.clone(),
        offset,
        mask,
    };
    let open = |store| Repository::with_format(store, Arc::clone(&format), Reading::default());
    let first = blobs.keys().next().unwrap();
    let whole = open(flipped(first, 0, 0));
    assert_eq!(verify(&whole), Outcome::Missed, "nothing is changed, nothing is found");
    let used = used(&whole, &blobs);

    let is_format = |blob: &BlobId| blob.as_str() == "kopia.repository";
    let places: Vec<(&BlobId, usize)> = blobs
        .iter()
        .flat_map(|(blob, bytes)| {
            let step = if is_format(blob) { format_step } else { step };
            (0..bytes.len()).step_by(step).map(move |offset| (blob, offset))
        })
        .collect();
    let counts: Mutex<BTreeMap<(char, Outcome), u64>> = Mutex::default();
    let (found, empty) = (AtomicU64::new(0), AtomicU64::new(0));
    let missed = Mutex::new(Vec::new());
    in_parallel(places.len(), |at| {
        let (blob, offset) = places[at];
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
            Outcome::Missed if holds_nothing => empty.fetch_add(1, Ordering::Relaxed),
            Outcome::Missed => {
                missed.lock().unwrap().push(format!("{blob} at {offset}"));
                0
            }
            _ => found.fetch_add(1, Ordering::Relaxed),
        };
    });
    println!("{:?}", counts.into_inner().unwrap());
    println!(
        "{} flips with {ecc_percent} % error correction: {} found, {} in bytes that hold no data",
        places.len(),
        found.into_inner(),
        empty.into_inner()
    );
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "{} missed: {:?}", missed.len(), &missed[..missed.len().min(20)]);
}

#[test]
fn some_flipped_bytes_are_found() {
    flip(0, 101, 61);
    flip(10, 499, 1021);
}

/// Minutes: `cargo test --release --all-features --test verify every_flipped_byte -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes"]
fn every_flipped_byte_is_found() {
    flip(0, 1, 1);
    flip(10, 1, 1);
}
