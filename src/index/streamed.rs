//! Index blobs that are too large to be held: decrypted and checked piece by piece, keeping only what is wanted.

use std::io;

use super::error::Malformed;
use super::layout::{Header, Layout, LayoutValidator};
use super::packed::PackedIndex;
use super::spill::SpillFile;
use super::spilled::Spilled;
use super::{Error, sealed};
use crate::blob::{BlobMetadata, BlobStore};
use crate::crypto::{self, OVERHEAD};
use crate::format::RepositoryFormat;

/// Bytes read at once at most and at least; all such sizes are multiples of the cipher's block.
const MOST_PIECE: u64 = 4 << 20;
const PIECE_UNIT: u64 = 4 << 10;

/// Memory that a pack name takes, in relation to its bytes in an index.
const NAMES_GROW_BY: u64 = 4;

/// Reads an index blob and keeps only the entries with a prefix, in memory.
///
/// # Errors
/// As for a blob that is read whole; [`Error::OverBudget`] when what is to be kept takes more than `memory` bytes.
pub(super) fn read_prefixed(
    store: &dyn BlobStore,
    format: &RepositoryFormat,
    blob: &BlobMetadata,
    prefix: u8,
    memory: u64,
) -> Result<PackedIndex, Error> {
    let parser = read(store, format, blob, memory, |_| Ok(Keep::Prefix(prefix, Vec::new())))?;
    let (layout, _, keep) = parser.finish(blob)?;
    match keep {
        Keep::Prefix(_, records) => Ok(PackedIndex::from_parts(layout, records)),
        Keep::Spill(..) => Ok(PackedIndex::from_parts(layout, Vec::new())),
    }
}

/// Reads an index blob and puts its records into a file.
///
/// # Errors
/// As [`read_prefixed`], and [`Error::Spill`].
pub(super) fn read_spilled(
    store: &dyn BlobStore,
    format: &RepositoryFormat,
    blob: &BlobMetadata,
    file: &SpillFile,
    memory: u64,
) -> Result<Spilled, Error> {
    let mut offset = 0;
    let parser = read(store, format, blob, memory, |header| {
        offset = file.reserve(header.records_len());
        Ok(Keep::Spill(file, offset))
    })?;
    let (layout, count, _) = parser.finish(blob)?;
    Ok(Spilled { layout, offset, count })
}

/// Reads a blob to its end; nothing of it may be believed before the tag has been.
fn read<'a>(
    store: &dyn BlobStore,
    format: &RepositoryFormat,
    blob: &BlobMetadata,
    memory: u64,
    keep: impl FnOnce(&Header) -> io::Result<Keep<'a>>,
) -> Result<Parser<'a>, Error> {
    let id = &blob.id;
    let decrypt = |source| Error::Decrypt { blob: id.clone(), source };
    let length = usize::try_from(blob.size).unwrap_or(usize::MAX);
    let plain_length = blob
        .size
        .checked_sub(OVERHEAD as u64)
        .ok_or_else(|| decrypt(crypto::Error::Truncated { length, minimum: OVERHEAD }))?;
    let iv = sealed::iv(id)?;
    let (mut nonce, mut tag) = ([0; sealed::NONCE], [0; sealed::TAG]);
    store.read_at(id, 0, &mut nonce)?;
    let mut cipher = format.cipher().open_stream(&iv, &nonce);
    let mut hash = format.hasher().stream();
    let piece_length = (memory / 8).clamp(PIECE_UNIT, MOST_PIECE) / PIECE_UNIT * PIECE_UNIT;
    let mut piece = vec![0; usize::try_from(piece_length).unwrap_or(length).min(length)];
    let mut done = 0;
    let mut parser = Parser::Malformed(Malformed::Truncated("header"));
    let mut keep = Some(keep);
    while done < plain_length {
        piece.truncate(usize::try_from(plain_length - done).unwrap_or(usize::MAX));
        store.read_at(id, sealed::NONCE as u64 + done, &mut piece)?;
        cipher.update(&mut piece);
        hash.update(&piece);
        if let Some(keep) = keep.take() {
            parser = Parser::begin(&piece, plain_length, memory, keep).map_err(Error::Spill)?;
        }
        parser.feed(done, &piece)?;
        done += piece.len() as u64;
    }
    store.read_at(id, sealed::NONCE as u64 + plain_length, &mut tag)?;
    cipher.finish(&tag).map_err(decrypt)?;
    sealed::check_hash(id, &hash.finish())?;
    Ok(parser)
}

