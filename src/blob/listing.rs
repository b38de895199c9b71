//! Which blobs lie below a directory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ignore::{DirEntry, WalkBuilder, WalkState};

use super::filesystem::is_missing;
use super::{BlobId, BlobKind, BlobMetadata, Error, Layout};

/// More directory levels than any layout has (`MAX_SHARDS` and the root).
const MAX_DEPTH: usize = 20;

/// Directories and files asked about at a time. On a network file system each question costs a round trip, and a
/// repository has thousands of shard directories and files; on a local disk the threads cost a millisecond.
const QUESTIONS: usize = 16;

/// Foreign files that are named; of the others only the number is known.
const MAX_EXAMPLES: usize = 10;

/// The file that says how blobs are spread over directories.
pub(super) const SHARDS_FILE: &str = ".shards";

/// One walk over the files of a store.
pub(super) struct Listing<'a> {
    layout: &'a Layout,
    wanted: Wanted,
    foreign: Arc<Mutex<Foreign>>,
}

/// What is looked for below which directory.
#[derive(Clone)]
struct Wanted {
    root: PathBuf,
    /// What the names of the wanted blobs begin with.
    prefix: String,
}

/// Files and directories that are no part of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Foreign {
    /// How many there are; a directory with all that is in it counts once.
    pub count: u64,
    /// Some of them, as paths below the root.
    pub examples: Vec<PathBuf>,
}

/// What a walk found.
#[derive(Default)]
pub(super) struct Listed {
    /// By name.
    pub(super) blobs: Vec<Found>,
    /// Where nothing was looked for that an answer depends on, because the directory may not be read.
    pub(super) unlisted: Vec<(PathBuf, io::Error)>,
    /// What was passed over; only of a list of all blobs.
    pub(super) foreign: Foreign,
}

/// A blob that was found.
pub(super) struct Found {
    pub(super) blob: BlobMetadata,
    /// Where it lies, if that is not where the layout wants it.
    pub(super) elsewhere: Option<PathBuf>,
}

/// What one entry comes to.
enum Step {
    /// No blob that is wanted.
    Pass,
    Blob(Found),
    Unlisted(PathBuf, io::Error),
}

impl<'a> Listing<'a> {
    /// A walk below `root` that looks for blobs whose names begin with `prefix`.
    pub(super) fn new(root: &Path, layout: &'a Layout, prefix: &str) -> Self {
        // To the walker a single dash is no directory, but standard input.
        let root = if root == Path::new("-") { Path::new("./-") } else { root };
        let wanted = Wanted { root: root.to_path_buf(), prefix: prefix.to_owned() };
        Self { layout, wanted, foreign: Arc::default() }
    }

    /// Walks.
    ///
    /// # Errors
    /// [`Error::List`] for anything that could hide a wanted blob.
    pub(super) fn run(&self) -> Result<Listed, Error> {
        let listed = Mutex::new(Ok(Listed::default()));
        let (wanted, foreign) = (self.wanted.clone(), Arc::clone(&self.foreign));
        let walk = WalkBuilder::new(&self.wanted.root)
            .standard_filters(false)
            .follow_links(true)
            .max_depth(Some(MAX_DEPTH))
            .threads(QUESTIONS)
            .filter_entry(move |entry| {
                let enters = wanted.may_be(entry);
                if !enters {
                    wanted.pass_over(entry.path(), &foreign);
                }
                enters
            })
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
        listed.foreign = std::mem::take(&mut self.foreign.lock().unwrap_or_else(PoisonError::into_inner));
        listed.foreign.examples.sort_unstable();
        listed.settle();
        Ok(listed)
    }

