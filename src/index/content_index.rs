//! The full index: every content of the repository and where it is.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::Error;
use super::active::Doubt;
use super::cached::CachedIndex;
use super::entry::{Entry, PackNumber};
use super::merge::Merge;
use super::merged::MergedIndex;
use super::packed::PackedIndex;
use super::spill::SpillFile;
use super::spilled::{self, Spilled, SpilledIndex};
use super::store::Base;
use crate::blob::{BlobId, WritablePath};
use crate::id::ContentId;

/// Every look-up searches each run, so that there should be few; merging needs memory, so that the large ones are
/// better left alone.
const MAX_RUNS: usize = 8;

/// All entries of a repository, searchable by content ID.
///
/// Built by [`super::IndexReader::load`]. Large index blobs stay as they were stored; small ones are merged into one
/// table. What does not fit in the memory allowed is one table in a file without a name, and what is kept between runs one
/// in a file of the cache, where looking up costs a read of some KiB, mostly from the system's cache.
pub struct ContentIndex {
    runs: Vec<SortedRun>,
    packs: Vec<BlobId>,
    watermark: Option<i64>,
    doubts: Vec<Doubt>,
    blobs: Vec<BlobId>,
}

/// Where an entry is within one loaded index: kept instead of the entry where millions have to be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    run: u32,
    at: u32,
}

impl Position {
    /// As bytes, which have the same order.
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        (u64::from(self.run) << 32 | u64::from(self.at)).to_be_bytes()
    }

    /// What [`to_bytes`](Self::to_bytes) gave.
    pub(crate) fn from_bytes(bytes: [u8; 8]) -> Self {
        let number = u64::from_be_bytes(bytes);
        Self { run: (number >> 32) as u32, at: number as u32 }
    }
}

enum SortedRun {
    /// An index as stored, and for each of its packs the number in the whole index.
    Packed(PackedIndex, Vec<PackNumber>),
    Merged(MergedIndex),
    Spilled(SpilledIndex),
    Cached(CachedIndex),
}

impl SortedRun {
    fn key_size(&self) -> usize {
        match self {
            Self::Packed(index, _) => index.key_size(),
            Self::Merged(index) => index.key_size(),
            Self::Spilled(index) => index.key_size(),
            Self::Cached(index) => index.key_size(),
        }
    }

    fn len(&self) -> u32 {
        match self {
            Self::Packed(index, _) => index.len(),
            Self::Merged(index) => index.len(),
            Self::Spilled(index) => index.len(),
            Self::Cached(index) => index.len(),
        }
    }

    fn entry(&self, position: u32) -> Option<Entry> {
        match self {
            Self::Packed(index, packs) => index.entry(position).and_then(|e| renumbered(e, packs)),
            Self::Merged(index) => index.entry(position),
            Self::Spilled(index) => index.entry(position),
            Self::Cached(index) => index.entry(position),
        }
    }

    fn find(&self, id: &ContentId) -> Result<Option<(u32, Entry)>, Error> {
        let at = match self {
            Self::Packed(index, _) => index.find(id.key()).ok(),
            Self::Merged(index) => index.find(id.key()),
            Self::Spilled(index) => return index.find(id.key()).map_err(Error::Spill),
            Self::Cached(index) => return index.find(id.key()).map_err(Error::Spill),
        };
        Ok(at.and_then(|at| Some((at, self.entry(at)?))))
    }

    /// The entries of the contents with one prefix letter.
    fn with_prefix(&self, prefix: u8) -> Box<dyn Iterator<Item = Entry> + '_> {
        match self {
            Self::Packed(index, packs) => {
                Box::new(index.with_prefix(prefix).filter_map(|entry| renumbered(entry, packs)))
            }
            Self::Merged(index) => Box::new(index.with_prefix(prefix)),
            Self::Spilled(index) => {
                Box::new(index.iter().filter(move |entry| entry.id.prefix() == Some(prefix)))
            }
            Self::Cached(index) => Box::new(index.with_prefix(prefix)),
        }
    }

    /// All entries with their positions.
    fn iter(&self) -> Box<dyn Iterator<Item = (u32, Entry)> + '_> {
        match self {
            Self::Spilled(index) => Box::new((0..).zip(index.iter())),
            Self::Cached(index) => Box::new(index.iter()),
            _ => Box::new((0..self.len()).filter_map(|at| Some((at, self.entry(at)?)))),
        }
    }
}

