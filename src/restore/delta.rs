//! Comparing a file that is there with the one in the snapshot, content by content.

use std::os::unix::fs::FileExt;

use super::plan::{Batch, Use};
use crate::crypto::{ContentHash, ContentHasher};

/// Bytes of a piece.
fn length(piece: &Use) -> usize {
    usize::try_from(piece.chunk.length.unwrap_or_default()).unwrap_or(0)
}

/// Bytes of all pieces: what [`find_there`] needs to read them.
pub(super) fn total_length(pieces: &Batch<'_>) -> usize {
    pieces.uses.iter().map(length).sum()
}

/// For each piece whether the file has it. Those are done.
pub(super) fn find_there(hasher: &ContentHasher, pieces: &Batch<'_>, buffer: &mut [u8]) -> Vec<bool> {
    let uses = &pieces.uses;
    let Some(job) = uses.first().and_then(|piece| pieces.job(piece)) else { return Vec::new() };
    let mut rest = buffer;
    let mut found = Vec::new();
    for piece in uses {
        let Some((bytes, after)) = std::mem::take(&mut rest).split_at_mut_checked(length(piece)) else {
            break;
        };
        rest = after;
        let whole = !piece.chunk.compressed
            && job.base().is_some_and(|base| base.file.read_exact_at(bytes, piece.chunk.offset).is_ok());
        found.push(if whole { &*bytes } else { &[] });
    }
    let hashes = hasher.hash_many(&found);
    let same = |((piece, bytes), hash): ((&Use, &[u8]), ContentHash)| {
        let same = !bytes.is_empty() && hash.as_bytes() == piece.chunk.content.hash();
        if same {
            job.reuse(bytes.len() as u64);
            job.done();
        }
        same
    };
    uses.iter().zip(found).zip(hashes).map(same).collect()
}
