//! The index blobs that count, and what makes a listing doubtful.

use std::fmt;

use super::Error;
use crate::blob::{BlobId, BlobMetadata};

/// What a listing of index blobs comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActiveSet {
    /// Blobs that must be read: together they are the index.
    pub blobs: Vec<BlobMetadata>,
    /// Blobs that the rules leave out although they may hold newer entries: read, but no loss when unreadable.
    pub optional: Vec<BlobMetadata>,
    /// Blobs that the chosen ones stand for, as long as those can be read.
    pub superseded: Vec<BlobMetadata>,
    /// Deleted entries at or before this time (Unix seconds) no longer exist.
    pub watermark: Option<i64>,
    /// What does not fit together.
    pub doubts: Vec<Doubt>,
}

/// A sign that index blobs may be missing. Never an error by itself: what was read is right, but more may have existed,
/// so a negative answer is not certain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Doubt {
    /// An index of an epoch that has not begun, as far as the markers say.
    EpochAhead {
        /// The blob.
        blob: BlobId,
    },
    /// A compaction that covers epochs which are not settled, as far as the markers say.
    RangeAhead {
        /// The blob.
        blob: BlobId,
    },
    /// No index blob of an epoch that was used.
    EpochGap {
        /// The epoch.
        epoch: u64,
    },
    /// Of the compaction of an epoch only some blobs are there, and its inputs are gone.
    IncompleteCompaction {
        /// The epoch.
        epoch: u64,
    },
    /// An index blob was passed over because it cannot be read.
    Unreadable {
        /// The blob.
        blob: BlobId,
        /// Why.
        reason: String,
        /// Whether it has more damage than its error correction can repair.
        unrepairable: bool,
    },
    /// Packs exist that no index names.
    UnindexedPacks {
        /// How many.
        count: usize,
        /// One of them.
        blob: BlobId,
    },
    /// There are no index blobs, though every repository has some.
    NoIndexBlobs,
}

impl Doubt {
    /// An index blob that was passed over because of this error.
    pub(super) fn unreadable(blob: &BlobId, error: &Error) -> Self {
        let unrepairable = matches!(error, Error::Unrepairable { .. });
        Self::Unreadable { blob: blob.clone(), reason: error.to_string(), unrepairable }
    }

    /// The stable code of this doubt, as listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnindexedPacks { .. } => "packs-unindexed",
            Self::NoIndexBlobs => "index-empty",
            _ => "index-doubtful",
        }
    }

    /// The blob concerned.
    pub fn blob(&self) -> Option<&BlobId> {
        match self {
            Self::EpochAhead { blob }
            | Self::RangeAhead { blob }
            | Self::Unreadable { blob, .. }
            | Self::UnindexedPacks { blob, .. } => Some(blob),
            Self::EpochGap { .. } | Self::IncompleteCompaction { .. } | Self::NoIndexBlobs => None,
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EpochAhead { blob } => {
                write!(
                    f,
                    "index blob {blob} belongs to an epoch that has not begun: epoch markers may be missing"
                )
            }
            Self::RangeAhead { blob } => {
                write!(
                    f,
                    "index blob {blob} covers epochs that are not settled: epoch markers may be missing"
                )
            }
            Self::EpochGap { epoch } => write!(f, "epoch {epoch} has no index blobs: some may be missing"),
            Self::IncompleteCompaction { epoch } => {
                write!(f, "the compacted index of epoch {epoch} is incomplete and its inputs are gone")
            }
            Self::Unreadable { blob, reason, .. } => write!(f, "index blob {blob} was passed over: {reason}"),
            Self::NoIndexBlobs => f.write_str("the repository has no index blobs: they are lost, or hidden"),
            Self::UnindexedPacks { count, blob } => {
                write!(
                    f,
                    "{count} packs are named by no index, for example {blob}: index blobs may be missing"
                )
            }
        }
    }
}
