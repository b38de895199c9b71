//! The full index: every content of the repository and where it is.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::active::Doubt;
use super::entry::{Entry, PackNumber};
use super::id::ContentId;
use super::merged::MergedIndex;
use super::packed::PackedIndex;
use crate::blob::BlobId;

/// Every look-up searches each run, so that there should be few; merging needs memory, so that the large ones are
/// better left alone.
const MAX_RUNS: usize = 8;

/// All entries of a repository, searchable by content ID.
///
/// Built by [`super::IndexReader::load`]. Large index blobs stay as they were stored; small ones are merged into one
/// table.
pub struct ContentIndex {
    runs: Vec<Run>,
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

enum Run {
    /// An index as stored, and for each of its packs the number in the whole index.
    Packed(PackedIndex, Vec<PackNumber>),
    Merged(MergedIndex),
}

impl Run {
    fn key_size(&self) -> usize {
        match self {
            Self::Packed(index, _) => index.key_size(),
            Self::Merged(index) => index.key_size(),
        }
    }

    fn len(&self) -> u32 {
        match self {
            Self::Packed(index, _) => index.len(),
            Self::Merged(index) => index.len(),
        }
    }

    fn key(&self, position: u32) -> &[u8] {
        match self {
            Self::Packed(index, _) => index.key(position),
            Self::Merged(index) => index.key(position),
        }
    }

    fn entry(&self, position: u32) -> Option<Entry> {
        match self {
            Self::Packed(index, packs) => index.entry(position).and_then(|e| renumbered(e, packs)),
            Self::Merged(index) => index.entry(position),
        }
    }

    fn find(&self, id: &ContentId) -> Option<u32> {
        match self {
            Self::Packed(index, _) => index.find(id.key()).ok(),
            Self::Merged(index) => index.find(id.key()),
        }
    }
}

fn renumbered(entry: Entry, packs: &[PackNumber]) -> Option<Entry> {
    Some(Entry { pack: *packs.get(entry.pack.0 as usize)?, ..entry })
}

impl ContentIndex {
    /// An index of any indexes, each with the name of the blob that it comes from: index blobs, or packs, whose local
    /// indexes can stand in for lost index blobs.
    pub fn build(indexes: Vec<(BlobId, PackedIndex)>, watermark: Option<i64>, doubts: Vec<Doubt>) -> Self {
        let mut numbers: HashMap<BlobId, PackNumber> = HashMap::new();
        let mut built = Self { runs: Vec::new(), packs: Vec::new(), watermark, doubts, blobs: Vec::new() };
        let mut runs = Vec::new();
        for (blob, index) in indexes {
            built.blobs.push(blob);
            let packs: Vec<PackNumber> = index
                .packs()
                .iter()
                .map(|pack| {
                    *numbers.entry(pack.clone()).or_insert_with(|| {
                        built.packs.push(pack.clone());
                        PackNumber(built.packs.len() as u32 - 1)
                    })
                })
                .collect();
            if !index.is_empty() {
                runs.push(Run::Packed(index, packs));
            }
        }
        runs.sort_by_key(|run| std::cmp::Reverse(run.len()));
        let small = if runs.len() > MAX_RUNS { runs.split_off(MAX_RUNS - 1) } else { Vec::new() };
        built.runs = runs;
        let mut by_key_size: HashMap<usize, Vec<Entry>> = HashMap::new();
        for run in small {
            let entries = by_key_size.entry(run.key_size()).or_default();
            entries.extend((0..run.len()).filter_map(|position| run.entry(position)));
        }
        for (key_size, entries) in by_key_size {
            let merged = MergedIndex::build(key_size, entries, |a, b| built.precedence(a, b).is_gt());
            built.runs.push(Run::Merged(merged));
        }
        built
    }

    /// The entry of a content, or `None` when the repository does not have it.
    ///
    /// A content that was marked deleted is still found until the deletion watermark passes it: snapshots may use it.
    pub fn get(&self, id: &ContentId) -> Option<Entry> {
        self.find(id).map(|(_, entry)| entry)
    }

    /// As [`ContentIndex::get`], with the place of the entry.
    pub fn find(&self, id: &ContentId) -> Option<(Position, Entry)> {
        let best = self.matches(id).reduce(|best, next| self.winner(best, next))?;
        self.visible(&best.1).then_some(best)
    }

    /// Whether any index blob names the content, also one whose deletion hides it.
    pub fn mentions(&self, id: &ContentId) -> bool {
        self.matches(id).next().is_some()
    }

    fn matches(&self, id: &ContentId) -> impl Iterator<Item = (Position, Entry)> + '_ {
        let id = *id;
        self.runs.iter().enumerate().filter(move |(_, run)| run.key_size() == id.key().len()).filter_map(
            move |(number, run)| {
                let at = run.find(&id)?;
                Some((Position { run: number as u32, at }, run.entry(at)?))
            },
        )
    }

    /// The entry at a place that this index gave out.
    pub fn at(&self, position: Position) -> Option<Entry> {
        self.runs.get(position.run as usize)?.entry(position.at)
    }

    /// All visible entries in the order of content IDs, deleted ones included.
    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.positions().map(|(_, entry)| entry)
    }

    /// As [`ContentIndex::iter`], with the place of each entry.
    pub fn positions(&self) -> impl Iterator<Item = (Position, Entry)> + '_ {
        Merge { index: self, positions: vec![0; self.runs.len()] }.filter(|(_, entry)| self.visible(entry))
    }

    /// The time up to which deleted entries do not exist any more, in Unix seconds.
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
            Run::Packed(index, packs) => index.memory() + packs.len() as u64 * 4,
            Run::Merged(index) => index.memory(),
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

struct Merge<'a> {
    index: &'a ContentIndex,
    positions: Vec<u32>,
}

impl Iterator for Merge<'_> {
    type Item = (Position, Entry);

    fn next(&mut self) -> Option<(Position, Entry)> {
        let runs = &self.index.runs;
        let heads = || (0_u32..).zip(runs).zip(&self.positions).filter(|((_, run), at)| **at < run.len());
        let key = heads().map(|((_, run), at)| run.key(*at)).min()?;
        let winner = heads()
            .filter(|((_, run), at)| run.key(**at) == key)
            .filter_map(|((number, run), at)| Some((Position { run: number, at: *at }, run.entry(*at)?)))
            .reduce(|best, next| self.index.winner(best, next));
        for (run, at) in runs.iter().zip(&mut self.positions) {
            if *at < run.len() && run.key(*at) == key {
                *at += 1;
            }
        }
        winner
    }
}
