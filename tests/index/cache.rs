//! The index and the manifests that are kept between runs: the same answers with fewer reads, whatever is wrong with the
//! files.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rokopia::blob::{Count, Counts, FileSystem};
use rokopia::content::Contents;
use rokopia::crypto::Password;
use rokopia::index::IndexOptions;
use rokopia::testkit::{
    Attributes, Damage, DirectoryBuilder, Fleet, Hooked, Options, RepositoryWriter, Request, SyntheticIndex,
};
use rokopia::{Catalog, Repository};

use crate::{assert_same, named};

fn open_with(store: impl rokopia::BlobStore + 'static, index: IndexOptions) -> Repository {
    let options = rokopia::Options { index, ..rokopia::Options::default() };
    Repository::open_with(store, &Password::new("testkit"), options).unwrap()
}

fn open(store: impl rokopia::BlobStore + 'static, cache: Option<&Path>) -> Repository {
    let cache_directory = cache.map(Path::to_path_buf);
    open_with(store, IndexOptions { cache_directory, ..IndexOptions::default() })
}

/// The same with a cache that may take this much.
fn open_within(store: impl rokopia::BlobStore + 'static, cache: &Path, cache_limit: u64) -> Repository {
    let cache_directory = Some(cache.to_path_buf());
    open_with(store, IndexOptions { cache_directory, cache_limit, ..IndexOptions::default() })
}

/// A repository whose index is kept in a directory.
struct World {
    repository: tempfile::TempDir,
    cache: tempfile::TempDir,
    writer: RepositoryWriter,
}

impl World {
    /// Twenty snapshots in 30 index blobs, and some contents that are nowhere.
    fn new() -> Self {
        Self::with(1)
    }

    /// The same from another seed: another repository with other keys.
    fn with(seed: u64) -> Self {
        let repository = tempfile::tempdir().unwrap();
        let options = Options { seed, ..Options::default() };
        let mut writer = RepositoryWriter::create(repository.path(), options).unwrap();
        writer.write_fleet(&Fleet { sources: 5, snapshots: 20, index_blobs: 30 }).unwrap();
        writer.write_synthetic_index(&SyntheticIndex::new(3000, 3)).unwrap();
        writer.flush().unwrap();
        Self { repository, cache: tempfile::tempdir().unwrap(), writer }
    }

    fn cached(&self) -> Repository {
        open(FileSystem::open(self.repository.path()).unwrap(), Some(self.cache.path()))
    }

    fn snapshot(&mut self) {
        let attributes = Attributes { mode: 0o755, mtime_ns: 0, uid: 0, gid: 0 };
        let root = self.writer.write_directory(DirectoryBuilder::new(), attributes).unwrap();
        self.writer.snapshot(&"new@host:/".parse().unwrap(), &root);
    }

    /// What opening by way of the cache reads, besides the format blob; the answers are compared with those without it.
    #[track_caller]
    fn reads(&self, what: &str) -> Counts {
        let count = Count::new(Arc::new(FileSystem::open(self.repository.path()).unwrap()));
        let repository = open(count.clone(), Some(self.cache.path()));
        let before = count.counts();
        let catalog = repository.catalog().unwrap();
        let contents = repository.contents().unwrap();
        let after = count.counts();
        self.compare(&catalog, &contents, what);
        Counts {
            lists: after.lists - before.lists,
            sizes: after.sizes - before.sizes,
            // Pages of the cache are read, and found to be wrong, when they are needed.
            reads: count.counts().reads - before.reads,
            bytes: after.bytes - before.bytes,
            retries: 0,
        }
    }

    #[track_caller]
    fn compare(&self, catalog: &Catalog, contents: &Contents, what: &str) {
        let plain = open(FileSystem::open(self.repository.path()).unwrap(), None);
        assert_same(&plain.contents().unwrap().index(), &contents.index(), what);
        let expected = plain.catalog().unwrap();
        let (snapshots, problems) = expected.snapshots_and_problems();
        assert_eq!(catalog.snapshots_and_problems(), (snapshots, problems), "{what}");
        let packs = |catalog: &Catalog| catalog.index().packs().cloned().collect::<BTreeSet<_>>();
        assert_eq!(packs(catalog), packs(&expected), "{what}");
        assert_eq!(catalog.index().blob_count(), expected.index().blob_count(), "{what}");
        assert_eq!(catalog.absence(None).unwrap(), expected.absence(None).unwrap(), "{what}");
        assert_eq!(contents.index().blobs().len(), expected.index().blob_count(), "{what}");
    }

