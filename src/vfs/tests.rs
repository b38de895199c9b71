//! The tree over the sample repository, without any front.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::Repository;
use crate::blob::FileSystem;
use crate::content;
use crate::crypto::Password;
use crate::index::ContentId;

fn vfs() -> (Vfs, Snapshots) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/basic/repo");
    let repository = Repository::open(FileSystem::open(path).unwrap(), &Password::new("rokopia")).unwrap();
    let snapshots = repository.catalog().unwrap().all_snapshots();
    let contents: Arc<dyn ContentSource> = Arc::new(repository.contents().unwrap());
    (Vfs::of_snapshots(contents, &snapshots, 32 << 20, 2), snapshots)
}

fn walk(vfs: &Vfs, path: &str) -> Result<Attributes, Error> {
    let root = vfs.attributes(ROOT);
    path.split('/').filter(|part| !part.is_empty()).try_fold(root?, |at, name| vfs.lookup(at.inode, name))
}

fn names(vfs: &Vfs, inode: u64) -> Vec<String> {
    vfs.open_directory(inode).unwrap().entries().iter().map(|entry| entry.name.to_string()).collect()
}

#[test]
fn snapshots_lie_below_their_sources_by_time() {
    let (vfs, snapshots) = vfs();
    assert_eq!(names(&vfs, ROOT), ["data-demo@apps"]);
    let times = names(&vfs, walk(&vfs, "data-demo@apps/data").unwrap().inode);
    assert_eq!(times.len(), snapshots.all().len() + 1);
    assert_eq!(times.last().unwrap(), "latest");
    let newest = snapshots.all().complete().latest().unwrap();
    let latest = walk(&vfs, "data-demo@apps/data/latest").unwrap();
    let target = String::from_utf8(vfs.link_target(latest.inode).unwrap()).unwrap();
    assert_eq!(latest.kind, Kind::Link);
    assert!(newest.start_time.to_string().starts_with(target.trim_end_matches('Z')), "{target}");
    let root = walk(&vfs, &format!("data-demo@apps/data/{target}")).unwrap();
    assert!(names(&vfs, root.inode).contains(&"notes".to_owned()));
}

#[test]
fn numbers_are_the_same_after_a_restart_and_differ_within_a_tree() {
    let all = |vfs: &Vfs| {
        let mut found = Vec::new();
        let mut rest = vec![ROOT];
        while let Some(inode) = rest.pop() {
            let directory = vfs.open_directory(inode).unwrap();
            for entry in directory.entries() {
                let child = vfs.use_entry(inode, entry);
                assert_eq!(child.inode, vfs.inode_of(inode, entry));
                found.push(child.inode);
                if child.kind == Kind::Directory {
                    rest.push(child.inode);
                }
            }
        }
        found
    };
    let (first, second) = (all(&vfs().0), all(&vfs().0));
    assert_eq!(first, second);
    let different: std::collections::HashSet<u64> = first.iter().copied().collect();
    assert_eq!(different.len(), first.len());
}

#[test]
fn any_range_of_a_file_is_what_its_reader_gives() {
    let (vfs, snapshots) = vfs();
    let snapshot = snapshots.all().complete().latest().unwrap();
    let target = snapshot.start_time.to_unix().0;
    let base = format!("data-demo@apps/data/{}", UtcTimestamp(target * 1_000_000_000));
    let tree = crate::snapshot::Tree::of_snapshot(&*vfs.source, &snapshot).unwrap();
    let mut files = 0;
    for item in tree.walk("").unwrap() {
        let item = item.unwrap();
        if item.entry.kind != EntryType::File {
            continue;
        }
        let mut expected = Vec::new();
        std::io::Read::read_to_end(&mut tree.open(&item.path).unwrap(), &mut expected).unwrap();
        let found = walk(&vfs, &format!("{base}/{}", item.path)).unwrap();
        assert_eq!((found.size, found.mode), (expected.len() as u64, item.entry.mode.to_posix()));
        let file = vfs.open(found.inode).unwrap();
        for (from, size) in [(0, expected.len() + 9), (1, 7), (expected.len() / 2, 4096), (expected.len(), 1)]
        {
            let wanted = expected.iter().copied().skip(from).take(size).collect::<Vec<u8>>();
            assert_eq!(file.read_at(from as u64, size).unwrap(), wanted, "{} from {from}", item.path);
        }
        files += 1;
    }
    assert!(files > 3);
}

/// Counts the contents that are read.
struct Counted(Arc<dyn ContentSource>, AtomicUsize);

impl ContentSource for Counted {
    fn get(&self, id: &ContentId) -> Result<Vec<u8>, content::Error> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.get(id)
    }

    fn original_length(&self, id: &ContentId) -> Result<Option<u64>, content::Error> {
        self.0.original_length(id)
    }
}

#[test]
fn a_directory_that_takes_most_of_the_room_is_read_once() {
    let (vfs, snapshots) = vfs();
    let counted = Arc::new(Counted(Arc::clone(&vfs.source), AtomicUsize::new(0)));
    let newest = snapshots.all().complete().latest().unwrap();
    let root = newest.root.clone().unwrap();
    let entries = vfs.read_directory(root.object.as_ref().unwrap()).unwrap();
    let bytes: u64 = entries.iter().map(|entry| ENTRY_BYTES + entry.name.len() as u64).sum();
    let memory = bytes * 3 / 2 * DIRECTORIES;
    let small = Vfs::of_directory(Arc::<Counted>::clone(&counted), root, memory, 1);
    for _ in 0..3 {
        assert_eq!(small.open_directory(ROOT).unwrap().entries().len(), entries.len());
    }
    assert_eq!(counted.1.load(Ordering::SeqCst), 1);
}

#[test]
fn what_is_asked_for_wrongly_is_refused_by_name() {
    let (vfs, _) = vfs();
    assert!(matches!(walk(&vfs, "nobody@nowhere"), Err(Error::NotFound)));
    assert!(matches!(vfs.open(ROOT), Err(Error::NotAFile)));
    assert!(matches!(vfs.link_target(ROOT), Err(Error::NotALink)));
    assert!(matches!(vfs.attributes(77), Err(Error::Stale { inode: 77 })));
    let client = walk(&vfs, "data-demo@apps").unwrap();
    vfs.forget(client.inode, 1);
    assert!(matches!(vfs.attributes(client.inode), Err(Error::Stale { .. })));
}
