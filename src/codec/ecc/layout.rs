//! How many shards of which size: the arithmetic of `REED-SOLOMON-CRC32` (format-spec/05-error-correction.md).

/// Bytes of the CRC before each shard.
pub(super) const CRC_LEN: usize = 4;

/// Bytes of the length before the data.
pub(super) const LENGTH_LEN: usize = 4;

/// Data and parity shards of inputs too short for a full block.
const TINY: (usize, usize) = (6, 2);

/// What follows from the percentage of overhead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dimensions {
    /// Largest shard in bytes.
    pub(super) max_shard: usize,
    /// Data shards of a block.
    pub(super) data: usize,
    /// Parity shards of a block.
    pub(super) parity: usize,
}

impl Dimensions {
    /// The dimensions for a percentage from 1 to 100.
    pub(super) fn for_percent(percent: u8) -> Option<Self> {
        let max_shard = match percent {
            1 => 1024,
            2 => 512,
            3 => 256,
            4..=6 => 128,
            7..=100 => 64,
            _ => return None,
        };
        // The percentage left for parity once the CRCs are paid for, in units of 1/1024, which makes it whole.
        let free = usize::from(percent) * 1024 - 4 * 100 * 1024 / max_shard;
        let (data, parity) = shards(free);
        Some(Self { max_shard, data, parity })
    }
}

/// Data and parity shards for `free`/1024 percent of parity.
pub(super) fn shards(free: usize) -> (usize, usize) {
    let parity = (128 * free / (100 * 1024)).clamp(1, 128);
    if parity > 1 {
        return (128, parity);
    }
    // One parity shard would be too few: rather two, for more data shards.
    ((2 * 100 * 1024 / free.max(1)).clamp(128, 254), 2)
}

/// How one encoded content is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) blocks: usize,
    /// Data shards per block.
    pub(super) data: usize,
    /// Parity shards per block.
    pub(super) parity: usize,
    /// Bytes per shard.
    pub(super) shard: usize,
    /// Bytes of data, with their length. For contents of one block they are known up to padding only.
    pub(super) data_len: usize,
}

impl Layout {
    /// The layout of `stored` bytes, or nothing if no content is stored in that many. A few bytes may be missing at the
    /// end as long as the layout is clear; [`stored_len`](Self::stored_len) is then larger.
    pub(super) fn of_stored(dimensions: &Dimensions, stored: usize) -> Option<Self> {
        let Dimensions { max_shard, data, parity } = *dimensions;
        let tiny_data_max = 8 * (data + parity);
        let tiny_max = (TINY.0 + TINY.1) * (CRC_LEN + tiny_data_max.div_ceil(TINY.0));
        let block_max = (data + parity) * (CRC_LEN + max_shard);
        if stored <= tiny_max {
            return Some(Self::one_block(TINY, stored));
        }
        if stored <= block_max {
            // Less data would have been stored in tiny shards.
            return Some(Self::one_block((data, parity), stored))
                .filter(|layout| layout.data_len > tiny_data_max);
        }
        let blocks = stored.div_ceil(block_max);
        let record = CRC_LEN + max_shard;
        // Shards of padding are left out and the last one is cut short, yet never down to its CRC alone.
        let area = stored.checked_sub(blocks * parity * record)?;
        let area = match area % record {
            partial @ 1..=CRC_LEN => area - partial + CRC_LEN + 1,
            _ => area,
        };
        let data_len = area - CRC_LEN * area.div_ceil(record);
        let layout = Self { blocks, data, parity, shard: max_shard, data_len };
        (data_len.div_ceil(data * max_shard) == blocks).then_some(layout)
    }

    /// A single block is stored with its padding: its length tells only the size of its shards.
    fn one_block((data, parity): (usize, usize), stored: usize) -> Self {
        let shard = stored.div_ceil(data + parity).max(CRC_LEN + 1) - CRC_LEN;
        Self { blocks: 1, data, parity, shard, data_len: data * shard }
    }

    /// How many bytes are stored in this layout.
    pub(super) fn stored_len(&self) -> usize {
        self.parity_len() + self.data_len.div_ceil(self.shard) * CRC_LEN + self.data_len
    }

    /// The layout for `data_len` bytes, those of the length included.
    pub(super) fn of_data(dimensions: &Dimensions, data_len: usize) -> Self {
        let Dimensions { max_shard, data, parity } = *dimensions;
        if data_len <= 8 * (data + parity) {
            let shard = data_len.div_ceil(TINY.0);
            Self { blocks: 1, data: TINY.0, parity: TINY.1, shard, data_len: TINY.0 * shard }
        } else if data_len <= data * max_shard {
            let shard = data_len.div_ceil(data);
            Self { blocks: 1, data, parity, shard, data_len: data * shard }
        } else {
            Self { blocks: data_len.div_ceil(data * max_shard), data, parity, shard: max_shard, data_len }
        }
    }

    /// Bytes of a shard and its CRC.
    pub(super) fn record(&self) -> usize {
        CRC_LEN + self.shard
    }

    /// Bytes of the parity area, which comes first.
    pub(super) fn parity_len(&self) -> usize {
        self.blocks * self.parity * self.record()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_by_parity_left() {
        assert_eq!(shards(102), (254, 2));
        assert_eq!(shards(1024), (200, 2));
        assert_eq!(shards(2 * 1024), (128, 2));
        assert_eq!(shards(10 * 1024), (128, 12));
        assert_eq!(shards(0), (254, 2));
    }

    #[test]
    fn percentages_out_of_range() {
        assert_eq!(Dimensions::for_percent(0), None);
        assert_eq!(Dimensions::for_percent(101), None);
        assert_eq!(Dimensions::for_percent(u8::MAX), None);
    }

    #[test]
    fn stored_lengths_lead_back_to_the_layout_of_the_writer() {
        for percent in 1..=100 {
            let dimensions = Dimensions::for_percent(percent).unwrap();
            let block = dimensions.data * dimensions.max_shard;
            let lengths =
                (4..3000).chain([block - 1, block, block + 1, 2 * block, 2 * block + 1, 7 * block + 5]);
            let mut stored_lengths = std::collections::BTreeSet::new();
            for data_len in lengths {
                let written = Layout::of_data(&dimensions, data_len);
                let stored = written.stored_len();
                assert_eq!(Layout::of_stored(&dimensions, stored), Some(written), "{percent}% {data_len}");
                let cut = Layout::of_stored(&dimensions, stored - 1).unwrap();
                assert_eq!(
                    (cut.blocks, cut.shard),
                    (written.blocks, written.shard),
                    "{percent}% {data_len} less 1"
                );
                stored_lengths.insert(stored);
            }
            // What lies between is no content, unless it lacks a few bytes.
            for stored in 0..2000 {
                if let Some(layout) = Layout::of_stored(&dimensions, stored) {
                    let whole = layout.stored_len();
                    assert!(stored_lengths.contains(&whole), "{percent}% {stored}");
                    assert!(
                        (stored..stored.max(40) + layout.data + layout.parity).contains(&whole),
                        "{percent}% {stored}"
                    );
                }
            }
        }
    }
}
