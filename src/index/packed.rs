//! The sorted packed forms in which indexes are stored, versions 1 and 2 (`format-spec/08-index.md`).
//!
//! An index stays as it was stored: one buffer, entries found by binary search. Everything is checked once, when it is
//! parsed, so that access afterwards cannot fail.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;

use super::bytes::{Fields, big_endian};
use super::entry::{Entry, PackNumber};
use super::error::Malformed;
use super::id::{ContentId, MAX_HASH};
use crate::blob::BlobId;

/// Bytes that encryption adds to a content: how index v1, which does not store original lengths, implies them.
const ENCRYPTION_OVERHEAD: u32 = 28;

/// Key size that marks an empty v1 index.
const EMPTY_KEY_SIZE: u8 = 255;

const DELETED: u64 = 1 << 31;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// How contents of an index were compressed and by which format they were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Encoding {
    pub(super) compression: u32,
    pub(super) format_version: u8,
    pub(super) key_id: u8,
}

/// One index blob (or the local index of one pack), checked.
pub struct PackedIndex {
    version: Version,
    bytes: Box<[u8]>,
    entries: Range<usize>,
    key_size: usize,
    stride: usize,
    base_time: u64,
    packs: Vec<BlobId>,
    v1_names: HashMap<(u32, u8), u32>,
    encodings: Vec<Encoding>,
}

