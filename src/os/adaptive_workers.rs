//! How many threads read, and how many work on what was read: as many as storage and target need, and no more.
//!
//! Each thread reads a piece and then works on it itself, while its bytes are still in the processor's cache. Where
//! storage answers from memory, one thread a processor is best: more of them only wait for each other, and what they
//! have read is cold when its turn comes. Where storage is slow, many have to wait for it at the same time.

use std::cell::Cell;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::os::sync::{Condvar, Mutex};

/// The share of the past that a new observation replaces.
const NEW: f64 = 0.125;

/// Threads that are kept ready beyond those that, on average, would have read in time: reads do not take equally long.
const MARGIN: f64 = 2.0;

/// Work counts as waiting for the target only where it takes this many times what the processor spends on it. Threads
/// that wait for a processor take longer too, and more of them would not help.
const BLOCKED: f64 = 3.0;

/// The threads of one job.
pub(crate) struct AdaptiveWorkers {
    processors: usize,
    reads: usize,
    state: Mutex<State>,
    joined: Condvar,
    worked: Condvar,
}

#[derive(Default)]
struct State {
    members: usize,
    working: usize,
    /// Decaying sums of seconds: what was waited for reads, and the work on what they read.
    reading: f64,
    work: f64,
    /// Seconds of all work, by the clock and by the processor's.
    elapsed: f64,
    processor: f64,
}

fn decay(sum: &mut f64, new: Duration) {
    *sum = *sum * (1.0 - NEW) + new.as_secs_f64();
}

/// A quotient as a number of threads between two bounds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded, and not negative")]
fn threads(number: f64, least: usize, most: usize) -> usize {
    // Not a number where nothing was observed, which becomes the least.
    if number >= most as f64 { most } else { (number.max(0.0) as usize).max(least) }
}

impl AdaptiveWorkers {
    /// For this many processors, and reads at the same time at most.
    pub(crate) fn new(processors: usize, reads: usize) -> Self {
        let (joined, worked) = (Condvar::new(), Condvar::new());
        Self { processors: processors.max(1), reads: reads.max(1), state: Mutex::default(), joined, worked }
    }

    /// Threads that can be of use at most.
    pub(crate) fn size(&self) -> usize {
        self.processors + self.reads
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// How many may work at the same time.
    fn workers(&self, state: &State) -> usize {
        let blocked = state.elapsed / (BLOCKED * state.processor);
        threads(self.processors as f64 * blocked, self.processors, self.processors.max(self.reads))
    }

    /// How many may read or work at the same time.
    fn limit(&self, state: &State) -> usize {
        let workers = self.workers(state);
        let share = 1.0 + MARGIN * state.reading / state.work;
        threads(workers as f64 * share, workers, self.size())
    }

    /// Waits until another thread is wanted.
    pub(crate) fn join(&self) -> Member<'_> {
        self.enter();
        Member { crew: self, read: Cell::default(), worked: Cell::default() }
    }

    fn enter(&self) {
        let mut state = self.state();
        while state.members >= self.limit(&state) {
            state = self.joined.wait(state);
        }
        state.members += 1;
    }

    fn leave(&self) {
        self.state().members -= 1;
        self.joined.notify_one();
    }

    /// Wakes those who wait to join, when they are wanted by now.
    fn call(&self, state: MutexGuard<'_, State>) {
        if state.members < self.limit(&state) {
            drop(state);
            self.joined.notify_all();
        }
    }
}

/// Time by the clock and by the processor's, since it began.
struct Stopwatch {
    begun: Instant,
    processor: Duration,
}

impl Stopwatch {
    fn start() -> Self {
        Self { begun: Instant::now(), processor: processor_time() }
    }

    fn elapsed(&self) -> (Duration, Duration) {
        (self.begun.elapsed(), processor_time().saturating_sub(self.processor))
    }
}

fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

/// A thread that takes part.
pub(crate) struct Member<'c> {
    crew: &'c AdaptiveWorkers,
    /// What it waited for reads, and worked, since it was last asked whether it is wanted.
    read: Cell<Option<Duration>>,
    worked: Cell<Duration>,
}

