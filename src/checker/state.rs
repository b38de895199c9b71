//! What the threads of a checker share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::Settings;
use super::clock::{Clock, Tick};
use super::engine::{Engine, FindPassword, OpenStore};
use super::error::Reason;
use super::usage::Meter;
use super::view::View;
use crate::os::sync::{Condvar, Mutex};
use crate::repository::Scan;
use crate::repository::{Options, Repository};

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) open_store: OpenStore,
    pub(super) password: FindPassword,
    pub(super) options: Options,
    pub(super) view: ArcSwapOption<View>,
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
    pub(super) listener: OnceLock<Box<dyn Fn() + Send + Sync>>,
    pub(super) counters: Counters,
    pub(super) meter: Meter,
}

/// What has happened so far.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) refreshes: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) followers: AtomicU64,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) shutdown: bool,
    /// The unique ID of the first repository seen.
    pub(super) pinned: Option<String>,
    /// A refresh that begins at this moment or later is wanted.
    pub(super) wanted: Option<Tick>,
    pub(super) refresh: Work,
    pub(super) engine: Option<Engine>,
    pub(super) failure: Option<Failure>,
    /// How many refreshes have failed since the last that succeeded.
    pub(super) failed_in_a_row: u32,
    pub(super) scan_work: Work,
    pub(super) scan_failure: Option<Failure>,
    pub(super) scan: Option<Arc<Scan>>,
    /// The last scan that succeeded began then.
    pub(super) scanned: Option<Tick>,
    /// A scan that began before this does not count: packs have lost their entries in the indexes since.
    pub(super) scan_after: Option<Tick>,
    pub(super) repository: Option<Repository>,
}

/// Work of one kind, done by one thread at a time, unless threads hang.
#[derive(Default)]
pub(super) struct Work {
    pub(super) running: Option<Tick>,
    pub(super) last_began: Option<Tick>,
    /// Tells the thread that counts from those that were given up.
    pub(super) generation: u64,
    pub(super) abandoned: usize,
}

/// Threads that hang in the storage are left behind up to this number; after that nothing new is begun until one returns.
const MAX_ABANDONED: usize = 4;

/// The last attempt, when it failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// When the attempt began.
    pub began: Tick,
    /// When it failed.
    pub ended: Tick,
    /// Why.
    pub reason: Reason,
    /// Whether trying again may help.
    pub retryable: bool,
}

impl State {
    /// Whether the last scan knows of all packs that no index names now.
    pub(super) fn scan_counts(&self) -> bool {
        self.scanned.is_some_and(|scanned| self.scan_after.is_none_or(|after| scanned.not_before(after)))
    }
}

impl Work {
    pub(super) fn begin(&mut self, now: Tick) -> u64 {
        self.generation += 1;
        self.running = Some(now);
        self.last_began = Some(now);
        self.generation
    }

    /// Whether the thread of this generation still counts; notes its end in any case.
    pub(super) fn end(&mut self, generation: u64) -> Option<Tick> {
        if generation == self.generation && self.running.is_some() {
            return self.running.take();
        }
        self.abandoned = self.abandoned.saturating_sub(1);
        None
    }

    /// Gives up on a thread that has been at it for longer than `limit`.
    pub(super) fn abandon(&mut self, now: Tick, limit: Duration) -> Option<Tick> {
        let began = self.running.filter(|began| now.elapsed_since(*began) > limit)?;
        if self.abandoned >= MAX_ABANDONED {
            return None;
        }
        self.abandoned += 1;
        self.running = None;
        Some(began)
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Wakes everybody who waits for something to change.
    pub(super) fn announce(&self) {
        self.changed.notify_all();
        if let Some(listener) = self.listener.get() {
            listener();
        }
    }

    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_was_given_up_does_not_count_any_more() {
        let limit = Duration::from_secs(10);
        let mut work = Work::default();
        let first = work.begin(Tick::at(100, 0));
        assert_eq!(work.abandon(Tick::at(105, 0), limit), None);
        assert_eq!(work.abandon(Tick::at(111, 0), limit), Some(Tick::at(100, 0)));
        let second = work.begin(Tick::at(112, 0));
        assert_eq!(work.end(first), None);
        assert_eq!(work.abandoned, 0);
        assert_eq!(work.end(second), Some(Tick::at(112, 0)));
        for n in 0..MAX_ABANDONED {
            work.begin(Tick::at(200, 0));
            assert!(work.abandon(Tick::at(300, 0), limit).is_some(), "{n}");
        }
        work.begin(Tick::at(400, 0));
        assert_eq!(work.abandon(Tick::at(500, 0), limit), None);
    }
}
