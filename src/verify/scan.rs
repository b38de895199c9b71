//! Reading packs from end to end, once, while all cores decode what was read.
//!
//! Each worker in turn takes the reading head, reads the next stretch, lets go of the head and decodes. So the storage
//! sees one sequential reader, and memory is one stretch per worker, whatever the sizes of packs and repository.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::batch::{Checked, Checker, Piece};
use super::findings::{Finding, is_refusal};
use super::options::Level;
use super::plan::{PackPlan, Plan};
use crate::blob::{self, BlobId, BlobStore};
use crate::content::{Error, read_error};
use crate::format::RepositoryFormat;
use crate::index::{ContentIndex, Entry};
use crate::pack::{self, Postamble, open_local_index};

/// Bytes read at once: some contents of the usual largest size, so that they can be hashed side by side.
const STRETCH: u64 = 16 << 20;

/// Bytes of other contents that are read along rather than passed over.
const GAP: u64 = 256 << 10;

/// The end of a pack is read along up to this size; in a pack of dead contents only what holds most local indexes.
const TAIL: u64 = 1 << 20;
const SHORT_TAIL: u64 = 8192;

/// A local index that begins before the tail read.
const MAX_LOCAL_INDEX: u64 = 64 << 20;

/// Workers' stretches and plaintexts together may take this part of the memory budget; the index is in the rest.
const MEMORY_SHARE: u64 = 3;

/// Reading of the packs of a plan.
pub(super) struct Scan<'a> {
    pub(super) store: &'a dyn BlobStore,
    pub(super) format: &'a RepositoryFormat,
    pub(super) index: &'a ContentIndex,
    pub(super) plan: &'a Plan,
    pub(super) level: Level,
    pub(super) threads: usize,
    pub(super) reads: usize,
    pub(super) memory: u64,
    /// Whether the pages of metadata packs stay cached, because the trees are walked next.
    pub(super) keep_metadata: bool,
    /// Asked between reads; what was not read completely is not reported.
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
}

/// What came out for one pack.
#[derive(Debug, Default)]
pub(super) struct PackResult {
    pub(super) checked: Checked,
    /// What is wrong with the end of the pack, which only recovery needs.
    pub(super) footer: Option<Finding>,
    pub(super) footer_repairs: Vec<Range<u64>>,
}

struct Job<'a> {
    pack: &'a PackPlan,
    /// Stretches under way, and one for the head as long as it is in this pack.
    pending: AtomicUsize,
    abandoned: AtomicBool,
    result: Mutex<PackResult>,
}

impl Job<'_> {
    fn result(&self) -> MutexGuard<'_, PackResult> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a head is.
struct Head<'a> {
    current: Option<(Arc<Job<'a>>, usize, bool)>,
}

struct Stretch<'a> {
    job: Arc<Job<'a>>,
    entries: Vec<Entry>,
    offset: u64,
    length: usize,
    footer: bool,
}

impl<'a> Scan<'a> {
    /// Reads packs of the plan in the order given, and hands the result of each to `done`, on any thread.
    pub(super) fn run(&self, order: &[&'a PackPlan], done: &(dyn Fn(&PackPlan, PackResult) + Sync)) {
        let next = AtomicUsize::new(0);
        let workers = self.threads.max(1) + self.reads.max(1);
        let heads: Vec<Mutex<Head<'a>>> =
            (0..self.reads.max(1)).map(|_| Mutex::new(Head { current: None })).collect();
        let stretch = (self.memory / MEMORY_SHARE / (2 * workers as u64)).clamp(1 << 20, STRETCH);
        let work = |head: &Mutex<Head<'a>>| {
            let mut checker = Checker::new(self.format, self.level);
            let mut buffer = Vec::new();
            loop {
                let mut held = head.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(stretch) = self.next(&mut held, order, &next, stretch, done) else { break };
                if buffer.len() < stretch.length {
                    buffer.resize(stretch.length, 0);
                }
                let Some(bytes) = buffer.get_mut(..stretch.length) else { break };
                let read = self.store.read_at(&stretch.job.pack.blob, stretch.offset, bytes);
                if read.as_ref().is_err_and(blob::Error::is_not_found) {
                    self.vanish(&mut held, &stretch);
                    drop(held);
                } else {
                    drop(held);
                    self.check(&mut checker, &stretch, bytes, read);
                }
                self.release(&stretch.job, done);
                if buffer.len() as u64 > 2 * STRETCH {
                    buffer = Vec::new();
                }
            }
        };
        std::thread::scope(|scope| {
            for worker in 1..workers {
                let head = heads.get(worker % heads.len());
                scope.spawn(move || head.map(work));
            }
            heads.first().map(work);
        });
    }

