//! How packs are read: from end to end, one after the other, each byte once.

use std::collections::BTreeMap;
use std::sync::Arc;

use rokopia::Repository;
use rokopia::blob::FileSystem;
use rokopia::crypto::Password;
use rokopia::verify::{Level, Settings, Verdict, Verifier};

use super::made::{PASSWORD, packs, simple};
use super::trace::Trace;

#[test]
fn the_head_only_moves_forward() {
    let dir = tempfile::tempdir().unwrap();
    simple(dir.path(), 24 << 20, 5 << 20);
    let store = Arc::new(Trace::new(FileSystem::open(dir.path()).unwrap(), usize::MAX));
    let repository = Repository::open(store.clone(), &Password::new(PASSWORD)).unwrap();
    let settings = Settings { level: Level::Hash, threads: 4, memory: 16 << 20, ..Settings::default() };
    // What goes before, reading indexes and listing snapshots, is not about packs or reads single manifests.
    assert_eq!(Verifier::new(&repository, &settings).run().unwrap().result, Verdict::Clean);
    let reads = store.reads();
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
    let all = packs(dir.path());
    println!("{} reads of {} packs, {seeks} seeks, {twice} bytes twice", scan.len(), all.len());
    assert!(scan.len() > 3 * all.len(), "packs are read in several stretches");
    assert_eq!(
        (seeks, twice),
        (all.iter().filter(|pack| ends.contains_key(pack.as_str())).count() as u64, 0)
    );
    assert!(all.iter().filter(|pack| pack.starts_with('p')).all(|pack| ends.contains_key(pack.as_str())));
}
