//! Blobs as files below one directory, spread over shard directories.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{OFlag, PosixFadviseAdvice, posix_fadvise};

use super::detect;
use super::listing::{Listed, Listing, SHARDS_FILE};
use super::{BlobId, BlobKind, BlobMetadata, BlobStore, Error, Guard, Layout, Remarks};

use crate::os::sync::Mutex;

/// Open files kept for the next read: a restore reads ranges of the same packs again and again, and on a network
/// file system each open costs as much as a read.
const MAX_OPEN_FILES: usize = 64;

/// An open file, once somebody has opened it.
type Slot = Arc<Mutex<Option<Arc<File>>>>;

/// A repository in a directory, as on a NAS (Kopia's `filesystem`, and what its SFTP, WebDAV and rclone storages leave
/// behind).
///
/// Symbolic links are followed: a pack or a shard directory that was moved to another disk is still found. So is a blob
/// that lies elsewhere than the layout says: a copy of a bucket, or a repository whose `.shards` is lost, opens as any other.
pub struct FileSystem {
    root: PathBuf,
    guard: Guard,
    layout: Layout,
    /// What is wrong with the file that says how blobs are laid out.
    layout_problem: Option<String>,
    open_files: Mutex<VecDeque<(BlobId, Slot)>>,
    elsewhere: Mutex<HashMap<BlobId, PathBuf>>,
    layout_differs: AtomicBool,
    last_remarks: Mutex<Remarks>,
}

debug_of!(FileSystem, "FileSystem", "root" = |store| &store.root);

impl FileSystem {
    /// Opens the directory and reads the layout rule in it.
    ///
    /// # Errors
    /// A location that is missing, is not a directory, is empty, or cannot be read: each is a different error.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let root = path.as_ref().to_path_buf();
        let mut entries = match std::fs::read_dir(&root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoSuchLocation { path: root });
            }
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
                return Err(Error::NotADirectory { path: root });
            }
            Err(source) => return Err(Error::Open { path: root, source }),
        };
        match entries.next() {
            None => return Err(Error::EmptyLocation { path: root }),
            Some(Err(source)) => return Err(Error::Open { path: root, source }),
            Some(Ok(_)) => {}
        }
        let detected = detect::layout(&root)?;
        let guard = Guard::new(&root).map_err(|source| Error::Open { path: root.clone(), source })?;
        Ok(Self {
            root,
            guard,
            layout: detected.layout,
            layout_problem: detected.problem,
            open_files: Mutex::default(),
            elsewhere: Mutex::default(),
            layout_differs: AtomicBool::new(detected.is_guess),
            last_remarks: Mutex::default(),
        })
    }

    /// The directory of the repository.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, id: &BlobId) -> PathBuf {
        let elsewhere = self.elsewhere.lock();
        elsewhere.get(id).cloned().unwrap_or_else(|| self.root.join(self.layout.path(id)))
    }

    fn file(&self, id: &BlobId) -> Result<Arc<File>, Error> {
        let slot = self.slot(id);
        // A thread that wants the same blob meanwhile waits here, instead of opening it once more.
        let mut file = slot.lock();
        match &*file {
            Some(file) => Ok(Arc::clone(file)),
            None => Ok(Arc::clone(file.insert(Arc::new(self.open_blob(id)?)))),
        }
    }

    /// The place for the open file of a blob, which is now the one used last.
    fn slot(&self, id: &BlobId) -> Slot {
        let mut open = self.open_files.lock();
        let position = open.iter().rposition(|(name, _)| name == id);
        let entry = position.and_then(|position| open.remove(position));
        let entry = entry.unwrap_or_else(|| (id.clone(), Slot::default()));
        let slot = Arc::clone(&entry.1);
        open.push_back(entry);
        if open.len() > MAX_OPEN_FILES {
            open.pop_front();
        }
        slot
    }

    fn drop_cached(&self, id: &BlobId) {
        self.open_files.lock().retain(|(name, _)| name != id);
    }

    fn open_blob(&self, id: &BlobId) -> Result<File, Error> {
        match open_file(&self.path(id)) {
            // Where the layout is a guess or proved wrong, only a listing tells where a blob really is.
            Err(e)
                if is_missing(&e) && (self.layout_differs.load(Ordering::Relaxed) || is_first_read(id)) =>
            {
                self.list(id.as_str())?;
                open_file(&self.path(id))
            }
            other => other,
        }
        .map_err(|e| blob_error(id, e))
    }

    fn remarks_on(&self, listed: &Listed) -> Remarks {
        let mut warnings: Vec<String> = self.layout_problem.iter().cloned().collect();
        let mut elsewhere = listed.blobs.iter().filter_map(|found| found.elsewhere.as_deref());
        if let Some(example) = elsewhere.next() {
            warnings.push(format!(
                "{} blobs are not where {} wants them, for example {}: they are read all the same, but Kopia does not \
                 find them",
                1 + elsewhere.count(),
                self.root.join(SHARDS_FILE).display(),
                example.display()
            ));
        }
        let unlisted = listed.unlisted.iter();
        warnings.extend(unlisted.map(|(path, e)| {
            format!("{} was not looked into ({e}): nothing in it is needed to restore", path.display())
        }));
        Remarks { foreign: listed.foreign.clone(), warnings }
    }

    fn with_file<T>(&self, id: &BlobId, read: impl Fn(&File) -> io::Result<T>) -> Result<T, Error> {
        let result = read(&*self.file(id)?);
        match result {
            // The server replaced or dropped the file behind our handle; the name may lead to a good one.
            Err(e) if e.raw_os_error() == Some(nix::libc::ESTALE) => {
                self.drop_cached(id);
                read(&*self.file(id)?).map_err(|e| blob_error(id, e))
            }
            other => other.map_err(|e| blob_error(id, e)),
        }
    }
}

