//! From files to reads: which contents they need, grouped by pack and in the order of their offsets.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::ahead::Ahead;
use super::error::Error;
use super::job::Job;
use super::place::Session;
use crate::content::{self, Decoder, pack_of};
use crate::index::{ContentId, ContentIndex, Entry, PackNumber};
use crate::object::{self, Chunk, Chunks, ObjectId};
use crate::os::sync::{Permit, Semaphore};

/// A batch ends at any of these. Together with the number of batches they bound the memory of plans and the number of
/// files that are open at once.
const MAX_USES: usize = 32 << 10;
const MAX_JOBS: usize = 16 << 10;
const MAX_SPLIT_JOBS: usize = 200;
const MAX_DIRS: usize = 400;

/// The first batch is this much smaller, and each following one twice as large: others wait for it.
const FIRST: usize = 16;

/// Files of many contents whose tables are read together.
const TABLES_AT_ONCE: usize = 64;

/// Pieces of an existing file that are compared together, for the lanes of the hash function, and bytes of them.
const MAX_COMPARED: usize = 8;
const MAX_COMPARED_BYTES: u64 = 8 << 20;

/// Reads by which the first of a pack precedes its turn.
const OPEN_AHEAD: usize = 24;

/// Gaps as long as the store takes well are read over, as long as they make up no more than a part of the range.
const GAP_SHARE: u64 = 6;

/// A piece of a file, and where it comes from.
pub(super) struct Use {
    pub(super) entry: Entry,
    pub(super) chunk: Chunk,
    job: u32,
}

/// Files that are restored together.
pub(super) struct Batch<'s> {
    pub(super) index: Arc<ContentIndex>,
    jobs: Vec<Arc<Job<'s>>>,
    pub(super) uses: Vec<Use>,
    /// Of those that bound how many batches there are at a time. What is compared is small, and bounded by the queue.
    _permit: Option<Permit<'s>>,
}

impl<'s> Batch<'s> {
    pub(super) fn job(&self, piece: &Use) -> Option<&Arc<Job<'s>>> {
        self.jobs.get(piece.job as usize)
    }
}

