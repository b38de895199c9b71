//! What a verification costs beside the work that it cannot avoid: decoding and hashing the same bytes in memory.
//!
//! `cargo bench --features testkit --bench verify` takes a repository of its own making;
//! `ROKOPIA_BENCH_REPO=DIR ROKOPIA_BENCH_PASSWORD=…` another one. With `ROKOPIA_BENCH_KOPIA="kopia --config-file=…"`
//! that command line verifies all files in turn with it. Put the repository on tmpfs: disks are not what is measured.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark that cannot start has nothing to measure"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rokopia::Repository;
use rokopia::blob::{BlobId, BlobStore, FileSystem};
use rokopia::content::{Decoder, Scratch};
use rokopia::crypto::Password;
use rokopia::index::Entry;
use rokopia::testkit::{Options, RepositoryWriter, Shape};
use rokopia::verify::{Level, Settings, Verdict, Verifier};

const ROUNDS: usize = 5;

/// Contents hashed side by side, as the verifier does.
const BATCH: usize = 64;

fn repository() -> (Repository, Option<tempfile::TempDir>) {
    let made = || {
        let shm = Path::new("/dev/shm");
        let base = if shm.is_dir() { shm.to_path_buf() } else { std::env::temp_dir() };
        let dir = tempfile::tempdir_in(base).unwrap();
        let mut writer = RepositoryWriter::create(dir.path(), Options::default()).unwrap();
        let root = writer.write_tree(&Shape::mixed(512 << 20).tree(1).unwrap()).unwrap();
        writer.snapshot(&"bench@bench:/mixed".parse().unwrap(), &root);
        writer.finish().unwrap();
        (dir.path().to_path_buf(), "testkit".to_owned(), Some(dir))
    };
    let (path, password, dir) = match std::env::var_os("ROKOPIA_BENCH_REPO") {
        Some(path) => (PathBuf::from(path), std::env::var("ROKOPIA_BENCH_PASSWORD").unwrap(), None),
        None => made(),
    };
    (Repository::open(FileSystem::open(path).unwrap(), &Password::new(password)).unwrap(), dir)
}

/// All packs in memory, and what lies in each.
struct Loaded {
    packs: Vec<(BlobId, Mutex<Vec<u8>>, Vec<Entry>)>,
}

impl Loaded {
    fn new(repository: &Repository) -> Self {
        let index = repository.contents().unwrap().index();
        let mut by_pack: BTreeMap<BlobId, Vec<Entry>> = BTreeMap::new();
        for entry in index.iter() {
            by_pack.entry(index.pack(entry.pack).unwrap().clone()).or_default().push(entry);
        }
        let load = |(blob, mut entries): (BlobId, Vec<Entry>)| {
            entries.sort_by_key(|entry| entry.offset);
            let bytes = repository.store().read(&blob, u64::MAX).unwrap();
            (blob, Mutex::new(bytes), entries)
        };
        Self { packs: by_pack.into_iter().map(load).collect() }
    }

    /// Decodes and hashes everything on all cores; overwrites what it decodes.
    fn decode_and_hash(&self, repository: &Repository, threads: usize) {
        let next = AtomicUsize::new(0);
        let work = || {
            let decoder = Decoder::new(repository.format());
            let mut buffers: Vec<Scratch> = (0..BATCH).map(|_| Scratch::default()).collect();
            while let Some((blob, bytes, entries)) = self.packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut bytes = bytes.lock().unwrap();
                let mut rest = bytes.as_mut_slice();
                let mut at = 0;
                for batch in entries.chunks(BATCH) {
                    let mut plain = Vec::new();
                    for (entry, scratch) in batch.iter().zip(&mut buffers) {
                        let (stored, following) = rest
                            .split_at_mut((u64::from(entry.offset) - at) as usize)
                            .1
                            .split_at_mut(entry.packed_length as usize);
                        rest = following;
                        at = entry.end();
                        plain.push(decoder.decode(entry, blob, stored, scratch).unwrap().plaintext);
                    }
                    let hashes = repository.format().hasher().hash_many(&plain);
                    assert!(hashes.iter().zip(batch).all(|(hash, entry)| hash.as_bytes() == entry.id.hash()));
                }
            }
        };
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    }
}

fn main() {
    let (repository, _dir) = repository();
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut timed = |what: &'static str, work: &mut dyn FnMut()| {
        let begun = Instant::now();
        work();
        times.entry(what).or_default().push(begun.elapsed().as_secs_f64());
    };
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        for level in Level::ALL {
            let settings = Settings { level, threads, ..Settings::default() };
            timed(level.as_str(), &mut || {
                let report = Verifier::new(&repository, &settings).run().unwrap();
                assert_eq!(report.result, Verdict::Clean);
                bytes = report.coverage.bytes;
            });
        }
        let loaded = Loaded::new(&repository);
        timed("pure decode + hash", &mut || loaded.decode_and_hash(&repository, threads));
        drop(loaded);
        if let Ok(kopia) = std::env::var("ROKOPIA_BENCH_KOPIA") {
            let mut words = kopia.split_whitespace();
            let mut command = Command::new(words.next().unwrap());
            command.args(words).args(["snapshot", "verify", "--verify-files-percent=100"]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            timed("kopia", &mut || assert!(command.status().unwrap().success()));
        }
    }
    let best = |what: &str| times.get(what).and_then(|all| all.iter().copied().reduce(f64::min));
    println!(
        "{} MiB of contents, {threads} threads, best and all of {ROUNDS} rounds in seconds",
        bytes >> 20
    );
    for (what, all) in &times {
        let rate = bytes as f64 / best(what).unwrap() / f64::from(1 << 20);
        println!("{what:20} {:.3} ({rate:.0} MiB/s) {all:.3?}", best(what).unwrap());
    }
    let ratio = |a: &str, b: &str| Some(best(a)? / best(b)?);
    println!("hash / pure decode + hash: {:.2}", ratio("hash", "pure decode + hash").unwrap());
    for level in ["decrypt", "hash", "files"] {
        if let Some(ratio) = ratio("kopia", level) {
            println!("kopia / {level}: {ratio:.1}");
        }
    }
}
