//! Many small indexes as one sorted table of fixed-size records.

use super::entry::Entry;
use super::packed::search;
use super::record;

/// Entries of one key size, sorted, one per content.
pub(super) struct MergedIndex {
    key_size: usize,
    bytes: Vec<u8>,
}

impl MergedIndex {
    /// Merges entries of one key size; `wins(a, b)` says whether `a` counts rather than `b` for the same content.
    pub(super) fn build(
        key_size: usize,
        mut entries: Vec<Entry>,
        wins: impl Fn(&Entry, &Entry) -> bool,
    ) -> Self {
        entries.sort_by_key(|entry| entry.id);
        let mut bytes = Vec::with_capacity(entries.len() * record::stride(key_size));
        for group in entries.chunk_by(|a, b| a.id == b.id) {
            let winner = group.iter().reduce(|best, next| if wins(next, best) { next } else { best });
            if let Some(winner) = winner {
                record::encode(winner, &mut bytes);
            }
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
}
