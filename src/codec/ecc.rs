//! Error correction: `REED-SOLOMON-CRC32` (format-spec/05-error-correction.md). It lies around the encryption.

use std::ops::Range;
use std::sync::OnceLock;

use reed_solomon_erasure::galois_8::ReedSolomon as Code;

use super::Error;
use crate::os::zeros;
use layout::{CRC_LEN, Dimensions, LENGTH_LEN, Layout};

mod encode;
mod layout;
#[cfg(test)]
mod tests;

/// The decoder of a repository with error correction.
#[derive(Debug)]
pub struct ReedSolomonCrc {
    dimensions: Dimensions,
    /// The codes are made when the first damage turns up: inverting their matrices takes tens of milliseconds.
    full_blocks: OnceLock<Option<Code>>,
    tiny_blocks: OnceLock<Option<Code>>,
}

/// A decoded content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corrected {
    /// The bytes as they were before error correction was added: an encrypted content.
    pub data: Vec<u8>,
    /// Ranges of the stored bytes that were wrong, one for each damaged shard with its checksum, parity included,
    /// in ascending order. Empty for intact contents. Where bytes are missing, they reach past the end.
    pub repaired: Vec<Range<usize>>,
}

impl ReedSolomonCrc {
    /// Name of the algorithm in the repository's configuration. There is no other.
    pub const NAME: &'static str = "REED-SOLOMON-CRC32";

    /// The decoder for a repository's percentage of overhead (`eccOverheadPercent`), 1 to 100.
    ///
    /// # Errors
    /// [`Error::EccOverhead`] for other percentages.
    pub fn new(overhead_percent: u8) -> Result<Self, Error> {
        let dimensions = Dimensions::for_percent(overhead_percent)
            .ok_or(Error::EccOverhead { percent: overhead_percent })?;
        Ok(Self { dimensions, full_blocks: OnceLock::new(), tiny_blocks: OnceLock::new() })
    }

    /// Checks all shards and removes the overhead; repairs what is damaged. A few bytes that are missing at the end
    /// are damage like any other.
    ///
    /// The result is what was encoded as far as CRC-32 can tell; whether it really is, the decryption will show.
    ///
    /// # Errors
    /// [`Error::EccLength`] if nothing is stored in this many bytes, [`Error::EccBeyondRepair`] if too many shards of
    /// a block are damaged, [`Error::EccContentLength`] if the length inside does not fit the length outside.
    pub fn decode(&self, stored: &[u8]) -> Result<Corrected, Error> {
        let mut data = Vec::new();
        let repaired = self.decode_into(stored, &mut data)?;
        Ok(Corrected { data, repaired })
    }

    /// Like [`decode`](Self::decode), into a buffer whose former bytes are dropped. Returns the repaired ranges.
    ///
    /// # Errors
    /// Those of [`decode`](Self::decode).
    pub fn decode_into(&self, stored: &[u8], out: &mut Vec<u8>) -> Result<Vec<Range<usize>>, Error> {
        let bad_length = || Error::EccLength { length: stored.len() };
        let layout = Layout::of_stored(&self.dimensions, stored.len()).ok_or_else(bad_length)?;
        let whole = layout.stored_len();
        if whole == stored.len() {
            return self.decode_whole(&layout, stored, stored.len(), out);
        }
        let mut extended = stored.to_vec();
        extended.resize(whole, 0);
        self.decode_whole(&layout, &extended, stored.len(), out)
    }

    /// Decodes as many bytes as the layout wants, of which the first `present` were really stored.
    fn decode_whole(
        &self,
        layout: &Layout,
        stored: &[u8],
        present: usize,
        out: &mut Vec<u8>,
    ) -> Result<Vec<Range<usize>>, Error> {
        let (parity, data) =
            stored.split_at_checked(layout.parity_len()).ok_or(Error::EccLength { length: stored.len() })?;
        let mut unframed = Unframed::new(out, layout.data_len)?;
        let record = layout.record();
        let mut damaged = Vec::new();
        let mut parity_blocks = parity.chunks(layout.parity * record);
        for (index, data) in data.chunks(layout.data * record).enumerate() {
            let block = Block { layout, parity: parity_blocks.next().unwrap_or_default(), data };
            let damaged_parity = block.damaged(block.parity);
            let damaged_data = block.damaged(block.data);
            if damaged_data.is_empty() {
                block.data_shards().for_each(|shard| unframed.append(shard));
            } else {
                let lost = damaged_data.len() + damaged_parity.len();
                let beyond = Error::EccBeyondRepair { block: index, lost, parity: layout.parity };
                if lost > layout.parity {
                    return Err(beyond);
                }
                let code = self.code(layout)?;
                let shards = block.reconstruct(code, &damaged_data, &damaged_parity).ok_or(beyond)?;
                shards.iter().for_each(|shard| unframed.append(shard));
            }
            let parity_start = index * layout.parity * record;
            let data_start = layout.parity_len() + index * layout.data * record;
            damaged.extend(damaged_parity.iter().map(|shard| parity_start + shard * record));
            damaged.extend(damaged_data.iter().map(|shard| data_start + shard * record));
        }
        damaged.sort_unstable();
        let whole = unframed.finish(&self.dimensions, layout)?.stored_len();
        let mut repaired: Vec<_> = damaged.iter().map(|&start| start..(start + record).min(whole)).collect();
        // What is missing may happen to have been zeros.
        if present < whole && repaired.last().is_none_or(|range| range.end < whole) {
            repaired.push(present..whole);
        }
        Ok(repaired)
    }

