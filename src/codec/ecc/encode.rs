//! The encoder, for corrected copies and for writers of test repositories.

use super::layout::{LENGTH_LEN, Layout};
use super::{Code, ReedSolomonCrc};
use crate::codec::Error;

impl ReedSolomonCrc {
    /// Adds parity and checksums to an encrypted content.
    ///
    /// # Errors
    /// [`Error::EccLength`] for 4 GiB and more.
    pub fn encode(&self, content: &[u8]) -> Result<Vec<u8>, Error> {
        let length = || Error::EccLength { length: content.len() };
        let prefix = u32::try_from(content.len()).map_err(|_| length())?.to_be_bytes();
        let layout = Layout::of_data(&self.dimensions, LENGTH_LEN + content.len());
        let mut data = [&prefix, content].concat();
        data.resize(layout.blocks * layout.data * layout.shard, 0);
        let shards: Vec<&[u8]> = data.chunks_exact(layout.shard).collect();

        let mut stored = Vec::new();
        let code: &Code = self.code(&layout)?;
        for block in shards.chunks_exact(layout.data) {
            let mut parity = vec![vec![0; layout.shard]; layout.parity];
            code.encode_sep(block, &mut parity).map_err(|_| length())?;
            for shard in &parity {
                stored.extend_from_slice(&crc32fast::hash(shard).to_be_bytes());
                stored.extend_from_slice(shard);
            }
        }
        let mut left = layout.data_len;
        for shard in shards {
            if left == 0 {
                break;
            }
            let written = left.min(shard.len());
            stored.extend_from_slice(&crc32fast::hash(shard).to_be_bytes());
            stored.extend(shard.iter().take(written));
            left -= written;
        }
        Ok(stored)
    }
}
