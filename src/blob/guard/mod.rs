//! A repository is never written to: what may be written is what this module has found to lie elsewhere.

#[allow(clippy::disallowed_methods, reason = "this is what writes")]
mod writable;

pub use writable::WritablePath;

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use nix::sys::stat::{FileStat, fstat};

use crate::os::links;
use crate::os::mounts::Mounts;

/// Links followed from a path that does not exist yet.
const MAX_LINKS: usize = 40;

/// A file or directory, by whatever path it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(crate) fn new(device: u64, inode: u64) -> Self {
        Self { device, inode }
    }

    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// That of what is at a path, links followed.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        path.metadata().ok().map(|metadata| Self::of(&metadata))
    }
}

impl From<&FileStat> for Identity {
    fn from(stat: &FileStat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// A place to write to that is, contains, or lies in the repository. Nothing was written there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} {relation} the repository {repository}, which is never written to", path = .path.display(), repository = .repository.display())]
pub struct InRepository {
    /// The place.
    pub path: PathBuf,
    /// The directory of the repository, or one that a link in it leads to.
    pub repository: PathBuf,
    /// How the place lies to the repository.
    pub relation: Relation,
}

impl InRepository {
    /// The stable code of this failure, as listed in `docs/errors.md`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "output-in-repository"
    }
}

/// How a place lies to a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It is the directory of the repository.
    Same,
    /// It lies in it.
    Inside,
    /// The repository lies in it.
    Contains,
    /// It is another name of a file in it.
    HardLink,
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "is",
            Self::Inside => "is in",
            Self::Contains => "contains",
            Self::HardLink => "is a hard link to a file in",
        })
    }
}

/// Keeps a repository in a directory of this machine from being written to. Directories are compared by device and inode
/// number, so that links, `..` and bind mounts make no difference.
///
/// The default guards nothing, for storage that no path leads to.
#[derive(Debug, Clone, Default)]
pub struct Guard(Option<Arc<Guarded>>);

#[derive(Debug)]
struct Guarded {
    root: PathBuf,
    identity: Identity,
    mounts: Mounts,
    /// What links in the directory lead to.
    linked: OnceLock<Vec<(PathBuf, Identity)>>,
    /// The same for links in the directories in it.
    linked_below: OnceLock<Vec<(PathBuf, Identity)>>,
}

impl Guarded {
    fn linked(&self, below: bool) -> &[(PathBuf, Identity)] {
        let known = if below { &self.linked_below } else { &self.linked };
        known.get_or_init(|| {
            let targets = links::targets(&self.root, below).into_iter();
            targets.filter_map(|path| Identity::at(&path).map(|identity| (path, identity))).collect()
        })
    }

    /// The directory and what links in it lead to.
    fn places(&self, below: bool) -> impl Iterator<Item = (&Path, Identity)> {
        let linked = self.linked(below).iter().map(|(path, identity)| (path.as_path(), *identity));
        std::iter::once((self.root.as_path(), self.identity)).chain(linked)
    }

    fn refuse(&self, path: &Path, repository: &Path, relation: Relation) -> Result<(), InRepository> {
        Err(InRepository { path: path.to_path_buf(), repository: repository.to_path_buf(), relation })
    }

    /// Refuses a path by which something in the repository would be written.
    fn outside(&self, path: &Path) -> Result<(), InRepository> {
        for Landing { real, whole } in landings(path) {
            for (depth, above) in real.ancestors().enumerate() {
                let Some(identity) = Identity::at(above) else { continue };
                if let Some((place, _)) = self.places(false).find(|(_, guarded)| *guarded == identity) {
                    let same = whole && depth == 0;
                    let relation = if same { Relation::Same } else { Relation::Inside };
                    return self.refuse(path, place, relation);
                }
            }
            if self
                .mounts
                .below(&self.root, &real)
                .is_some_and(|same| Identity::at(&same) == Identity::at(&real))
            {
                return self.refuse(path, &self.root, Relation::Inside);
            }
        }
        match path.metadata() {
            Ok(metadata) => self.no_hard_link(path, &metadata),
            Err(_) => Ok(()),
        }
    }

    /// Refuses a file that has a second name in the repository. Looking for that takes a listing of all of it, so it is done
    /// only for files that have a second name.
    fn no_hard_link(&self, path: &Path, file: &Metadata) -> Result<(), InRepository> {
        if !file.is_file() || file.nlink() == 1 {
            return Ok(());
        }
        let holds = |place: &Path| Identity::at(place).is_some_and(|it| it.device == file.dev());
        match self.places(true).find(|(place, _)| holds(place) && links::has_inode(place, file.ino())) {
            Some((place, _)) => self.refuse(path, place, Relation::HardLink),
            None => Ok(()),
        }
    }

