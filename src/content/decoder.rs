//! From the stored bytes of a content to its plaintext (`format-spec/10-contents.md`).

use std::ops::Range;

use super::Error;
use crate::blob::BlobId;
use crate::codec::{self, CompressionId, Size};
use crate::crypto;
use crate::format::RepositoryFormat;
use crate::index::{ContentId, Entry};

/// Index v2 has 28 bits for lengths; nothing longer can be a content. Only manifests may come near it: a compaction puts
/// all of them into one.
pub const MAX_CONTENT: u32 = 1 << 28;

/// Largest content that is a piece of an object. Kopia's splitters never cut a piece of more than 16 MiB.
const MAX_PIECE: u32 = 64 << 20;

/// Bytes of the compression header that precedes a compressed stream.
const COMPRESSION_HEADER: usize = 4;

/// Corrects, decrypts, decompresses and checks contents. Cheap to make; used from many threads at once.
#[derive(Clone, Copy)]
pub struct Decoder<'a> {
    format: &'a RepositoryFormat,
    verify: bool,
}

/// Buffers that a decoder reuses from content to content.
#[derive(Default)]
pub struct Scratch {
    corrected: Vec<u8>,
    inflated: Vec<u8>,
}

impl Scratch {
    /// Bytes of memory that the buffers hold on to.
    pub fn capacity(&self) -> usize {
        self.corrected.capacity() + self.inflated.capacity()
    }
}

/// Contents that are hashed together: enough for the lanes of vector registers to stay filled.
pub(crate) const MAX_BATCH: usize = 64;

/// Returns the number and total size of the leading items that form one batch: at most `max_items` and `max_bytes`, but
/// always at least one.
pub(crate) fn next_batch(
    sizes: impl Iterator<Item = usize>,
    max_items: usize,
    max_bytes: usize,
) -> (usize, usize) {
    let (mut count, mut bytes) = (0, 0_usize);
    for size in sizes.take(max_items) {
        let sum = bytes.saturating_add(size);
        if count > 0 && sum > max_bytes {
            break;
        }
        (count, bytes) = (count + 1, sum);
    }
    (count, bytes)
}

/// Makes sure that there are `count` buffers. Buffers that hold more than `keep` bytes in all are freed first.
pub(crate) fn ensure_buffers(buffers: &mut Vec<Scratch>, count: usize, keep: usize) {
    if buffers.iter().map(Scratch::capacity).sum::<usize>() > keep {
        buffers.clear();
    }
    if buffers.len() < count {
        buffers.resize_with(count, Scratch::default);
    }
}

/// A decoded content.
#[derive(Debug)]
pub struct Decoded<'a> {
    /// The plaintext, in one of the buffers given.
    pub plaintext: &'a [u8],
    /// Ranges of the stored bytes that error correction had to mend.
    pub repaired: Vec<Range<usize>>,
}

impl<'a> Decoder<'a> {
    /// A decoder that trusts the AEAD, which ties the bytes to the end of the content's hash.
    pub fn new(format: &'a RepositoryFormat) -> Self {
        Self { format, verify: false }
    }

    /// Whether to hash each plaintext and compare with the content's name as well. This guards against the writer of
    /// the repository, not against its storage.
    pub fn verify(self, verify: bool) -> Self {
        Self { verify, ..self }
    }

