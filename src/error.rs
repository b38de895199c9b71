//! One error for users of the crate.

use crate::failure::{Facts, Failure, failure_methods};
#[cfg(feature = "verify")]
use crate::verify;
use crate::{blob, content, crypto, format, index, manifest, object, pack, repository, restore, snapshot};

/// Any failure of this crate, with a stable code for machines.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The repository cannot be read.
    #[error(transparent)]
    Repository(Box<repository::Error>),
    /// A restore cannot be done.
    #[error(transparent)]
    Restore(Box<restore::Error>),
    /// A verification cannot be done.
    #[cfg(feature = "verify")]
    #[error(transparent)]
    Verify(Box<verify::Error>),
}

impl From<repository::Error> for Error {
    fn from(error: repository::Error) -> Self {
        Self::Repository(Box::new(error))
    }
}

impl From<restore::Error> for Error {
    fn from(error: restore::Error) -> Self {
        Self::Restore(Box::new(error))
    }
}

#[cfg(feature = "verify")]
impl From<verify::Error> for Error {
    fn from(error: verify::Error) -> Self {
        Self::Verify(Box::new(error))
    }
}

/// Errors of single layers, which reading a repository joins.
macro_rules! from_layers {
    ($($layer:ident),*) => {
        $(impl From<$layer::Error> for Error {
            fn from(error: $layer::Error) -> Self {
                Self::Repository(Box::new(error.into()))
            }
        })*
    };
}

from_layers!(blob, crypto, format, index, pack, content, manifest, object, snapshot);

impl Failure for Error {
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::Repository(e) => e.facts(),
            Self::Restore(e) => e.facts(),
            #[cfg(feature = "verify")]
            Self::Verify(e) => e.facts(),
        }
    }
}

failure_methods!(Error, blob, content, path, snapshot);
