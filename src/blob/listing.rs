//! Which blobs lie below a directory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ignore::{DirEntry, WalkBuilder, WalkState};

use super::filesystem::is_missing;
use super::sharding::SUFFIX;
use super::{BlobId, BlobMetadata, Error, Sharding};

/// More directory levels than any layout has (`MAX_SHARDS` and the root).
const MAX_DEPTH: usize = 20;

/// Directories and files asked about at a time. On a network file system each question costs a round trip, and a
/// repository has thousands of shard directories and files; on a local disk the threads cost a millisecond.
const QUESTIONS: usize = 16;

/// One walk over the files of a store.
pub(super) struct Listing<'a> {
    sharding: &'a Sharding,
    wanted: Wanted,
}

/// What is looked for below which directory.
#[derive(Clone)]
struct Wanted {
    root: PathBuf,
    /// What the names of the wanted blobs begin with.
    prefix: String,
}

/// What a walk found.
#[derive(Default)]
pub(super) struct Listed {
    /// By name.
    pub(super) blobs: Vec<BlobMetadata>,
    /// Where blobs lie that are not where the layout rule wants them.
    pub(super) elsewhere: Vec<(BlobId, PathBuf)>,
}

/// What one entry comes to.
enum Step {
    /// No blob that is wanted.
    Pass,
    Blob(BlobMetadata),
    BlobElsewhere(BlobMetadata, PathBuf),
}

impl<'a> Listing<'a> {
    /// A walk below `root` that looks for blobs whose names begin with `prefix`.
    pub(super) fn new(root: &Path, sharding: &'a Sharding, prefix: &str) -> Self {
        // To the walker a single dash is no directory, but standard input.
        let root = if root == Path::new("-") { Path::new("./-") } else { root };
        Self { sharding, wanted: Wanted { root: root.to_path_buf(), prefix: prefix.to_owned() } }
    }

    /// Walks.
    ///
    /// # Errors
    /// [`Error::List`] for anything that could hide a wanted blob.
    pub(super) fn run(&self) -> Result<Listed, Error> {
        let listed = Mutex::new(Ok(Listed::default()));
        let wanted = self.wanted.clone();
        let walk = WalkBuilder::new(&self.wanted.root)
            .standard_filters(false)
            .follow_links(true)
            .max_depth(Some(MAX_DEPTH))
            .threads(QUESTIONS)
            .filter_entry(move |entry| wanted.may_be(entry))
            .build_parallel();
        walk.run(|| {
            Box::new(|entry| {
                let step = entry.map_or_else(|error| self.unreadable(error), |entry| self.entry(&entry));
                let mut listed = listed.lock().unwrap_or_else(PoisonError::into_inner);
                match (step, listed.as_mut()) {
                    (Ok(step), Ok(listed)) => {
                        listed.add(step);
                        return WalkState::Continue;
                    }
                    (Err(error), Ok(_)) => *listed = Err(error),
                    (_, Err(_)) => {}
                }
                WalkState::Quit
            })
        });
        let mut listed = listed.into_inner().unwrap_or_else(PoisonError::into_inner)?;
        listed.blobs.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(listed)
    }

    fn entry(&self, entry: &DirEntry) -> Result<Step, Error> {
        if is_directory(entry) {
            return Ok(Step::Pass);
        }
        let Some((relative, name)) = self.wanted.joined_name(entry.path()) else { return Ok(Step::Pass) };
        let Some(id) = self.wanted.blob(&name) else { return Ok(Step::Pass) };
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) => return self.unreadable(error),
        };
        if !metadata.is_file() {
            return Ok(Step::Pass);
        }
        let in_place = relative == self.sharding.path(id.as_str());
        let blob = BlobMetadata { id, size: metadata.len(), modified: metadata.modified().ok() };
        Ok(if in_place { Step::Blob(blob) } else { Step::BlobElsewhere(blob, entry.path().to_path_buf()) })
    }

    /// What to make of an entry that could not be walked: a loop and a foreign file are passed by, a dangling link named
    /// like a blob is listed (reading it will say what is wrong), anything else makes the listing worthless.
    fn unreadable(&self, error: ignore::Error) -> Result<Step, Error> {
        let (path, source) = match cause(error) {
            Cause::Loop => return Ok(Step::Pass),
            Cause::Io(path, source) => (path.unwrap_or_else(|| self.wanted.root.clone()), source),
        };
        let is_root = path == self.wanted.root;
        let name = if is_root {
            String::new()
        } else {
            let Some((_, name)) = self.wanted.joined_name(&path) else { return Ok(Step::Pass) };
            name
        };
        if source.raw_os_error() == Some(nix::libc::ELOOP) {
            return Ok(Step::Pass);
        }
        if is_missing(&source) && !is_root {
            let dangling = std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink());
            let id = self.wanted.blob(&name).filter(|_| dangling);
            return Ok(id.map_or(Step::Pass, |id| Step::Blob(BlobMetadata { id, size: 0, modified: None })));
        }
        if self.wanted.may_be_below(&name) {
            return Err(Error::List { path, source });
        }
        Ok(Step::Pass)
    }
}

fn is_directory(entry: &DirEntry) -> bool {
    entry.file_type().is_some_and(|kind| kind.is_dir())
}

impl Wanted {
    /// Whether an entry may be wanted, or a directory hold what is. Others are not opened.
    fn may_be(&self, entry: &DirEntry) -> bool {
        entry.depth() == 0
            || !is_directory(entry)
            || self.joined_name(entry.path()).is_some_and(|(_, name)| self.may_be_below(&name))
    }

    /// The path below the root and the blob name that it spells, or `None` for a foreign file.
    fn joined_name<'p>(&self, path: &'p Path) -> Option<(&'p str, String)> {
        let relative = path.strip_prefix(&self.root).ok()?.to_str()?;
        let name: String = relative.split('/').collect();
        let plausible = !name.starts_with('.') && BlobId::is_valid(&name);
        plausible.then_some((relative, name))
    }

    /// Whether what lies below a directory that spells this, or is hidden by a file that does, can be wanted.
    fn may_be_below(&self, joined: &str) -> bool {
        joined.starts_with(&self.prefix) || self.prefix.starts_with(joined)
    }

    fn blob(&self, joined: &str) -> Option<BlobId> {
        let name = joined.strip_suffix(SUFFIX)?;
        if name.starts_with(&self.prefix) { BlobId::new(name).ok() } else { None }
    }
}

impl Listed {
    fn add(&mut self, step: Step) {
        match step {
            Step::Pass => {}
            Step::Blob(blob) => self.blobs.push(blob),
            Step::BlobElsewhere(blob, path) => {
                self.elsewhere.push((blob.id.clone(), path));
                self.blobs.push(blob);
            }
        }
    }
}

enum Cause {
    Loop,
    Io(Option<PathBuf>, io::Error),
}

fn cause(error: ignore::Error) -> Cause {
    use ignore::Error::{Io, Loop, WithDepth, WithPath};
    match error {
        Loop { .. } => Cause::Loop,
        WithDepth { err, .. } => cause(*err),
        WithPath { path, err } => match cause(*err) {
            Cause::Io(None, source) => Cause::Io(Some(path), source),
            inner => inner,
        },
        Io(source) => Cause::Io(None, source),
        other => Cause::Io(None, io::Error::other(other.to_string())),
    }
}
