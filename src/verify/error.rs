//! Why a verification could not be made.

use std::path::PathBuf;

use crate::blob::BlobId;
use crate::index::ContentId;
use crate::{blob, content, format, index, manifest};

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
    /// The repository is not there any more.
    #[error(transparent)]
    Format(#[from] format::Error),
    /// The ledger has lines that were not written whole, or were changed since.
    #[error("the ledger {path} is torn or damaged at line {line}")]
    LedgerTorn {
        /// The file.
        path: PathBuf,
        /// The first line that is wrong, from 1.
        line: usize,
    },
    /// The file is no ledger of a version that is understood.
    #[error("{path} is not a ledger of rokopia")]
    LedgerForeign {
        /// The file.
        path: PathBuf,
    },
    /// The ledger was kept for another repository.
    #[error("the ledger {path} was kept for another repository, whose unique ID is {repository}")]
    LedgerOfOther {
        /// The file.
        path: PathBuf,
        /// The unique ID in it.
        repository: String,
    },
    /// Another verification writes to the ledger.
    #[error("the ledger {path} is in use by another verification")]
    LedgerInUse {
        /// The file.
        path: PathBuf,
    },
    /// The ledger could not be read or written.
    #[error("the ledger {path} cannot be read or written: {source}")]
    LedgerIo {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A place to write to lies in the repository.
    #[error("{path} is in the repository, which is never written to")]
    InRepository {
        /// The directory.
        path: PathBuf,
    },
    /// What was asked for could not be written.
    #[error("writing to {path}: {source}")]
    Output {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// The stable code of this failure, as listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Index(e) => e.code(),
            Self::Blob(e) => e.code(),
            Self::Content(e) => e.code(),
            Self::Manifest(e) => e.code(),
            Self::Format(e) => e.code(),
            Self::LedgerTorn { .. } => "ledger-torn",
            Self::LedgerForeign { .. } => "ledger-foreign",
            Self::LedgerOfOther { .. } => "ledger-of-other-repository",
            Self::LedgerInUse { .. } => "ledger-in-use",
            Self::LedgerIo { .. } => "ledger-io",
            Self::InRepository { .. } => "output-in-repository",
            Self::Output { .. } => "output-failed",
        }
    }

    /// Whether the same operation may succeed when tried again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Index(e) => e.is_retryable(),
            Self::Blob(e) => e.is_retryable(),
            Self::Content(e) => e.is_retryable(),
            Self::Manifest(e) => e.is_retryable(),
            Self::Format(e) => e.is_retryable(),
            Self::LedgerInUse { .. } => true,
            _ => false,
        }
    }

    /// The blob concerned.
    pub fn blob(&self) -> Option<&BlobId> {
        match self {
            Self::Index(e) => e.blob(),
            Self::Blob(e) => e.blob(),
            Self::Content(e) => e.blob(),
            Self::Manifest(e) => e.blob(),
            _ => None,
        }
    }

    /// The content concerned.
    pub fn content(&self) -> Option<ContentId> {
        match self {
            Self::Content(e) => e.content(),
            Self::Manifest(e) => e.content(),
            _ => None,
        }
    }
}
