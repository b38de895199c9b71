//! Why the checker does not know.

use crate::failure::{Facts, Failure, failure_methods};
pub use crate::repository::Reason;
use crate::{blob, format, repository};

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
    Repository(#[from] repository::Error),
}

impl Failure for Error {
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::Replaced { .. } => Facts::new("repository-replaced"),
            Self::Changed { .. } => Facts::new("repository-changed").retryable(true),
            Self::Blob(e) => e.facts(),
            Self::Format(e) => e.facts(),
            Self::Repository(e) => e.facts(),
        }
    }
}

failure_methods!(Error, blob);

impl From<&Error> for Reason {
    fn from(error: &Error) -> Self {
        Self::new(error.code(), error.to_string()).of_blob(error.blob())
    }
}
