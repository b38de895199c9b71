//! Many small indexes as one sorted table of fixed-size records.

use super::entry::Entry;
use super::packed::{prefixed, search};
use super::record;

/// Entries of one key size, sorted, one per content.
pub(super) struct MergedIndex {
    key_size: usize,
    bytes: Vec<u8>,
}

impl MergedIndex {
    /// Keeps up to `most` entries of one key size that ascend by content ID.
    pub(super) fn collect(key_size: usize, most: usize, entries: impl Iterator<Item = Entry>) -> Self {
        let mut bytes = Vec::with_capacity(most * record::stride(key_size));
        for entry in entries {
            record::encode(&entry, &mut bytes);
        }
        bytes.shrink_to_fit();
        Self { key_size, bytes }
    }

    fn stride(&self) -> usize {
        record::stride(self.key_size)
    }

    pub(super) fn key_size(&self) -> usize {
        self.key_size
    }

    pub(super) fn len(&self) -> u32 {
        (self.bytes.len() / self.stride()) as u32
    }

    pub(super) fn memory(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn key(&self, position: u32) -> &[u8] {
        let start = position as usize * self.stride();
        self.bytes.get(start..start + self.key_size).unwrap_or_default()
    }

    pub(super) fn entry(&self, position: u32) -> Option<Entry> {
        let start = position as usize * self.stride();
        record::decode(self.bytes.get(start..start + self.stride())?, self.key_size)
    }

    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        search(self.len(), key, |position| self.key(position)).ok()
    }

    /// The entries of the contents with one prefix letter.
    pub(super) fn with_prefix(&self, prefix: u8) -> impl Iterator<Item = Entry> + '_ {
        let positions = prefixed(self.len(), prefix, |position| self.key(position));
        positions.filter_map(|position| self.entry(position))
    }
}
