//! What has to be read: the contents of each pack in the order in which they lie there.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::blob::{self, BlobId, BlobMetadata, WritablePath};
use crate::content::{self, Decoder};
use crate::format::RepositoryFormat;
use crate::index::{self, ContentIndex, Entry, Position};
use crate::verify::failures::Failures;
use crate::verify::fault::Fault;
use crate::verify::options::Shard;
use crate::verify::plan::places::{Item, Places, Sorter};

/// One pack that has contents to be read.
#[derive(Debug, Clone)]
pub(crate) struct PackPlan {
    /// Its name.
    pub(crate) blob: BlobId,
    /// Its size by the listing.
    pub(crate) size: u64,
    /// Stored bytes of its contents.
    pub(crate) bytes: u64,
    /// Where the last of its contents ends.
    pub(crate) end: u64,
    /// When it was written, by the listing, in Unix nanoseconds.
    pub(crate) mtime: Option<i64>,
    /// Tells which contents are planned, and where they lie.
    pub(crate) digest: Box<str>,
    pub(crate) items: Range<usize>,
}

impl PackPlan {
    pub(crate) fn contents(&self) -> usize {
        self.items.len()
    }
}

/// All contents by pack.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) packs: Vec<PackPlan>,
    places: Places,
    /// Numbers of packs that are not there, in which wanted contents should be.
    pub(crate) missing: BTreeSet<u32>,
    /// Contents whose entries or packs show without reading that they cannot be had.
    pub(crate) failures: Failures,
    /// How many these are.
    pub(crate) impossible: u64,
}

impl Plan {
    /// Plans the reading of all contents that `wanted` wants. Where the plan takes more than some `memory` bytes, it is in
    /// a file without a name in `directory`; what cannot be read takes as much at most.
    ///
    /// # Errors
    /// That file cannot be made, written or read.
    pub(crate) fn build(
        format: &RepositoryFormat,
        index: &ContentIndex,
        listing: &HashMap<BlobId, BlobMetadata>,
        (memory, directory): (u64, Option<&WritablePath>),
        shard: Shard,
        wanted: impl Fn(Position) -> bool,
    ) -> io::Result<Self> {
        let ours: Vec<bool> = index.packs().iter().map(|pack| shard.has(pack.as_str())).collect();
        let mut sorter = Sorter::new(memory, directory);
        for (position, entry) in index.positions() {
            let number = entry.pack.number();
            if ours.get(number as usize).copied().unwrap_or(false) && wanted(position) {
                sorter.push(Item::new(number, entry.offset, position))?;
            }
        }
        let mut plan = Self { failures: Failures::within(memory), ..Self::default() };
        let mut open: Option<Open<'_>> = None;
        let places = sorter.finish(|item, places| {
            if open.as_ref().is_none_or(|open| open.number != item.pack()) {
                plan.close(open.take(), places.len());
                open = Open::new(item.pack(), index, listing, places.len());
            }
            let (Some(open), Some(entry)) = (&mut open, index.at(item.position())) else { return };
            let Some(blob) = open.listed else {
                plan.missing.insert(item.pack());
                return;
            };
            if let Err(e) = check(format, &entry, blob) {
                plan.failures.insert(entry.id, Fault::of_content(&e));
                plan.impossible += 1;
                return;
            }
            open.bytes += u64::from(entry.packed_length);
            open.end = open.end.max(entry.end());
            describe(&entry, &mut open.digest);
            places.push(item.position());
        })?;
        plan.close(open, places.len());
        plan.places = places;
        Ok(plan)
    }

    /// Takes in a pack whose contents end before a place.
    fn close(&mut self, open: Option<Open<'_>>, end: usize) {
        if let Some(open) = open
            && let Some(blob) = open.listed.filter(|_| end > open.begin)
        {
            self.packs.push(PackPlan {
                blob: open.pack.clone(),
                size: blob.size,
                bytes: open.bytes,
                end: open.end,
                mtime: blob.modified.and_then(unix_nanoseconds),
                digest: hex(&open.digest.finalize()),
                items: open.begin..end,
            });
        }
    }

    /// Places of the contents of a pack in ascending order of their offsets, from the `nth` on. They end early where the
    /// file that they are in cannot be read, which [`check`](Self::check) then says.
    pub(crate) fn positions(&self, pack: &PackPlan, nth: usize) -> impl Iterator<Item = Position> + '_ {
        let Range { start, end } = pack.items;
        self.places.iter(start.saturating_add(nth).min(end)..end)
    }

    /// Whether the plan could be read wherever it was.
    ///
    /// # Errors
    /// [`index::Error::Spill`].
    pub(crate) fn check(&self) -> Result<(), index::Error> {
        self.places.check().map_err(index::Error::Spill)
    }
}

/// A pack whose contents are being planned.
struct Open<'a> {
    number: u32,
    pack: &'a BlobId,
    /// What the listing has of it.
    listed: Option<&'a BlobMetadata>,
    begin: usize,
    bytes: u64,
    end: u64,
    digest: blake3::Hasher,
}

impl<'a> Open<'a> {
    fn new(
        number: u32,
        index: &'a ContentIndex,
        listing: &'a HashMap<BlobId, BlobMetadata>,
        begin: usize,
    ) -> Option<Self> {
        let pack = index.packs().get(number as usize)?;
        let (listed, digest) = (listing.get(pack), blake3::Hasher::new());
        Some(Self { number, pack, listed, begin, bytes: 0, end: 0, digest })
    }
}

/// Adds to a digest what decides whether a content is proved: its name, where it lies and what was done to it.
fn describe(entry: &Entry, digest: &mut blake3::Hasher) {
    let mut bytes = [0; 80];
    let numbers = [entry.offset, entry.packed_length, entry.original_length, entry.compression];
    let parts = numbers.iter().flat_map(|number| number.to_be_bytes());
    let name = entry.id.prefix().into_iter().chain(entry.id.hash().iter().copied());
    let mut length = 0;
    for (slot, byte) in bytes.iter_mut().zip(parts.chain(name)) {
        *slot = byte;
        length += 1;
    }
    digest.update(bytes.get(..length).unwrap_or_default());
}

/// Half of a hash is enough to tell two lists apart.
fn hex(hash: &blake3::Hash) -> Box<str> {
    let hex = hash.to_hex();
    hex.get(..32).unwrap_or(&hex).into()
}

fn unix_nanoseconds(time: SystemTime) -> Option<i64> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
}

/// Whether a content can lie where its entry says.
fn check(format: &RepositoryFormat, entry: &Entry, pack: &BlobMetadata) -> Result<(), content::Error> {
    Decoder::new(format).check(entry, &pack.id)?;
    if entry.end() > pack.size && pack.is_empty() {
        let source = blob::Error::Empty { blob: pack.id.clone() };
        return Err(content::Error::Read { content: entry.id, source });
    }
    if entry.end() > pack.size {
        let source = blob::Error::ShortRead {
            blob: pack.id.clone(),
            offset: entry.offset.into(),
            wanted: entry.packed_length.into(),
            got: pack.size.saturating_sub(entry.offset.into()),
        };
        return Err(content::Error::Read { content: entry.id, source });
    }
    Ok(())
}
