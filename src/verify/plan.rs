//! What has to be read: the contents of each pack in the order in which they lie there.

use std::collections::HashMap;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use super::findings::{Cause, Failures};
use super::options::Shard;
use crate::blob::{self, BlobId, BlobMetadata};
use crate::content::{self, Decoder};
use crate::format::RepositoryFormat;
use crate::index::{ContentIndex, Entry, Position};

/// A content to be read. There may be many millions: it holds no more than it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    pack: u32,
    offset: u32,
    position: Position,
}

/// One pack that has contents to be read.
#[derive(Debug, Clone)]
pub(super) struct PackPlan {
    /// Its name.
    pub(super) blob: BlobId,
    /// Its size by the listing.
    pub(super) size: u64,
    /// Stored bytes of its contents.
    pub(super) bytes: u64,
    /// When it was written, by the listing, in Unix nanoseconds.
    pub(super) mtime: Option<i64>,
    /// Tells which contents are planned, and where they lie.
    pub(super) digest: Box<str>,
    pub(super) items: Range<usize>,
}

impl PackPlan {
    pub(super) fn contents(&self) -> usize {
        self.items.len()
    }
}

/// All contents by pack.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) packs: Vec<PackPlan>,
    items: Vec<Item>,
    /// Contents whose pack is not there, marked deleted or not.
    pub(super) missing: Vec<Entry>,
    /// Contents whose entries or packs show without reading that they cannot be had.
    pub(super) failures: Failures,
    /// How many these are.
    pub(super) impossible: u64,
}

impl Plan {
    /// Plans the reading of all contents that `wanted` wants.
    pub(super) fn build(
        format: &RepositoryFormat,
        index: &ContentIndex,
        listing: &HashMap<BlobId, BlobMetadata>,
        shard: Shard,
        wanted: impl Fn(Position) -> bool,
    ) -> Self {
        let ours: Vec<bool> = index.packs().iter().map(|pack| shard.has(pack.as_str())).collect();
        let mut plan = Self::default();
        for (position, entry) in index.positions() {
            let number = entry.pack.number();
            if ours.get(number as usize).copied().unwrap_or(false) && wanted(position) {
                plan.items.push(Item { pack: number, offset: entry.offset, position });
            }
        }
        plan.items.sort_unstable();
        let mut items = std::mem::take(&mut plan.items);
        let mut kept = 0;
        let mut at = 0;
        while let Some(first) = items.get(at).copied() {
            let number = first.pack;
            let end = at + items.get(at..).unwrap_or_default().partition_point(|item| item.pack == number);
            let Some(pack) = index.packs().get(number as usize) else { break };
            let begin = kept;
            let mut bytes = 0;
            let mut digest = blake3::Hasher::new();
            for place in at..end {
                let Some(item) = items.get(place).copied() else { break };
                let Some(entry) = index.at(item.position) else { continue };
                let Some(blob) = listing.get(pack) else {
                    plan.missing.push(entry);
                    continue;
                };
                if let Err(e) = check(format, &entry, blob) {
                    plan.failures.insert(entry.id, Cause::of(&e));
                    plan.impossible += 1;
                    continue;
                }
                bytes += u64::from(entry.packed_length);
                describe(&entry, &mut digest);
                if let Some(slot) = items.get_mut(kept) {
                    *slot = item;
                }
                kept += 1;
            }
            if let Some(blob) = listing.get(pack).filter(|_| kept > begin) {
                plan.packs.push(PackPlan {
                    blob: pack.clone(),
                    size: blob.size,
                    bytes,
                    mtime: blob.modified.and_then(unix_nanoseconds),
                    digest: hex(&digest.finalize()),
                    items: begin..kept,
                });
            }
            at = end;
        }
        items.truncate(kept);
        items.shrink_to_fit();
        plan.items = items;
        plan
    }

    /// Places of the contents of a pack in ascending order of their offsets.
    pub(super) fn positions(&self, pack: &PackPlan) -> impl ExactSizeIterator<Item = Position> + '_ {
        self.items.get(pack.items.clone()).unwrap_or_default().iter().map(|item| item.position)
    }

    /// The place of one content of a pack, counted in the order of offsets.
    pub(super) fn position(&self, pack: &PackPlan, nth: usize) -> Option<Position> {
        self.items.get(pack.items.clone())?.get(nth).map(|item| item.position)
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