impl PackedIndex {
    /// Reads an index of either version; bytes after the described data are ignored, as the format allows.
    ///
    /// # Errors
    /// [`Malformed`] for anything that is not an index, whose keys do not ascend, or whose entries name packs or
    /// formats that it does not have.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, Malformed> {
        let index = match bytes.first() {
            Some(1) => Self::parse_v1(bytes)?,
            Some(2) => Self::parse_v2(bytes)?,
            Some(&other) => return Err(Malformed::Version(other)),
            None => return Err(Malformed::Truncated("header")),
        };
        index.check_order()?;
        Ok(index)
    }

    fn parse_v1(bytes: Vec<u8>) -> Result<Self, Malformed> {
        const HEADER: usize = 8;
        const VALUE: u16 = 20;
        let mut fields = Fields::new(&bytes);
        fields.number::<1>()?;
        let key_size = fields.number::<1>()? as u8;
        let entry_size = fields.number::<2>()? as u16;
        let count = fields.number::<4>()?;
        if key_size == EMPTY_KEY_SIZE && count == 0 {
            return Ok(Self::empty(Version::V1));
        }
        check_key_size(key_size)?;
        if entry_size != VALUE {
            return Err(Malformed::EntrySize(entry_size));
        }
        let stride = usize::from(key_size) + usize::from(VALUE);
        let entries = section(&bytes, HEADER, count, stride, "entries")?;
        let mut index = Self {
            entries,
            key_size: usize::from(key_size),
            stride,
            encodings: vec![Encoding { compression: 0, format_version: 1, key_id: 0 }],
            bytes: bytes.into_boxed_slice(),
            ..Self::empty(Version::V1)
        };
        index.collect_v1_names()?;
        Ok(index)
    }

    /// Index v1 repeats a pack's name position in each of its entries; this numbers the distinct ones.
    fn collect_v1_names(&mut self) -> Result<(), Malformed> {
        let mut names = HashMap::new();
        let mut packs = Vec::new();
        for position in 0..self.len() {
            let name_at = self.v1_name(position);
            if names.contains_key(&name_at) {
                continue;
            }
            let (offset, length) = name_at;
            let name = self.name(offset as usize, usize::from(length)).ok_or(Malformed::Pack(position))?;
            names.insert(name_at, packs.len() as u32);
            packs.push(name);
        }
        self.packs = packs;
        self.v1_names = names;
        Ok(())
    }

    fn v1_name(&self, position: u32) -> (u32, u8) {
        let value = self.value(position);
        let offset = big_endian(value.get(8..12).unwrap_or_default()) as u32;
        (offset, value.get(7).copied().unwrap_or_default())
    }

    fn parse_v2(bytes: Vec<u8>) -> Result<Self, Malformed> {
        const HEADER: usize = 17;
        const PACK_RECORD: usize = 5;
        const FORMAT_RECORD: usize = 6;
        let mut fields = Fields::new(&bytes);
        fields.number::<1>()?;
        let key_size = fields.number::<1>()? as u8;
        let entry_size = fields.number::<2>()? as u16;
        let count = fields.number::<4>()?;
        let pack_count = fields.number::<4>()?;
        let format_count = fields.number::<1>()?;
        let base_time = fields.number::<4>()?;
        check_key_size(key_size)?;
        if !(16..=19).contains(&entry_size) {
            return Err(Malformed::EntrySize(entry_size));
        }
        let stride = usize::from(key_size) + usize::from(entry_size);
        let entries = section(&bytes, HEADER, count, stride, "entries")?;
        let packs = section(&bytes, entries.end, pack_count, PACK_RECORD, "pack table")?;
        let formats = section(&bytes, packs.end, format_count, FORMAT_RECORD, "format table")?;
        let encodings = bytes
            .get(formats)
            .unwrap_or_default()
            .chunks_exact(FORMAT_RECORD)
            .map(|record| {
                let mut fields = Fields::new(record);
                Ok(Encoding {
                    compression: fields.number::<4>()? as u32,
                    format_version: fields.number::<1>()? as u8,
                    key_id: fields.number::<1>()? as u8,
                })
            })
            .collect::<Result<_, Malformed>>()?;
        let mut index = Self {
            entries,
            key_size: usize::from(key_size),
            stride,
            base_time,
            encodings,
            bytes: bytes.into_boxed_slice(),
            ..Self::empty(Version::V2)
        };
        index.packs = index
            .bytes
            .get(packs)
            .unwrap_or_default()
            .chunks_exact(PACK_RECORD)
            .map(|record| {
                let mut fields = Fields::new(record);
                let length = fields.number::<1>()? as usize;
                let offset = fields.number::<4>()? as usize;
                index.name(offset, length).ok_or(Malformed::Pack(0))
            })
            .collect::<Result<_, Malformed>>()?;
        for position in 0..index.len() {
            let (pack, format) = index.v2_references(position);
            if pack as usize >= index.packs.len() {
                return Err(Malformed::Pack(position));
            }
            if format >= index.encodings.len()
                && !(format == 0 && entry_size == 16 && index.encodings.is_empty())
            {
                return Err(Malformed::Format(position));
            }
        }
        Ok(index)
    }

    fn v2_references(&self, position: u32) -> (u32, usize) {
        let value = self.value(position);
        let low = big_endian(value.get(14..16).unwrap_or_default()) as u32;
        let high = value.get(17).map_or(0, |&b| u32::from(b) << 16);
        (high | low, value.get(16).map_or(0, |&b| usize::from(b)))
    }

    fn empty(version: Version) -> Self {
        Self {
            version,
            bytes: Box::default(),
            entries: 0..0,
            key_size: 0,
            stride: 1,
            base_time: 0,
            packs: Vec::new(),
            v1_names: HashMap::new(),
            encodings: Vec::new(),
        }
    }

    fn name(&self, offset: usize, length: usize) -> Option<BlobId> {
        let bytes = self.bytes.get(offset..offset.checked_add(length)?)?;
        BlobId::new(std::str::from_utf8(bytes).ok()?).ok()
    }

    fn check_order(&self) -> Result<(), Malformed> {
        let mut previous: &[u8] = &[];
        for position in 0..self.len() {
            let key = self.key(position);
            if ContentId::from_key(key).is_none() {
                return Err(Malformed::Key(position));
            }
            if key <= previous {
                return Err(Malformed::Unordered(position));
            }
            previous = key;
        }
        Ok(())
    }

    /// How many entries there are.
    pub fn len(&self) -> u32 {
        (self.entries.len() / self.stride) as u32
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that this index holds on to.
    pub fn memory(&self) -> u64 {
        let names: usize = self.packs.iter().map(|p| p.as_str().len() + 32).sum();
        (self.bytes.len() + names + self.v1_names.len() * 16) as u64
    }

    /// The packs that entries can name; [`Entry::pack`] of this index counts in this list.
    pub fn packs(&self) -> &[BlobId] {
        &self.packs
    }

    pub(super) fn key_size(&self) -> usize {
        self.key_size
    }

    #[inline]
    fn record(&self, position: u32) -> &[u8] {
        let start = self.entries.start + position as usize * self.stride;
        // What follows the entries has another meaning, and bytes enough for a record.
        let end = (start + self.stride).min(self.entries.end);
        self.bytes.get(start..end).unwrap_or_default()
    }

    #[inline]
    pub(super) fn key(&self, position: u32) -> &[u8] {
        self.record(position).get(..self.key_size).unwrap_or_default()
    }

    #[inline]
    fn value(&self, position: u32) -> &[u8] {
        self.record(position).get(self.key_size..).unwrap_or_default()
    }

    /// The entry at a position, in the order of content IDs; `None` beyond the last one.
    pub fn entry(&self, position: u32) -> Option<Entry> {
        let id = ContentId::from_key(self.key(position))?;
        let value = self.value(position);
        let number = |range: Range<usize>| value.get(range).map(big_endian);
        Some(match self.version {
            Version::V1 => {
                let packed_length = number(16..20)? as u32;
                let offset = number(12..16)?;
                Entry {
                    id,
                    time: number(0..6)?,
                    format_version: *value.get(6)?,
                    pack: PackNumber(*self.v1_names.get(&self.v1_name(position))?),
                    deleted: offset & DELETED != 0,
                    offset: (offset & !DELETED) as u32,
                    packed_length,
                    original_length: packed_length.saturating_sub(ENCRYPTION_OVERHEAD),
                    compression: 0,
                    key_id: 0,
                }
            }
            Version::V2 => {
                let (pack, format) = self.v2_references(position);
                let encoding = self.encodings.get(format).copied().unwrap_or(Encoding {
                    compression: 0,
                    format_version: 0,
                    key_id: 0,
                });
                let high = value.get(18).copied().map_or(0, u32::from);
                let offset = number(4..8)?;
                Entry {
                    id,
                    time: self.base_time + number(0..4)?,
                    deleted: offset & DELETED != 0,
                    offset: (offset & !DELETED) as u32,
                    original_length: (number(8..11)? as u32) | ((high >> 4) << 24),
                    packed_length: (number(11..14)? as u32) | ((high & 0x0f) << 24),
                    pack: PackNumber(pack),
                    compression: encoding.compression,
                    format_version: encoding.format_version,
                    key_id: encoding.key_id,
                }
            }
        })
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
        let start = self.find(&[prefix]).unwrap_or_else(|at| at);
        (start..self.len())
            .take_while(move |&position| self.key(position).first() == Some(&prefix))
            .filter_map(|position| self.entry(position))
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

fn check_key_size(size: u8) -> Result<(), Malformed> {
    if (2..=MAX_HASH as u8 + 1).contains(&size) { Ok(()) } else { Err(Malformed::KeySize(size)) }
}

/// The range of `count` records of `size` bytes from `start`, if the data has it.
fn section(
    bytes: &[u8],
    start: usize,
    count: u64,
    size: usize,
    name: &'static str,
) -> Result<Range<usize>, Malformed> {
    let end = count.checked_mul(size as u64).and_then(|n| n.checked_add(start as u64));
    match end.and_then(|end| usize::try_from(end).ok()) {
        Some(end) if end <= bytes.len() => Ok(start..end),
        _ => Err(Malformed::Truncated(name)),
    }
}
