//! Many small indexes as one sorted table of fixed-size records.

use super::bytes::big_endian;
use super::entry::{Entry, PackNumber};
use super::id::ContentId;
use super::packed::{Encoding, search};

/// Record: key, then time (6 bytes), offset and deletion bit (4), packed length (4), original length (4), pack (4),
/// encoding (2).
const VALUE: usize = 24;

const DELETED: u32 = 1 << 31;

/// Entries of one key size, sorted, one per content.
pub(super) struct MergedIndex {
    key_size: usize,
    bytes: Vec<u8>,
    encodings: Vec<Encoding>,
}

impl MergedIndex {
    /// Merges entries of one key size; `wins(a, b)` says whether `a` counts rather than `b` for the same content.
    pub(super) fn build(
        key_size: usize,
        mut entries: Vec<Entry>,
        wins: impl Fn(&Entry, &Entry) -> bool,
    ) -> Self {
        entries.sort_by_key(|entry| entry.id);
        let mut merged = Self {
            key_size,
            bytes: Vec::with_capacity(entries.len() * (key_size + VALUE)),
            encodings: Vec::new(),
        };
        for group in entries.chunk_by(|a, b| a.id == b.id) {
            let winner = group.iter().reduce(|best, next| if wins(next, best) { next } else { best });
            if let Some(winner) = winner {
                merged.push(winner);
            }
        }
        merged.bytes.shrink_to_fit();
        merged
    }

    fn push(&mut self, entry: &Entry) {
        let encoding = Encoding {
            compression: entry.compression,
            format_version: entry.format_version,
            key_id: entry.key_id,
        };
        let number = self.encodings.iter().position(|known| *known == encoding).unwrap_or_else(|| {
            self.encodings.push(encoding);
            self.encodings.len() - 1
        });
        let offset = entry.offset | if entry.deleted { DELETED } else { 0 };
        self.bytes.extend_from_slice(entry.id.key());
        self.bytes.extend_from_slice(entry.time.to_be_bytes().get(2..).unwrap_or_default());
        for field in [offset, entry.packed_length, entry.original_length, entry.pack.0] {
            self.bytes.extend_from_slice(&field.to_be_bytes());
        }
        self.bytes.extend_from_slice(&(number as u16).to_be_bytes());
    }

    fn stride(&self) -> usize {
        self.key_size + VALUE
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

    pub(super) fn key(&self, position: u32) -> &[u8] {
        let start = position as usize * self.stride();
        self.bytes.get(start..start + self.key_size).unwrap_or_default()
    }

    pub(super) fn entry(&self, position: u32) -> Option<Entry> {
        let start = position as usize * self.stride();
        let (key, value) = self.bytes.get(start..start + self.stride())?.split_at_checked(self.key_size)?;
        let number = |from: usize, to: usize| value.get(from..to).map(big_endian);
        let offset = number(6, 10)? as u32;
        let encoding = self.encodings.get(number(22, 24)? as usize)?;
        Some(Entry {
            id: ContentId::from_key(key)?,
            time: number(0, 6)?,
            deleted: offset & DELETED != 0,
            offset: offset & !DELETED,
            packed_length: number(10, 14)? as u32,
            original_length: number(14, 18)? as u32,
            pack: PackNumber(number(18, 22)? as u32),
            compression: encoding.compression,
            format_version: encoding.format_version,
            key_id: encoding.key_id,
        })
    }

    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        search(self.len(), key, |position| self.key(position)).ok()
    }
}
