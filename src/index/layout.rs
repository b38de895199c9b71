//! How the records of an index are read, versions 1 and 2 (`format-spec/08-index.md`).
//!
//! An index is a header, records of one size in the order of their keys, and tables behind them. It may come piece by
//! piece: [`Header::parse`], then a [`LayoutValidator`] for each record, then the tables, and everything has been checked, so
//! that access afterwards cannot fail.

use std::collections::HashMap;
use std::ops::Range;

use super::bytes::{Fields, big_endian};
use super::entry::{Entry, PackNumber};
use super::error::Malformed;
use crate::blob::BlobId;
use crate::id::{ContentId, MAX_HASH};

/// Bytes that encryption adds to a content: how index v1, which does not store original lengths, implies them.
const ENCRYPTION_OVERHEAD: u32 = 28;

/// Key size that marks an empty v1 index.
const EMPTY_KEY_SIZE: u8 = 255;

const DELETED: u64 = 1 << 31;

const V1_VALUE: u16 = 20;
const V2_VALUES: std::ops::RangeInclusive<u16> = 16..=19;
const PACK_RECORD: usize = 5;
const FORMAT_RECORD: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// The fixed beginning of an index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    version: Version,
    /// Bytes of the header itself: where records begin.
    pub(super) length: usize,
    pub(super) key_size: usize,
    /// Bytes of a record: key and value.
    pub(super) stride: usize,
    /// How many records there are.
    pub(super) count: u32,
    pack_count: u32,
    format_count: u8,
    base_time: u64,
}

impl Header {
    /// No header is longer.
    pub(super) const LONGEST: usize = 17;

    /// Reads the header at the beginning of `bytes`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(bytes);
        let version = match fields.number::<1>()? {
            1 => Version::V1,
            2 => Version::V2,
            other => return Err(Malformed::Version(other as u8)),
        };
        let key_size = fields.number::<1>()? as u8;
        let value_size = fields.number::<2>()? as u16;
        let count = fields.number::<4>()? as u32;
        let mut header = Self {
            version,
            length: 8,
            key_size: usize::from(key_size),
            stride: usize::from(key_size) + usize::from(value_size),
            count,
            pack_count: 0,
            format_count: 0,
            base_time: 0,
        };
        let possible = match version {
            Version::V1 if key_size == EMPTY_KEY_SIZE && count == 0 => return Ok(header),
            Version::V1 => value_size == V1_VALUE,
            Version::V2 => {
                header.length = Self::LONGEST;
                header.pack_count = fields.number::<4>()? as u32;
                header.format_count = fields.number::<1>()? as u8;
                header.base_time = fields.number::<4>()?;
                V2_VALUES.contains(&value_size)
            }
        };
        if !(2..=MAX_HASH as u8 + 1).contains(&key_size) {
            return Err(Malformed::KeySize(key_size));
        }
        if possible { Ok(header) } else { Err(Malformed::EntrySize(value_size)) }
    }

    /// Bytes of all records.
    pub(super) fn records_len(&self) -> u64 {
        u64::from(self.count) * self.stride as u64
    }

    /// Where the tables begin.
    fn tables_at(&self) -> u64 {
        self.length as u64 + self.records_len()
    }

    /// Pack number and format number of a v2 value.
    fn references(value: &[u8]) -> (u32, usize) {
        let low = big_endian(value.get(14..16).unwrap_or_default()) as u32;
        let high = value.get(17).map_or(0, |&b| u32::from(b) << 16);
        (high | low, value.get(16).map_or(0, |&b| usize::from(b)))
    }

    /// Where the name of a v1 value's pack is, and its length.
    fn name_at(value: &[u8]) -> (u32, u8) {
        let offset = big_endian(value.get(8..12).unwrap_or_default()) as u32;
        (offset, value.get(7).copied().unwrap_or_default())
    }
}

/// Checks records as they come, and collects what they refer to.
pub(super) struct LayoutValidator {
    header: Header,
    position: u32,
    previous: Vec<u8>,
    /// v2: the highest pack and format numbers, and records that have them.
    highest_pack: Option<(u32, u32)>,
    highest_format: Option<(usize, u32)>,
    /// v1: the names referred to, and records that do.
    names: HashMap<(u32, u8), u32>,
}

impl LayoutValidator {
    pub(super) fn new(header: Header) -> Self {
        Self {
            header,
            position: 0,
            previous: Vec::with_capacity(MAX_HASH + 1),
            highest_pack: None,
            highest_format: None,
            names: HashMap::new(),
        }
    }

    /// Takes the next record.
    pub(super) fn check(&mut self, record: &[u8]) -> Result<(), Malformed> {
        let position = self.position;
        self.position += 1;
        let (key, value) = record.split_at_checked(self.header.key_size).unwrap_or_default();
        if ContentId::from_key(key).is_none() {
            return Err(Malformed::Key(position));
        }
        if key <= self.previous.as_slice() {
            return Err(Malformed::Unordered(position));
        }
        self.previous.clear();
        self.previous.extend_from_slice(key);
        match self.header.version {
            Version::V1 => {
                self.names.entry(Header::name_at(value)).or_insert(position);
            }
            Version::V2 => {
                let (pack, format) = Header::references(value);
                self.highest_pack = self.highest_pack.max(Some((pack, position)));
                self.highest_format = self.highest_format.max(Some((format, position)));
            }
        }
        Ok(())
    }

    /// Memory that the names of a hostile index could fill, in bytes.
    pub(super) fn memory(&self) -> u64 {
        self.names.len() as u64 * 32
    }