fn renumbered(entry: Entry, packs: &[PackNumber]) -> Option<Entry> {
    Some(Entry { pack: *packs.get(entry.pack.0 as usize)?, ..entry })
}

debug_of!(ContentIndex, "ContentIndex");

impl ContentIndex {
    /// An index of any indexes, each with the name of the blob that it comes from: index blobs, or packs, whose local
    /// indexes can stand in for lost index blobs.
    pub fn build(indexes: Vec<(BlobId, PackedIndex)>, watermark: Option<i64>, doubts: Vec<Doubt>) -> Self {
        Self::build_upon(None, indexes, watermark, doubts)
    }

    /// The same beside what the cache has of other index blobs.
    pub(super) fn build_upon(
        base: Option<Base>,
        indexes: Vec<(BlobId, PackedIndex)>,
        watermark: Option<i64>,
        doubts: Vec<Doubt>,
    ) -> Self {
        let (mut blobs, mut packs, cached) = taken_apart(base, !indexes.is_empty());
        let mut runs = Vec::new();
        for (blob, index) in indexes {
            blobs.push(blob);
            let numbers = packs.of(index.packs());
            if !index.is_empty() {
                runs.push(SortedRun::Packed(index, numbers));
            }
        }
        let mut built = Self { runs: Vec::new(), packs: packs.names, watermark, doubts, blobs };
        runs.sort_by_key(|run| std::cmp::Reverse(run.len()));
        let most = MAX_RUNS.saturating_sub(cached.len()).max(1);
        let small = if runs.len() > most { runs.split_off(most - 1) } else { Vec::new() };
        built.runs = cached;
        built.runs.extend(runs);
        let mut by_key_size: HashMap<usize, Vec<SortedRun>> = HashMap::new();
        for run in small {
            by_key_size.entry(run.key_size()).or_default().push(run);
        }
        for (key_size, runs) in by_key_size {
            let sources = runs.iter().map(|run| (0..run.len()).filter_map(|at| run.entry(at))).collect();
            let winners = Merge::new(sources, |a, b| built.precedence(a, b).is_gt());
            let most = runs.iter().map(|run| run.len() as usize).sum();
            let merged = MergedIndex::collect(key_size, most, winners);
            built.runs.push(SortedRun::Merged(merged));
        }
        built
    }

    /// As [`ContentIndex::build`], of indexes whose records are in a file, into another file in `directory`.
    pub(super) fn build_spilled(
        base: Option<Base>,
        indexes: Vec<(BlobId, Spilled)>,
        file: &SpillFile,
        directory: &WritablePath,
        memory: u64,
        watermark: Option<i64>,
        doubts: Vec<Doubt>,
    ) -> Result<Self, Error> {
        let (mut blobs, mut packs, cached) = taken_apart(base, !indexes.is_empty());
        let mut stored = Vec::new();
        for (blob, index) in indexes {
            blobs.push(blob);
            let numbers = packs.of(&index.layout.packs);
            if index.count > 0 {
                stored.push(index.numbered(numbers));
            }
        }
        let mut built = Self { runs: Vec::new(), packs: packs.names, watermark, doubts, blobs };
        let merged = spilled::merge(file, stored, directory, memory, &|a, b| built.precedence(a, b).is_gt());
        built.runs = cached;
        built.runs.extend(merged.map_err(Error::Spill)?.into_iter().map(SortedRun::Spilled));
        Ok(built)
    }