/// Where records go.
enum Keep<'a> {
    /// Those whose keys begin with this byte, into memory.
    Prefix(u8, Vec<u8>),
    /// All of them, into the file from this offset on.
    Spill(&'a SpillFile, u64),
}

/// An index that comes piece by piece.
enum Parser<'a> {
    Open(Box<Open<'a>>),
    /// What is wrong with it, unless it turns out not to be authentic at all.
    Malformed(Malformed),
}

struct Open<'a> {
    header: Header,
    checker: LayoutValidator,
    keep: Keep<'a>,
    /// The beginning of a record whose end has not come yet.
    partial: Vec<u8>,
    tables: Vec<u8>,
    memory: u64,
}

impl<'a> Parser<'a> {
    /// Begins with the first piece, which is not taken in yet.
    fn begin(
        piece: &[u8],
        length: u64,
        memory: u64,
        keep: impl FnOnce(&Header) -> io::Result<Keep<'a>>,
    ) -> io::Result<Self> {
        let header = match Header::parse(piece) {
            Ok(header) => header,
            Err(reason) => return Ok(Self::Malformed(reason)),
        };
        if header.length as u64 + header.records_len() > length {
            return Ok(Self::Malformed(Malformed::Truncated("entries")));
        }
        Ok(Self::Open(Box::new(Open {
            header,
            checker: LayoutValidator::new(header),
            keep: keep(&header)?,
            partial: Vec::new(),
            tables: Vec::new(),
            memory,
        })))
    }

    /// Takes in the piece that begins at `offset`.
    fn feed(&mut self, offset: u64, piece: &[u8]) -> Result<(), Error> {
        if let Self::Open(open) = self
            && let Err(reason) = open.feed(offset, piece)?
        {
            *self = Self::Malformed(reason);
        }
        Ok(())
    }

    /// How to read the records, how many there are, and where they went.
    fn finish(self, blob: &BlobMetadata) -> Result<(Layout, u32, Keep<'a>), Error> {
        let malformed = |reason| Error::Malformed { blob: blob.id.clone(), reason };
        match self {
            Self::Open(open) => {
                let layout = open.checker.finish(&open.tables).map_err(malformed)?;
                Ok((layout, open.header.count, open.keep))
            }
            Self::Malformed(reason) => Err(malformed(reason)),
        }
    }
}

impl Open<'_> {
    fn feed(&mut self, offset: u64, piece: &[u8]) -> Result<Result<(), Malformed>, Error> {
        let begin = self.header.length as u64;
        let end = begin + self.header.records_len();
        let within = |position: u64| {
            let position = position.clamp(offset, offset + piece.len() as u64) - offset;
            usize::try_from(position).unwrap_or(piece.len())
        };
        let records = piece.get(within(begin)..within(end)).unwrap_or_default();
        self.tables.extend_from_slice(piece.get(within(end)..).unwrap_or_default());
        if let Keep::Spill(file, at) = &self.keep {
            file.write(at + offset.max(begin) - begin, records).map_err(Error::Spill)?;
        }
        let checked = self.records(records);
        let kept = if let Keep::Prefix(_, kept) = &self.keep { kept.len() } else { 0 };
        let needed = kept as u64 + self.checker.memory() + NAMES_GROW_BY * self.tables.len() as u64;
        if needed > self.memory {
            return Err(Error::OverBudget { needed, limit: self.memory });
        }
        Ok(checked)
    }

    fn records(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        let stride = self.header.stride;
        if !self.partial.is_empty() {
            let missing = stride.saturating_sub(self.partial.len()).min(bytes.len());
            let (head, rest) = bytes.split_at_checked(missing).unwrap_or_default();
            self.partial.extend_from_slice(head);
            bytes = rest;
            if self.partial.len() < stride {
                return Ok(());
            }
            let record = std::mem::take(&mut self.partial);
            self.record(&record)?;
        }
        let whole = bytes.chunks_exact(stride);
        self.partial.extend_from_slice(whole.remainder());
        for record in whole {
            self.record(record)?;
        }
        Ok(())
    }

    fn record(&mut self, record: &[u8]) -> Result<(), Malformed> {
        self.checker.check(record)?;
        if let Keep::Prefix(prefix, kept) = &mut self.keep
            && record.first() == Some(prefix)
        {
            kept.extend_from_slice(record);
        }
        Ok(())
    }
}
