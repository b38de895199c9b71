//! What keeps a restore, or one entry of it, from being done.

use std::io;
use std::path::{Path, PathBuf};

use crate::blob::InRepository;
use crate::failure::{Facts, Failure, failure_methods};
use crate::snapshot::{EntryName, InvalidName, shown_name};
use crate::{content, object, snapshot};

/// A failure of a restore or of one entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The target cannot be created, opened or read.
    #[error("target {path}: cannot {what}: {source}", path = .path.display())]
    Target {
        /// The path given.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Another restore works in the same target.
    #[error("target {path}: another restore is working in it", path = .path.display())]
    Busy {
        /// The path given.
        path: PathBuf,
    },
    /// Another restore is writing this entry.
    #[error("another restore is working on it")]
    BusyEntry,
    /// The target is, contains, or lies in the repository. Nothing was touched.
    #[error(transparent)]
    InRepository(#[from] InRepository),
    /// Entries that the snapshot does not have were to be deleted in a place where hardly anybody means to. Nothing was
    /// touched.
    #[error("target {path}: nothing is deleted there, because {what}", path = .path.display())]
    DeleteRefused {
        /// The path given.
        path: PathBuf,
        /// What the place is.
        what: String,
    },
    /// The cancel flag was set. What was finished by then is in place, nothing else is.
    #[error("the restore was cancelled")]
    Cancelled,
    /// A directory of the snapshot cannot be read.
    #[error(transparent)]
    Snapshot(#[from] snapshot::Error),
    /// An object cannot be read.
    #[error(transparent)]
    Object(#[from] object::Error),
    /// A content cannot be read.
    #[error(transparent)]
    Content(#[from] content::Error),
    /// The name of an entry is not one path component.
    #[error("the name {name:?} cannot be a file name: {reason}")]
    Name {
        /// The name, cut where no file system takes one that long.
        name: String,
        /// Why.
        reason: InvalidName,
    },
    /// An entry is of a type that cannot be restored, or names no object.
    #[error("the entry cannot be restored: {0}")]
    Entry(&'static str),
    /// The data is not as long as the entry says. Files of incomplete snapshots are such.
    #[error("the data has {found} bytes, the entry says {expected}")]
    Size {
        /// Bytes by the entry.
        expected: u64,
        /// Bytes by the data.
        found: u64,
    },
    /// A system call on the target failed.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Something in the target is in the way and was left alone.
    #[error("a {existing} is in the way of a {wanted}: {help}")]
    Conflict {
        /// What is there.
        existing: &'static str,
        /// What should be.
        wanted: &'static str,
        /// What can be done.
        help: &'static str,
    },
    /// The target cannot tell the name from another one of the snapshot.
    #[error("the target cannot tell this name from {}: only one of them is restored", .other.as_ref().map_or_else(|| "another one".to_owned(), |other| format!("{other:?}")))]
    Collision {
        /// The other one, as far as that is known.
        other: Option<String>,
    },
    /// No thread can be started to restore with.
    #[error("no thread can be started")]
    OutOfThreads,
    /// A thread of the restore ended unexpectedly; a defect of this program.
    #[error("a thread of the restore panicked")]
    Panicked,
}

impl Failure for Error {
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::Target { .. } => Facts::new("target-unusable"),
            Self::Busy { .. } | Self::BusyEntry => Facts::new("target-busy").retryable(true),
            Self::InRepository(e) => Facts::new(e.code()),
            Self::DeleteRefused { .. } => Facts::new("delete-refused"),
            Self::Cancelled => Facts::new("cancelled"),
            Self::Snapshot(e) => e.facts(),
            Self::Object(e) => e.facts(),
            Self::Content(e) => e.facts(),
            Self::Name { .. } => Facts::new("entry-name-invalid"),
            Self::Entry(_) => Facts::new("entry-unsupported"),
            Self::Size { .. } => Facts::new("entry-size-mismatch"),
            Self::System { source, .. } if is_full(source) => Facts::new("target-full"),
            Self::System { .. } => Facts::new("target-write-failed"),
            Self::Conflict { .. } => Facts::new("target-conflict"),
            Self::Collision { .. } => Facts::new("name-collision"),
            Self::OutOfThreads => Facts::new("out-of-threads").retryable(true),
            Self::Panicked => Facts::new("internal"),
        }
    }
}

failure_methods!(Error, blob, content);

impl Error {
    pub(super) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System { what, source: source.into() }
    }

    pub(super) fn target<E: Into<io::Error>>(path: &Path, what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Target { path: path.to_path_buf(), what, source: source.into() }
    }

    pub(super) fn no_directory() -> Self {
        Self::Conflict {
            existing: "non-directory",
            wanted: "directory",
            help: "move it away, or allow overwriting and deleting",
        }
    }

    pub(super) fn directory_in_the_way() -> Self {
        Self::Conflict {
            existing: "directory",
            wanted: "file or link",
            help: "move it away, or allow deleting",
        }
    }

    pub(super) fn name(name: &str) -> Result<EntryName, Self> {
        EntryName::new(name).map_err(|reason| Self::Name { name: shown_name(name).into_owned(), reason })
    }

    /// Whether all other entries would fail as well: the target is full or no longer writable.
    pub(super) fn is_fatal(&self) -> bool {
        let Self::System { source, .. } = self else { return false };
        let gone = [io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::StaleNetworkFileHandle];
        is_full(source) || gone.contains(&source.kind())
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