    /// The sizes of the keys that there are, in ascending order.
    pub(super) fn key_sizes(&self) -> Vec<usize> {
        let mut sizes: Vec<usize> = self.runs.iter().map(SortedRun::key_size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// The entry that counts of each content whose key has this size, hidden ones included.
    pub(super) fn effective(&self, key_size: usize) -> impl Iterator<Item = Entry> + '_ {
        let runs = self.runs.iter().filter(|run| run.key_size() == key_size);
        let sources = runs.map(|run| run.iter().map(|(_, entry)| entry)).collect();
        Merge::new(sources, |a, b| self.precedence(a, b).is_gt())
    }

    /// Whether everything that [`at`](Self::at) and the iterators read could be read. Where parts of the index are in a
    /// file that fails, these end early.
    ///
    /// # Errors
    /// [`Error::Spill`].
    pub fn check(&self) -> Result<(), Error> {
        self.runs.iter().try_for_each(|run| match run {
            SortedRun::Spilled(index) => index.check().map_err(Error::Spill),
            SortedRun::Cached(index) => index.check().map_err(Error::Spill),
            _ => Ok(()),
        })
    }

    /// The entry of a content, or `None` when the repository certainly does not have it.
    ///
    /// A content that was marked deleted is still found until the deletion watermark passes it: snapshots may use it.
    ///
    /// # Errors
    /// [`Error::Spill`] where a part of the index is in a file that cannot be read.
    pub fn get(&self, id: &ContentId) -> Result<Option<Entry>, Error> {
        Ok(self.find(id)?.map(|(_, entry)| entry))
    }

    /// As [`ContentIndex::get`], with the place of the entry.
    ///
    /// # Errors
    /// As [`ContentIndex::get`].
    pub fn find(&self, id: &ContentId) -> Result<Option<(Position, Entry)>, Error> {
        let mut best = None;
        for found in self.matches(id) {
            let next = found?;
            best = Some(match best {
                Some(best) => self.winner(best, next),
                None => next,
            });
        }
        Ok(best.filter(|(_, entry)| self.visible(entry)))
    }

    /// Whether any index blob names the content, also one whose deletion hides it.
    ///
    /// # Errors
    /// As [`ContentIndex::get`].
    pub fn mentions(&self, id: &ContentId) -> Result<bool, Error> {
        Ok(self.matches(id).next().transpose()?.is_some())
    }

    fn matches(&self, id: &ContentId) -> impl Iterator<Item = Result<(Position, Entry), Error>> + '_ {
        let id = *id;
        let runs = (0..).zip(&self.runs).filter(move |(_, run)| run.key_size() == id.key().len());
        runs.filter_map(move |(number, run)| {
            let found = run.find(&id).transpose()?;
            Some(found.map(|(at, entry)| (Position { run: number, at }, entry)))
        })
    }

    /// The entry at a place that this index gave out.
    pub fn at(&self, position: Position) -> Option<Entry> {
        self.runs.get(position.run as usize)?.entry(position.at)
    }

