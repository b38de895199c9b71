//! The reading head: what is read of which pack, in which order.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard};

use crate::blob::BlobStore;
use crate::format::RepositoryFormat;
use crate::index::{ContentIndex, Entry, Position};
use crate::os::sync::Mutex;
use crate::verify::checked::PackResult;
use crate::verify::lookup::place_of;
use crate::verify::options::Level;
use crate::verify::plan::packs::{PackPlan, Plan};

/// Bytes of other contents that are read along rather than passed over.
const GAP: u64 = 256 << 10;

/// The end of a pack is read along up to this size; in a pack of dead contents only what holds most local indexes.
const TAIL: u64 = 1 << 20;
const SHORT_TAIL: u64 = 8192;

/// Reading of the packs of a plan.
pub(crate) struct Scan<'a> {
    pub(crate) store: &'a dyn BlobStore,
    pub(crate) format: &'a RepositoryFormat,
    pub(crate) index: &'a ContentIndex,
    pub(crate) plan: &'a Plan,
    pub(crate) level: Level,
    pub(crate) threads: usize,
    pub(crate) reads: usize,
    pub(crate) memory: u64,
    /// Whether the pages of metadata packs stay cached, because the trees are walked next.
    pub(crate) keep_metadata: bool,
    /// Asked between reads. A pack that was not read completely is not reported.
    pub(crate) stop: &'a (dyn Fn() -> bool + Sync),
}

pub(crate) struct Job<'a> {
    pub(crate) pack: &'a PackPlan,
    /// Stretches under way, and one for the head as long as it is in this pack.
    pending: AtomicUsize,
    abandoned: AtomicBool,
    result: Mutex<PackResult>,
}

impl Job<'_> {
    pub(crate) fn result(&self) -> MutexGuard<'_, PackResult> {
        self.result.lock()
    }
}

/// Where a head is.
#[derive(Default)]
pub(crate) struct Head<'a> {
    current: Option<(Arc<Job<'a>>, usize, bool)>,
}

/// A part of a pack that is read at once.
pub(crate) struct Stretch<'a> {
    pub(crate) job: Arc<Job<'a>>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) offset: u64,
    pub(crate) length: usize,
    /// Whether it is what follows the contents.
    pub(crate) footer: bool,
}

/// What a head reads next.
pub(crate) enum Next<'a> {
    /// This is to be read.
    Stretch(Stretch<'a>),
    /// There is no room for what comes next.
    Full,
    /// Nothing is left.
    End,
}

/// The packs to be read, and how much of them at once.
pub(crate) struct Queue<'s, 'a> {
    pub(crate) order: &'s [&'a PackPlan],
    pub(crate) next: AtomicUsize,
    /// Bytes read at once, unless one content is longer.
    pub(crate) stretch: u64,
    /// Called with the result of each pack, on any thread.
    pub(crate) done: &'s (dyn Fn(&PackPlan, PackResult) + Sync),
}

impl<'a> Scan<'a> {
    /// Moves a head on, by no more than `room` bytes.
    pub(crate) fn next(&self, head: &mut Head<'a>, queue: &Queue<'_, 'a>, room: usize) -> Next<'a> {
        loop {
            if (self.stop)() {
                if let Some((job, ..)) = head.current.take() {
                    job.abandoned.store(true, Ordering::SeqCst);
                    self.release(&job, queue);
                }
                return Next::End;
            }
            let Some((job, nth, footer)) = head.current.as_mut() else {
                let Some(pack) = queue.order.get(queue.next.fetch_add(1, Ordering::SeqCst)) else {
                    return Next::End;
                };
                let job = Job {
                    pack,
                    pending: AtomicUsize::new(1),
                    abandoned: AtomicBool::new(false),
                    result: Mutex::default(),
                };
                head.current = Some((Arc::new(job), 0, false));
                continue;
            };
            let place = (*nth, *footer);
            let stretch = if *nth < job.pack.contents() {
                self.contents(job, nth, queue.stretch)
            } else if !*footer {
                *footer = true;
                self.tail(job)
            } else {
                let job = Arc::clone(job);
                head.current = None;
                self.release(&job, queue);
                continue;
            };
            match stretch {
                Some(stretch) if stretch.length > room => {
                    (*nth, *footer) = place;
                    return Next::Full;
                }
                Some(stretch) => {
                    stretch.job.pending.fetch_add(1, Ordering::SeqCst);
                    return Next::Stretch(stretch);
                }
                None => {}
            }
        }
    }

    /// The next contents of a pack that lie close to each other. What they decompress to is bounded as well.
    fn contents(&self, job: &Arc<Job<'a>>, nth: &mut usize, limit: u64) -> Option<Stretch<'a>> {
        let mut entries: Vec<Entry> = Vec::new();
        let (mut begin, mut end, mut plain) = (0, 0, 0);
        let begun = *nth;
        for position in self.plan.positions(job.pack, begun) {
            let Some(entry) = self.index.at(position) else {
                // The index can no longer be read, so nothing is claimed about this pack.
                job.abandoned.store(true, Ordering::SeqCst);
                *nth += 1;
                continue;
            };
            let start = u64::from(entry.offset);
            plain += u64::from(entry.original_length);
            if entries.is_empty() {
                (begin, end) = (start, entry.end());
            } else if start > end + GAP || entry.end().max(end) - begin > limit || plain > 2 * limit {
                break;
            }
            end = end.max(entry.end());
            entries.push(entry);
            *nth += 1;
        }
        if *nth == begun {
            // The plan can no longer be read.
            job.abandoned.store(true, Ordering::SeqCst);
            *nth = job.pack.contents();
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
        let end = job.pack.end.min(size);
        let offset = if size - end <= TAIL { end } else { size.saturating_sub(SHORT_TAIL) };
        let length = usize::try_from(size - offset).ok()?;
        Some(Stretch { job: Arc::clone(job), entries: Vec::new(), offset, length, footer: true })
    }

    /// Counts a part of a pack as under way, until [`release`](Self::release).
    pub(crate) fn keep(&self, job: &Arc<Job<'a>>) -> Arc<Job<'a>> {
        job.pending.fetch_add(1, Ordering::SeqCst);
        Arc::clone(job)
    }

    /// Counts a stretch as done, or the head as having left a pack.
    pub(crate) fn release(&self, job: &Arc<Job<'a>>, queue: &Queue<'_, 'a>) {
        if job.pending.fetch_sub(1, Ordering::SeqCst) == 1 && !job.abandoned.load(Ordering::SeqCst) {
            let blob = &job.pack.blob;
            if !(self.keep_metadata && blob.as_str().starts_with('q')) {
                self.store.forget(blob);
            }
            (queue.done)(job.pack, std::mem::take(&mut job.result()));
        }
    }

    /// Sets aside the rest of a pack that is gone.
    pub(crate) fn vanish(&self, head: &mut Head<'a>, stretch: &Stretch<'a>) {
        let places = stretch.entries.iter().filter_map(|entry| place_of(self.index, entry));
        let mut gone: Vec<Position> = places.collect();
        if let Some((job, nth, footer)) = head.current.as_mut() {
            gone.extend(self.plan.positions(job.pack, *nth));
            *nth = job.pack.contents();
            *footer = true;
        }
        stretch.job.result().checked.vanished.extend(gone);
    }
}
