//! Decoding and hashing contents, several at a time.

use crate::blob::BlobId;
use crate::content::{Decoded, Decoder, MAX_BATCH, Scratch, ensure_buffers, next_batch};
use crate::format::RepositoryFormat;
use crate::index::Entry;
use crate::verify::checked::Checked;
use crate::verify::options::Level;

/// Plaintext held at once, unless one content alone has more.
const BATCH_BYTES: usize = 16 << 20;

/// Plaintext buffers kept for the next batch.
const KEPT: usize = 16 << 20;

/// A content and its stored bytes, which decoding overwrites.
pub(crate) struct Piece<'b> {
    pub(crate) entry: Entry,
    pub(crate) stored: &'b mut [u8],
}

/// One thread's decoder with its buffers.
pub(crate) struct BatchHasher<'a> {
    format: &'a RepositoryFormat,
    decoder: Decoder<'a>,
    level: Level,
    buffers: Vec<Scratch>,
}

impl<'a> BatchHasher<'a> {
    pub(crate) fn new(format: &'a RepositoryFormat, level: Level) -> Self {
        Self { format, decoder: Decoder::new(format), level, buffers: Vec::new() }
    }

    /// Checks contents of one pack.
    pub(crate) fn check(&mut self, pack: &BlobId, mut pieces: Vec<Piece<'_>>, out: &mut Checked) {
        // The largest first: a buffer then always holds contents of about the same size, and those of one batch are
        // neighbours in the lanes.
        pieces.sort_by_key(|piece| std::cmp::Reverse(piece.entry.original_length));
        let mut rest = pieces.as_mut_slice();
        while !rest.is_empty() {
            let sizes = rest.iter().map(|piece| piece.entry.original_length as usize);
            let (count, _) = next_batch(sizes, MAX_BATCH, BATCH_BYTES);
            let Some((batch, others)) = rest.split_at_mut_checked(count) else { break };
            rest = others;
            if self.level >= Level::Hash {
                self.hash_batch(pack, batch, out);
            } else {
                self.authenticate(pack, batch, out);
            }
        }
    }

    fn authenticate(&mut self, pack: &BlobId, batch: &mut [Piece<'_>], out: &mut Checked) {
        let mut scratch = Scratch::default();
        for piece in batch {
            match self.decoder.authenticate(&piece.entry, pack, piece.stored, &mut scratch) {
                Ok(repaired) => out.pass(&piece.entry, repaired),
                Err(e) => out.fail(&e),
            }
        }
    }

    fn hash_batch(&mut self, pack: &BlobId, batch: &mut [Piece<'_>], out: &mut Checked) {
        ensure_buffers(&mut self.buffers, batch.len(), KEPT);
        let mut plain: Vec<(&Entry, Decoded<'_>)> = Vec::with_capacity(batch.len());
        for (piece, buffer) in batch.iter_mut().zip(&mut self.buffers) {
            match self.decoder.decode(&piece.entry, pack, piece.stored, buffer) {
                Ok(decoded) => plain.push((&piece.entry, decoded)),
                Err(e) => out.fail(&e),
            }
        }
        let inputs: Vec<&[u8]> = plain.iter().map(|(_, decoded)| decoded.plaintext).collect();
        let hashes = self.format.hasher().hash_many(&inputs);
        for ((entry, decoded), hash) in plain.into_iter().zip(hashes) {
            out.judge(pack, entry, decoded.repaired, &hash);
        }
    }

    /// For contents whose hash is checked elsewhere.
    pub(crate) fn decoder(&self) -> &Decoder<'a> {
        &self.decoder
    }
}