    /// All visible entries in the order of content IDs, deleted ones included.
    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.positions().map(|(_, entry)| entry)
    }

    /// As [`ContentIndex::iter`], of the contents with one prefix letter.
    pub fn with_prefix(&self, prefix: u8) -> impl Iterator<Item = Entry> + '_ {
        self.effective_with_prefix(prefix).filter(|entry| self.visible(entry))
    }

    /// The same with those that are hidden.
    pub(super) fn effective_with_prefix(&self, prefix: u8) -> impl Iterator<Item = Entry> + '_ {
        let sources = self.runs.iter().map(|run| run.with_prefix(prefix));
        Merge::new(sources.collect(), |a, b| self.precedence(a, b).is_gt())
    }

    /// As [`ContentIndex::iter`], with the place of each entry.
    pub fn positions(&self) -> impl Iterator<Item = (Position, Entry)> + '_ {
        let sources = (0..)
            .zip(&self.runs)
            .map(|(number, run)| run.iter().map(move |(at, entry)| (Position { run: number, at }, entry)));
        Merge::new(sources.collect(), |a, b| self.precedence(a, b).is_gt())
            .filter(|(_, entry)| self.visible(entry))
    }

    /// The time up to which deleted entries no longer exist, in Unix seconds.
    pub fn watermark(&self) -> Option<i64> {
        self.watermark
    }

    /// Name of a pack.
    pub fn pack(&self, number: PackNumber) -> Option<&BlobId> {
        self.packs.get(number.0 as usize)
    }

    /// Names of all packs that entries name; [`PackNumber`]s count in this list.
    pub fn packs(&self) -> &[BlobId] {
        &self.packs
    }

    /// The index blobs that were read.
    pub fn blobs(&self) -> &[BlobId] {
        &self.blobs
    }

    /// Signs that index blobs may be missing.
    pub fn doubts(&self) -> &[Doubt] {
        &self.doubts
    }

    /// Entries in all runs: an upper bound of the number of contents.
    pub fn entries(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.len())).sum()
    }

    /// Bytes of memory that the index holds on to.
    pub fn memory(&self) -> u64 {
        let runs = self.runs.iter().map(|run| match run {
            SortedRun::Packed(index, packs) => index.memory() + packs.len() as u64 * 4,
            SortedRun::Merged(index) => index.memory(),
            SortedRun::Spilled(index) => index.memory(),
            SortedRun::Cached(index) => index.memory(),
        });
        let names: usize = self.packs.iter().map(|pack| pack.as_str().len() + 40).sum();
        runs.sum::<u64>() + names as u64
    }

    fn precedence(&self, a: &Entry, b: &Entry) -> Ordering {
        match (self.pack(a.pack), self.pack(b.pack)) {
            (Some(pack_a), Some(pack_b)) => a.precedence(pack_a, b, pack_b),
            (known, _) => {
                if known.is_some() {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
        }
    }

    fn winner(&self, best: (Position, Entry), next: (Position, Entry)) -> (Position, Entry) {
        if self.precedence(&next.1, &best.1).is_gt() { next } else { best }
    }

    fn visible(&self, entry: &Entry) -> bool {
        visible(entry, self.watermark)
    }
}

/// Whether the winner of a content counts: deleted entries up to the watermark do not, and nothing older replaces them.
pub(super) fn visible(entry: &Entry, watermark: Option<i64>) -> bool {
    let hidden = entry.deleted && watermark.is_some_and(|w| i64::try_from(entry.time).is_ok_and(|t| t <= w));
    !hidden
}

/// The blobs, packs and entries that the cache has; the packs with their numbers where `more` come.
fn taken_apart(base: Option<Base>, more: bool) -> (Vec<BlobId>, PackNumbers, Vec<SortedRun>) {
    let Some(base) = base else { return (Vec::new(), PackNumbers::default(), Vec::new()) };
    let mut packs = PackNumbers { names: base.packs, numbers: HashMap::new() };
    if more {
        let numbered = (0..).map(PackNumber).zip(&packs.names);
        packs.numbers = numbered.map(|(number, name)| (name.clone(), number)).collect();
    }
    let blobs = base.blobs.into_iter().map(|(id, _)| id).collect();
    let cached = base.indexes.into_iter().filter(|index| index.len() > 0).map(SortedRun::Cached);
    (blobs, packs, cached.collect())
}

/// Numbers for the packs that several indexes name.
#[derive(Default)]
struct PackNumbers {
    numbers: HashMap<BlobId, PackNumber>,
    names: Vec<BlobId>,
}

impl PackNumbers {
    /// The number of each of these packs.
    fn of(&mut self, packs: &[BlobId]) -> Vec<PackNumber> {
        let number = |pack: &BlobId| {
            *self.numbers.entry(pack.clone()).or_insert_with(|| {
                self.names.push(pack.clone());
                PackNumber(self.names.len() as u32 - 1)
            })
        };
        packs.iter().map(number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_looked_up_is_an_error_and_not_absent() {
        let id: ContentId = "k0011223344556677".parse().unwrap();
        let runs = vec![SortedRun::Spilled(SpilledIndex::unreadable(id.key()))];
        let index =
            ContentIndex { runs, packs: Vec::new(), watermark: None, doubts: Vec::new(), blobs: Vec::new() };
        assert!(matches!(index.get(&id), Err(Error::Spill(_))));
        assert!(matches!(index.find(&id), Err(Error::Spill(_))));
        assert!(matches!(index.mentions(&id), Err(Error::Spill(_))));
        assert!(index.check().is_err());
    }
}