impl BlobStore for FileSystem {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        let listed = Listing::new(&self.root, &self.layout, prefix).run()?;
        if prefix.is_empty() {
            *self.last_remarks.lock() = self.remarks_on(&listed);
        }
        let mut blobs = Vec::with_capacity(listed.blobs.len());
        let mut elsewhere = self.elsewhere.lock();
        for found in listed.blobs {
            match found.elsewhere {
                Some(path) => {
                    self.layout_differs.store(true, Ordering::Relaxed);
                    elsewhere.insert(found.blob.id.clone(), path);
                }
                // It may have been moved to its place meanwhile.
                None if elsewhere.is_empty() => {}
                None => drop(elsewhere.remove(&found.blob.id)),
            }
            blobs.push(found.blob);
        }
        Ok(blobs)
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        self.with_file(id, |file| Ok(file.metadata()?.len()))
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        let file = self.open_blob(id)?;
        let size = file.metadata().map_err(|e| blob_error(id, e))?.len();
        if size > limit {
            return Err(Error::TooLarge { blob: id.clone(), size, limit });
        }
        if size == 0 {
            return Err(Error::Empty { blob: id.clone() });
        }
        let length = usize::try_from(size).map_err(|_| Error::TooLarge { blob: id.clone(), size, limit })?;
        let mut bytes = vec![0; length];
        let got = read_full(&file, 0, &mut bytes).map_err(|e| blob_error(id, e))?;
        if got < length {
            return Err(Error::ShortRead { blob: id.clone(), offset: 0, wanted: size, got: got as u64 });
        }
        Ok(bytes)
    }

    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let wanted = buffer.len();
        let cell = std::cell::RefCell::new(buffer);
        let got = self.with_file(id, |file| read_full(file, offset, &mut cell.borrow_mut()))?;
        if got < wanted && self.size(id)? == 0 {
            return Err(Error::Empty { blob: id.clone() });
        }
        if got < wanted {
            return Err(Error::ShortRead {
                blob: id.clone(),
                offset,
                wanted: wanted as u64,
                got: got as u64,
            });
        }
        Ok(())
    }

    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn remarks(&self) -> Remarks {
        self.last_remarks.lock().clone()
    }

    fn disk_order(&self, id: &BlobId) -> Option<u64> {
        Some(std::fs::metadata(self.path(id)).ok()?.ino())
    }

    fn guard(&self) -> Guard {
        self.guard.clone()
    }

    fn forget(&self, id: &BlobId) {
        if let Ok(file) = self.file(id) {
            // Advice only: a file system that knows no page cache refuses it, and nothing is lost.
            let _ = posix_fadvise(&*file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
            self.drop_cached(id);
        }
    }
}

