//! Why the checker does not know.

use crate::blob::BlobId;
pub use crate::repository::Reason;
use crate::{blob, format};

/// A failure to bring the view up to date.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another repository is where ours was, or where the expected one should be.
    #[error(
        "the repository at {location} is {found}, not {expected}: a wrong mount, or it was replaced; restart, or set the \
         expected ID, to accept it"
    )]
    Replaced {
        /// Where it is.
        location: String,
        /// The unique ID expected.
        expected: String,
        /// The unique ID found.
        found: String,
    },
    /// The format blob changed while the indexes were read.
    #[error("{location} changed into another repository while it was read")]
    Changed {
        /// Where it is.
        location: String,
    },
    /// The storage failed.
    #[error(transparent)]
    Blob(#[from] blob::Error),
    /// The format blob is not what it should be.
    #[error(transparent)]
    Format(#[from] format::Error),
    /// Reading the repository failed.
    #[error(transparent)]
    Repository(#[from] crate::Error),
}

impl Error {
    /// The stable code of this failure, as listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Replaced { .. } => "repository-replaced",
            Self::Changed { .. } => "repository-changed",
            Self::Blob(e) => e.code(),
            Self::Format(e) => e.code(),
            Self::Repository(e) => e.code(),
        }
    }

    /// Whether the same operation may succeed when tried again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Replaced { .. } => false,
            Self::Changed { .. } => true,
            Self::Blob(e) => e.is_retryable(),
            Self::Format(e) => e.is_retryable(),
            Self::Repository(e) => e.is_retryable(),
        }
    }

    /// The blob concerned.
    pub fn blob(&self) -> Option<&BlobId> {
        match self {
            Self::Replaced { .. } | Self::Changed { .. } => None,
            Self::Blob(e) => e.blob(),
            Self::Format(e) => e.blob(),
            Self::Repository(e) => e.blob(),
        }
    }
}

impl From<&Error> for Reason {
    fn from(error: &Error) -> Self {
        Self::new(error.code(), error.to_string()).of_blob(error.blob())
    }
}
