//! Entries of the whole index as records of a fixed size: the form of merged tables, in memory and in a file.

use super::bytes::big_endian;
use super::entry::{Entry, PackNumber};
use crate::id::ContentId;

/// Value behind the key: time (6 bytes), offset and deletion bit (4), packed length (4), original length (4), pack (4),
/// compression (4), format version (1), key number (1).
const VALUE: usize = 28;

const DELETED: u32 = 1 << 31;

/// Bytes of a record whose key has this size.
pub(super) const fn stride(key_size: usize) -> usize {
    key_size + VALUE
}

/// Appends the record of an entry.
pub(super) fn encode(entry: &Entry, out: &mut Vec<u8>) {
    let offset = entry.offset | if entry.deleted { DELETED } else { 0 };
    out.extend_from_slice(entry.id.key());
    out.extend_from_slice(entry.time.to_be_bytes().get(2..).unwrap_or_default());
    for field in [offset, entry.packed_length, entry.original_length, entry.pack.0, entry.compression] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    out.extend([entry.format_version, entry.key_id]);
}

/// The entry of a record whose key has `key_size` bytes.
pub(super) fn decode(record: &[u8], key_size: usize) -> Option<Entry> {
    let (key, value) = record.split_at_checked(key_size)?;
    let number = |from: usize, to: usize| value.get(from..to).map(big_endian);
    let offset = number(6, 10)? as u32;
    Some(Entry {
        id: ContentId::from_key(key)?,
        time: number(0, 6)?,
        deleted: offset & DELETED != 0,
        offset: offset & !DELETED,
        packed_length: number(10, 14)? as u32,
        original_length: number(14, 18)? as u32,
        pack: PackNumber(number(18, 22)? as u32),
        compression: number(22, 26)? as u32,
        format_version: *value.get(26)?,
        key_id: *value.get(27)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_give_back_their_entries() {
        let entry = Entry {
            id: "k00112233445566778899aabbccddeeff".parse().unwrap(),
            time: (1 << 48) - 2,
            deleted: true,
            pack: PackNumber(u32::MAX - 1),
            offset: (1 << 31) - 3,
            packed_length: (1 << 28) - 4,
            original_length: (1 << 28) - 5,
            compression: 0xfeed_f00d,
            format_version: 250,
            key_id: 249,
        };
        for entry in [entry, Entry { deleted: false, id: "00".parse().unwrap(), ..entry }] {
            let mut record = Vec::new();
            encode(&entry, &mut record);
            let key_size = entry.id.key().len();
            assert_eq!(record.len(), stride(key_size));
            assert_eq!(decode(&record, key_size), Some(entry));
            assert_eq!(decode(&record[..record.len() - 1], key_size), None);
        }
    }
}
