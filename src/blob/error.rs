//! What can go wrong between us and the storage.

use std::io;
use std::path::PathBuf;

use super::{BlobId, InvalidBlobId};

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
    /// A location of a kind that this build cannot open.
    #[error("cannot open {location}: {reason}")]
    UnsupportedLocation {
        /// What was given.
        location: String,
        /// Why not.
        reason: &'static str,
    },
}

impl Error {
    /// The stable code of this failure, as listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "blob-missing",
            Self::Empty { .. } => "blob-empty",
            Self::ShortRead { .. } => "blob-truncated",
            Self::TooLarge { .. } => "blob-too-large",
            Self::Read { .. } | Self::List { .. } if self.is_denied() => "permission-denied",
            Self::Read { .. } | Self::List { .. } => "storage-error",
            Self::NoSuchLocation { .. } => "repository-not-found",
            Self::NotADirectory { .. } => "repository-not-a-directory",
            Self::Open { .. } => "repository-unreadable",
            Self::EmptyLocation { .. } => "repository-empty",
            Self::InvalidName(_) => "blob-name-invalid",
            Self::UnsupportedLocation { .. } => "location-unsupported",
        }
    }

    /// Whether the same operation may succeed when tried again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Read { source, .. } | Self::List { source, .. } | Self::Open { source, .. } => {
                !matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory)
            }
            _ => false,
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

    /// The blob concerned.
    pub fn blob(&self) -> Option<&BlobId> {
        match self {
            Self::NotFound { blob }
            | Self::Empty { blob }
            | Self::ShortRead { blob, .. }
            | Self::TooLarge { blob, .. }
            | Self::Read { blob, .. } => Some(blob),
            _ => None,
        }
    }
}
