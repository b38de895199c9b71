//! Indexes of millions of contents that do not exist.

use super::error::{Error, Result};
use super::index::IndexEntry;
use super::rng::{derive, fill_at, word_at};
use super::writer::RepositoryWriter;
use crate::index::ContentId;
use rayon::prelude::*;
use std::sync::Arc;

/// Bytes of a key (prefix byte and hash) and of the record behind it.
const KEY: usize = 17;
const VALUE: usize = 18;
const STRIDE: usize = KEY + VALUE;
const HEADER: usize = 17;
const PACK_RECORD: usize = 5;
const FORMAT_RECORD: usize = 6;
/// `p`, 32 digits, `-`, a session of 20 characters.
const NAME: usize = 54;
/// Entries made by one thread at a time.
const GRAIN: usize = 1 << 14;
/// No index blob of Kopia has more entries.
const MAX_ENTRIES: u64 = 16_000_000;

/// An index of contents in packs that do not exist. Every entry follows from its number, so a test can look any of
/// them up without remembering them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyntheticIndex {
    /// How many contents.
    pub contents: u64,
    /// Over how many index blobs they are spread; content `i` is in number `i` modulo this.
    pub blobs: u32,
    /// How many contents share a pack.
    pub per_pack: u32,
    /// Which ones.
    pub seed: u64,
    /// Time of all entries, in seconds since 1970.
    pub time: u64,
}

impl SyntheticIndex {
    /// An index with 320 contents a pack: 20 MiB of 64 KiB each.
    pub fn new(contents: u64, blobs: u32) -> SyntheticIndex {
        SyntheticIndex { contents, blobs, per_pack: 320, seed: 1, time: 1_767_225_600 }
    }

    /// The key of content `number`. Keys ascend with the number and are spread evenly.
    fn key(&self, number: u64) -> [u8; KEY] {
        let step = u64::MAX / self.contents.max(1);
        let jitter = (u128::from(word_at(self.seed, number)) * u128::from(step.max(1))) >> 64;
        let high = number.wrapping_mul(step).wrapping_add(jitter as u64);
        let low = word_at(derive(self.seed, 1), number);
        let mut key = [0; KEY];
        if let Some((_, hash)) = key.split_first_mut() {
            for (to, from) in hash.iter_mut().zip(high.to_be_bytes().into_iter().chain(low.to_be_bytes())) {
                *to = from;
            }
        }
        key
    }

    fn entries_in(&self, blob: u32) -> u64 {
        let blobs = u64::from(self.blobs.max(1));
        (self.contents + blobs - 1).saturating_sub(u64::from(blob)) / blobs
    }

    fn packs_in(&self, blob: u32) -> u64 {
        self.entries_in(blob).div_ceil(u64::from(self.per_pack.max(1))).clamp(1, 1 << 24)
    }

    fn place(&self, number: u64) -> Place {
        let blob = (number % u64::from(self.blobs.max(1))) as u32;
        let random = word_at(derive(self.seed, 2), number);
        let pack = ((u128::from(random) * u128::from(self.packs_in(blob))) >> 64) as u64;
        let length = 1024 + (random & 0xffff) as u32;
        Place { blob, pack, offset: 32 + (random >> 8) as u32 % (20 << 20), length }
    }

    fn pack_name(&self, blob: u32, pack: u64) -> String {
        let mut bytes = [0; 24];
        fill_at(derive(derive(self.seed, 3), (u64::from(blob) << 32) | pack), 0, &mut bytes);
        let mut name = hex::encode(bytes);
        name.insert_str(32, "-s");
        name.insert(0, 'p');
        name.push_str("147");
        name
    }

    /// Entry number `number`, of those from 0 on in the order of their IDs; what the index says of it.
    pub fn entry(&self, number: u64) -> Result<IndexEntry> {
        let id = ContentId::from_key(&self.key(number)).ok_or_else(|| Error::invalid("not a content ID"))?;
        let place = self.place(number);
        Ok(IndexEntry {
            id,
            time: self.time,
            deleted: false,
            pack: Arc::from(self.pack_name(place.blob, place.pack)),
            offset: place.offset,
            packed_length: place.length + 28,
            original_length: place.length,
            compression: 0,
            format_version: 3,
            key_id: 0,
        })
    }