    /// Refuses a directory in which the repository lies.
    fn beside(&self, path: &Path, below: bool) -> Result<(), InRepository> {
        let Ok(real) = path.canonicalize() else { return Ok(()) };
        let Some(target) = Identity::at(&real) else { return Ok(()) };
        for (place, identity) in self.places(below) {
            let Ok(place) = place.canonicalize() else { continue };
            let above = place.ancestors().skip(1).any(|above| Identity::at(above) == Some(target));
            // Where directories of one file system are mounted at several places, the way up from one does not pass the other.
            let elsewhere =
                || self.mounts.below(&real, &place).is_some_and(|same| Identity::at(&same) == Some(identity));
            if above || elsewhere() {
                return self.refuse(path, &place, Relation::Contains);
            }
        }
        Ok(())
    }
}

impl Guard {
    /// Guards the repository in this directory.
    ///
    /// # Errors
    /// The directory cannot be looked at.
    pub fn new(root: &Path) -> io::Result<Self> {
        let identity = Identity::of(&root.metadata()?);
        // Later the working directory may be another one.
        let root = std::path::absolute(root)?;
        let (linked, linked_below) = (OnceLock::new(), OnceLock::new());
        Ok(Self(Some(Arc::new(Guarded { root, identity, mounts: Mounts::open(), linked, linked_below }))))
    }

    /// A file or directory that is to be made or changed.
    ///
    /// # Errors
    /// It is the repository or lies in it, or would once it is there.
    pub fn writable(&self, path: &Path) -> Result<WritablePath, InRepository> {
        if let Some(guarded) = &self.0 {
            guarded.outside(path)?;
        }
        Ok(WritablePath::new(path))
    }

    /// A directory in which anything may be made, changed or, with `delete`, removed.
    ///
    /// # Errors
    /// It is the repository, lies in it, or contains it.
    pub fn writable_tree(&self, path: &Path, delete: bool) -> Result<WritablePath, InRepository> {
        let writable = self.writable(path)?;
        if let Some(guarded) = &self.0 {
            guarded.beside(path, delete)?;
        }
        Ok(writable)
    }

    /// Whether an open file, such as standard output, may be written to. A file whose path is not known may.
    ///
    /// # Errors
    /// It is a file in the repository.
    pub fn open_file(&self, file: impl AsFd) -> Result<(), InRepository> {
        let Some(guarded) = &self.0 else { return Ok(()) };
        if !is_regular_file(&file) {
            return Ok(());
        }
        let link = PathBuf::from(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()));
        match link.read_link() {
            Ok(path) => guarded.outside(&path),
            Err(_) => Ok(()),
        }
    }

    /// Whether a directory that was met on the way is the repository, or one that a link in it leads to.
    pub(crate) fn is_guarded(&self, directory: Identity) -> bool {
        self.refuse(directory, Path::new("")).is_err()
    }

    /// Refuses a directory that was met on the way.
    ///
    /// # Errors
    /// It is the repository, or one that a link in it leads to.
    pub(crate) fn refuse(&self, directory: Identity, path: &Path) -> Result<(), InRepository> {
        let Some(guarded) = &self.0 else { return Ok(()) };
        match guarded.places(false).find(|(_, identity)| *identity == directory) {
            Some((place, _)) => guarded.refuse(path, place, Relation::Same),
            None => Ok(()),
        }
    }
}

/// Whether an open file is one on a file system: no pipe, no terminal.
pub(crate) fn is_regular_file(file: impl AsFd) -> bool {
    fstat(&file).is_ok_and(|stat| stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFREG)
}

/// A place that is written to.
struct Landing {
    real: PathBuf,
    /// Whether that is what is written to, not a directory above it.
    whole: bool,
}

/// Where something lands that is written to a path: what is there, links followed, or else the nearest directory above,
/// and the directory in which its name is.
fn landings(path: &Path) -> Vec<Landing> {
    let mut found = Vec::new();
    let mut path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    for _ in 0..MAX_LINKS {
        let parent = path.parent().map(Path::to_path_buf);
        let above =
            parent.iter().flat_map(|parent| parent.ancestors()).find_map(|above| above.canonicalize().ok());
        found.extend(above.map(|real| Landing { real, whole: false }));
        if let Ok(real) = path.canonicalize() {
            found.push(Landing { real, whole: true });
            break;
        }
        // A link to what is not there yet.
        match (path.read_link(), parent) {
            (Ok(target), Some(parent)) => path = parent.join(target),
            _ => break,
        }
    }
    found
}

#[cfg(test)]
mod tests;
