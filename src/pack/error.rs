//! Why the index inside a pack cannot be read.

use crate::blob::{self, BlobId};
use crate::failure::{Facts, Failure, failure_methods};
use crate::index::Malformed;
use crate::{codec, crypto};

/// A failure to read the local index at the end of a pack.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The pack does not end in a valid postamble.
    #[error("pack {blob} has no valid postamble: it is damaged or was not written completely")]
    NoPostamble {
        /// The pack.
        blob: BlobId,
    },
    /// The postamble points outside of the pack.
    #[error("the postamble of pack {blob} points outside of it")]
    OutOfBounds {
        /// The pack.
        blob: BlobId,
    },
    /// The local index has more damage than error correction can repair.
    #[error("the local index of pack {blob} cannot be repaired: {source}")]
    Unrepairable {
        /// The pack.
        blob: BlobId,
        /// What the decoder said.
        source: codec::Error,
    },
    /// The local index does not decrypt.
    #[error("the local index of pack {blob} is damaged: it does not decrypt")]
    Decrypt {
        /// The pack.
        blob: BlobId,
        /// What the cipher said.
        source: crypto::Error,
    },
    /// The local index is not what the postamble promises.
    #[error("the local index of pack {blob} holds other data than its postamble says")]
    WrongHash {
        /// The pack.
        blob: BlobId,
    },
    /// The local index is not an index.
    #[error("the local index of pack {blob} is not valid: {reason}")]
    Malformed {
        /// The pack.
        blob: BlobId,
        /// What is wrong with it.
        reason: Malformed,
    },
    /// The storage failed.
    #[error(transparent)]
    Blob(#[from] blob::Error),
}

impl Failure for Error {
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::NoPostamble { blob } | Self::OutOfBounds { blob } => {
                Facts::new("pack-postamble").blob(blob)
            }
            Self::Unrepairable { blob, .. }
            | Self::Decrypt { blob, .. }
            | Self::WrongHash { blob }
            | Self::Malformed { blob, .. } => Facts::new("pack-local-index").blob(blob),
            Self::Blob(e) => e.facts(),
        }
    }
}

failure_methods!(Error, blob);