    fn entry(&self, entry: &DirEntry) -> Result<Step, Error> {
        if is_directory(entry) {
            return Ok(Step::Pass);
        }
        let Some((relative, id)) = self.wanted.blob(entry.path()) else {
            self.wanted.pass_over(entry.path(), &self.foreign);
            return Ok(Step::Pass);
        };
        if !id.as_str().starts_with(&self.wanted.prefix) {
            return Ok(Step::Pass);
        }
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) => return self.unreadable(error),
        };
        if !metadata.is_file() {
            return Ok(Step::Pass);
        }
        let in_place = relative == self.layout.path(&id);
        let blob = BlobMetadata { id, size: metadata.len(), modified: metadata.modified().ok() };
        let elsewhere = (!in_place).then(|| entry.path().to_path_buf());
        Ok(Step::Blob(Found { blob, elsewhere }))
    }

    /// What to make of an entry that could not be walked: a loop and a foreign file are passed by, a dangling link named
    /// like a blob is listed (reading it will say what is wrong), anything else makes the listing worthless.
    fn unreadable(&self, error: ignore::Error) -> Result<Step, Error> {
        let (path, source) = match cause(error) {
            Cause::Loop => return Ok(Step::Pass),
            Cause::Io(path, source) => (path.unwrap_or_else(|| self.wanted.root.clone()), source),
        };
        if path == self.wanted.root {
            return Err(Error::List { path, source });
        }
        if source.raw_os_error() == Some(nix::libc::ELOOP) {
            return Ok(Step::Pass);
        }
        let blob = self.wanted.blob(&path).map(|(_, id)| id);
        let blob = blob.filter(|id| id.as_str().starts_with(&self.wanted.prefix));
        if is_missing(&source) {
            let dangling = std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink());
            let blob = blob.filter(|_| dangling);
            let found = |id| Found { blob: BlobMetadata { id, size: 0, modified: None }, elsewhere: None };
            return Ok(blob.map_or(Step::Pass, |id| Step::Blob(found(id))));
        }
        let kinds: Vec<BlobKind> = match blob {
            Some(id) => vec![id.kind()],
            None => self.wanted.kinds_below(&path),
        };
        if kinds.is_empty() {
            return Ok(Step::Pass);
        }
        // Whoever asks for these blobs by name wants to know that they could not be listed.
        let unneeded =
            self.wanted.prefix.is_empty() && !kinds.iter().any(|kind| kind.is_listed_for_answers());
        if unneeded { Ok(Step::Unlisted(path, source)) } else { Err(Error::List { path, source }) }
    }
}

fn is_directory(entry: &DirEntry) -> bool {
    entry.file_type().is_some_and(|kind| kind.is_dir())
}

impl Wanted {
    /// Whether an entry may be wanted, or a directory hold what is. Others are not opened.
    fn may_be(&self, entry: &DirEntry) -> bool {
        entry.depth() == 0 || !is_directory(entry) || !self.kinds_below(entry.path()).is_empty()
    }

    /// The path below the root, or `None` for one that no blob has.
    fn relative<'p>(&self, path: &'p Path) -> Option<&'p str> {
        path.strip_prefix(&self.root).ok()?.to_str()
    }

    /// The kinds of blobs that can lie below a directory and are wanted.
    fn kinds_below(&self, directory: &Path) -> Vec<BlobKind> {
        let Some(relative) = self.relative(directory) else { return Vec::new() };
        let joined: String = relative.split('/').collect();
        let related = joined.starts_with(&self.prefix) || self.prefix.starts_with(&joined);
        if related { BlobKind::beginning_with(&joined).collect() } else { Vec::new() }
    }

    /// The path below the root and the blob that it spells, or `None` for a foreign file.
    fn blob<'p>(&self, path: &'p Path) -> Option<(&'p str, BlobId)> {
        let relative = self.relative(path)?;
        Some((relative, Layout::blob_at(relative)?))
    }

    /// Counts a foreign file or directory.
    fn pass_over(&self, path: &Path, foreign: &Mutex<Foreign>) {
        let Ok(relative) = path.strip_prefix(&self.root) else { return };
        if !self.prefix.is_empty() || relative == Path::new(SHARDS_FILE) {
            return;
        }
        let mut foreign = foreign.lock().unwrap_or_else(PoisonError::into_inner);
        foreign.count += 1;
        if foreign.examples.len() < MAX_EXAMPLES {
            foreign.examples.push(relative.to_path_buf());
        }
    }
}

impl Listed {
    fn add(&mut self, step: Step) {
        match step {
            Step::Pass => {}
            Step::Blob(found) => self.blobs.push(found),
            Step::Unlisted(path, source) => self.unlisted.push((path, source)),
        }
    }

    /// Sorts, and leaves one of the files that spell the same blob: the one in its place, else the largest.
    fn settle(&mut self) {
        self.blobs.sort_unstable_by(|a, b| {
            let order = a.blob.id.cmp(&b.blob.id).then(a.elsewhere.is_some().cmp(&b.elsewhere.is_some()));
            order.then(b.blob.size.cmp(&a.blob.size)).then_with(|| a.elsewhere.cmp(&b.elsewhere))
        });
        self.blobs.dedup_by(|later, first| later.blob.id == first.blob.id);
        self.unlisted.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
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