    fn next(
        &self,
        head: &mut Head<'a>,
        order: &[&'a PackPlan],
        next: &AtomicUsize,
        limit: u64,
        done: &(dyn Fn(&PackPlan, PackResult) + Sync),
    ) -> Option<Stretch<'a>> {
        loop {
            if (self.stop)() {
                if let Some((job, ..)) = head.current.take() {
                    job.abandoned.store(true, Ordering::SeqCst);
                    self.release(&job, done);
                }
                return None;
            }
            let Some((job, nth, footer)) = head.current.as_mut() else {
                let pack = order.get(next.fetch_add(1, Ordering::SeqCst))?;
                let job = Job {
                    pack,
                    pending: AtomicUsize::new(1),
                    abandoned: AtomicBool::new(false),
                    result: Mutex::default(),
                };
                head.current = Some((Arc::new(job), 0, false));
                continue;
            };
            let stretch = if *nth < job.pack.contents() {
                self.contents(job, nth, limit)
            } else if !*footer {
                *footer = true;
                self.tail(job)
            } else {
                let job = Arc::clone(job);
                head.current = None;
                self.release(&job, done);
                continue;
            };
            if let Some(stretch) = stretch {
                stretch.job.pending.fetch_add(1, Ordering::SeqCst);
                return Some(stretch);
            }
        }
    }

