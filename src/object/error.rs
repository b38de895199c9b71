//! What can be wrong with an object.

use std::io;

use super::ObjectId;
use crate::blob::BlobId;
use crate::gojson::stream::StreamError;
use crate::index::ContentId;
use crate::{codec, content};

/// A failure to read an object, naming it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A content of the object cannot be had.
    #[error("object {object}: {source}")]
    Content {
        /// The object.
        object: ObjectId,
        /// What happened to the content.
        source: Box<content::Error>,
    },
    /// A content compressed at the object layer does not decompress.
    #[error("object {object}: content {content} does not decompress: {source}")]
    Decompress {
        /// The object.
        object: ObjectId,
        /// The content.
        content: ContentId,
        /// What the decompressor said.
        source: codec::Error,
    },
    /// The table of an object's chunks is no such thing.
    #[error("object {object}: its table of chunks is not valid: {reason}")]
    Table {
        /// The object.
        object: ObjectId,
        /// What is wrong.
        reason: String,
    },
    /// A chunk is not as long as the table says.
    #[error("object {object}: content {content} has {found} bytes where {expected} belong")]
    ChunkLength {
        /// The object.
        object: ObjectId,
        /// The content that is the chunk.
        content: ContentId,
        /// Length according to the table.
        expected: u64,
        /// Length found.
        found: u64,
    },
    /// Index objects refer to index objects without end.
    #[error("object {object}: its index objects are nested too deeply")]
    TooDeep {
        /// The object where it was noticed.
        object: ObjectId,
    },
    /// The object is longer than the reader is willing to hold in memory.
    #[error("object {object} has more than {limit} bytes")]
    TooLarge {
        /// The object.
        object: ObjectId,
        /// Bytes allowed.
        limit: u64,
    },
}

impl Error {
    /// The stable code of this failure, as listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Content { source, .. } => source.code(),
            Self::Decompress { .. } => "object-undecodable",
            Self::Table { .. } => "object-index-damaged",
            Self::ChunkLength { .. } => "object-wrong-length",
            Self::TooDeep { .. } => "object-too-deep",
            Self::TooLarge { .. } => "object-too-large",
        }
    }

    /// Whether the same operation may succeed when tried again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Content { source, .. } => source.is_retryable(),
            Self::Decompress { source, .. } => source.is_retryable(),
            _ => false,
        }
    }

    /// The object that could not be read. In an error about an index object, that is the index object.
    pub fn object(&self) -> &ObjectId {
        match self {
            Self::Content { object, .. }
            | Self::Decompress { object, .. }
            | Self::Table { object, .. }
            | Self::ChunkLength { object, .. }
            | Self::TooDeep { object }
            | Self::TooLarge { object, .. } => object,
        }
    }

    /// The content concerned.
    pub fn content(&self) -> Option<ContentId> {
        match self {
            Self::Content { source, .. } => source.content(),
            Self::Decompress { content, .. } | Self::ChunkLength { content, .. } => Some(*content),
            _ => None,
        }
    }

    /// The blob concerned.
    pub fn blob(&self) -> Option<&BlobId> {
        match self {
            Self::Content { source, .. } => source.blob(),
            _ => None,
        }
    }

    /// What stopped the reading of a document inside an object: the error of the [`super::Reader`] below it, or a
    /// reason that lies in the document itself.
    pub(crate) fn from_stream(error: StreamError) -> Result<Error, String> {
        match error {
            StreamError::Read(error) => {
                let text = error.to_string();
                match error.into_inner().map(|inner| inner.downcast::<Error>()) {
                    Some(Ok(inner)) => Ok(*inner),
                    _ => Err(text),
                }
            }
            other => Err(other.to_string()),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        io::Error::other(error)
    }
}
