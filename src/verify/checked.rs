//! What checking the contents of a pack comes to.

use std::ops::Range;

use super::fault::Fault;
use crate::blob::BlobId;
use crate::content::Error;
use crate::crypto::ContentHash;
use crate::index::{ContentId, Entry, Position};

/// Damaged contents of one pack that are held one by one.
const MAX_FAILED: usize = 250_000;

/// The result for some contents of a pack.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) good: u64,
    pub(crate) bytes: u64,
    pub(crate) failures: Vec<(ContentId, Fault)>,
    /// Contents that failed besides these.
    pub(crate) more_failed: u64,
    /// Ranges of the pack that error correction mended.
    pub(crate) repairs: Vec<Range<u64>>,
    /// Places in the index of contents whose pack vanished since it was listed.
    pub(crate) vanished: Vec<Position>,
}

impl Checked {
    pub(crate) fn absorb(&mut self, other: Self) {
        self.good += other.good;
        self.bytes += other.bytes;
        let room = MAX_FAILED.saturating_sub(self.failures.len());
        self.more_failed += other.more_failed + other.failures.len().saturating_sub(room) as u64;
        self.failures.extend(other.failures.into_iter().take(room));
        self.repairs.extend(other.repairs);
        self.vanished.extend(other.vanished);
    }

    pub(crate) fn fail(&mut self, error: &Error) {
        let Some(content) = error.content() else { return };
        if self.failures.len() >= MAX_FAILED {
            self.more_failed += 1;
            return;
        }
        let cause = Fault::of_content(error).beside(self.failures.len());
        self.failures.push((content, cause));
    }

    /// Compares the hash of a content with its name.
    pub(crate) fn judge(
        &mut self,
        pack: &BlobId,
        entry: &Entry,
        repaired: Vec<Range<usize>>,
        hash: &ContentHash,
    ) {
        if hash.as_bytes() == entry.id.hash() {
            self.pass(entry, repaired);
        } else {
            self.fail(&Error::WrongHash { content: entry.id, blob: pack.clone(), offset: entry.offset });
        }
    }

    pub(crate) fn pass(&mut self, entry: &Entry, repaired: Vec<Range<usize>>) {
        self.good += 1;
        self.bytes += u64::from(entry.packed_length);
        let base = u64::from(entry.offset);
        self.repairs.extend(repaired.iter().map(|range| base + range.start as u64..base + range.end as u64));
    }
}

/// The result for one pack.
#[derive(Debug, Default)]
pub(crate) struct PackResult {
    pub(crate) checked: Checked,
    /// The fault of the end of the pack, which only recovery needs.
    pub(crate) footer: Option<Fault>,
    pub(crate) footer_repairs: Vec<Range<u64>>,
}
