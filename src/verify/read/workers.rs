//! Reading and checking packs on all cores.
//!
//! Each worker in turn takes the head, reads the next stretch, releases the head and decrypts the stretch while it is
//! still in the processor's cache. Large contents wait for others to be hashed with: several side by side take hardly
//! longer than one. So the storage sees one sequential reader, and memory is one round of stretches per worker, however
//! large the packs and the repository are.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::Builder;

use crate::blob::{self, BlobId};
use crate::content::{Decoded, Scratch, ensure_buffers, read_error};
use crate::crypto::ContentHash;
use crate::index::Entry;
use crate::os::adaptive_workers::{AdaptiveWorkers, Member};
use crate::os::sync::Mutex;
use crate::pack::{self, Postamble, open_local_index};
use crate::verify::checked::{Checked, PackResult};
use crate::verify::fault::{Fault, is_refusal};
use crate::verify::lookup::place_of;
use crate::verify::options::Level;
use crate::verify::plan::packs::PackPlan;
use crate::verify::read::batch::{BatchHasher, Piece};
use crate::verify::read::lanes::Lanes;
use crate::verify::read::scan::{Head, Job, Next, Queue, Scan, Stretch};

/// Bytes read at once, unless one content is longer: what stays in the processor's cache until it is decrypted.
const STRETCH: u64 = 4 << 20;

/// Bytes of the stretches of one round: some contents of the usual largest size.
const ROUND: u64 = 24 << 20;

/// Large contents that wait for each other in one round. Contents up to `SMALL` bytes do not wait: a stretch has enough of
/// them.
const MAX_WAITING: usize = 64;
const SMALL: u32 = 64 << 10;

/// Workers' stretches and plaintexts together may take this part of the memory budget; the index is in the rest.
const MEMORY_SHARE: u64 = 2;

/// What the workers share.
struct Workers<'s, 'a> {
    queue: Queue<'s, 'a>,
    heads: Vec<Mutex<Head<'a>>>,
    /// Bytes of a round.
    round: usize,
    /// More than one a processor where reads are slow: those read while others work.
    crew: AdaptiveWorkers,
}

/// A content that waits to be hashed with others, and what error correction mended of it.
struct Waiting<'a> {
    job: Arc<Job<'a>>,
    entry: Entry,
    repaired: Vec<Range<usize>>,
}

/// The large contents of a round, which wait to be hashed side by side.
struct Large<'b, 'a> {
    /// Buffers that are not in use.
    spare: std::slice::IterMut<'b, Scratch>,
    waiting: Vec<(Waiting<'a>, &'b [u8])>,
    /// Bytes of plaintext in the buffers.
    inflated: usize,
}

impl Large<'_, '_> {
    fn is_full(&self, round: usize) -> bool {
        self.waiting.len() >= MAX_WAITING || self.inflated >= round
    }
}

/// What a worker works with.
struct Tools<'s, 'a> {
    checker: BatchHasher<'s>,
    lanes: Lanes<'s, Waiting<'a>>,
    /// Memory for the stretches of a round.
    arena: Vec<u8>,
    /// Memory for what contents are decompressed to.
    scratches: Vec<Scratch>,
}

