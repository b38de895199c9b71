//! Index blobs, written (`format-spec/08-index.md`).

use super::error::{Error, Result};
use crate::index::ContentId;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

/// Header and records of index v2, in bytes.
const HEADER: usize = 17;
const PACK_RECORD: usize = 5;
const FORMAT_RECORD: usize = 6;

/// Marks a deleted entry in the offset field.
const DELETED: u32 = 1 << 31;

/// What an index says of one content. Any of it may be a lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// Which content.
    pub id: ContentId,
    /// When it was written or deleted, in seconds since 1970; 32 bits are stored.
    pub time: u64,
    /// Whether the entry is a deletion.
    pub deleted: bool,
    /// Name of the pack; any text of up to 255 bytes.
    pub pack: Arc<str>,
    /// Where in the pack; below 2^31.
    pub offset: u32,
    /// How many bytes there; below 2^28.
    pub packed_length: u32,
    /// How many bytes it has decompressed; below 2^28.
    pub original_length: u32,
    /// Compression header; 0 for none.
    pub compression: u32,
    /// Format version; 3 in today's repositories.
    pub format_version: u8,
    /// Encryption key; only 0 can be read.
    pub key_id: u8,
}

/// Keeps the entry that wins for each content, sorted as an index is.
pub(crate) fn merge(entries: &mut Vec<IndexEntry>) {
    entries.sort_by(|a, b| {
        let rank = |e: &IndexEntry| (Reverse(e.time), e.deleted);
        a.id.cmp(&b.id).then_with(|| rank(a).cmp(&rank(b))).then_with(|| b.pack.cmp(&a.pack))
    });
    entries.dedup_by(|later, kept| later.id == kept.id);
}

/// The index of these entries, which are written as they stand: order and doubles are the caller's.
///
/// # Errors
/// When the format cannot hold them: IDs of different lengths, more than 255 formats, 2^24 packs, a pack name of
/// more than 255 bytes.
pub fn encode_index(entries: &[IndexEntry]) -> Result<Vec<u8>> {
    let mut packs: HashMap<&str, usize> = HashMap::new();
    let mut pack_names = Vec::new();
    let mut formats: HashMap<(u32, u8, u8), usize> = HashMap::new();
    let mut format_records = Vec::new();
    let mut longest = 0;
    let key_size = entries.first().map_or(255, |first| first.id.key().len());
    for entry in entries {
        packs.entry(&entry.pack).or_insert_with(|| {
            pack_names.push(&*entry.pack);
            pack_names.len() - 1
        });
        let format = (entry.compression, entry.format_version, entry.key_id);
        formats.entry(format).or_insert_with(|| {
            format_records.push(format);
            format_records.len() - 1
        });
        longest = longest.max(entry.packed_length).max(entry.original_length);
        if entry.id.key().len() != key_size {
            return Err(Error::invalid("one index holds IDs of one length"));
        }
    }
    let format_count =
        u8::try_from(format_records.len()).map_err(|_| Error::invalid("an index has at most 255 formats"))?;
    if pack_names.len() > 1 << 24 || longest >= 1 << 28 {
        return Err(Error::invalid("more packs or longer contents than an index can hold"));
    }
    let value_size: u16 = match () {
        () if longest >= 1 << 24 => 19,
        () if pack_names.len() > 1 << 16 => 18,
        () if format_count > 1 => 17,
        () => 16,
    };
    let stride = key_size + usize::from(value_size);
    let names: usize = pack_names.iter().map(|name| name.len()).sum();
    let names_at = HEADER
        + entries.len() * stride
        + pack_names.len() * PACK_RECORD
        + format_records.len() * FORMAT_RECORD;
    let count = |n: usize| u32::try_from(n).map_err(|_| Error::invalid("an index has at most 4 GiB"));
    count(names_at + names)?;

    let mut out = Vec::with_capacity(names_at + names);
    out.extend([2, key_size as u8]);
    out.extend(value_size.to_be_bytes());
    out.extend(count(entries.len())?.to_be_bytes());
    out.extend(count(pack_names.len())?.to_be_bytes());
    out.push(format_count);
    out.extend([0; 4]);
    for entry in entries {
        let pack = packs.get(&*entry.pack).copied().unwrap_or_default();
        let format = formats.get(&(entry.compression, entry.format_version, entry.key_id)).copied();
        out.extend_from_slice(entry.id.key());
        put_value(&mut out, value_size, entry, pack as u32, format.unwrap_or_default() as u8);
    }
    let mut name_at = names_at;
    for name in &pack_names {
        out.push(u8::try_from(name.len()).map_err(|_| Error::invalid("a pack name has at most 255 bytes"))?);
        out.extend(count(name_at)?.to_be_bytes());
        name_at += name.len();
    }
    for (compression, version, key_id) in format_records {
        out.extend(compression.to_be_bytes());
        out.extend([version, key_id]);
    }
    for name in pack_names {
        out.extend_from_slice(name.as_bytes());
    }
    Ok(out)
}

