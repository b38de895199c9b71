//! One index in memory, in the sorted packed form in which it was stored.

use std::cmp::Ordering;
use std::ops::Range;

use super::entry::Entry;
use super::error::Malformed;
use super::layout::{Header, Layout, LayoutValidator};
use crate::blob::BlobId;
use crate::id::ContentId;

/// One index blob (or the local index of one pack), checked.
///
/// It stays as it was stored: one buffer, entries found by binary search.
pub struct PackedIndex {
    layout: Layout,
    records: Box<[u8]>,
}

debug_of!(PackedIndex, "PackedIndex");

impl PackedIndex {
    /// Reads an index of either version; bytes after the described data are ignored, as the format allows.
    ///
    /// # Errors
    /// [`Malformed`] for anything that is not an index, whose keys do not ascend, or whose entries name packs or
    /// formats that it does not have.
    pub fn parse(mut bytes: Vec<u8>) -> Result<Self, Malformed> {
        let header = Header::parse(&bytes)?;
        let (records, tables) = usize::try_from(header.records_len())
            .ok()
            .and_then(|length| bytes.get(header.length..)?.split_at_checked(length))
            .ok_or(Malformed::Truncated("entries"))?;
        let mut checker = LayoutValidator::new(header);
        records.chunks_exact(header.stride).try_for_each(|record| checker.check(record))?;
        let end = header.length + records.len();
        let layout = checker.finish(tables)?;
        bytes.truncate(end);
        bytes.drain(..header.length);
        Ok(Self::from_parts(layout, bytes))
    }

    /// An index of records that were checked, or of some of them.
    pub(super) fn from_parts(layout: Layout, records: Vec<u8>) -> Self {
        Self { layout, records: records.into_boxed_slice() }
    }

    /// How to read the records, and the records.
    pub(super) fn into_parts(self) -> (Layout, Box<[u8]>) {
        (self.layout, self.records)
    }

    /// How many entries there are.
    pub fn len(&self) -> u32 {
        (self.records.len() / self.layout.stride.max(1)) as u32
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that this index holds on to.
    pub fn memory(&self) -> u64 {
        self.records.len() as u64 + self.layout.memory()
    }

    /// The packs that entries can name; [`Entry::pack`] of this index counts in this list.
    pub fn packs(&self) -> &[BlobId] {
        &self.layout.packs
    }

    pub(super) fn key_size(&self) -> usize {
        self.layout.key_size
    }

    #[inline]
    fn record(&self, position: u32) -> &[u8] {
        let start = position as usize * self.layout.stride;
        self.records.get(start..start + self.layout.stride).unwrap_or_default()
    }

    #[inline]
    pub(super) fn key(&self, position: u32) -> &[u8] {
        self.record(position).get(..self.layout.key_size).unwrap_or_default()
    }

    /// The entry at a position, in the order of content IDs; `None` beyond the last one.
    pub fn entry(&self, position: u32) -> Option<Entry> {
        self.layout.entry(self.record(position))
    }

    /// The entry of a content.
    pub fn get(&self, id: &ContentId) -> Option<Entry> {
        self.entry(self.find(id.key()).ok()?)
    }

    /// All entries, ordered by content ID.
    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        (0..self.len()).filter_map(|position| self.entry(position))
    }

    /// The entries of the contents with one prefix letter.
    pub fn with_prefix(&self, prefix: u8) -> impl Iterator<Item = Entry> + '_ {
        let positions = prefixed(self.len(), prefix, |position| self.key(position));
        positions.filter_map(|position| self.entry(position))
    }

    pub(super) fn find(&self, key: &[u8]) -> Result<u32, u32> {
        search(self.len(), key, |position| self.key(position))
    }
}

/// Binary search over fixed-size keys; the position, or where the key would be.
pub(super) fn search<'a>(count: u32, key: &[u8], at: impl Fn(u32) -> &'a [u8]) -> Result<u32, u32> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        match at(middle).cmp(key) {
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
            Ordering::Equal => return Ok(middle),
        }
    }
    Err(low)
}

/// Positions of the keys with one prefix letter.
pub(super) fn prefixed<'a>(count: u32, prefix: u8, at: impl Fn(u32) -> &'a [u8]) -> Range<u32> {
    let first = |key: &[u8]| search(count, key, &at).unwrap_or_else(|at| at);
    first(&[prefix])..prefix.checked_add(1).map_or(count, |next| first(&[next]))
}
