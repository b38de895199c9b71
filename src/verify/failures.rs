//! Contents that cannot be read.

use std::collections::{BTreeMap, HashSet};

use super::fault::Fault;
use crate::blob::BlobId;
use crate::content;
use crate::index::ContentId;

/// Bytes that a content without details takes.
const FAILURE_BYTES: u64 = 128;

/// Contents that cannot be read. Of missing packs only the names are held: they may contain millions of contents.
#[derive(Debug)]
pub(super) struct Failures {
    faults: BTreeMap<ContentId, Fault>,
    missing: HashSet<BlobId>,
    most: usize,
    overflowed: bool,
}

impl Default for Failures {
    /// Without a limit.
    fn default() -> Self {
        Self::within(u64::MAX)
    }
}

impl Failures {
    /// No failures yet, and no more than fit in `memory` bytes.
    pub(super) fn within(memory: u64) -> Self {
        let most = usize::try_from(memory / FAILURE_BYTES).unwrap_or(usize::MAX);
        Self { faults: BTreeMap::new(), missing: HashSet::new(), most, overflowed: false }
    }

    pub(super) fn insert(&mut self, content: ContentId, fault: Fault) {
        if self.faults.len() >= self.most && !self.faults.contains_key(&content) {
            self.overflowed = true;
            return;
        }
        let fault = fault.beside(self.faults.len());
        self.faults.entry(content).or_insert(fault);
    }

    /// Records a missing pack, and with it every content that the newest index has in it.
    pub(super) fn insert_missing(&mut self, pack: BlobId) {
        self.missing.insert(pack);
    }

    pub(super) fn is_missing(&self, pack: &BlobId) -> bool {
        self.missing.contains(pack)
    }

    /// Whether any packs are missing.
    pub(super) fn has_missing_packs(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Records that there are more failures than are held.
    pub(super) fn overflow(&mut self) {
        self.overflowed = true;
    }

    /// Whether there are more failures than are held, so that other contents may be bad as well.
    pub(super) fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Whether a failure of this content is held.
    pub(super) fn holds(&self, content: &ContentId) -> bool {
        self.faults.contains_key(content)
    }

    /// Why a content cannot be read that the newest index has in this pack.
    pub(super) fn fault(&self, content: &ContentId, pack: Option<&BlobId>) -> Option<Fault> {
        let missing = || {
            let blob = pack.filter(|pack| self.is_missing(pack))?.clone();
            Some(Fault::of_content(&content::Error::PackMissing { content: *content, blob }))
        };
        self.faults.get(content).cloned().or_else(missing)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.faults.is_empty() && self.missing.is_empty() && !self.overflowed
    }

    /// The failures that are held.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ContentId, &Fault)> {
        self.faults.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(last: u8) -> ContentId {
        ContentId::new(None, &[[0; 15].as_slice(), &[last]].concat()).unwrap()
    }

    #[test]
    fn what_there_is_no_room_for_is_known_to_be_there() {
        let damaged = |last| Fault::of_content(&content::Error::Missing { content: content(last) });
        let mut failures = Failures::within(2 * FAILURE_BYTES);
        for last in [1, 2, 1] {
            failures.insert(content(last), damaged(last));
        }
        assert!(!failures.overflowed());
        failures.insert(content(3), damaged(3));
        assert!(failures.overflowed() && failures.holds(&content(1)) && !failures.holds(&content(3)));
    }

    #[test]
    fn a_pack_that_is_gone_takes_its_contents_along() {
        let pack = BlobId::new("p00").unwrap();
        let mut failures = Failures::default();
        assert!(failures.is_empty() && failures.fault(&content(1), Some(&pack)).is_none());
        failures.insert_missing(pack.clone());
        assert!(!failures.is_empty() && !failures.holds(&content(1)));
        let fault = failures.fault(&content(1), Some(&pack)).unwrap();
        assert_eq!((fault.code, fault.blob.as_ref()), ("pack-missing", Some(&pack)));
        assert!(fault.detail.contains("p00") && !fault.unchecked);
        assert!(failures.fault(&content(1), BlobId::new("p01").ok().as_ref()).is_none());
        // What was found in it before it went keeps its own cause, and is held once.
        failures.insert(content(2), Fault { code: "content-damaged", ..fault });
        assert_eq!(failures.fault(&content(2), Some(&pack)).unwrap().code, "content-damaged");
        assert!(failures.holds(&content(2)));
    }
}
