//! Why manifests cannot be read.

use crate::failure::{Facts, Failure, failure_methods};
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

impl Failure for Error {
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::Content { source } => source.facts(),
            Self::Decompress { content, .. } | Self::Malformed { content, .. } => {
                Facts::new("manifest-damaged").content(*content)
            }
            Self::OverBudget { content, .. } => Facts::new("memory-budget").content(*content),
        }
    }
}

failure_methods!(Error, blob, content);
