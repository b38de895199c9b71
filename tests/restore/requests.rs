//! What a restore asks of storage: little beside what it needs, and many things at once where storage is slow.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rokopia::blob::{Count, FileSystem};
use rokopia::restore::Filter;
use rokopia::testkit::{Data, DataKind, Hooked, Request, Shape, Tree};

use crate::common::{Opened, Sample, assert_same, quick};

#[test]
fn a_part_of_a_tree_costs_little_beside_itself() {
    let tree = Shape::mixed(16 << 20).tree(3).unwrap();
    let sample = Sample::with(rokopia::testkit::Options { pack_size: 2 << 20, ..quick() }, |writer| {
        let root = writer.write_tree(&tree).unwrap();
        writer.snapshot(&"u@h:/p".parse().unwrap(), &root);
    });
    sample.restore(|restore| restore);
    let mut parts = 0;
    for directory in std::fs::read_dir(sample.target()).unwrap() {
        let directory = directory.unwrap();
        if !directory.file_type().unwrap().is_dir() {
            continue;
        }
        let name = directory.file_name().into_string().unwrap();
        let run = |dry: bool| {
            let store = Count::new(Arc::new(FileSystem::open(sample.repo()).unwrap()));
            let opened = Opened::new(store.clone());
            let filter = Filter::new(&[name.as_str()], &[]).unwrap();
            let target = sample.dir.path().join("part");
            let summary = opened.restore().filter(filter).dry_run(dry).run(target, &()).unwrap();
            assert_eq!(summary.errors, []);
            (summary.bytes, store.counts().bytes)
        };
        let (_, metadata) = run(true);
        let (restored, read) = run(false);
        assert!(restored > 0);
        assert!(
            (read - metadata) * 10 <= restored * 13,
            "{name}: {read} bytes read, {metadata} of them metadata, for {restored}"
        );
        parts += 1;
    }
    assert!(parts > 1);
}

/// A store that takes its time for packs of data; notes how many of its reads are under way at most.
fn slow(dir: &Path, most: &Arc<AtomicUsize>) -> Hooked<FileSystem> {
    let (now, most) = (AtomicUsize::new(0), Arc::clone(most));
    Hooked::new(FileSystem::open(dir).unwrap()).before(move |request| {
        if matches!(request, Request::ReadAt(id, ..) if id.as_str().starts_with('p')) {
            most.fetch_max(1 + now.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            now.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    })
}

#[test]
fn slow_storage_is_asked_for_many_parts_of_one_file_at_once() {
    let mut tree = Tree::new();
    tree.add_file("one", Data { kind: DataKind::Noise, seed: 9, size: 40_000_000 }).unwrap();
    let sample = Sample::new(&tree);
    for (reads, least) in [(16, 12), (3, 3)] {
        let most = Arc::new(AtomicUsize::new(0));
        let opened = Opened::new(slow(&sample.repo(), &most));
        opened.restore().threads(2).reads(reads).run(sample.target(), &()).unwrap();
        assert_same(&tree, &sample.target());
        let most = most.load(Ordering::SeqCst);
        assert!(most >= least && most <= reads, "{most} of {reads}");
    }
}