impl Member<'_> {
    /// Whether it is still wanted; to be asked between two pieces.
    pub(crate) fn is_wanted(&self) -> bool {
        let (read, worked) = (self.read.take(), self.worked.take());
        let mut state = self.crew.state();
        if let Some(read) = read {
            decay(&mut state.reading, read);
            decay(&mut state.work, worked);
        }
        let wanted = state.members <= self.crew.limit(&state);
        self.crew.call(state);
        wanted
    }

    /// To be called between two pieces: waits while there are too many.
    pub(crate) fn stay(&self) {
        if !self.is_wanted() {
            self.crew.leave();
            self.crew.enter();
        }
    }

    /// Reads something, and takes notice of how long that waited for storage. Copying what was cached is no waiting:
    /// it keeps a processor busy.
    pub(crate) fn read<T>(&self, read: impl FnOnce() -> T) -> T {
        let time = Stopwatch::start();
        let result = read();
        let (elapsed, processor) = time.elapsed();
        let waited = elapsed.saturating_sub(processor);
        self.read.set(Some(self.read.get().unwrap_or_default() + waited));
        result
    }

    /// Waits for a turn to work, which lasts as long as what is returned.
    pub(crate) fn work(&self) -> Working<'_> {
        let mut state = self.crew.state();
        while state.working >= self.crew.workers(&state) {
            state = self.crew.worked.wait(state);
        }
        state.working += 1;
        drop(state);
        Working { member: self, time: Stopwatch::start() }
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.crew.leave();
    }
}

/// A turn to work.
pub(crate) struct Working<'m> {
    member: &'m Member<'m>,
    time: Stopwatch,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        let (elapsed, processor) = self.time.elapsed();
        self.member.worked.set(self.member.worked.get() + elapsed);
        let crew = self.member.crew;
        let mut state = crew.state();
        decay(&mut state.elapsed, elapsed);
        decay(&mut state.processor, processor);
        state.working -= 1;
        crew.worked.notify_one();
        crew.call(state);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn observed(reading: f64, work: f64, elapsed: f64, processor: f64) -> State {
        State { reading, work, elapsed, processor, ..State::default() }
    }

    #[test]
    fn as_many_as_processors_until_something_is_slow() {
        let crew = AdaptiveWorkers::new(2, 16);
        assert_eq!(crew.limit(&State::default()), 2);
        assert_eq!(crew.limit(&observed(0.1, 1.0, 1.0, 0.9)), 2);
    }

    #[test]
    fn slow_storage_gets_more_readers() {
        let crew = AdaptiveWorkers::new(2, 16);
        assert_eq!(crew.limit(&observed(1.0, 1.0, 1.0, 1.0)), 6);
        assert_eq!(crew.limit(&observed(50.0, 1.0, 1.0, 1.0)), 18);
        assert_eq!(crew.workers(&observed(50.0, 1.0, 1.0, 1.0)), 2);
    }

    #[test]
    fn a_slow_target_gets_more_workers_and_a_busy_processor_does_not() {
        let crew = AdaptiveWorkers::new(2, 16);
        assert_eq!(crew.workers(&observed(0.0, 2.0, 2.0, 1.0)), 2);
        assert_eq!(crew.workers(&observed(0.0, 9.0, 9.0, 1.0)), 6);
        assert_eq!(crew.workers(&observed(0.0, 1.0, 1.0, 0.0)), 16);
    }

    #[test]
    fn only_waiting_for_storage_counts_as_reading() {
        let crew = AdaptiveWorkers::new(2, 16);
        let member = crew.join();
        let (begun, work) = (Instant::now(), Duration::from_millis(20));
        let busy = processor_time();
        member.read(|| while processor_time() - busy < work {});
        let copied = member.read.get().unwrap();
        assert!(copied + work <= begun.elapsed() + Duration::from_millis(1));
        member.read(|| std::thread::sleep(work));
        assert!(member.read.get().unwrap() >= copied + work / 2);
        drop(member.work());
        member.stay();
        assert!(crew.state().reading >= (work / 2).as_secs_f64() && member.read.get().is_none());
    }

    #[test]
    fn all_work_is_done_whatever_the_limits_become() {
        let crew = AdaptiveWorkers::new(2, 5);
        let (left, most) = (AtomicUsize::new(300), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..crew.size() {
                scope.spawn(|| {
                    let member = crew.join();
                    loop {
                        member.stay();
                        let Ok(number) =
                            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                        else {
                            break;
                        };
                        member
                            .read(|| std::thread::sleep(Duration::from_millis(u64::from(number % 100 < 50))));
                        let working = member.work();
                        most.fetch_max(crew.state().working, Ordering::SeqCst);
                        drop(working);
                    }
                });
            }
        });
        assert_eq!(left.load(Ordering::SeqCst), 0);
        assert!(most.load(Ordering::SeqCst) <= 5);
        let state = crew.state();
        assert_eq!((state.members, state.working), (0, 0));
    }
}
