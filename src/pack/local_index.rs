//! The index that every pack carries of itself: what stands in for a lost index blob.

use std::ops::Range;

use super::{Error, Postamble};
use crate::blob::{BlobId, BlobStore};
use crate::format::RepositoryFormat;
use crate::index::PackedIndex;

/// One read of this much covers the local index of most packs.
const WINDOW: u64 = 8192;

/// A pack of 120 MiB full of empty contents has a local index of this order.
pub(crate) const MAX_LOCAL_INDEX: u64 = 256 << 20;

/// Reads the local index of a pack. It lists the contents of the pack, and may list deletions in other packs.
///
/// # Errors
/// [`Error`] when the pack is damaged at its end, or cannot be read.
pub fn read_local_index(
    store: &dyn BlobStore,
    format: &RepositoryFormat,
    blob: &BlobId,
) -> Result<PackedIndex, Error> {
    let size = store.size(blob)?;
    if size == 0 {
        return Err(crate::blob::Error::Empty { blob: blob.clone() }.into());
    }
    let window = read(store, blob, size.saturating_sub(WINDOW), size.min(WINDOW))?;
    let postamble = Postamble::parse(&window).ok_or_else(|| Error::NoPostamble { blob: blob.clone() })?;
    let end = postamble.offset.checked_add(postamble.length).and_then(|end| end.checked_add(postamble.size));
    if end.is_none_or(|end| end > size) || postamble.length > MAX_LOCAL_INDEX {
        return Err(Error::OutOfBounds { blob: blob.clone() });
    }
    let stored = read(store, blob, postamble.offset, postamble.length)?;
    Ok(open_local_index(format, blob, &postamble, stored)?.index)
}

/// A local index that was opened.
pub struct LocalIndex {
    /// What it lists.
    pub index: PackedIndex,
    /// Ranges of its stored bytes that error correction had to mend.
    pub repaired: Vec<Range<usize>>,
}

/// Opens the stored bytes of the local index that a postamble describes.
///
/// # Errors
/// [`Error`] when they are not what the postamble says.
pub fn open_local_index(
    format: &RepositoryFormat,
    blob: &BlobId,
    postamble: &Postamble,
    mut stored: Vec<u8>,
) -> Result<LocalIndex, Error> {
    let mut repaired = Vec::new();
    if let Some(ecc) = format.ecc() {
        let corrected =
            ecc.decode(&stored).map_err(|source| Error::Unrepairable { blob: blob.clone(), source })?;
        repaired = corrected.repaired;
        stored = corrected.data;
    }
    let plaintext = format
        .cipher()
        .open_in_place(&postamble.iv, &mut stored)
        .map_err(|source| Error::Decrypt { blob: blob.clone(), source })?;
    if format.hasher().hash(plaintext).as_bytes() != postamble.iv {
        return Err(Error::WrongHash { blob: blob.clone() });
    }
    let index = PackedIndex::parse(plaintext.to_vec())
        .map_err(|reason| Error::Malformed { blob: blob.clone(), reason })?;
    Ok(LocalIndex { index, repaired })
}

fn read(store: &dyn BlobStore, blob: &BlobId, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
    let length = usize::try_from(length).map_err(|_| Error::OutOfBounds { blob: blob.clone() })?;
    let mut bytes = vec![0; length];
    store.read_at(blob, offset, &mut bytes)?;
    Ok(bytes)
}