fn put_value(out: &mut Vec<u8>, value_size: u16, entry: &IndexEntry, pack: u32, format: u8) {
    let [_, original @ ..] = entry.original_length.to_be_bytes();
    let [_, packed @ ..] = entry.packed_length.to_be_bytes();
    let [_, pack_high, pack @ ..] = pack.to_be_bytes();
    out.extend((entry.time as u32).to_be_bytes());
    out.extend((entry.offset | if entry.deleted { DELETED } else { 0 }).to_be_bytes());
    out.extend(original);
    out.extend(packed);
    out.extend(pack);
    let high = (((entry.original_length >> 24) << 4) | (entry.packed_length >> 24)) as u8;
    out.extend([format, pack_high, high].into_iter().take(usize::from(value_size) - 16));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    fn entry(id: &str, pack: &str, time: u64) -> IndexEntry {
        IndexEntry {
            id: id.parse().unwrap(),
            time,
            deleted: false,
            pack: pack.into(),
            offset: 32,
            packed_length: 128,
            original_length: 100,
            compression: 0,
            format_version: 3,
            key_id: 0,
        }
    }

    #[derive(Deserialize)]
    struct Vectors {
        valid: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        hex: String,
        entries: Vec<VectorEntry>,
    }

    #[derive(Deserialize)]
    struct VectorEntry {
        id: String,
        time: u64,
        deleted: bool,
        pack: String,
        offset: u32,
        packed_length: u32,
        original_length: u32,
        compression: u32,
        format_version: u8,
        key_id: u8,
    }

    #[test]
    fn indexes_equal_those_that_kopia_writes() {
        let vectors: Vectors =
            serde_json::from_str(include_str!("../../format-spec/vectors/index.json")).unwrap();
        // The others have what readers must accept and writers do not make.
        let wanted = ["v2", "v2-es16", "v2-es17", "v2-key-id", "v2-hash28", "v2-hash32"];
        let mut compared = 0;
        for vector in vectors.valid.iter().filter(|vector| wanted.contains(&vector.name.as_str())) {
            let mut entries: Vec<IndexEntry> = vector
                .entries
                .iter()
                .map(|e| IndexEntry {
                    id: e.id.parse().unwrap(),
                    time: e.time,
                    deleted: e.deleted,
                    pack: e.pack.as_str().into(),
                    offset: e.offset,
                    packed_length: e.packed_length,
                    original_length: e.original_length,
                    compression: e.compression,
                    format_version: e.format_version,
                    key_id: e.key_id,
                })
                .collect();
            entries.reverse();
            merge(&mut entries);
            assert_eq!(hex::encode(encode_index(&entries).unwrap()), vector.hex, "{}", vector.name);
            compared += 1;
        }
        assert_eq!(compared, wanted.len());
    }

    #[test]
    fn the_winner_stays_when_entries_are_merged() {
        let id = "00112233445566778899aabbccddeeff";
        let deleted = IndexEntry { deleted: true, ..entry(id, "pb", 5) };
        let mut entries = vec![entry(id, "pa", 5), deleted.clone(), entry(id, "pb", 5), entry(id, "pz", 4)];
        merge(&mut entries);
        assert_eq!(entries, [entry(id, "pb", 5)]);
        let mut entries = vec![entry(id, "pa", 4), deleted.clone()];
        merge(&mut entries);
        assert_eq!(entries, [deleted]);
    }

    #[test]
    fn what_the_format_cannot_hold_is_refused() {
        let short = entry("00", "p", 1);
        assert!(encode_index(&[entry("0011", "p", 1), short.clone()]).is_err());
        assert!(encode_index(&[IndexEntry { packed_length: 1 << 28, ..short.clone() }]).is_err());
        assert!(encode_index(&[IndexEntry { pack: "x".repeat(256).into(), ..short }]).is_err());
    }
}