/// Whether a blob is the first that is read of any repository. That it is not where it should be is no reason to doubt the
/// layout of a store that was read before, but to look for it once.
fn is_first_read(id: &BlobId) -> bool {
    id.kind() == BlobKind::Format
}

/// Opens a regular file for reading; never blocks on a pipe that somebody put there.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
    }
    Ok(file)
}

/// Reads until the buffer is full or the file ends; returns how many bytes there were.
pub(super) fn read_full(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(done as u64)) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn blob_error(id: &BlobId, source: io::Error) -> Error {
    if is_missing(&source) {
        Error::NotFound { blob: id.clone() }
    } else {
        Error::Read { blob: id.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(shards: Option<&str>) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        if let Some(json) = shards {
            std::fs::write(dir.path().join(".shards"), json).unwrap();
        }
        std::fs::write(dir.path().join("kopia.repository.f"), "{}").unwrap();
        std::fs::create_dir_all(dir.path().join("x/n0_")).unwrap();
        std::fs::write(dir.path().join("x/n0_/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.f"), "index").unwrap();
        dir
    }

    fn names(store: &FileSystem, prefix: &str) -> Vec<String> {
        let mut names: Vec<_> = store.list(prefix).unwrap().into_iter().map(|b| b.id.to_string()).collect();
        names.sort();
        names
    }

    const DEFAULT: Option<&str> = Some(r#"{"default":[1,3],"maxNonShardedLength":20}"#);

    #[test]
    fn lists_and_reads() {
        let dir = repository(DEFAULT);
        let store = FileSystem::open(dir.path()).unwrap();
        assert_eq!(names(&store, ""), ["kopia.repository", "xn0_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]);
        assert_eq!(names(&store, "xn"), ["xn0_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]);
        assert!(names(&store, "p").is_empty());
        let id = BlobId::new("xn0_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").unwrap();
        assert_eq!(store.read(&id, 5).unwrap(), b"index");
        assert_eq!(store.size(&id).unwrap(), 5);
        assert!(matches!(store.read(&id, 4), Err(Error::TooLarge { size: 5, limit: 4, .. })));
        let mut three = [0; 3];
        store.read_at(&id, 2, &mut three).unwrap();
        assert_eq!(&three, b"dex");
        assert!(matches!(store.read_at(&id, 3, &mut three), Err(Error::ShortRead { got: 2, .. })));
        std::fs::write(dir.path().join("xe1.f"), "").unwrap();
        let empty = BlobId::new("xe1").unwrap();
        assert!(matches!(store.read(&empty, 9), Err(Error::Empty { .. })));
        assert!(matches!(store.read_at(&empty, 3, &mut three), Err(Error::Empty { .. })));
        let missing = BlobId::new("xn0_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb").unwrap();
        assert!(store.read(&missing, 9).unwrap_err().is_not_found());
    }

    #[test]
    fn a_blob_that_many_want_is_opened_once() {
        let dir = repository(DEFAULT);
        let store = FileSystem::open(dir.path()).unwrap();
        let id = BlobId::new("xn0_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").unwrap();
        let ready = std::sync::Barrier::new(16);
        let files: Vec<Arc<File>> = std::thread::scope(|scope| {
            let open = || {
                ready.wait();
                store.file(&id).unwrap()
            };
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(files.iter().all(|file| Arc::ptr_eq(file, &files[0])));
        assert_eq!(store.open_files.lock().len(), 1);
    }

    #[test]
    fn a_wrong_layout_rule_does_not_hide_blobs() {
        for shards in [None, Some(r#"{"default":[2,2],"maxNonShardedLength":20}"#), Some("{}")] {
            let dir = repository(shards);
            let store = FileSystem::open(dir.path()).unwrap();
            let id = BlobId::new("xn0_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").unwrap();
            store.list("x").unwrap();
            assert_eq!(store.read(&id, 5).unwrap(), b"index", "{shards:?}");
        }
    }

    #[test]
    fn copies_of_buckets_and_lost_layout_rules_hide_nothing() {
        let pack = |n: u8| format!("p{n:032x}-s8df48a5d3ea727bc147");
        let sharded = |name: &str| format!("{}/{}/{}.f", &name[..1], &name[1..4], &name[4..]);
        type Place = fn(&str) -> String;
        let places: [Place; 4] = [
            |name| name.to_owned(),
            |name| format!("{name}.f"),
            |name| format!("{}/{}/{}.f", &name[..3], &name[3..6], &name[6..]),
            |name| format!("{}/{}/{}", &name[..2], &name[2..4], &name[4..]),
        ];
        let rules = [None, Some(""), Some("{"), Some("{}"), DEFAULT, Some(r#"{"default":[]}"#)];
        for (place, rule) in places.iter().flat_map(|place| rules.map(|rule| (place, rule))) {
            let dir = tempfile::tempdir().unwrap();
            let put = |path: String, bytes: &str| {
                let path = dir.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            };
            let end = if place("kopia.repository").ends_with(".f") { ".f" } else { "" };
            put(format!("kopia.repository{end}"), "{}");
            (0..20).for_each(|n| put(place(&pack(n)), "pack"));
            // One has moved, and of one there is an empty copy.
            put(sharded(&pack(99)), "pack");
            put(sharded(&pack(1)), "");
            if let Some(rule) = rule {
                put(SHARDS_FILE.into(), rule);
            }
            let what = format!("{} with {rule:?}", place("kopia.repository"));
            let store = || FileSystem::open(dir.path()).unwrap();
            assert_eq!(store().read(&BlobId::new("kopia.repository").unwrap(), 9).unwrap(), b"{}", "{what}");
            let listed = store();
            assert_eq!(listed.list("").unwrap().len(), 22, "{what}");
            for number in [0, 99] {
                let id = BlobId::new(&pack(number)).unwrap();
                assert_eq!(listed.read(&id, 9).unwrap(), b"pack", "{what}");
                if rule.is_none_or(|rule| rule.len() < 2) {
                    assert_eq!(store().read(&id, 9).unwrap(), b"pack", "{what}, not listed");
                }
            }
            let sizes: Vec<u64> = listed.list("p").unwrap().iter().map(|blob| blob.size).collect();
            let in_place = rule == DEFAULT;
            assert_eq!(sizes.iter().filter(|size| **size == 0).count(), usize::from(in_place), "{what}");
        }
    }

    #[test]
    fn a_layout_that_kopia_does_not_find_is_remarked() {
        let remarks = |shards| {
            let dir = repository(shards);
            let store = FileSystem::open(dir.path()).unwrap();
            store.list("").unwrap();
            store.remarks()
        };
        assert_eq!(remarks(DEFAULT), Remarks::default());
        for (shards, said) in [
            (None, "is missing"),
            (Some(""), "does not say how blobs are laid out (it is empty)"),
            (Some(r#"{"default":[2,2],"maxNonShardedLength":20}"#), "1 blobs are not where"),
        ] {
            let warnings = remarks(shards).warnings;
            assert!(warnings.len() == 1 && warnings[0].contains(said), "{warnings:?}");
        }
    }

    #[test]
    fn directories_that_no_answer_depends_on_may_be_closed() {
        if nix::unistd::geteuid().is_root() {
            println!("NOT CHECKED: root may read every directory");
            return;
        }
        use std::os::unix::fs::PermissionsExt;
        let dir = repository(DEFAULT);
        let change = |name: &str, mode| {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
            std::fs::set_permissions(dir.path().join(name), PermissionsExt::from_mode(mode)).unwrap();
        };
        let unneeded = ["s", "_", "private", "kopia", "lost+found"];
        unneeded.iter().for_each(|name| change(name, 0o000));
        let store = FileSystem::open(dir.path()).unwrap();
        assert_eq!(store.list("").unwrap().len(), 2);
        assert_eq!(store.remarks().warnings.len(), 3);
        assert!(store.list("s").is_err() && store.list("x").is_ok());
        change("p", 0o000);
        assert!(store.list("").is_err() && store.list("p").is_err() && store.list("x").is_ok());
        unneeded.iter().chain(&["p"]).for_each(|name| change(name, 0o700));
    }

    #[test]
    fn foreign_files_are_ignored() {
        let dir = repository(DEFAULT);
        for name in [
            ".nfs000000000123abcd00000001",
            "README.txt",
            "queue.f",
            "xn0_.f",
            "desktop.ini",
            "x/.DS_Store",
            "x/n0_/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.f.tmp.0123456789abcdef",
            "x/n0_/._aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.f",
            "x/n0_/.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.f.Xy12Zw",
            "x/n0_/~syncthing~aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.f.tmp",
            "x/n0_/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.sync-conflict-20260101-101010-ABCDEFG.f",
        ] {
            std::fs::write(dir.path().join(name), "junk").unwrap();
        }
        let nested = repository(DEFAULT);
        for name in [
            "media",
            "nas",
            "qnap",
            "p",
            "q",
            "x",
            "@eaDir",
            "#recycle",
            ".snapshot",
            "lost+found",
            "x/n0_/p",
        ] {
            std::fs::create_dir_all(dir.path().join(name).join("x/n0_")).unwrap();
            for file in ["kopia.repository.f", "x/n0_/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.f"] {
                std::fs::copy(nested.path().join(file), dir.path().join(name).join(file)).unwrap();
            }
        }
        std::os::unix::fs::symlink("loop", dir.path().join("x/loop")).unwrap();
        std::os::unix::fs::symlink("../x", dir.path().join("x/up")).unwrap();
        let store = FileSystem::open(dir.path()).unwrap();
        for prefix in ["", "x", "q", "p", "n", "m", "kopia"] {
            let expected = ["kopia.repository", "xn0_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"];
            let expected: Vec<_> = expected.into_iter().filter(|name| name.starts_with(prefix)).collect();
            assert_eq!(names(&store, prefix), expected, "{prefix}");
        }
        let foreign = store.remarks().foreign;
        assert!(foreign.count > 20 && foreign.examples.len() == 10, "{foreign:?}");
        assert_eq!(names(&store, ""), ["kopia.repository", "xn0_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]);
    }

    #[test]
    fn a_dangling_link_named_like_a_blob_is_listed_and_missing() {
        let dir = repository(DEFAULT);
        std::os::unix::fs::symlink("gone", dir.path().join("x/n0_/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.f"))
            .unwrap();
        let store = FileSystem::open(dir.path()).unwrap();
        assert_eq!(names(&store, "x").len(), 2);
        let id = BlobId::new("xn0_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb").unwrap();
        assert!(store.read(&id, 9).unwrap_err().is_not_found());
    }

    #[test]
    fn locations_that_are_no_store_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(FileSystem::open(dir.path()), Err(Error::EmptyLocation { .. })));
        assert!(matches!(FileSystem::open(dir.path().join("no")), Err(Error::NoSuchLocation { .. })));
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(matches!(FileSystem::open(dir.path().join("file")), Err(Error::NotADirectory { .. })));
    }

    #[test]
    fn a_directory_or_pipe_in_place_of_a_blob_is_an_error() {
        let dir = repository(DEFAULT);
        std::fs::create_dir(dir.path().join("xe1.f")).unwrap();
        nix::unistd::mkfifo(&dir.path().join("xe2.f"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let store = FileSystem::open(dir.path()).unwrap();
        for name in ["xe1", "xe2"] {
            assert!(matches!(store.read(&BlobId::new(name).unwrap(), 9), Err(Error::Read { .. })), "{name}");
        }
    }
}