    /// The next contents of a pack that lie close to each other.
    fn contents(&self, job: &Arc<Job<'a>>, nth: &mut usize, limit: u64) -> Option<Stretch<'a>> {
        let mut entries: Vec<Entry> = Vec::new();
        let (mut begin, mut end) = (0, 0);
        while let Some(position) = self.plan.position(job.pack, *nth) {
            let Some(entry) = self.index.at(position) else {
                *nth += 1;
                continue;
            };
            let start = u64::from(entry.offset);
            if entries.is_empty() {
                (begin, end) = (start, entry.end());
            } else if start > end + GAP || entry.end().max(end) - begin > limit {
                break;
            }
            end = end.max(entry.end());
            entries.push(entry);
            *nth += 1;
        }
        if entries.is_empty() {
            return None;
        }
        let length = usize::try_from(end - begin).ok()?;
        Some(Stretch { job: Arc::clone(job), entries, offset: begin, length, footer: false })
    }

    /// What follows the last content of a pack.
    fn tail(&self, job: &Arc<Job<'a>>) -> Option<Stretch<'a>> {
        let size = job.pack.size;
        let ends = self.plan.positions(job.pack).filter_map(|position| self.index.at(position));
        let end = ends.map(|entry| entry.end()).max().unwrap_or(0).min(size);
        let offset = if size - end <= TAIL { end } else { size.saturating_sub(SHORT_TAIL) };
        let length = usize::try_from(size - offset).ok()?;
        Some(Stretch { job: Arc::clone(job), entries: Vec::new(), offset, length, footer: true })
    }

    fn release(&self, job: &Arc<Job<'a>>, done: &(dyn Fn(&PackPlan, PackResult) + Sync)) {
        if job.pending.fetch_sub(1, Ordering::SeqCst) == 1 && !job.abandoned.load(Ordering::SeqCst) {
            let blob = &job.pack.blob;
            if !(self.keep_metadata && blob.as_str().starts_with('q')) {
                self.store.forget(blob);
            }
            done(job.pack, std::mem::take(&mut job.result()));
        }
    }

    /// Sets aside what was still to be read of a pack that is gone.
    fn vanish(&self, head: &mut Head<'a>, stretch: &Stretch<'a>) {
        let mut gone = stretch.entries.clone();
        if let Some((job, nth, footer)) = head.current.as_mut() {
            let rest = self.plan.positions(job.pack).skip(*nth);
            gone.extend(rest.filter_map(|position| self.index.at(position)));
            *nth = job.pack.contents();
            *footer = true;
        }
        stretch.job.result().checked.vanished.extend(gone);
    }

    fn check(
        &self,
        checker: &mut Checker<'_>,
        stretch: &Stretch<'a>,
        bytes: &mut [u8],
        read: Result<(), blob::Error>,
    ) {
        let pack = &stretch.job.pack.blob;
        if stretch.footer {
            let finding = match read {
                Ok(()) => self.check_footer(stretch, bytes),
                Err(e) => Err(pack::Error::Blob(e)),
            };
            let mut result = stretch.job.result();
            match finding {
                Ok(repaired) => result.footer_repairs = repaired,
                Err(e) => {
                    let unchecked = matches!(&e, pack::Error::Blob(source) if is_refusal(source));
                    let detail = format!("{e} (only recovery of a lost index would need it)");
                    let blob = Some(pack.clone());
                    result.footer = Some(Finding { code: e.code(), blob, detail, unchecked });
                }
            }
            return;
        }
        let mut checked = Checked::default();
        let (pieces, apart) = match read {
            Ok(()) => cut(stretch, bytes),
            Err(_) => (Vec::new(), stretch.entries.clone()),
        };
        checker.check(pack, pieces, &mut checked);
        for entry in apart {
            self.check_alone(checker, pack, entry, &mut checked);
        }
        stretch.job.result().checked.absorb(checked);
    }

    /// Checks one content with a read of its own: around a bad sector, and where contents overlap.
    fn check_alone(&self, checker: &mut Checker<'_>, pack: &BlobId, entry: Entry, out: &mut Checked) {
        let mut stored = vec![0; entry.packed_length as usize];
        match self.store.read_at(pack, entry.offset.into(), &mut stored) {
            Ok(()) => checker.check(pack, vec![Piece { entry, stored: &mut stored }], out),
            Err(e) if e.is_not_found() => out.vanished.push(entry),
            Err(e) => out.fail(&read_error(entry.id, e)),
        }
    }

    fn check_footer(&self, stretch: &Stretch<'_>, bytes: &[u8]) -> Result<Vec<Range<u64>>, pack::Error> {
        let blob = &stretch.job.pack.blob;
        let postamble =
            Postamble::parse(bytes).ok_or_else(|| pack::Error::NoPostamble { blob: blob.clone() })?;
        let outside = || pack::Error::OutOfBounds { blob: blob.clone() };
        let size = stretch.job.pack.size;
        let end = postamble.offset.checked_add(postamble.length).ok_or_else(outside)?;
        if end > size || postamble.length > MAX_LOCAL_INDEX {
            return Err(outside());
        }
        let length = usize::try_from(postamble.length).map_err(|_| outside())?;
        let stored = match postamble.offset.checked_sub(stretch.offset) {
            Some(from) => {
                let from = usize::try_from(from).map_err(|_| outside())?;
                from.checked_add(length).and_then(|to| bytes.get(from..to)).ok_or_else(outside)?.to_vec()
            }
            None => {
                let mut stored = vec![0; length];
                self.store.read_at(blob, postamble.offset, &mut stored)?;
                stored
            }
        };
        let local = open_local_index(self.format, blob, &postamble, stored)?;
        let from = postamble.offset;
        Ok(local.repaired.iter().map(|range| from + range.start as u64..from + range.end as u64).collect())
    }
}

/// Cuts a stretch into its contents. Contents that overlap, which no writer makes, are given back to be read alone:
/// decoding overwrites the bytes.
fn cut<'b>(stretch: &Stretch<'_>, bytes: &'b mut [u8]) -> (Vec<Piece<'b>>, Vec<Entry>) {
    let mut pieces = Vec::with_capacity(stretch.entries.len());
    let mut apart = Vec::new();
    let mut rest = bytes;
    let mut at = stretch.offset;
    for entry in &stretch.entries {
        let skip = u64::from(entry.offset).checked_sub(at).and_then(|skip| usize::try_from(skip).ok());
        let length = entry.packed_length as usize;
        let room = rest.len();
        match skip.filter(|skip| skip.checked_add(length).is_some_and(|end| end <= room)) {
            Some(skip) => {
                let (_, following) = rest.split_at_mut(skip);
                let (stored, following) = following.split_at_mut(length);
                pieces.push(Piece { entry: *entry, stored });
                rest = following;
                at = entry.end();
            }
            None => apart.push(*entry),
        }
    }
    (pieces, apart)
}

/// What a missing pack means for the contents in it.
pub(super) fn pack_missing(entry: &Entry, pack: &BlobId) -> Error {
    Error::PackMissing { content: entry.id, blob: pack.clone() }
}
