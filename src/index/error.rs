//! What can be wrong with indexes.

use crate::blob::{self, BlobId};
use crate::failure::{Facts, Failure, failure_methods};
use crate::{codec, crypto};

/// A failure to find out which contents exist.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An index blob does not decrypt: damaged, or under a name that is not its own.
    #[error("index blob {blob} cannot be decrypted: it is damaged or not what its name says")]
    Decrypt {
        /// The blob.
        blob: BlobId,
        /// What the cipher said.
        source: crypto::Error,
    },
    /// An index blob has more damage than its error correction can repair.
    #[error("index blob {blob} cannot be repaired: {source}")]
    Unrepairable {
        /// The blob.
        blob: BlobId,
        /// What the decoder said.
        source: codec::Error,
    },
    /// The plaintext of an index blob is not what its name promises.
    #[error("index blob {blob} holds other data than its name says")]
    WrongHash {
        /// The blob.
        blob: BlobId,
    },
    /// A blob that is listed as an index has a name from which no key can be derived.
    #[error("{blob} is listed among the index blobs, but its name is not that of one")]
    WrongName {
        /// The blob.
        blob: BlobId,
    },
    /// The plaintext of an index blob is not an index.
    #[error("index blob {blob} is not a valid index: {reason}")]
    Malformed {
        /// The blob.
        blob: BlobId,
        /// What is wrong with it.
        reason: Malformed,
    },
    /// A log of index compactions is not what it should be.
    #[error("compaction log {blob} is not valid: {reason}")]
    MalformedLog {
        /// The blob.
        blob: BlobId,
        /// What is wrong with it.
        reason: String,
    },
    /// The repository was upgraded by another client while we read it.
    #[error("the repository was upgraded to a newer format while it was read")]
    Upgraded,
    /// Index blobs kept vanishing between listing and reading.
    #[error("index blob {blob} is listed but not there, also after listing {attempts} times")]
    KeepsVanishing {
        /// The blob that vanished last.
        blob: BlobId,
        /// How often was tried.
        attempts: u32,
    },
    /// The loaded index would not fit in the memory it may use.
    #[error("the index needs {needed} bytes, more than the {limit} it may use")]
    OverBudget {
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The file that holds an index too large for the memory budget could not be written or read.
    #[error("the temporary index file: {0}")]
    Spill(std::io::Error),
    /// That file would lie in the repository.
    #[error(transparent)]
    InRepository(#[from] blob::InRepository),
    /// The storage failed.
    #[error(transparent)]
    Blob(#[from] blob::Error),
}

/// Why bytes are not an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// First byte is neither 1 nor 2.
    #[error("unknown index format {0}")]
    Version(u8),
    /// The data ends inside a section that the header announces.
    #[error("it ends in its {0}")]
    Truncated(&'static str),
    /// Key length out of range.
    #[error("its keys have {0} bytes")]
    KeySize(u8),
    /// Entry length out of range.
    #[error("its entries have {0} bytes")]
    EntrySize(u16),
    /// Keys do not ascend, so that nothing could be found in it.
    #[error("its keys are not in order at entry {0}")]
    Unordered(u32),
    /// A key that is not a content ID.
    #[error("entry {0} has no valid content ID")]
    Key(u32),
    /// An entry names a pack that the index does not have, or one with an impossible name.
    #[error("entry {0} names no valid pack")]
    Pack(u32),
    /// An entry names a format that the index does not have.
    #[error("entry {0} names no valid format")]
    Format(u32),
}

impl Failure for Error {
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::Decrypt { blob, .. }
            | Self::Unrepairable { blob, .. }
            | Self::WrongHash { blob }
            | Self::WrongName { blob }
            | Self::Malformed { blob, .. }
            | Self::MalformedLog { blob, .. } => Facts::new("index-damaged").blob(blob),
            Self::Upgraded => Facts::new("repository-upgraded").retryable(true),
            Self::KeepsVanishing { blob, .. } => Facts::new("index-vanishing").blob(blob).retryable(true),
            Self::OverBudget { .. } => Facts::new("memory-budget"),
            Self::Spill(_) => Facts::new("index-spill"),
            Self::InRepository(e) => Facts::new(e.code()),
            Self::Blob(e) if e.is_cut() => e.facts().code("index-damaged"),
            Self::Blob(e) if e.blob().is_some() && !e.is_denied() => e.facts().code("index-unreadable"),
            Self::Blob(e) => e.facts(),
        }
    }
}

failure_methods!(Error, blob);

impl Error {
    /// Whether one blob is unreadable while the rest of the repository may be fine: what `--degraded` passes over.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Blob(e) => e.blob().is_some(),
            Self::Upgraded | Self::OverBudget { .. } | Self::Spill(_) | Self::InRepository(_) => false,
            _ => true,
        }
    }
}