impl<'a> Scan<'a> {
    /// Reads packs of the plan in the order given, and hands the result of each to `done`, on any thread.
    pub(crate) fn run(&self, order: &[&'a PackPlan], done: &(dyn Fn(&PackPlan, PackResult) + Sync)) {
        let reads = self.reads.max(1);
        let crew = AdaptiveWorkers::new(self.threads, reads);
        let count = crew.size();
        // The stretches of a round, and as much again for what is decompressed from them.
        let share = self.memory / MEMORY_SHARE / (2 * count as u64);
        let stretch = share.clamp(1 << 20, STRETCH);
        let workers = Workers {
            queue: Queue { order, next: AtomicUsize::new(0), stretch, done },
            heads: (0..reads).map(|_| Mutex::default()).collect(),
            round: usize::try_from(share.clamp(stretch, ROUND)).unwrap_or(usize::MAX),
            crew,
        };
        std::thread::scope(|scope| {
            let workers = &workers;
            let mut heads = workers.heads.iter().cycle();
            for head in heads.by_ref().take(count - 1) {
                // Without it the others take its part.
                let _ = Builder::new().spawn_scoped(scope, move || self.work(head, workers));
            }
            heads.next().into_iter().for_each(|head| self.work(head, workers));
        });
    }

    /// Works until a head has come to the end, as long and as often as it is wanted.
    fn work(&self, head: &Mutex<Head<'a>>, workers: &Workers<'_, 'a>) {
        let mut left = true;
        while left {
            let member = workers.crew.join();
            let mut tools = Tools {
                checker: BatchHasher::new(self.format, self.level),
                lanes: Lanes::new(self.format.hasher(), workers.round / 2),
                arena: Vec::new(),
                scratches: Vec::new(),
            };
            while left && member.is_wanted() {
                left = self.round(head, workers, &member, &mut tools);
                if tools.arena.len() > 2 * workers.round {
                    tools.arena = Vec::new();
                }
            }
            // Nothing is kept waiting by one who may not be wanted again for long.
            let _working = member.work();
            tools.lanes.finish(|waiting, hash| self.judge(workers, waiting, &hash));
        }
    }

    /// Reads and decrypts some stretches, and hashes their contents. Returns whether there was anything to read.
    fn round(
        &self,
        head: &Mutex<Head<'a>>,
        workers: &Workers<'_, 'a>,
        member: &Member<'_>,
        tools: &mut Tools<'_, 'a>,
    ) -> bool {
        let queue = &workers.queue;
        let Tools { checker, lanes, arena, scratches } = tools;
        let mut held = head.lock();
        let Next::Stretch(mut stretch) = self.next(&mut held, queue, usize::MAX) else { return false };
        let side_by_side = self.level >= Level::Hash && self.format.hasher().lanes() > 1;
        let length = stretch.length.max(if side_by_side { workers.round } else { 0 });
        if arena.len() < length {
            *arena = vec![0; length];
        }
        ensure_buffers(scratches, MAX_WAITING, workers.round);
        let mut rest = arena.as_mut_slice();
        let spare = if side_by_side { scratches.as_mut_slice() } else { &mut [] };
        let mut large = Large { spare: spare.iter_mut(), waiting: Vec::new(), inflated: 0 };
        while let Some((bytes, after)) = std::mem::take(&mut rest).split_at_mut_checked(stretch.length) {
            rest = after;
            let read = member.read(|| self.store.read_at(&stretch.job.pack.blob, stretch.offset, bytes));
            let gone = read.as_ref().is_err_and(blob::Error::is_not_found);
            if gone {
                self.vanish(&mut held, &stretch);
            }
            // The next worker reads while this one works.
            drop(held);
            let working = member.work();
            if !gone && stretch.footer {
                self.note_footer(&stretch, bytes, read);
            } else if !gone {
                let checked = self.check_stretch(checker, &stretch, bytes, read, &mut large);
                stretch.job.result().checked.absorb(checked);
            }
            self.release(&stretch.job, queue);
            drop(working);
            if !side_by_side || large.is_full(workers.round) {
                break;
            }
            let mut next = head.lock();
            let Next::Stretch(following) = self.next(&mut next, queue, rest.len()) else { break };
            (held, stretch) = (next, following);
        }
        let _working = member.work();
        lanes.run(large.waiting, |waiting, hash| self.judge(workers, waiting, &hash));
        true
    }

    /// Decrypts the contents of a stretch and checks the small ones. Large ones are added to those that wait.
    fn check_stretch<'b>(
        &self,
        checker: &mut BatchHasher<'_>,
        stretch: &Stretch<'a>,
        bytes: &'b mut [u8],
        read: Result<(), blob::Error>,
        large: &mut Large<'b, 'a>,
    ) -> Checked {
        let pack = &stretch.job.pack.blob;
        let mut checked = Checked::default();
        let (pieces, apart) = match read {
            Ok(()) => cut(stretch, bytes),
            Err(_) => (Vec::new(), stretch.entries.clone()),
        };
        let mut at_once = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let is_large = piece.entry.original_length > SMALL;
            let Some(scratch) = is_large.then(|| large.spare.next()).flatten() else {
                at_once.push(piece);
                continue;
            };
            let entry = piece.entry;
            large.inflated += checker.decoder().inflated(&entry);
            match checker.decoder().decode(&entry, pack, piece.stored, scratch) {
                Ok(Decoded { plaintext, repaired }) => {
                    let job = self.keep(&stretch.job);
                    large.waiting.push((Waiting { job, entry, repaired }, plaintext));
                }
                Err(e) => checked.fail(&e),
            }
        }
        checker.check(pack, at_once, &mut checked);
        for entry in apart {
            self.check_alone(checker, pack, entry, &mut checked);
        }
        checked
    }

    /// Compares the hash of a content with its name.
    fn judge(&self, workers: &Workers<'_, 'a>, waiting: Waiting<'a>, hash: &ContentHash) {
        let Waiting { job, entry, repaired } = waiting;
        job.result().checked.judge(&job.pack.blob, &entry, repaired, hash);
        self.release(&job, &workers.queue);
    }

    fn note_footer(&self, stretch: &Stretch<'a>, bytes: &[u8], read: Result<(), blob::Error>) {
        let finding = match read {
            Ok(()) => self.check_footer(stretch, bytes),
            Err(e) => Err(pack::Error::Blob(e)),
        };
        let mut result = stretch.job.result();
        match finding {
            Ok(repaired) => result.footer_repairs = repaired,
            Err(e) => {
                let detail = format!("{e} (only recovery of a lost index would need it)");
                result.footer = Some(Fault {
                    unchecked: matches!(&e, pack::Error::Blob(source) if is_refusal(source)),
                    unrepairable: matches!(&e, pack::Error::Unrepairable { .. }),
                    ..Fault::of_blob(e.code(), &stretch.job.pack.blob, detail)
                });
            }
        }
    }

    /// Checks one content with a read of its own: around a bad sector, and where contents overlap.
    fn check_alone(&self, checker: &mut BatchHasher<'_>, pack: &BlobId, entry: Entry, out: &mut Checked) {
        let mut stored = vec![0; entry.packed_length as usize];
        match self.store.read_at(pack, entry.offset.into(), &mut stored) {
            Ok(()) => checker.check(pack, vec![Piece { entry, stored: &mut stored }], out),
            Err(e) if e.is_not_found() => out.vanished.extend(place_of(self.index, &entry)),
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
        if end > size || postamble.length > pack::MAX_LOCAL_INDEX {
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