/// Work for those who read, decode and write.
pub(super) enum Item<'s> {
    /// One read, and the pieces that come out of it.
    Range { batch: Arc<Batch<'s>>, range: Planned },
    /// Pieces of one file that may be there already.
    Compare(Batch<'s>),
    /// A file without data.
    Empty(Arc<Job<'s>>),
}

/// Makes batches.
pub(super) struct Planner<'s> {
    session: &'s Session<'s>,
    ahead: &'s Ahead<'s>,
    permits: &'s Semaphore,
    items: Sender<Item<'s>>,
    batch: Option<Batch<'s>>,
    tables: Vec<(Arc<Job<'s>>, ObjectId)>,
    compare: Vec<Use>,
    split: usize,
    dirs: usize,
    scale: usize,
}

impl<'s> Planner<'s> {
    pub(super) fn new(
        session: &'s Session<'s>,
        ahead: &'s Ahead<'s>,
        permits: &'s Semaphore,
        items: Sender<Item<'s>>,
    ) -> Self {
        let (batch, tables, compare) = (None, Vec::new(), Vec::new());
        Self { session, ahead, permits, items, batch, tables, compare, split: 0, dirs: 0, scale: FIRST }
    }

    /// Notes that the following jobs are in another directory.
    pub(super) fn directory(&mut self) {
        self.dirs += 1;
    }

    fn batch(&mut self) -> &mut Batch<'s> {
        self.batch.get_or_insert_with(|| Batch {
            index: self.session.contents.index(),
            jobs: Vec::new(),
            uses: Vec::new(),
            _permit: Some(self.permits.acquire(1)),
        })
    }

    /// Adds a file or link whose data is in `object`.
    pub(super) fn add(&mut self, job: Arc<Job<'s>>, object: &ObjectId) {
        if self.session.options.dry_run {
            job.done();
        } else if object.index().is_some() {
            self.tables.push((job, *object));
            if self.tables.len() >= TABLES_AT_ONCE {
                self.resolve_tables();
            }
        } else if let Err(error) = self.add_direct(&job, object) {
            job.fail(&error);
        } else {
            self.flush_compare(&job);
            job.done();
        }
        self.flush_if_full();
    }

    fn flush_if_full(&mut self) {
        let full = self.batch.as_ref().is_some_and(|batch| {
            batch.uses.len() >= MAX_USES / self.scale || batch.jobs.len() >= MAX_JOBS / self.scale
        });
        if full || self.split >= MAX_SPLIT_JOBS || self.dirs >= MAX_DIRS {
            self.flush();
        }
    }

    fn add_direct(&mut self, job: &Arc<Job<'s>>, object: &ObjectId) -> Result<(), Error> {
        let content = *object.content();
        let entry = self.find(&content)?;
        let compressed = object.is_compressed();
        let found = u64::from(entry.original_length);
        if job.is_link() && !compressed {
            job.set_size(found);
        }
        if !compressed && found != job.size() {
            return Err(Error::Size { expected: job.size(), found });
        }
        let chunk = Chunk { offset: 0, length: Some(job.size()), content, compressed };
        if job.size() == 0 && !job.is_link() && !compressed {
            job.expect();
            // The receivers outlive the planner.
            let _ = self.items.send(Item::Empty(Arc::clone(job)));
            return Ok(());
        }
        self.push(job, entry, chunk);
        Ok(())
    }

    fn find(&mut self, content: &ContentId) -> Result<Entry, Error> {
        let session = self.session;
        let index = &self.batch().index;
        let entry = index
            .get(content)
            .map_err(content::Error::from)?
            .ok_or(content::Error::Missing { content: *content })?;
        Decoder::new(session.contents.format()).check(&entry, pack_of(index, &entry)?)?;
        Ok(entry)
    }

    fn push(&mut self, job: &Arc<Job<'s>>, entry: Entry, chunk: Chunk) {
        job.expect();
        if job.base().is_some() {
            self.compare.push(Use { entry, chunk, job: 0 });
            let bytes: u64 = self.compare.iter().filter_map(|piece| piece.chunk.length).sum();
            if self.compare.len() >= MAX_COMPARED || bytes >= MAX_COMPARED_BYTES {
                self.flush_compare(job);
            }
            return;
        }
        let batch = self.batch();
        if !batch.jobs.last().is_some_and(|last| Arc::ptr_eq(last, job)) {
            batch.jobs.push(Arc::clone(job));
        }
        let number = batch.jobs.len() - 1;
        batch.uses.push(Use { entry, chunk, job: number as u32 });
    }

    /// Hands on the pieces of a job that are to be compared.
    fn flush_compare(&mut self, job: &Arc<Job<'s>>) {
        if !self.compare.is_empty() {
            let uses = std::mem::take(&mut self.compare);
            let index = Arc::clone(&self.batch().index);
            let pieces = Batch { index, jobs: vec![Arc::clone(job)], uses, _permit: None };
            // The receivers outlive the planner.
            let _ = self.items.send(Item::Compare(pieces));
        }
    }

    fn resolve_tables(&mut self) {
        let tables = std::mem::take(&mut self.tables);
        self.ahead.fetch(tables.iter().map(|(_, object)| *object.content()));
        for (job, object) in tables {
            if self.session.is_over() {
                return;
            }
            let added = self.add_chunks(&job, &object);
            self.flush_compare(&job);
            match added {
                Ok(()) => job.done(),
                Err(error) => job.fail(&error),
            }
            self.flush_if_full();
        }
    }

    fn add_chunks(&mut self, job: &Arc<Job<'s>>, object: &ObjectId) -> Result<(), Error> {
        let mut end = 0;
        self.split += 1;
        for chunk in Chunks::new(self.ahead, object) {
            let chunk = chunk?;
            let length = chunk.length.unwrap_or_default();
            end = chunk.offset.saturating_add(length);
            if length == 0 {
                continue;
            }
            if end > job.size() {
                break;
            }
            let entry = self.find(&chunk.content)?;
            let found = u64::from(entry.original_length);
            if !chunk.compressed && found != length {
                let (object, content) = (*object, chunk.content);
                return Err(object::Error::ChunkLength { object, content, expected: length, found }.into());
            }
            self.push(job, entry, chunk);
            if self.batch().uses.len() >= MAX_USES {
                self.flush();
                if self.session.is_over() || job.is_over() {
                    return Ok(());
                }
                self.split = 1;
            }
        }
        if end == job.size() { Ok(()) } else { Err(Error::Size { expected: job.size(), found: end }) }
    }

    /// Ends the last batch.
    pub(super) fn finish(mut self) {
        self.resolve_tables();
        self.flush();
    }

    fn flush(&mut self) {
        (self.split, self.dirs) = (0, 0);
        self.scale = (self.scale / 2).max(1);
        let Some(mut batch) = self.batch.take() else { return };
        let hints = self.session.hints();
        let ranges = plan(&mut batch.uses, self.session.longest_range(hints), hints.gap);
        let batch = Arc::new(batch);
        for range in ranges {
            let item = Item::Range { batch: Arc::clone(&batch), range };
            if self.session.is_over() || self.items.send(item).is_err() {
                return;
            }
        }
    }
}

/// A read of one pack, and which pieces come out of it, in the order of their offsets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) uses: Range<usize>,
    pub(super) offset: u64,
    pub(super) length: usize,
}

