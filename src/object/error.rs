//! What can be wrong with an object.

use std::io;

use super::ObjectId;
use crate::failure::{Facts, Failure, failure_methods};
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

impl Failure for Error {
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::Content { source, .. } => source.facts(),
            Self::Decompress { content, source, .. } => {
                let again = source.is_retryable();
                Facts::new("object-undecodable").content(*content).retryable(again)
            }
            Self::Table { .. } => Facts::new("object-index-damaged"),
            Self::ChunkLength { content, .. } => Facts::new("object-wrong-length").content(*content),
            Self::TooDeep { .. } => Facts::new("object-too-deep"),
            Self::TooLarge { .. } => Facts::new("object-too-large"),
        }
    }
}

failure_methods!(Error, blob, content);

impl Error {
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
