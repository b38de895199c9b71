//! Why a content cannot be given.

use crate::blob::{self, BlobId};
use crate::failure::{Facts, Failure, failure_methods};
use crate::index::ContentId;
use crate::{codec, crypto, index};

/// A failure to get the plaintext of a content, naming the content and the pack that should hold it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No index entry names the content.
    #[error("content {content} is not in the repository's index")]
    Missing {
        /// The content.
        content: ContentId,
    },
    /// The pack of the content is gone, also after the indexes were read again.
    #[error("content {content}: its pack {blob} is missing")]
    PackMissing {
        /// The content.
        content: ContentId,
        /// The pack.
        blob: BlobId,
    },
    /// The pack cannot be read, or ends before the content does.
    #[error("content {content}: {source}")]
    Read {
        /// The content.
        content: ContentId,
        /// What the storage said.
        source: blob::Error,
    },
    /// The index entry cannot be right.
    #[error("content {content}: its index entry (pack {blob}) is impossible: {reason}")]
    Entry {
        /// The content.
        content: ContentId,
        /// The pack.
        blob: BlobId,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More is damaged than the error correction can repair.
    #[error("content {content} in pack {blob} at offset {offset} cannot be repaired: {source}")]
    Unrepairable {
        /// The content.
        content: ContentId,
        /// The pack.
        blob: BlobId,
        /// Where it begins in the pack.
        offset: u32,
        /// What the decoder said.
        source: codec::Error,
    },
    /// The stored bytes are not those that were written.
    #[error("content {content} in pack {blob} at offset {offset} is damaged: it does not decrypt")]
    Decrypt {
        /// The content.
        content: ContentId,
        /// The pack.
        blob: BlobId,
        /// Where it begins in the pack.
        offset: u32,
        /// What the cipher said.
        source: crypto::Error,
    },
    /// The decrypted bytes do not decompress to what the index promises.
    #[error("content {content} in pack {blob} at offset {offset} does not decompress: {source}")]
    Decompress {
        /// The content.
        content: ContentId,
        /// The pack.
        blob: BlobId,
        /// Where it begins in the pack.
        offset: u32,
        /// What the decoder said.
        source: codec::Error,
    },
    /// The plaintext has another length than the index says.
    #[error("content {content} in pack {blob} has {got} bytes, the index says {expected}")]
    Length {
        /// The content.
        content: ContentId,
        /// The pack.
        blob: BlobId,
        /// Length by the index.
        expected: u64,
        /// Length found.
        got: u64,
    },
    /// The plaintext is not what the content's name promises, although it decrypts.
    #[error("content {content} in pack {blob} at offset {offset} holds other data than its name says")]
    WrongHash {
        /// The content.
        content: ContentId,
        /// The pack.
        blob: BlobId,
        /// Where it begins in the pack.
        offset: u32,
    },
    /// The indexes could not be read.
    #[error(transparent)]
    Index(#[from] index::Error),
}

impl Failure for Error {
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::Missing { content } => Facts::new("content-missing").content(*content),
            Self::PackMissing { content, blob } => Facts::new("pack-missing").content(*content).blob(blob),
            Self::Read { content, source } => {
                let facts = source.facts().content(*content);
                if source.is_cut() { facts.code("pack-truncated") } else { facts }
            }
            Self::Entry { content, blob, .. } => {
                Facts::new("content-entry-invalid").content(*content).blob(blob)
            }
            Self::Unrepairable { content, blob, .. } => {
                Facts::new("content-unrepairable").content(*content).blob(blob)
            }
            Self::Decrypt { content, blob, .. } => Facts::new("content-damaged").content(*content).blob(blob),
            Self::Decompress { content, blob, .. } => {
                Facts::new("content-undecodable").content(*content).blob(blob)
            }
            Self::Length { content, blob, .. } => Facts::new("content-length").content(*content).blob(blob),
            Self::WrongHash { content, blob, .. } => {
                Facts::new("content-wrong-hash").content(*content).blob(blob)
            }
            Self::Index(e) => e.facts(),
        }
    }
}

failure_methods!(Error, blob, content);