/// Sorts pieces by pack and offset, packs in the order in which they are first needed, and makes reads of them.
pub(super) fn plan(uses: &mut [Use], longest: u64, gap: u64) -> Vec<Planned> {
    let mut ranks: HashMap<PackNumber, usize> = HashMap::new();
    for piece in uses.iter() {
        let next = ranks.len();
        ranks.entry(piece.entry.pack).or_insert(next);
    }
    let rank = |piece: &Use| ranks.get(&piece.entry.pack).copied().unwrap_or_default();
    uses.sort_by_cached_key(|piece| (rank(piece), piece.entry.offset, piece.entry.id));
    let mut ranges: Vec<Planned> = Vec::new();
    let mut current: Option<(PackNumber, u64, u64, usize, u64)> = None;
    let mut close = |current: Option<(PackNumber, u64, u64, usize, u64)>, at: usize| {
        if let Some((_, start, end, first, _)) = current {
            let length = usize::try_from(end - start).unwrap_or_default();
            ranges.push(Planned { uses: first..at, offset: start, length });
        }
    };
    let mut previous: Option<ContentId> = None;
    for (at, piece) in uses.iter().enumerate() {
        let entry = &piece.entry;
        let (start, end) = (u64::from(entry.offset), entry.end());
        if previous == Some(entry.id) {
            continue;
        }
        previous = Some(entry.id);
        if let Some((pack, first, last, _, waste)) = &mut current
            && *pack == entry.pack
            // Contents that overlap are forged; decoding in place would make one spoil the other.
            && start >= *last
            && start - *last <= gap
            && (*waste + (start - *last)) * GAP_SHARE <= end - *first
            && end - *first <= longest
        {
            *waste += start - *last;
            *last = end;
        } else {
            close(current.take(), at);
            current = Some((entry.pack, start, end, at, 0));
        }
    }
    close(current, uses.len());
    open_ahead(&mut ranges, uses);
    ranges
}

/// Moves the first read of each pack forward: it opens the pack, which takes several round trips on a network, and the
/// others would all wait for it.
fn open_ahead(ranges: &mut Vec<Planned>, uses: &[Use]) {
    let pack = |range: &Planned| uses.get(range.uses.start).map(|piece| piece.entry.pack);
    let mut last = None;
    let mut placed: Vec<(usize, Planned)> = Vec::with_capacity(ranges.len());
    for (at, range) in ranges.drain(..).enumerate() {
        let first = last.replace(pack(&range)) != Some(pack(&range));
        placed.push((if first { at.saturating_sub(OPEN_AHEAD) } else { at }, range));
    }
    placed.sort_by_key(|(at, _)| *at);
    ranges.extend(placed.into_iter().map(|(_, range)| range));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A content of 900 KiB at the `at`th place of a pack.
    fn piece(pack: u32, at: u32) -> Use {
        let id: ContentId = format!("{:032x}", u64::from(pack) << 32 | u64::from(at)).parse().unwrap();
        let length = 900 << 10;
        let entry = Entry {
            id,
            time: 0,
            deleted: false,
            pack: PackNumber(pack),
            offset: at * length,
            packed_length: length,
            original_length: length,
            compression: 0,
            format_version: 2,
            key_id: 0,
        };
        Use { entry, chunk: Chunk { offset: 0, length: None, content: id, compressed: false }, job: 0 }
    }

    #[test]
    fn packs_are_opened_before_their_turn_and_read_in_order() {
        let mut uses: Vec<Use> = (0..120).map(|n| piece(7 - n / 40, n % 40)).collect();
        uses.reverse();
        let ranges = plan(&mut uses, 1 << 20, 64 << 10);
        let read: Vec<(u32, u64)> =
            ranges.iter().map(|range| (uses[range.uses.start].entry.pack.number(), range.offset)).collect();
        let of = |pack| read.iter().filter(move |(number, _)| *number == pack).map(|(_, offset)| *offset);
        for pack in [5, 6, 7] {
            assert_eq!(of(pack).count(), 40);
            assert!(of(pack).is_sorted());
        }
        let first = |pack| read.iter().position(|(number, _)| *number == pack).unwrap();
        // Packs come in the order in which they are first needed.
        assert_eq!([first(5), first(6), first(7)], [0, 41 - OPEN_AHEAD, 81 - OPEN_AHEAD]);
    }
}
