//! What can be wrong with a compressed or error-corrected stream.

use std::fmt;

use thiserror::Error as ThisError;

use crate::failure::{Facts, Failure, failure_methods};

/// An error of a decoder. The layers above add which content it was.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// A compression header that no release of Kopia writes.
    #[error("unknown compression {header:#x}")]
    UnknownCompression {
        /// The identifier found.
        header: u32,
    },
    /// The stream ends too early.
    #[error("{codec} stream is cut short")]
    Truncated {
        /// Whose stream.
        codec: Codec,
    },
    /// The stream breaks the rules of its format.
    #[error("{codec} stream is damaged: {reason}")]
    Corrupt {
        /// Whose stream.
        codec: Codec,
        /// Which rule.
        reason: &'static str,
    },
    /// The stream decodes, but not to what was encoded.
    #[error("{codec} stream is damaged: wrong checksum")]
    Checksum {
        /// Whose stream.
        codec: Codec,
    },
    /// The output would have been larger than allowed.
    #[error("{codec} stream inflates to more than {limit} bytes")]
    TooLarge {
        /// Whose stream.
        codec: Codec,
        /// Bytes allowed.
        limit: usize,
    },
    /// The stream is whole, but its output has not the recorded length.
    #[error("{codec} stream inflates to {actual} bytes, not to the recorded {expected}")]
    WrongSize {
        /// Whose stream.
        codec: Codec,
        /// Bytes recorded.
        expected: usize,
        /// Bytes found.
        actual: usize,
    },
    /// A percentage of error correction that does not exist.
    #[error("error correction with {percent} % overhead is not possible, only 1 to 100 %")]
    EccOverhead {
        /// The percentage.
        percent: u8,
    },
    /// No content with error correction is stored in this many bytes: some are missing or too many.
    #[error("no content with error correction has {length} bytes")]
    EccLength {
        /// Bytes stored.
        length: usize,
    },
    /// More is damaged than parity can make up for.
    #[error(
        "error correction cannot repair block {block}: {lost} of its parts are damaged, {parity} could be repaired"
    )]
    EccBeyondRepair {
        /// Which block, from 0.
        block: usize,
        /// Damaged shards.
        lost: usize,
        /// Shards that can be repaired.
        parity: usize,
    },
    /// All checksums are right, but the length recorded inside cannot be.
    #[error("the length recorded by error correction is {recorded}, but {available} bytes are there")]
    EccContentLength {
        /// Length recorded.
        recorded: u32,
        /// Bytes stored, with padding.
        available: usize,
    },
    /// No memory for the output.
    #[error("no memory for {wanted} bytes of output")]
    OutOfMemory {
        /// Bytes asked for.
        wanted: usize,
    },
}

impl Failure for Error {
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::UnknownCompression { .. } => Facts::new("unknown-compression"),
            Self::Truncated { .. } => Facts::new("truncated-stream"),
            Self::Corrupt { .. } => Facts::new("corrupt-stream"),
            Self::Checksum { .. } => Facts::new("stream-checksum"),
            Self::TooLarge { .. } => Facts::new("stream-too-large"),
            Self::WrongSize { .. } => Facts::new("stream-wrong-size"),
            Self::EccOverhead { .. } => Facts::new("ecc-overhead"),
            Self::EccLength { .. } => Facts::new("ecc-length"),
            Self::EccBeyondRepair { .. } => Facts::new("ecc-beyond-repair"),
            Self::EccContentLength { .. } => Facts::new("ecc-content-length"),
            Self::OutOfMemory { .. } => Facts::new("out-of-memory").retryable(true),
        }
    }
}

failure_methods!(Error);

/// The families of streams: variants of a compressor differ in the encoder only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names say it all")]
pub enum Codec {
    Gzip,
    Deflate,
    Zstd,
    S2,
    Lz4,
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
            Self::S2 => "S2",
            Self::Lz4 => "LZ4",
        })
    }
}