    /// The files of the cache whose names begin so.
    fn files(&self, kind: &str) -> Vec<PathBuf> {
        files(self.cache.path(), kind)
    }
}

fn files(cache: &Path, kind: &str) -> Vec<PathBuf> {
    let all = cache.join("rokopia-cache");
    let folders = std::fs::read_dir(all).into_iter().flatten().map(|folder| folder.unwrap().path());
    let mut found: Vec<PathBuf> = folders
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    found.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(kind));
    found.sort();
    found
}

#[test]
fn the_second_opening_reads_no_index_blob_and_no_manifest() {
    let world = World::new();
    let first = world.reads("first");
    assert!(first.reads >= 33 + 20, "{first:?}");
    let second = world.reads("second");
    assert_eq!((second.lists, second.sizes, second.reads), (2, 0, 0), "{second:?}");
    assert_eq!(world.files("").len(), 2);
    for file in world.files("") {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let folder = file.parent().unwrap();
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let bytes = std::fs::read(file).unwrap();
        let readable = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        assert!(!readable(b"volume-0") && !readable(b"xn0"), "a file of the cache tells what is in it");
    }
}

#[test]
fn new_index_blobs_are_read_alone_until_they_are_many() {
    let mut world = World::new();
    world.reads("first");
    let file = world.files("index-");
    for number in 1..8 {
        world.writer.write_content(None, format!("new {number}").as_bytes()).unwrap();
        world.writer.flush().unwrap();
        // The catalog and the contents read them, each for itself.
        let counts = world.reads(&format!("{number} new"));
        assert_eq!(counts.reads, 2 * number, "{number}: {counts:?}");
        assert_eq!(world.files("index-"), file);
    }
    world.snapshot();
    world.writer.flush().unwrap();
    world.reads("many new");
    assert_ne!(world.files("index-"), file, "a new file takes the place of the old one");
    assert_eq!(world.files("index-").len(), 1);
    assert_eq!(world.reads("again").reads, 0);
}

#[test]
fn a_catalog_and_contents_that_stay_open_see_what_is_new_and_what_is_gone() {
    let mut world = World::new();
    world.reads("first");
    let repository = world.cached();
    let mut catalog = repository.catalog().unwrap();
    assert!(!catalog.refresh().unwrap());
    world.snapshot();
    world.writer.flush().unwrap();
    assert!(catalog.refresh().unwrap());
    world.compare(&catalog, &world.cached().contents().unwrap(), "one is new");
    // What the cache has of a blob that is not listed any more does not count.
    let damage = Damage::open(world.repository.path()).unwrap();
    let names = damage.names("xn").unwrap();
    damage.delete(&names[0]).unwrap();
    assert!(catalog.refresh().unwrap());
    world.compare(&catalog, &world.cached().contents().unwrap(), "one is gone");
    let counts = world.reads("one is gone");
    // What is read after the opening is the pack that no index names any more.
    assert_eq!(counts.bytes, 0, "there is a file without it: {counts:?}");
}

/// Every part of a file: damage is found in each, and costs reads alone.
#[test]
fn a_changed_file_is_found_and_made_anew() {
    let world = World::new();
    world.reads("first");
    for kind in ["index-", "manifests"] {
        let file = world.files(kind).remove(0);
        let whole = std::fs::read(&file).unwrap();
        let end = whole.len();
        // The magic, the salt, a page and its tag, another page, the table, its tag, the foot, its tag.
        for at in [0, 20, 48, 48 + 4095, end / 2, end - 100, end - 33, end - 32, end - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 0x20;
            std::fs::write(&file, &changed).unwrap();
            let counts = world.reads(&format!("{kind}: byte {at} of {}", whole.len()));
            assert!(counts.reads > 0, "{kind}: the change of byte {at} of {} was not found", whole.len());
        }
        for length in [0, 80, end / 2, end - 1] {
            std::fs::write(&file, &whole[..length]).unwrap();
            assert!(world.reads(&format!("{kind}: {length} bytes")).reads > 0);
        }
        std::fs::write(&file, [&whole[..], b"more"].concat()).unwrap();
        assert!(world.reads(&format!("{kind}: longer")).reads > 0);
        assert_eq!(world.reads("made again").reads, 0);
    }
}

