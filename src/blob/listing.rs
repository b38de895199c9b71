//! Which blobs lie below a directory.

use std::fs::{self, FileType, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::filesystem::is_missing;
use super::{BlobId, BlobKind, BlobMetadata, Error, Layout};
use crate::os::parallel;
use crate::os::sync::Mutex;

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
}

/// What is looked for below which directory.
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

/// Something at or below the root that has to be looked at.
struct Entry {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    Directory,
    /// Anything else. Where a symbolic link leads is not known before it is looked at.
    Other,
}

/// What one entry comes to.
enum Step {
    /// No blob that is wanted.
    Pass,
    Blob(Found),
    Unlisted(PathBuf, io::Error),
    /// No part of a repository.
    Foreign(PathBuf),
    /// A directory, with what in it has to be looked at and what is foreign.
    Directory(Vec<Entry>, Vec<PathBuf>),
}

impl<'a> Listing<'a> {
    /// A walk below `root` that looks for blobs whose names begin with `prefix`.
    pub(super) fn new(root: &Path, layout: &'a Layout, prefix: &str) -> Self {
        Self { layout, wanted: Wanted { root: root.to_path_buf(), prefix: prefix.to_owned() } }
    }

    /// Walks, one level of directories after the other.
    ///
    /// # Errors
    /// [`Error::List`] for anything that could hide a wanted blob.
    pub(super) fn run(&self) -> Result<Listed, Error> {
        let mut listed = Listed::default();
        let mut entries = vec![Entry { path: self.wanted.root.clone(), kind: Kind::Directory }];
        for _ in 0..=MAX_DEPTH {
            let level = Mutex::new((listed, Vec::new()));
            parallel::for_each(&entries, QUESTIONS, |entry| {
                let step = self.look(entry)?;
                let mut level = level.lock();
                let (listed, below) = &mut *level;
                listed.add(step, below);
                Ok::<(), Error>(())
            })?;
            (listed, entries) = level.into_inner();
            if entries.is_empty() {
                break;
            }
        }
        listed.foreign.examples.sort_unstable();
        listed.settle();
        Ok(listed)
    }

    fn look(&self, entry: &Entry) -> Result<Step, Error> {
        let path = &entry.path;
        let step = match entry.kind {
            Kind::Directory => self.directory(path),
            Kind::Other => fs::metadata(path).map(|metadata| {
                if metadata.is_dir() { self.linked(path, &metadata) } else { self.file(path, &metadata) }
            }),
        };
        step.or_else(|error| self.unreadable(path, error))
    }

    fn directory(&self, directory: &Path) -> io::Result<Step> {
        let (mut below, mut foreign) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let path = entry.path();
            // Where its type cannot be asked for, looking at it says why.
            let kind = entry.file_type().ok();
            if kind.as_ref().is_some_and(FileType::is_dir) {
                match self.wanted.kinds_below(&path).is_empty() {
                    true => foreign.extend(self.wanted.foreign(&path)),
                    false => below.push(Entry { path, kind: Kind::Directory }),
                }
            } else if kind.as_ref().is_some_and(FileType::is_file) && self.wanted.blob(&path).is_none() {
                foreign.extend(self.wanted.foreign(&path));
            } else {
                below.push(Entry { path, kind: Kind::Other });
            }
        }
        Ok(Step::Directory(below, foreign))
    }

    /// A link to a directory.
    fn linked(&self, link: &Path, target: &Metadata) -> Step {
        if self.wanted.kinds_below(link).is_empty() {
            return self.wanted.foreign(link).map_or(Step::Pass, Step::Foreign);
        }
        let above = link.ancestors().skip(1).take_while(|above| above.starts_with(&self.wanted.root));
        let same = |above: &Path| {
            fs::metadata(above).is_ok_and(|m| (m.dev(), m.ino()) == (target.dev(), target.ino()))
        };
        if above.into_iter().any(same) {
            return Step::Pass;
        }
        Step::Directory(vec![Entry { path: link.to_path_buf(), kind: Kind::Directory }], Vec::new())
    }

    fn file(&self, path: &Path, metadata: &Metadata) -> Step {
        let Some((relative, id)) = self.wanted.blob(path) else {
            return self.wanted.foreign(path).map_or(Step::Pass, Step::Foreign);
        };
        if !id.as_str().starts_with(&self.wanted.prefix) || !metadata.is_file() {
            return Step::Pass;
        }
        let in_place = relative == self.layout.path(&id);
        let blob = BlobMetadata { id, size: metadata.len(), modified: metadata.modified().ok() };
        Step::Blob(Found { blob, elsewhere: (!in_place).then(|| path.to_path_buf()) })
    }

    /// What to make of an entry that could not be looked at: a link to itself and a foreign file are passed by, a dangling
    /// link named like a blob is listed (reading it will say what is wrong), anything else makes the listing worthless.
    fn unreadable(&self, path: &Path, source: io::Error) -> Result<Step, Error> {
        let path = path.to_path_buf();
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
        // A caller that asks for these blobs by name wants to know that they could not be listed.
        let unneeded =
            self.wanted.prefix.is_empty() && !kinds.iter().any(|kind| kind.is_listed_for_answers());
        if unneeded { Ok(Step::Unlisted(path, source)) } else { Err(Error::List { path, source }) }
    }
}

impl Wanted {
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

    /// The path below the root of what is foreign, if that is to be known.
    fn foreign(&self, path: &Path) -> Option<PathBuf> {
        let relative = path.strip_prefix(&self.root).ok()?;
        let told = self.prefix.is_empty() && relative != Path::new(SHARDS_FILE);
        told.then(|| relative.to_path_buf())
    }
}

impl Foreign {
    fn add(&mut self, path: PathBuf) {
        self.count += 1;
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(path);
        }
    }
}

impl Listed {
    fn add(&mut self, step: Step, below: &mut Vec<Entry>) {
        match step {
            Step::Pass => {}
            Step::Blob(found) => self.blobs.push(found),
            Step::Unlisted(path, source) => self.unlisted.push((path, source)),
            Step::Foreign(path) => self.foreign.add(path),
            Step::Directory(mut entries, foreign) => {
                below.append(&mut entries);
                foreign.into_iter().for_each(|path| self.foreign.add(path));
            }
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
