//! The folder in which the files of one repository are kept, and how much of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::sealed::Backing;
use crate::blob::{Guard, InRepository, WritablePath};
use crate::format::RepositoryFormat;

/// Holds the folders of all repositories, so that nothing else in the directory is ever counted or removed.
pub(crate) const NAME: &str = "rokopia-cache";

/// Ends the names of files that are being written.
const PARTIAL: &str = ".partial";

const MODE: u32 = 0o600;

/// Files of one kind that are kept for a repository: several listings of it may be in use.
const KINDRED: usize = 4;

/// A partial file of this age no longer belongs to anybody.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// How exactly it is known when a file was last used.
const USED: Duration = Duration::from_secs(60 * 60);

const BUFFER: usize = 1 << 20;

/// Where the files of one repository are.
#[derive(Debug)]
pub(crate) struct Folder {
    all: WritablePath,
    own: WritablePath,
    limit: u64,
}

impl Folder {
    /// The folder for a repository in a directory whose files may take `limit` bytes together; nothing is made yet.
    ///
    /// # Errors
    /// It would lie in the repository.
    pub(crate) fn new(
        directory: &Path,
        limit: u64,
        guard: &Guard,
        format: &RepositoryFormat,
    ) -> Result<Self, InRepository> {
        Self::named(directory, limit, guard, &hashed(format.unique_id()))
    }

    /// The folder for what is known of a repository before it is open, by where it is: nothing that is secret.
    ///
    /// # Errors
    /// It would lie in the repository.
    pub(crate) fn of_places(directory: &Path, limit: u64, guard: &Guard) -> Result<Self, InRepository> {
        Self::named(directory, limit, guard, "places")
    }

    fn named(directory: &Path, limit: u64, guard: &Guard, name: &str) -> Result<Self, InRepository> {
        let all = guard.writable(&directory.join(NAME))?;
        let own = guard.writable(&all.as_path().join(name))?;
        Ok(Self { all, own, limit })
    }

    /// Opens a file, if it is there.
    pub(crate) fn open(&self, name: &str) -> io::Result<Option<Backing>> {
        // Whatever is there instead of a file must not keep us waiting, nor lead elsewhere.
        let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(self.own.child(name).as_path());
        let file = match file {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a file"));
        }
        mark_used(&file, metadata.modified().ok());
        Ok(Some(Backing::File(file)))
    }

    /// Names of the files that begin so, the one used last first.
    pub(crate) fn names(&self, kind: &str) -> Vec<String> {
        let mut found = files(self.own.as_path());
        found.sort_by_key(|file| std::cmp::Reverse(file.used));
        let names = found.into_iter().filter_map(|file| file.path.file_name()?.to_str().map(str::to_owned));
        names.filter(|name| name.starts_with(kind) && !name.ends_with(PARTIAL)).collect()
    }

    /// Puts a file of about `size` bytes under a name, where it is complete or not at all. Then files of the same `kind`
    /// that are too many, and all that are too much, are removed. Tells whether there was room for it.
    pub(crate) fn write(
        &self,
        kind: &str,
        name: &str,
        size: u64,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<bool> {
        if size > self.limit {
            tracing::debug!(size, limit = self.limit, "what would be cached is larger than the cache may be");
            return Ok(false);
        }
        let file = self.own.child(name);
        file.create_private_parent()?;
        // Several processes, and threads of this one, may write the same at a time: the last one counts.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let staged = format!(".{}-{number}{PARTIAL}", std::process::id());
        file.replace_by_way_of(&staged, MODE, |file| {
            let mut out = BufWriter::with_capacity(BUFFER, file);
            write(&mut out)?;
            out.flush()
        })?;
        self.make_room(kind, name);
        Ok(true)
    }

    /// Removes a file that is of no use.
    pub(crate) fn remove(&self, name: &str) {
        if let Err(error) = self.own.child(name).remove_file() {
            tracing::debug!(%error, name, "a file of the cache cannot be removed");
        }
    }

    fn make_room(&self, kind: &str, written: &str) {
        for name in self.names(kind).iter().filter(|name| *name != written).skip(KINDRED - 1) {
            self.remove(name);
        }
        let written = self.own.child(written);
        let mut all: Vec<Kept> =
            directories(self.all.as_path()).iter().flat_map(|folder| files(folder)).collect();
        let abandoned = |file: &Kept| {
            let partial = file.path.to_str().is_some_and(|path| path.ends_with(PARTIAL));
            partial && file.used.elapsed().is_ok_and(|age| age > ABANDONED)
        };
        all.sort_by_key(|file| file.used);
        let mut total: u64 = all.iter().map(|file| file.size).sum();
        for file in &all {
            let too_much = total > self.limit && file.path != written.as_path();
            if (too_much || abandoned(file)) && fs::remove_file(&file.path).is_ok() {
                tracing::debug!(path = %file.path.display(), "removed from the cache");
                total = total.saturating_sub(file.size);
            }
        }
    }

    /// Says once for each run that the cache is of no use, and why.
    pub(crate) fn warn(&self, doing: &str, error: &io::Error) {
        static SAID: AtomicBool = AtomicBool::new(false);
        let path = self.own.as_path().display();
        if SAID.swap(true, Ordering::Relaxed) {
            tracing::debug!(%error, %path, "the cache: {doing}");
        } else {
            tracing::warn!("the cache {path}: {doing}: {error}; the command goes on without it");
        }
    }
}

/// A name for something, of which it tells nothing.
pub(crate) fn hashed(bytes: &[u8]) -> String {
    let mut digest = hex::encode(Sha256::digest(bytes));
    digest.truncate(32);
    digest
}

/// Notes that a file was used. Where that is not possible, it counts as older than it is.
fn mark_used(file: &File, before: Option<SystemTime>) {
    let now = SystemTime::now();
    let known = before.and_then(|before| now.duration_since(before).ok()).is_some_and(|age| age < USED);
    if !known && let Err(error) = file.set_modified(now) {
        tracing::trace!(%error, "the time of use of a cached file cannot be noted");
    }
}

struct Kept {
    path: PathBuf,
    size: u64,
    used: SystemTime,
}

fn entries(directory: &Path) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(directory).into_iter().flatten().flatten()
}

fn directories(directory: &Path) -> Vec<PathBuf> {
    let folders = entries(directory).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

fn files(directory: &Path) -> Vec<Kept> {
    let kept = |entry: fs::DirEntry| {
        let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        Some(Kept { path: entry.path(), size: metadata.len(), used: metadata.modified().ok()? })
    };
    entries(directory).filter_map(kept).collect()
}
