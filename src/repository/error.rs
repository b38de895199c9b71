//! Why a repository cannot be read.

use crate::failure::{Facts, Failure, failure_methods};
use crate::{blob, content, crypto, format, index, manifest, object, pack, snapshot};

/// A failure of reading, whatever the layer it comes from.
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
}

impl Failure for Error {
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::Blob(e) => e.facts(),
            Self::Crypto(e) => e.facts(),
            Self::Format(e) => e.facts(),
            Self::Index(e) => e.facts(),
            Self::Pack(e) => e.facts(),
            Self::Content(e) => e.facts(),
            Self::Manifest(e) => e.facts(),
            Self::Object(e) => e.facts(),
            Self::Snapshot(e) => e.facts(),
        }
    }
}

failure_methods!(Error, blob, content, path, snapshot);
