//! What can be wrong with snapshots and the trees in them.

use crate::failure::{Facts, Failure, failure_methods};
use crate::manifest::ManifestId;
use crate::object::{self, ObjectId};

/// A failure to find or read something of a snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An object cannot be read.
    #[error(transparent)]
    Object(#[from] object::Error),
    /// An object that should hold a directory holds something else, or is damaged from some place on.
    #[error("object {directory} is not a valid directory: {reason}")]
    Directory {
        /// The object.
        directory: ObjectId,
        /// What is wrong.
        reason: String,
    },
    /// One entry of a directory is not valid. The others can be read.
    #[error("entry {index} of directory {directory} is not valid: {reason}")]
    Entry {
        /// The directory's object.
        directory: ObjectId,
        /// Position among the entries, from 0.
        index: u64,
        /// The name, where that much can be told.
        name: Option<String>,
        /// What is wrong.
        reason: String,
    },
    /// There is no such entry.
    #[error("there is no {missing:?} in it")]
    NotFound {
        /// The path asked for.
        path: String,
        /// The first part of it that is not there.
        missing: String,
    },
    /// A path goes through something that is no directory, or a directory was asked for.
    #[error("{path:?} is not a directory")]
    NotADirectory {
        /// The path.
        path: String,
    },
    /// A directory where a file or link was asked for.
    #[error("{path:?} is a directory")]
    IsADirectory {
        /// The path.
        path: String,
    },
    /// An entry names no object.
    #[error("{path:?} has no data: it names no object")]
    NoObject {
        /// The path.
        path: String,
    },
    /// A directory contains itself.
    #[error("{path:?} contains itself: directory {directory} is among its own parents")]
    Loop {
        /// The path where it was noticed.
        path: String,
        /// The directory's object.
        directory: ObjectId,
    },
    /// Directories are nested deeper than any file system would allow.
    #[error("{path:?} is more than {limit} directories deep")]
    TooDeep {
        /// The path.
        path: String,
        /// Levels allowed.
        limit: usize,
    },
    /// A snapshot has no root.
    #[error("snapshot {snapshot} has no root entry")]
    NoRoot {
        /// The snapshot.
        snapshot: ManifestId,
    },
    /// The payload of a manifest is not what its type says.
    #[error("manifest {id} cannot be parsed: {reason}")]
    Manifest {
        /// The manifest.
        id: ManifestId,
        /// What is wrong.
        reason: String,
    },
    /// Another error, with the place where it happened.
    #[error("{}{path:?}: {source}", place(snapshot.as_ref()))]
    At {
        /// The snapshot, if the tree is that of one.
        snapshot: Option<ManifestId>,
        /// The path in it.
        path: String,
        /// What happened.
        source: Box<Error>,
    },
}

fn place(snapshot: Option<&ManifestId>) -> String {
    snapshot.map_or_else(String::new, |id| format!("snapshot {id}, "))
}

impl Failure for Error {
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::Object(e) => e.facts(),
            Self::Directory { .. } => Facts::new("directory-damaged"),
            Self::Entry { name, .. } => {
                let facts = Facts::new("entry-invalid");
                name.as_deref().map_or(facts, |name| facts.path(name))
            }
            Self::NotFound { path, .. } => Facts::new("path-not-found").path(path),
            Self::NotADirectory { path } => Facts::new("not-a-directory").path(path),
            Self::IsADirectory { path } => Facts::new("is-a-directory").path(path),
            Self::NoObject { path } => Facts::new("entry-without-object").path(path),
            Self::Loop { path, .. } => Facts::new("directory-loop").path(path),
            Self::TooDeep { path, .. } => Facts::new("directory-too-deep").path(path),
            Self::NoRoot { snapshot } => Facts::new("snapshot-without-root").snapshot(snapshot),
            Self::Manifest { id, .. } => Facts::new("manifest-invalid").snapshot(id),
            Self::At { snapshot, path, source } => {
                let facts = source.facts().path(path);
                snapshot.as_ref().map_or(facts, |snapshot| facts.snapshot(snapshot))
            }
        }
    }
}

failure_methods!(Error, blob, content, path, snapshot);

impl Error {
    /// Whether only one entry of a directory is concerned, so that iterating over the others goes on.
    pub fn is_entry(&self) -> bool {
        match self {
            Self::Entry { .. } => true,
            Self::At { source, .. } => source.is_entry(),
            _ => false,
        }
    }

    /// Whether what was asked for is definitely not there, as opposed to unreadable.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::NotFound { .. } | Self::NotADirectory { .. } => true,
            Self::At { source, .. } => source.is_not_found(),
            _ => false,
        }
    }

    /// The object concerned.
    pub fn object(&self) -> Option<&ObjectId> {
        match self {
            Self::Object(e) => Some(e.object()),
            Self::Directory { directory, .. }
            | Self::Entry { directory, .. }
            | Self::Loop { directory, .. } => Some(directory),
            Self::At { source, .. } => source.object(),
            _ => None,
        }
    }

    /// Adds where it happened, unless that is known already.
    pub(crate) fn at(self, snapshot: Option<&ManifestId>, path: &str) -> Error {
        match self {
            Self::At { .. } => self,
            source => {
                Self::At { snapshot: snapshot.cloned(), path: path.to_owned(), source: Box::new(source) }
            }
        }
    }
}
