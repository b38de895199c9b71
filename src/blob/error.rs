//! What can go wrong between us and the storage.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{BlobId, InvalidBlobId, Trouble};
use crate::failure::{Facts, Failure, failure_methods};

/// A failure of the storage, naming the blob or the place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No blob of that name.
    #[error("blob {blob} is not there")]
    NotFound {
        /// The blob asked for.
        blob: BlobId,
    },
    /// The blob has no bytes at all.
    #[error("blob {blob} is empty (0 bytes): usually a write that a power loss cut short")]
    Empty {
        /// The blob.
        blob: BlobId,
    },
    /// The blob ends before the range asked for.
    #[error("blob {blob} is cut short: {wanted} bytes wanted at offset {offset}, {got} there")]
    ShortRead {
        /// The blob read.
        blob: BlobId,
        /// Where the range begins.
        offset: u64,
        /// Length of the range.
        wanted: u64,
        /// Bytes that were there.
        got: u64,
    },
    /// The blob is longer than anything valid of its kind.
    #[error("blob {blob} has {size} bytes, more than the {limit} that its kind can have")]
    TooLarge {
        /// The blob.
        blob: BlobId,
        /// Its size.
        size: u64,
        /// The limit it broke.
        limit: u64,
    },
    /// The storage refused or failed to read a blob.
    #[error("reading blob {blob}: {source}")]
    Read {
        /// The blob.
        blob: BlobId,
        /// What the system said.
        source: io::Error,
    },
    /// The storage refused or failed to list.
    #[error("listing {path}: {source}")]
    List {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing at the location of the repository.
    #[error("{path} does not exist")]
    NoSuchLocation {
        /// The location.
        path: PathBuf,
    },
    /// The location is a file or something else that cannot hold blobs.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// The location.
        path: PathBuf,
    },
    /// The location exists but cannot be opened.
    #[error("opening {path}: {source}")]
    Open {
        /// The location.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The location is a directory without any entry: often a mount that is not there.
    #[error("{path} is an empty directory")]
    EmptyLocation {
        /// The location.
        path: PathBuf,
    },
    /// A name from the repository that cannot be a blob.
    #[error(transparent)]
    InvalidName(#[from] InvalidBlobId),
    /// Storage over the network that did not do what was asked.
    #[error(transparent)]
    Remote(#[from] Box<Trouble>),
    /// A location of a kind that this build cannot open.
    #[error("cannot open {location}: {reason}")]
    UnsupportedLocation {
        /// What was given.
        location: String,
        /// Why not.
        reason: &'static str,
    },
    /// A location that does not make sense.
    #[error("{location} is not a location: {reason}")]
    InvalidLocation {
        /// What was given, without secrets.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// What storage over the network did while it was asked to do this.
    #[cfg(feature = "remote")]
    pub(super) fn remote(trouble: Trouble, doing: impl Into<String>) -> Self {
        Self::Remote(Box::new(trouble.during(doing)))
    }
}

impl Failure for Error {
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::NotFound { blob } => Facts::new("blob-missing").blob(blob),
            Self::Empty { blob } => Facts::new("blob-empty").blob(blob),
            Self::ShortRead { blob, .. } => Facts::new("blob-truncated").blob(blob),
            Self::TooLarge { blob, .. } => Facts::new("blob-too-large").blob(blob),
            Self::Read { blob, .. } if self.is_denied() => Facts::new("permission-denied").blob(blob),
            Self::List { .. } if self.is_denied() => Facts::new("permission-denied"),
            Self::Read { blob, source } => Facts::new("storage-error").blob(blob).retryable(may_pass(source)),
            Self::List { source, .. } => Facts::new("storage-error").retryable(may_pass(source)),
            Self::NoSuchLocation { .. } => Facts::new("repository-not-found"),
            Self::NotADirectory { .. } => Facts::new("repository-not-a-directory"),
            Self::Open { source, .. } => Facts::new("repository-unreadable").retryable(may_pass(source)),
            Self::EmptyLocation { .. } => Facts::new("repository-empty"),
            Self::InvalidName(_) => Facts::new("blob-name-invalid"),
            Self::UnsupportedLocation { .. } => Facts::new("location-unsupported"),
            Self::InvalidLocation { .. } => Facts::new("location-invalid"),
            Self::Remote(trouble) => trouble.facts(),
        }
    }
}

failure_methods!(Error, blob);

impl Error {
    /// How long the storage asks to wait before it is asked again.
    pub fn pause(&self) -> Option<Duration> {
        match self {
            Self::Remote(trouble) => trouble.pause(),
            _ => None,
        }
    }

    /// Whether the blob asked for is simply not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the storage does not permit to read. Nothing is known of the data then.
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Read { source, .. } | Self::List { source, .. } | Self::Open { source, .. } => {
                source.kind() == io::ErrorKind::PermissionDenied
            }
            _ => false,
        }
    }

    /// Whether the blob has fewer bytes than it was written with.
    pub fn is_cut(&self) -> bool {
        matches!(self, Self::Empty { .. } | Self::ShortRead { .. })
    }
}

/// Whether the system may answer otherwise when asked again.
fn may_pass(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory)
}
