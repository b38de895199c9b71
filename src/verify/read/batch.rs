//! Decoding and hashing contents, several at a time.

use std::ops::Range;

use crate::blob::BlobId;
use crate::content::{Decoded, Decoder, Error, MAX_BATCH, Scratch, ensure_buffers, next_batch};
use crate::crypto::ContentHash;
use crate::format::RepositoryFormat;
use crate::index::{ContentId, Entry, Position};
use crate::verify::fault::Fault;
use crate::verify::options::Level;

/// Plaintext held at once, unless one content alone has more.
const BATCH_BYTES: usize = 16 << 20;

/// Plaintext buffers kept for the next batch.
const KEPT: usize = 16 << 20;

/// DamagedContent contents of one pack that are held one by one.
const MAX_FAILED: usize = 250_000;

/// A content and its stored bytes, which decoding overwrites.
pub(crate) struct Piece<'b> {
    pub(crate) entry: Entry,
    pub(crate) stored: &'b mut [u8],
}

/// The result for some contents of a pack.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) good: u64,
    pub(crate) bytes: u64,
    pub(crate) failures: Vec<(ContentId, Fault)>,
    /// Contents that failed besides these.
    pub(crate) more_failed: u64,
    /// Ranges of the pack that error correction mended.
    pub(crate) repairs: Vec<Range<u64>>,
    /// Places in the index of contents whose pack vanished since it was listed.
    pub(crate) vanished: Vec<Position>,
}

impl Checked {
    pub(crate) fn absorb(&mut self, other: Self) {
        self.good += other.good;
        self.bytes += other.bytes;
        let room = MAX_FAILED.saturating_sub(self.failures.len());
        self.more_failed += other.more_failed + other.failures.len().saturating_sub(room) as u64;
        self.failures.extend(other.failures.into_iter().take(room));
        self.repairs.extend(other.repairs);
        self.vanished.extend(other.vanished);
    }

    pub(crate) fn fail(&mut self, error: &Error) {
        let Some(content) = error.content() else { return };
        if self.failures.len() >= MAX_FAILED {
            self.more_failed += 1;
            return;
        }
        let cause = Fault::of_content(error).beside(self.failures.len());
        self.failures.push((content, cause));
    }

    /// Compares the hash of a content with its name.
    pub(crate) fn judge(
        &mut self,
        pack: &BlobId,
        entry: &Entry,
        repaired: Vec<Range<usize>>,
        hash: &ContentHash,
    ) {
        if hash.as_bytes() == entry.id.hash() {
            self.pass(entry, repaired);
        } else {
            self.fail(&Error::WrongHash { content: entry.id, blob: pack.clone(), offset: entry.offset });
        }
    }

    fn pass(&mut self, entry: &Entry, repaired: Vec<Range<usize>>) {
        self.good += 1;
        self.bytes += u64::from(entry.packed_length);
        let base = u64::from(entry.offset);
        self.repairs.extend(repaired.iter().map(|range| base + range.start as u64..base + range.end as u64));
    }
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