    /// Reads the tables: all that comes behind the records. Bytes after them are ignored, as the format allows.
    pub(super) fn finish(self, tables: &[u8]) -> Result<Layout, Malformed> {
        let tables = Tables { at: self.header.tables_at(), bytes: tables };
        let mut layout = Layout {
            version: self.header.version,
            key_size: self.header.key_size,
            stride: self.header.stride,
            base_time: self.header.base_time,
            packs: Vec::new(),
            v1_names: HashMap::new(),
            encodings: Vec::new(),
        };
        match self.header.version {
            Version::V1 => {
                let mut names: Vec<_> = self.names.into_iter().collect();
                names.sort_unstable_by_key(|(_, position)| *position);
                layout.packs = tables.names(
                    names
                        .iter()
                        .map(|&((at, length), position)| (u64::from(at), usize::from(length), position)),
                )?;
                layout.v1_names =
                    names.into_iter().zip(0..).map(|((name, _), number)| (name, number)).collect();
                layout.encodings.push(Encoding { compression: 0, format_version: 1, key_id: 0 });
            }
            Version::V2 => {
                let (packs, rest) =
                    tables.split(0, self.header.pack_count as usize, PACK_RECORD, "pack table")?;
                let (formats, _) =
                    tables.split(rest, self.header.format_count.into(), FORMAT_RECORD, "format table")?;
                layout.packs = tables.names(packs.chunks_exact(PACK_RECORD).map(|record| {
                    let (length, at) = record.split_at_checked(1).unwrap_or_default();
                    (big_endian(at), big_endian(length) as usize, 0)
                }))?;
                layout.encodings = formats
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
                if let Some((pack, position)) = self.highest_pack
                    && pack as usize >= layout.packs.len()
                {
                    return Err(Malformed::Pack(position));
                }
                // Values of 16 bytes have no format number and need no format.
                let without = layout.encodings.is_empty() && layout.stride == layout.key_size + 16;
                if let Some((format, position)) = self.highest_format
                    && format >= layout.encodings.len()
                    && !without
                {
                    return Err(Malformed::Format(position));
                }
            }
        }
        Ok(layout)
    }
}

/// What comes behind the records.
struct Tables<'a> {
    /// Offset in the index.
    at: u64,
    bytes: &'a [u8],
}

impl<'a> Tables<'a> {
    /// `count` records of `size` bytes from `start`, and where they end.
    fn split(
        &self,
        start: usize,
        count: usize,
        size: usize,
        name: &'static str,
    ) -> Result<(&'a [u8], usize), Malformed> {
        let end = count.checked_mul(size).and_then(|length| length.checked_add(start));
        end.and_then(|end| Some((self.bytes.get(start..end)?, end))).ok_or(Malformed::Truncated(name))
    }

    /// The pack names at (offset in the index, length, record that names it).
    fn names(&self, places: impl Iterator<Item = (u64, usize, u32)>) -> Result<Vec<BlobId>, Malformed> {
        // Writers store every name once. Without this check few bytes could be made to name very many.
        let mut left = self.bytes.len();
        places
            .map(|(offset, length, position)| {
                left = left.checked_sub(length).ok_or(Malformed::Pack(position))?;
                self.name(offset, length).ok_or(Malformed::Pack(position))
            })
            .collect()
    }

    fn name(&self, offset: u64, length: usize) -> Option<BlobId> {
        let start = usize::try_from(offset.checked_sub(self.at)?).ok()?;
        let bytes = self.bytes.get(start..start.checked_add(length)?)?;
        BlobId::new(std::str::from_utf8(bytes).ok()?).ok()
    }
}

/// How contents of an index were compressed and by which format they were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Encoding {
    compression: u32,
    format_version: u8,
    key_id: u8,
}

/// Everything of an index but its records.
pub(super) struct Layout {
    version: Version,
    pub(super) key_size: usize,
    /// Bytes of a record.
    pub(super) stride: usize,
    base_time: u64,
    /// The packs that records can name; [`Entry::pack`] counts in this list.
    pub(super) packs: Vec<BlobId>,
    v1_names: HashMap<(u32, u8), u32>,
    encodings: Vec<Encoding>,
}

impl Layout {
    /// What a record says.
    #[inline]
    pub(super) fn entry(&self, record: &[u8]) -> Option<Entry> {
        let (key, value) = record.split_at_checked(self.key_size)?;
        let id = ContentId::from_key(key)?;
        let number = |range: Range<usize>| value.get(range).map(big_endian);
        Some(match self.version {
            Version::V1 => {
                let packed_length = number(16..20)? as u32;
                let offset = number(12..16)?;
                Entry {
                    id,
                    time: number(0..6)?,
                    format_version: *value.get(6)?,
                    pack: PackNumber(*self.v1_names.get(&Header::name_at(value))?),
                    deleted: offset & DELETED != 0,
                    offset: (offset & !DELETED) as u32,
                    packed_length,
                    original_length: packed_length.saturating_sub(ENCRYPTION_OVERHEAD),
                    compression: 0,
                    key_id: 0,
                }
            }
            Version::V2 => {
                let (pack, format) = Header::references(value);
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

    /// Bytes of memory that it holds on to.
    pub(super) fn memory(&self) -> u64 {
        let names: usize = self.packs.iter().map(|pack| pack.as_str().len() + 32).sum();
        (names + self.v1_names.len() * 16) as u64
    }
}
