//! One error for users of the crate.

use crate::blob::BlobId;
use crate::index::ContentId;
use crate::manifest::{self, ManifestId};
#[cfg(feature = "verify")]
use crate::verify;
use crate::{blob, content, crypto, format, index, object, pack, restore, snapshot};

/// Any failure of this crate, with a stable code for machines.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each variant is the error of the layer it is named after")]
pub enum Error {
    #[error(transparent)]
    Blob(#[from] blob::Error),
    #[error(transparent)]
    Crypto(#[from] crypto::Error),
    #[error(transparent)]
    Format(#[from] format::Error),
    #[error(transparent)]
    Index(#[from] index::Error),
    #[error(transparent)]
    Pack(#[from] pack::Error),
    #[error(transparent)]
    Content(#[from] content::Error),
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    #[error(transparent)]
    Object(#[from] object::Error),
    #[error(transparent)]
    Snapshot(#[from] snapshot::Error),
    #[error(transparent)]
    Restore(#[from] restore::Error),
    #[cfg(feature = "verify")]
    #[error(transparent)]
    Verify(#[from] verify::Error),
}

macro_rules! each {
    ($error:expr, $inner:ident => $result:expr) => {
        match $error {
            Error::Blob($inner) => $result,
            Error::Crypto($inner) => $result,
            Error::Format($inner) => $result,
            Error::Index($inner) => $result,
            Error::Pack($inner) => $result,
            Error::Content($inner) => $result,
            Error::Manifest($inner) => $result,
            Error::Object($inner) => $result,
            Error::Snapshot($inner) => $result,
            Error::Restore($inner) => $result,
            #[cfg(feature = "verify")]
            Error::Verify($inner) => $result,
        }
    };
}

impl Error {
    /// The stable code of this failure, as listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        each!(self, e => e.code())
    }

    /// Whether the same operation may succeed when tried again.
    pub fn is_retryable(&self) -> bool {
        each!(self, e => e.is_retryable())
    }

    /// The blob concerned.
    pub fn blob(&self) -> Option<&BlobId> {
        match self {
            Self::Blob(e) => e.blob(),
            Self::Crypto(_) => None,
            Self::Format(e) => e.blob(),
            Self::Index(e) => e.blob(),
            Self::Pack(e) => e.blob(),
            Self::Content(e) => e.blob(),
            Self::Manifest(e) => e.blob(),
            Self::Object(e) => e.blob(),
            Self::Snapshot(e) => e.blob(),
            Self::Restore(e) => e.blob(),
            #[cfg(feature = "verify")]
            Self::Verify(e) => e.blob(),
        }
    }

    /// The content concerned.
    pub fn content(&self) -> Option<ContentId> {
        match self {
            Self::Content(e) => e.content(),
            Self::Manifest(e) => e.content(),
            Self::Object(e) => e.content(),
            Self::Snapshot(e) => e.content(),
            Self::Restore(e) => e.content(),
            #[cfg(feature = "verify")]
            Self::Verify(e) => e.content(),
            _ => None,
        }
    }

    /// The path inside a snapshot concerned.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Snapshot(e) => e.path(),
            _ => None,
        }
    }

    /// The snapshot concerned.
    pub fn snapshot(&self) -> Option<&ManifestId> {
        match self {
            Self::Snapshot(e) => e.snapshot(),
            _ => None,
        }
    }
}
