//! One line of an index: where a content is.

use std::cmp::Ordering;

use super::ContentId;
use crate::blob::BlobId;

/// Number of a pack within one loaded index; [`super::ContentIndex::pack`] gives its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackNumber(pub(crate) u32);

impl PackNumber {
    /// Where the pack is in [`super::ContentIndex::packs`].
    pub fn number(self) -> u32 {
        self.0
    }
}

/// Where the bytes of a content are and what was done to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The content.
    pub id: ContentId,
    /// When this entry was written, in Unix seconds. The later entry of a content wins.
    pub time: u64,
    /// Whether the content was marked deleted. A snapshot may still use it (`format-spec/09-index-sets.md`).
    pub deleted: bool,
    /// The pack that holds the content.
    pub pack: PackNumber,
    /// Offset of the first stored byte in the pack.
    pub offset: u32,
    /// Stored length, with encryption and error correction.
    pub packed_length: u32,
    /// Length of the plaintext.
    pub original_length: u32,
    /// Compression header ID, 0 for none.
    pub compression: u32,
    /// Format version of the writer, informational.
    pub format_version: u8,
    /// Number of the encryption key; only 0 exists.
    pub key_id: u8,
}

impl Entry {
    /// Which of two entries of one content counts: the later one, then the one that is not deleted, then the one whose
    /// pack has the larger name.
    pub(super) fn precedence(&self, pack: &BlobId, other: &Self, other_pack: &BlobId) -> Ordering {
        self.time
            .cmp(&other.time)
            .then_with(|| other.deleted.cmp(&self.deleted))
            .then_with(|| pack.cmp(other_pack))
    }

    /// One past the last stored byte.
    pub fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.packed_length)
    }
}