    fn code(&self, layout: &Layout) -> Result<&Code, Error> {
        let full = (layout.data, layout.parity) == (self.dimensions.data, self.dimensions.parity);
        let slot = if full { &self.full_blocks } else { &self.tiny_blocks };
        slot.get_or_init(|| Code::new(layout.data, layout.parity).ok())
            .as_ref()
            .ok_or(Error::EccLength { length: layout.data_len })
    }
}

/// One block of the stored bytes.
struct Block<'a> {
    layout: &'a Layout,
    /// Records of parity shards.
    parity: &'a [u8],
    /// Records of data shards. Those that are padding only are missing, and the last may be cut short.
    data: &'a [u8],
}

impl<'a> Block<'a> {
    /// Numbers of the shards among `records` whose CRC is wrong.
    fn damaged(&self, records: &[u8]) -> Vec<usize> {
        let is_damaged = |record: &[u8]| match record.split_first_chunk::<CRC_LEN>() {
            Some((crc, shard)) => self.crc(shard) != u32::from_be_bytes(*crc),
            None => true,
        };
        let records = records.chunks(self.layout.record()).enumerate();
        records.filter(|(_, record)| is_damaged(record)).map(|(number, _)| number).collect()
    }

    /// The CRC of a shard, also of one cut short: it is taken over the padding as well.
    fn crc(&self, shard: &[u8]) -> u32 {
        if shard.len() == self.layout.shard {
            return crc32fast::hash(shard);
        }
        crc32fast::hash(&self.padded(shard))
    }

    fn padded(&self, shard: &[u8]) -> Vec<u8> {
        let mut padded = shard.to_vec();
        padded.resize(self.layout.shard, 0);
        padded
    }

    fn shards(&self, records: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        records.chunks(self.layout.record()).map(|record| record.get(CRC_LEN..).unwrap_or_default())
    }

    fn data_shards(&self) -> impl Iterator<Item = &'a [u8]> {
        self.shards(self.data)
    }

    /// All data shards, the damaged ones recomputed from those that are intact, if those are enough.
    fn reconstruct(&self, code: &Code, data: &[usize], parity: &[usize]) -> Option<Vec<Vec<u8>>> {
        let mut shards: Vec<Option<Vec<u8>>> =
            self.data_shards().map(|shard| Some(self.padded(shard))).collect();
        shards.resize_with(self.layout.data, || Some(vec![0; self.layout.shard]));
        shards.extend(self.shards(self.parity).map(|shard| Some(shard.to_vec())));
        for damaged in data.iter().copied().chain(parity.iter().map(|number| self.layout.data + number)) {
            *shards.get_mut(damaged)? = None;
        }
        code.reconstruct_data(&mut shards).ok()?;
        shards.into_iter().take(self.layout.data).collect()
    }
}

/// Data shards put together, with the length at their start taken off.
struct Unframed<'a> {
    length: Vec<u8>,
    content: &'a mut Vec<u8>,
}

impl<'a> Unframed<'a> {
    fn new(content: &'a mut Vec<u8>, data_len: usize) -> Result<Self, Error> {
        content.clear();
        content.try_reserve_exact(data_len).map_err(|_| Error::OutOfMemory { wanted: data_len })?;
        Ok(Self { length: Vec::with_capacity(LENGTH_LEN), content })
    }

    fn append(&mut self, shard: &[u8]) {
        // The length may be spread over shards of less than four bytes.
        let missing = LENGTH_LEN.saturating_sub(self.length.len());
        let (length, content) = shard.split_at_checked(missing).unwrap_or((shard, &[]));
        self.length.extend_from_slice(length);
        self.content.extend_from_slice(content);
    }

    /// Cuts the content to the length recorded, and returns the layout in which that length is stored. It must be the
    /// one at hand, but for the missing end of the last shard: shards that are not there were taken for padding.
    fn finish(self, dimensions: &Dimensions, layout: &Layout) -> Result<Layout, Error> {
        let recorded = self.length.first_chunk().map_or(u32::MAX, |length| u32::from_be_bytes(*length));
        let length = recorded as usize;
        let written = Layout::of_data(dimensions, length.saturating_add(LENGTH_LEN));
        let available = layout.data_len.next_multiple_of(layout.shard);
        let possible = layout.data_len..=available;
        if (Layout { data_len: layout.data_len, ..written }) != *layout
            || !possible.contains(&written.data_len)
        {
            let available = available.saturating_sub(LENGTH_LEN);
            return Err(Error::EccContentLength { recorded, available });
        }
        zeros::resize(self.content, length);
        Ok(written)
    }
}