#[test]
fn pages_in_each_others_place_and_of_earlier_files_are_found() {
    let world = World::new();
    world.reads("first");
    let file = world.files("index-").remove(0);
    let earlier = std::fs::read(&file).unwrap();
    let (first, second) = (48..48 + 4096, 48 + 4096..48 + 8192);
    assert!(earlier.len() > second.end, "{}", earlier.len());
    let mut swapped = earlier.clone();
    swapped[first.clone()].copy_from_slice(&earlier[second.clone()]);
    swapped[second].copy_from_slice(&earlier[first.clone()]);
    std::fs::write(&file, swapped).unwrap();
    assert!(world.reads("swapped").reads > 0);
    let mut mixed = std::fs::read(&file).unwrap();
    assert_ne!(mixed, earlier);
    mixed[first.clone()].copy_from_slice(&earlier[first]);
    std::fs::write(&file, mixed).unwrap();
    assert!(world.reads("of an earlier file").reads > 0);
}

#[test]
fn a_file_that_changes_while_it_is_in_use_is_made_anew() {
    let world = World::new();
    world.reads("first");
    let plain = open(FileSystem::open(world.repository.path()).unwrap(), None).contents().unwrap();
    let expected: Vec<_> = plain.index().iter().map(|entry| named(&plain.index(), &entry)).collect();
    for blocked in [false, true] {
        let contents = world.cached().contents().unwrap();
        let index = contents.index();
        let positions: Vec<_> = index.positions().collect();
        let file = world.files("index-").remove(0);
        let mut bytes = std::fs::read(&file).unwrap();
        for at in (48..bytes.len()).step_by(100) {
            bytes[at] ^= 1;
        }
        std::fs::write(&file, &bytes).unwrap();
        if blocked {
            // No file can be made: it is done without.
            let folder = file.parent().unwrap().to_path_buf();
            std::fs::remove_dir_all(&folder).unwrap();
            std::fs::write(&folder, "").unwrap();
        }
        assert!(index.iter().map(|entry| named(&index, &entry)).eq(expected.iter().cloned()));
        for (position, entry) in positions {
            assert_eq!(index.at(position), Some(entry));
            assert_eq!(index.get(&entry.id).unwrap(), Some(entry));
        }
        index.check().unwrap();
    }
}

#[test]
fn a_file_of_another_repository_is_not_believed() {
    let (world, other) = (World::new(), World::with(2));
    world.reads("first");
    other.reads("first");
    for kind in ["index-", "manifests"] {
        std::fs::copy(&other.files(kind)[0], &world.files(kind)[0]).unwrap();
        assert!(world.reads(kind).reads > 0, "{kind}");
        assert_eq!(world.reads(kind).reads, 0, "{kind}");
    }
    // Both may share a directory.
    let opened = open(FileSystem::open(other.repository.path()).unwrap(), Some(world.cache.path()));
    other.compare(&opened.catalog().unwrap(), &opened.contents().unwrap(), "shared");
    assert_eq!(world.files("").len(), 4);
    assert_eq!(world.reads("shared").reads, 0);
}

#[test]
fn blobs_of_another_size_are_read() {
    let world = World::new();
    world.reads("first");
    let damage = Damage::open(world.repository.path()).unwrap();
    let name = damage.names("xn").unwrap().remove(0);
    damage.truncate(&name, 40).unwrap();
    assert_eq!(world.cached().contents().err().unwrap().code(), "index-damaged");
    assert_eq!(world.cached().catalog().err().unwrap().code(), "index-damaged");
}

