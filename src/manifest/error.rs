//! Why manifests cannot be read.

use crate::blob::BlobId;
use crate::index::ContentId;
use crate::{codec, content};

/// A failure to read a manifest content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The content itself cannot be had.
    #[error("manifests in {source}")]
    Content {
        /// What the content layer said.
        #[from]
        source: content::Error,
    },
    /// The content does not decompress.
    #[error("manifest content {content} does not decompress: {source}")]
    Decompress {
        /// The content.
        content: ContentId,
        /// What the decoder said.
        source: codec::Error,
    },
    /// The content is not a list of manifests.
    #[error("manifest content {content} is not valid: {reason}")]
    Malformed {
        /// The content.
        content: ContentId,
        /// What is wrong with it.
        reason: String,
    },
    /// The manifests take more memory than they may.
    #[error("manifests need more than the {limit} bytes they may use, met in content {content}")]
    OverBudget {
        /// The content that there was no room for.
        content: ContentId,
        /// Bytes that manifests may use.
        limit: u64,
    },
}

impl Error {
    /// The stable code of this failure, as listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Content { source } => source.code(),
            Self::Decompress { .. } | Self::Malformed { .. } => "manifest-damaged",
            Self::OverBudget { .. } => "memory-budget",
        }
    }

    /// Whether the same operation may succeed when tried again.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Content { source } if source.is_retryable())
    }

    /// The content concerned.
    pub fn content(&self) -> Option<ContentId> {
        match self {
            Self::Content { source } => source.content(),
            Self::Decompress { content, .. }
            | Self::Malformed { content, .. }
            | Self::OverBudget { content, .. } => Some(*content),
        }
    }

    /// The blob concerned.
    pub fn blob(&self) -> Option<&BlobId> {
        match self {
            Self::Content { source } => source.blob(),
            Self::Decompress { .. } | Self::Malformed { .. } | Self::OverBudget { .. } => None,
        }
    }
}
