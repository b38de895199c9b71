//! Why a verification could not be made.

use crate::blob::BlobId;
use crate::index::ContentId;
use crate::{blob, content, index, manifest};

/// A failure that keeps a verification from giving a report. Damage is not among them: it is what reports are about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The indexes could not be read at all.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// The storage failed where nothing could be checked without it.
    #[error(transparent)]
    Blob(#[from] blob::Error),
    /// A content that everything depends on could not be read.
    #[error(transparent)]
    Content(#[from] content::Error),
    /// The manifests could not be read.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
}

impl Error {
    /// The stable code of this failure, as listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Index(e) => e.code(),
            Self::Blob(e) => e.code(),
            Self::Content(e) => e.code(),
            Self::Manifest(e) => e.code(),
        }
    }

    /// Whether the same operation may succeed when tried again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Index(e) => e.is_retryable(),
            Self::Blob(e) => e.is_retryable(),
            Self::Content(e) => e.is_retryable(),
            Self::Manifest(e) => e.is_retryable(),
        }
    }

    /// The blob concerned.
    pub fn blob(&self) -> Option<&BlobId> {
        match self {
            Self::Index(e) => e.blob(),
            Self::Blob(e) => e.blob(),
            Self::Content(e) => e.blob(),
            Self::Manifest(e) => e.blob(),
        }
    }

    /// The content concerned.
    pub fn content(&self) -> Option<ContentId> {
        match self {
            Self::Content(e) => e.content(),
            Self::Manifest(e) => e.content(),
            Self::Index(_) | Self::Blob(_) => None,
        }
    }
}