    /// The bytes of index blob number `blob`.
    pub fn encode(&self, blob: u32) -> Result<Vec<u8>> {
        let (entries, packs) = (self.entries_in(blob), self.packs_in(blob));
        if entries > MAX_ENTRIES {
            return Err(Error::invalid(format!(
                "{entries} contents in one index blob, at most {MAX_ENTRIES}"
            )));
        }
        let names_at = HEADER + entries as usize * STRIDE + packs as usize * PACK_RECORD + FORMAT_RECORD;
        let mut out = Vec::with_capacity(names_at + packs as usize * NAME);
        out.extend([2, KEY as u8, 0, VALUE as u8]);
        out.extend((entries as u32).to_be_bytes());
        out.extend((packs as u32).to_be_bytes());
        out.extend([1, 0, 0, 0, 0]);
        out.resize(HEADER + entries as usize * STRIDE, 0);
        let records = out.split_at_mut(HEADER).1;
        records.par_chunks_mut(GRAIN * STRIDE).enumerate().for_each(|(part, records)| {
            let (records, _) = records.as_chunks_mut::<STRIDE>();
            for (index, record) in records.iter_mut().enumerate() {
                let row = (part * GRAIN + index) as u64;
                *record = self.record(u64::from(blob) + row * u64::from(self.blobs.max(1)));
            }
        });
        for pack in 0..packs {
            out.push(NAME as u8);
            out.extend(((names_at + pack as usize * NAME) as u32).to_be_bytes());
        }
        out.extend([0, 0, 0, 0, 3, 0]);
        for pack in 0..packs {
            out.extend_from_slice(self.pack_name(blob, pack).as_bytes());
        }
        Ok(out)
    }

    fn record(&self, number: u64) -> [u8; STRIDE] {
        let place = self.place(number);
        let [_, original @ ..] = place.length.to_be_bytes();
        let [_, packed @ ..] = (place.length + 28).to_be_bytes();
        let [.., pack_high, pack_middle, pack_low] = place.pack.to_be_bytes();
        let parts = [
            &self.key(number)[..],
            &(self.time as u32).to_be_bytes(),
            &place.offset.to_be_bytes(),
            &original,
            &packed,
            &[pack_middle, pack_low, 0, pack_high],
        ];
        let mut record = [0; STRIDE];
        for (to, from) in record.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        record
    }
}

struct Place {
    blob: u32,
    pack: u64,
    offset: u32,
    length: u32,
}

impl RepositoryWriter {
    /// Writes a synthetic index into the current epoch. The contents' hashes have 16 bytes whatever the repository's
    /// have.
    pub fn write_synthetic_index(&mut self, index: &SyntheticIndex) -> Result<()> {
        for blob in 0..index.blobs.max(1) {
            if index.entries_in(blob) > 0 {
                self.put_epoch_index(&index.encode(blob)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::encode_index;

    #[test]
    fn the_bytes_are_those_of_the_entries() {
        for (contents, blobs) in [(1, 1), (1000, 1), (1000, 7), (5, 9)] {
            let index = SyntheticIndex { per_pack: 10, ..SyntheticIndex::new(contents, blobs) };
            let mut seen = 0;
            for blob in 0..blobs {
                let numbers: Vec<u64> =
                    (0..contents).filter(|n| n % u64::from(blobs) == u64::from(blob)).collect();
                seen += numbers.len() as u64;
                assert_eq!(index.entries_in(blob), numbers.len() as u64);
                let bytes = index.encode(blob).unwrap();
                for (row, number) in numbers.iter().enumerate() {
                    let entry = index.entry(*number).unwrap();
                    // The same record in an index of its own differs in the pack's number only.
                    let own = encode_index(std::slice::from_ref(&entry)).unwrap();
                    let record = &bytes[HEADER + row * STRIDE..][..STRIDE];
                    assert_eq!(record[..KEY + 14], own[HEADER..HEADER + KEY + 14]);
                }
            }
            assert_eq!(seen, contents);
        }
    }

    #[test]
    fn keys_ascend_and_spread() {
        let index = SyntheticIndex::new(100_000, 1);
        let keys: Vec<_> = (0..100_000).map(|n| index.key(n)).collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
        let first: std::collections::HashSet<u8> = keys.iter().map(|k| k[1]).collect();
        assert_eq!(first.len(), 256);
    }
}
