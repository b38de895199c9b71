//! Why a verification could not be made.

use std::path::PathBuf;

use crate::failure::{Facts, Failure, failure_methods};
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
    /// The repository is gone.
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
    #[error(transparent)]
    InRepository(#[from] blob::InRepository),
    /// What was asked for could not be written.
    #[error("writing to {path}: {source}")]
    Output {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Failure for Error {
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::Index(e) => e.facts(),
            Self::Blob(e) => e.facts(),
            Self::Content(e) => e.facts(),
            Self::Manifest(e) => e.facts(),
            Self::Format(e) => e.facts(),
            Self::LedgerTorn { .. } => Facts::new("ledger-torn"),
            Self::LedgerForeign { .. } => Facts::new("ledger-foreign"),
            Self::LedgerOfOther { .. } => Facts::new("ledger-of-other-repository"),
            Self::LedgerInUse { .. } => Facts::new("ledger-in-use").retryable(true),
            Self::LedgerIo { .. } => Facts::new("ledger-io"),
            Self::InRepository(e) => Facts::new(e.code()),
            Self::Output { .. } => Facts::new("output-failed"),
        }
    }
}

failure_methods!(Error, blob, content);
