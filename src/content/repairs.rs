//! Damage that error correction mended: counted, never silent.

use std::collections::BTreeMap;

use crate::blob::BlobId;
use crate::os::sync::Mutex;

/// What was mended, by blob.
#[derive(Debug, Default)]
pub struct Repairs {
    places: Mutex<BTreeMap<BlobId, u64>>,
}

impl Repairs {
    /// Notes that this many places of a blob had to be mended.
    pub fn note(&self, blob: &BlobId, places: usize) {
        if places > 0 {
            let mut all = self.places.lock();
            *all.entry(blob.clone()).or_default() += places as u64;
        }
    }

    /// Every mended blob and how many places of it.
    pub fn by_blob(&self) -> BTreeMap<BlobId, u64> {
        self.places.lock().clone()
    }
}
