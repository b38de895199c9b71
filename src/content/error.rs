//! Why a content cannot be given.

use crate::blob::{self, BlobId};
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

impl Error {
    /// The stable code of this failure, as listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "content-missing",
            Self::PackMissing { .. } => "pack-missing",
            Self::Read { source, .. } if source.is_cut() => "pack-truncated",
            Self::Read { source, .. } => source.code(),
            Self::Entry { .. } => "content-entry-invalid",
            Self::Unrepairable { .. } => "content-unrepairable",
            Self::Decrypt { .. } => "content-damaged",
            Self::Decompress { .. } => "content-undecodable",
            Self::Length { .. } => "content-length",
            Self::WrongHash { .. } => "content-wrong-hash",
            Self::Index(e) => e.code(),
        }
    }

    /// Whether the same operation may succeed when tried again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Read { source, .. } => source.is_retryable(),
            Self::Index(e) => e.is_retryable(),
            _ => false,
        }
    }

    /// The content concerned.
    pub fn content(&self) -> Option<ContentId> {
        match self {
            Self::Missing { content }
            | Self::PackMissing { content, .. }
            | Self::Read { content, .. }
            | Self::Entry { content, .. }
            | Self::Unrepairable { content, .. }
            | Self::Decrypt { content, .. }
            | Self::Decompress { content, .. }
            | Self::Length { content, .. }
            | Self::WrongHash { content, .. } => Some(*content),
            Self::Index(_) => None,
        }
    }

    /// The blob concerned.
    pub fn blob(&self) -> Option<&BlobId> {
        match self {
            Self::Missing { .. } => None,
            Self::PackMissing { blob, .. }
            | Self::Entry { blob, .. }
            | Self::Unrepairable { blob, .. }
            | Self::Decrypt { blob, .. }
            | Self::Decompress { blob, .. }
            | Self::Length { blob, .. }
            | Self::WrongHash { blob, .. } => Some(blob),
            Self::Read { source, .. } => source.blob(),
            Self::Index(e) => e.blob(),
        }
    }
}