    /// Decodes the stored bytes of a content. `stored` is overwritten; where nothing was compressed, the plaintext
    /// stays inside it and nothing is copied.
    ///
    /// # Errors
    /// Every way in which the bytes are not the content that the entry describes.
    pub fn decode<'b>(
        &self,
        entry: &Entry,
        pack: &BlobId,
        stored: &'b mut [u8],
        scratch: &'b mut Scratch,
    ) -> Result<Decoded<'b>, Error> {
        let (content, blob, offset) = (entry.id, || pack.clone(), entry.offset);
        let Scratch { corrected, inflated } = scratch;
        let (opened, repaired) = self.open(entry, pack, stored, corrected)?;
        let opened = &*opened;
        let plaintext = if entry.compression == 0 {
            opened
        } else {
            let undecodable = |source| Error::Decompress { content, blob: blob(), offset, source };
            let id = CompressionId::from_header(entry.compression).map_err(undecodable)?;
            let stream = match opened.split_at_checked(COMPRESSION_HEADER) {
                Some((header, stream)) if header == entry.compression.to_be_bytes() => stream,
                _ => {
                    return Err(Error::Entry {
                        content,
                        blob: blob(),
                        reason: "it names another compression",
                    });
                }
            };
            codec::decompress(id, stream, Size::Exact(entry.original_length as usize), inflated)
                .map_err(undecodable)?;
            inflated.as_slice()
        };
        if plaintext.len() as u64 != u64::from(entry.original_length) {
            return Err(Error::Length {
                content,
                blob: blob(),
                expected: entry.original_length.into(),
                got: plaintext.len() as u64,
            });
        }
        if self.verify && !self.is_named(&content, plaintext) {
            return Err(Error::WrongHash { content, blob: blob(), offset });
        }
        Ok(Decoded { plaintext, repaired })
    }

    /// Bytes of memory that decoding a content takes, beside its stored bytes.
    pub(crate) fn inflated(&self, entry: &Entry) -> usize {
        let copied = entry.compression != 0 || self.format.ecc().is_some();
        if copied { entry.original_length as usize } else { 0 }
    }

    /// Refuses an entry that no writer produces, before a byte is allocated for it.
    ///
    /// # Errors
    /// [`Error::Entry`] with the reason.
    pub fn check(&self, entry: &Entry, pack: &BlobId) -> Result<(), Error> {
        let longest = if entry.id.is_manifest() { MAX_CONTENT } else { MAX_PIECE };
        let reason = if entry.key_id != 0 {
            "it is encrypted with a key that does not exist"
        } else if entry.packed_length.max(entry.original_length) > longest {
            "it is longer than contents can be"
        } else if (entry.packed_length as usize) < crypto::OVERHEAD {
            "it is shorter than an empty content"
        } else {
            return Ok(());
        };
        Err(Error::Entry { content: entry.id, blob: pack.clone(), reason })
    }

    /// Corrects and decrypts the stored bytes of a content, and leaves it at that: what was compressed stays so. Gives
    /// the ranges of the stored bytes that error correction had to mend.
    ///
    /// # Errors
    /// Every way in which the bytes are not those that were written.
    pub fn authenticate(
        &self,
        entry: &Entry,
        pack: &BlobId,
        stored: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<Vec<Range<usize>>, Error> {
        self.open(entry, pack, stored, &mut scratch.corrected).map(|(_, repaired)| repaired)
    }

    fn open<'b>(
        &self,
        entry: &Entry,
        pack: &BlobId,
        stored: &'b mut [u8],
        corrected: &'b mut Vec<u8>,
    ) -> Result<(&'b mut [u8], Vec<Range<usize>>), Error> {
        self.check(entry, pack)?;
        let (content, blob, offset) = (entry.id, || pack.clone(), entry.offset);
        let mut repaired = Vec::new();
        let encrypted = match self.format.ecc() {
            Some(ecc) => {
                repaired = ecc.decode_into(stored, corrected).map_err(|source| Error::Unrepairable {
                    content,
                    blob: blob(),
                    offset,
                    source,
                })?;
                corrected.as_mut_slice()
            }
            None => stored,
        };
        let opened = self
            .format
            .cipher()
            .open_in_place(entry.id.iv(), encrypted)
            .map_err(|source| Error::Decrypt { content, blob: blob(), offset, source })?;
        Ok((opened, repaired))
    }

    /// Whether a plaintext has the hash that a content's name promises.
    pub fn is_named(&self, content: &ContentId, plaintext: &[u8]) -> bool {
        self.format.hasher().hash(plaintext).as_bytes() == content.hash()
    }
}
