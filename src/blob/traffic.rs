//! What is asked of storage: counted, and held to what may be asked of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::os::sync::Mutex;

/// Requests and bytes so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Listings: of a bucket each page, of a server each folder.
    pub lists: u64,
    /// Size questions.
    pub sizes: u64,
    /// Whole blobs and ranges read.
    pub reads: u64,
    /// Bytes that were delivered.
    pub bytes: u64,
    /// Operations that failed and were tried again.
    pub retries: u64,
}

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    List,
    Size,
    Read,
}

/// What may be asked of storage, over all threads and stores of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes read per second.
    pub bytes_per_second: Option<u64>,
    /// Requests per second.
    pub requests_per_second: Option<u64>,
}

/// Counts what is asked, and says how long to wait so that no more is asked than may be. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Traffic(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    lists: AtomicU64,
    sizes: AtomicU64,
    reads: AtomicU64,
    bytes: AtomicU64,
    retries: AtomicU64,
    bandwidth: Option<Pace>,
    rate: Option<Pace>,
    /// Raised when the run is to end: what is under way then waits for nothing.
    stop: Arc<AtomicBool>,
}

/// How often somebody who waits asks whether the run is to end.
const AWAKE: Duration = Duration::from_millis(100);

impl Traffic {
    /// Counts from zero, and holds to these limits.
    #[must_use]
    pub fn limited(limits: Limits) -> Self {
        Self::limited_until(limits, Arc::default())
    }

    /// The same until the flag is raised, from when on nothing waits.
    pub(crate) fn limited_until(limits: Limits, stop: Arc<AtomicBool>) -> Self {
        let inner = Inner {
            bandwidth: limits.bytes_per_second.map(Pace::new),
            rate: limits.requests_per_second.map(Pace::new),
            stop,
            ..Inner::default()
        };
        Self(Arc::new(inner))
    }

    /// What was asked so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let get = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let Inner { lists, sizes, reads, bytes, retries, .. } = &*self.0;
        Counts {
            lists: get(lists),
            sizes: get(sizes),
            reads: get(reads),
            bytes: get(bytes),
            retries: get(retries),
        }
    }

    /// Counts a request that is about to be made, and says how long to wait before.
    pub(crate) fn asks(&self, question: Question) -> Duration {
        let cell = match question {
            Question::List => &self.0.lists,
            Question::Size => &self.0.sizes,
            Question::Read => &self.0.reads,
        };
        cell.fetch_add(1, Ordering::Relaxed);
        self.paced(self.0.rate.as_ref(), Pace::turn)
    }

    /// Counts bytes that came, and says how long to wait before more are taken.
    pub(crate) fn received(&self, bytes: usize) -> Duration {
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.paced(self.0.bandwidth.as_ref(), |pace, now| pace.take(bytes as u64, now))
    }

    fn paced(&self, pace: Option<&Pace>, wait: impl FnOnce(&Pace, Instant) -> Duration) -> Duration {
        match pace {
            Some(pace) if !self.is_stopped() => wait(pace, Instant::now()),
            _ => Duration::ZERO,
        }
    }

    fn is_stopped(&self) -> bool {
        self.0.stop.load(Ordering::Relaxed)
    }

    /// Waits on this thread, but not longer than until the run is to end.
    pub(crate) fn pause(&self, length: Duration) {
        let end = Instant::now() + length;
        while !self.is_stopped() {
            match end.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return,
                rest => std::thread::sleep(rest.min(AWAKE)),
            }
        }
    }

    /// Counts an operation that is tried again.
    pub(crate) fn retried(&self) {
        self.0.retries.fetch_add(1, Ordering::Relaxed);
    }
}

/// A shared allowance per second.
#[derive(Debug)]
struct Pace {
    per_second: f64,
    free_at: Mutex<Instant>,
}

impl Pace {
    fn new(per_second: u64) -> Self {
        Self { per_second: per_second.max(1) as f64, free_at: Mutex::new(Instant::now()) }
    }

    /// Takes from the allowance what there was already, and says how long to wait until it is paid for.
    fn take(&self, amount: u64, now: Instant) -> Duration {
        let mut free_at = self.free_at.lock();
        *free_at = (*free_at).max(now) + self.cost(amount);
        free_at.duration_since(now)
    }

    /// Takes one from the allowance, and says how long to wait for it.
    fn turn(&self, now: Instant) -> Duration {
        self.take(1, now).saturating_sub(self.cost(1))
    }

    fn cost(&self, amount: u64) -> Duration {
        Duration::from_secs_f64(amount as f64 / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allowance_is_shared_and_accumulates() {
        let pace = Pace::new(1000);
        let now = Instant::now() + Duration::from_secs(60);
        assert_eq!(pace.take(500, now), Duration::from_millis(500));
        assert_eq!(pace.take(500, now), Duration::from_millis(1000));
        assert_eq!(pace.take(0, now + Duration::from_secs(5)), Duration::ZERO);
    }

    #[test]
    fn nothing_waits_once_the_run_is_to_end() {
        let stop = Arc::new(AtomicBool::new(false));
        let limits = Limits { bytes_per_second: Some(1), requests_per_second: None };
        let traffic = Traffic::limited_until(limits, Arc::clone(&stop));
        assert!(traffic.received(1_000_000) > Duration::from_secs(3600));
        stop.store(true, Ordering::Relaxed);
        assert_eq!(traffic.received(1_000_000), Duration::ZERO);
        traffic.pause(Duration::from_secs(3600));
        assert_eq!(traffic.counts().bytes, 2_000_000);
    }

    #[test]
    fn the_first_request_does_not_wait() {
        let pace = Pace::new(10);
        let now = Instant::now() + Duration::from_secs(60);
        let waits = [0, 1, 2].map(|_| pace.turn(now));
        assert_eq!(waits, [0, 100, 200].map(Duration::from_millis));
    }

    #[test]
    fn clones_count_together() {
        let traffic = Traffic::default();
        let other = traffic.clone();
        assert_eq!((other.asks(Question::Read), other.received(7)), (Duration::ZERO, Duration::ZERO));
        other.asks(Question::List);
        other.retried();
        let expected = Counts { lists: 1, reads: 1, bytes: 7, retries: 1, ..Counts::default() };
        assert_eq!(traffic.counts(), expected);
    }
}
