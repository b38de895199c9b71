//! How packs are read: from end to end, one after the other, each byte once.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rokopia::testkit::BlobDirectory;
use rokopia::verify::{Level, Settings, Verdict, Verifier};

use super::made::{open, packs, simple};
use super::trace::Trace;

fn path(dir: &Path, blob: &str) -> PathBuf {
    BlobDirectory::open(dir).unwrap().path(blob)
}

fn inode(dir: &Path, blob: &str) -> u64 {
    std::fs::metadata(path(dir, blob)).unwrap().ino()
}

#[test]
fn the_head_only_moves_forward() {
    let by_name = |dir: &Path| -> Vec<u64> {
        let all = packs(dir);
        all.iter().filter(|pack| pack.starts_with('p')).map(|pack| inode(dir, pack)).collect()
    };
    // Inodes are given out as they come free, so that chance may put them in the order of names.
    let mut in_order = Vec::new();
    let dir = loop {
        let dir = tempfile::tempdir().unwrap();
        simple(dir.path(), 24 << 20, 5 << 20);
        if !by_name(dir.path()).is_sorted() {
            break dir;
        }
        assert!(in_order.len() < 20, "their names have another order");
        in_order.push(dir);
    };
    let (repository, trace) = Trace::new().open(dir.path());
    let settings = Settings { level: Level::Hash, threads: 4, memory: 16 << 20, ..Settings::default() };
    // What goes before, reading indexes and listing snapshots, is not about packs or reads single manifests.
    assert_eq!(Verifier::new(&repository, &settings).run().unwrap().result, Verdict::Clean);
    let reads = trace.reads();
    let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut seeks, mut twice, mut current) = (0, 0, "");
    let scan: Vec<_> =
        reads.iter().filter(|read| read.length > 4096 || read.blob.as_str().starts_with('p')).collect();
    for read in &scan {
        let end = ends.entry(read.blob.as_str()).or_insert(32);
        // Nothing lies between contents; before the local index there is padding to a page.
        let next = read.offset >= *end && read.offset - *end < 4096;
        seeks += u64::from(read.blob.as_str() != current || !next);
        twice += end.saturating_sub(read.offset);
        *end = read.offset + read.length;
        current = read.blob.as_str();
    }
    let mut places: Vec<u64> = Vec::new();
    for read in scan.iter().filter(|read| read.blob.as_str().starts_with('p')) {
        let place = inode(dir.path(), read.blob.as_str());
        if places.last() != Some(&place) {
            places.push(place);
        }
    }
    assert!(places.is_sorted(), "packs are read in the order of their inodes: {places:?}");
    let all = packs(dir.path());
    println!("{} reads of {} packs, {seeks} seeks, {twice} bytes twice", scan.len(), all.len());
    assert!(scan.len() > 3 * all.len(), "packs are read in several stretches");
    assert_eq!(
        (seeks, twice),
        (all.iter().filter(|pack| ends.contains_key(pack.as_str())).count() as u64, 0)
    );
    assert!(all.iter().filter(|pack| pack.starts_with('p')).all(|pack| ends.contains_key(pack.as_str())));
}

/// Bytes of files that are in the page cache, or nothing where no tool tells.
fn cached(files: &[PathBuf]) -> Option<u64> {
    let mut fincore = Command::new("fincore");
    fincore.args(["--bytes", "--noheadings", "--output", "RES"]).args(files);
    let output = fincore.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.lines().map(|line| line.trim().parse::<u64>().unwrap()).sum())
}

/// Reading a repository of terabytes must not push out what else the machine keeps in memory.
#[test]
fn the_page_cache_is_left_as_it_was() {
    // A file system of a disk: tmpfs is nothing but page cache.
    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let dir = tempfile::tempdir_in(base).unwrap();
    let repo = dir.path().join("repo");
    simple(&repo, 24 << 20, 2 << 20);
    let other = dir.path().join("other");
    std::fs::write(&other, vec![1; 4 << 20]).unwrap();
    let files: Vec<PathBuf> = packs(&repo).iter().map(|pack| path(&repo, pack)).collect();
    let drop_cache = || {
        for file in &files {
            let file = std::fs::File::open(file).unwrap();
            file.sync_all().unwrap();
            nix::fcntl::posix_fadvise(&file, 0, 0, nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED)
                .unwrap();
        }
    };
    drop_cache();
    match cached(&files) {
        Some(0) => {}
        told => return println!("skipped: {told:?} bytes are cached, and cannot be dropped or counted here"),
    }
    let before = cached(std::slice::from_ref(&other)).unwrap();
    for (level, rate) in [(Level::Hash, None), (Level::Files, Some(1 << 30))] {
        let settings = Settings { level, rate, ..Settings::default() };
        let report = Verifier::new(&open(&repo), &settings).run().unwrap();
        assert_eq!(report.result, Verdict::Clean);
        let left = cached(&files).unwrap();
        println!("{level}: {} bytes read, {left} of them still cached", report.coverage.read_bytes);
        assert!(left * 50 < report.coverage.read_bytes, "{left} bytes are left in the cache");
        drop_cache();
    }
    // The test is able to fail: who reads without care fills the cache.
    for file in &files {
        std::fs::read(file).unwrap();
    }
    assert!(cached(&files).unwrap() >= 20 << 20);
    assert_eq!(cached(&[other]).unwrap(), before, "what others use stays");
}