#[test]
fn what_cannot_be_written_or_read_is_done_without() {
    let world = World::new();
    let place = world.cache.path().join("rokopia-cache");
    for make in [
        |place: &Path| std::fs::write(place, "a file").unwrap(),
        |place: &Path| std::os::unix::fs::symlink("/nonexistent/place", place).unwrap(),
        |place: &Path| std::os::unix::fs::symlink("/proc", place).unwrap(),
    ] {
        make(&place);
        assert!(world.reads("in the way").reads > 0);
        assert!(world.reads("in the way").reads > 0);
        std::fs::remove_file(&place).unwrap();
    }
    world.reads("first");
    for file in world.files("") {
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        std::fs::write(file.join("x"), "").unwrap();
    }
    assert!(world.reads("directories").reads > 0);
    for file in world.files("") {
        std::fs::remove_dir_all(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    assert!(world.reads("pipes").reads > 0);
    assert_eq!(world.reads("made again").reads, 0);
}

#[test]
fn a_cache_takes_no_more_than_it_may() {
    let (world, other) = (World::new(), World::with(2));
    let store = |world: &World| FileSystem::open(world.repository.path()).unwrap();
    let opened = open_within(store(&world), world.cache.path(), 1000);
    world.compare(&opened.catalog().unwrap(), &opened.contents().unwrap(), "no room");
    assert!(world.files("index-").is_empty());
    world.reads("first");
    let size: u64 = world.files("").iter().map(|file| file.metadata().unwrap().len()).sum();
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
    for file in world.files("") {
        std::fs::File::open(file).unwrap().set_modified(hour_ago).unwrap();
    }
    let opened = open_within(store(&other), world.cache.path(), size * 3 / 2);
    other.compare(&opened.catalog().unwrap(), &opened.contents().unwrap(), "the other's are removed");
    let left: u64 = world.files("").iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(left <= size * 3 / 2, "{left} of {size}");
    assert!(world.reads("removed").reads > 0);
}

#[test]
fn a_cache_in_the_repository_is_refused() {
    let world = World::new();
    for place in [world.repository.path().to_path_buf(), world.repository.path().join("deep/cache")] {
        let store = FileSystem::open(world.repository.path()).unwrap();
        let repository = open(store, Some(&place));
        assert_eq!(repository.contents().err().unwrap().code(), "output-in-repository");
        assert_eq!(repository.catalog().err().unwrap().code(), "output-in-repository");
    }
}

#[test]
fn an_index_over_the_memory_budget_is_kept_as_well() {
    let world = World::new();
    let with = |memory| {
        let cache_directory = Some(world.cache.path().to_path_buf());
        let store = FileSystem::open(world.repository.path()).unwrap();
        open_with(store, IndexOptions { memory, cache_directory, ..IndexOptions::default() })
    };
    for _ in 0..2 {
        let repository = with(64 << 10);
        world.compare(&repository.catalog().unwrap(), &repository.contents().unwrap(), "little memory");
        assert_eq!(world.files("index-").len(), 1);
        assert!(repository.contents().unwrap().index().memory() < 64 << 10);
    }
    assert!(repository_fits(&with(64 << 10)), "what is kept fits where its blobs do not");
}

fn repository_fits(repository: &Repository) -> bool {
    repository.catalog_and_contents().unwrap().1.is_some()
}

#[test]
fn many_openings_at_once_share_a_cache_while_blobs_come() {
    let mut world = World::new();
    let done = AtomicBool::new(false);
    let (repository, cache) = (world.repository.path().to_path_buf(), world.cache.path().to_path_buf());
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut most = 0;
                    while !done.load(Ordering::Relaxed) {
                        let store = FileSystem::open(&repository).unwrap();
                        let opened = open(store, Some(&cache));
                        let (catalog, contents) = opened.catalog_and_contents().unwrap();
                        let index = contents.unwrap().index();
                        let count = index.iter().count();
                        index.check().unwrap();
                        assert!(count >= most, "{count} after {most}");
                        most = count;
                        assert_eq!(catalog.snapshots_and_problems().0.len(), 20);
                    }
                })
            })
            .collect();
        for number in 0..24 {
            world.writer.write_content(None, format!("new {number}").as_bytes()).unwrap();
            world.writer.flush().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    world.reads("after");
    assert!(world.files("").iter().all(|file| !file.to_str().unwrap().ends_with(".partial")));
}

/// Maintenance deletes an index blob between the listing and the reading: what is kept is what was read.
#[test]
fn blobs_that_vanish_while_they_are_read_make_no_wrong_file() {
    let world = World::new();
    let damage = Damage::open(world.repository.path()).unwrap();
    let name = damage.names("xn").unwrap().remove(3);
    let path = world.repository.path().to_path_buf();
    let victim = name.clone();
    let store = Hooked::new(FileSystem::open(&path).unwrap()).before(move |request| {
        if let Request::Read(blob) = request
            && blob.as_str() == victim
        {
            let _ = Damage::open(&path).unwrap().delete(&victim);
        }
        Ok(())
    });
    let repository = open(store, Some(world.cache.path()));
    world.compare(&repository.catalog().unwrap(), &repository.contents().unwrap(), "vanished");
    assert_eq!(world.reads("vanished").reads, 0);
}
