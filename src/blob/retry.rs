//! Retrying what failed on a network file system or an object store.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use super::measured::Measured;
use super::{BlobId, BlobMetadata, BlobStore, Error, Hints, Traffic};

use crate::os::sync::Mutex;

/// How often and how patiently to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct RetryPolicy {
    /// Attempts in all, at least one.
    pub attempts: u32,
    /// Pause before the second attempt; each further pause is twice as long.
    pub first_pause: Duration,
    /// No pause is longer than this.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 5, first_pause: Duration::from_millis(100), longest_pause: Duration::from_secs(5) }
    }
}

/// Repeats operations whose failure may be temporary ([`Error::is_retryable`]), with growing pauses and jitter, so that
/// many clients of one server do not retry at the same time.
///
/// If a store says that it is busy, all threads wait for the time that it requests. Measured answer times decide how it is read
/// best.
#[derive(Debug)]
pub struct Retry<S> {
    inner: S,
    policy: RetryPolicy,
    traffic: Traffic,
    quiet_until: Mutex<Option<Instant>>,
    measured: Measured,
}

impl<S> Retry<S> {
    /// Wraps a store.
    pub fn new(inner: S, policy: RetryPolicy) -> Self {
        Self {
            inner,
            policy,
            traffic: Traffic::default(),
            quiet_until: Mutex::default(),
            measured: Measured::default(),
        }
    }

    /// The same, with what is tried again counted there.
    pub(crate) fn counted(self, traffic: Traffic) -> Self {
        Self { traffic, ..self }
    }

    fn run<T>(&self, mut operation: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        self.policy.run_counted(&self.traffic, || {
            self.wait_while_quiet();
            let result = operation();
            if let Err(error) = &result
                && error.is_retryable()
                && let Some(pause) = error.pause()
            {
                let until = Instant::now() + pause;
                let mut quiet = self.quiet_until.lock();
                *quiet = (*quiet).max(Some(until));
            }
            result
        })
    }

    fn wait_while_quiet(&self) {
        let until = *self.quiet_until.lock();
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            // Those that waited together do not come back in step.
            std::thread::sleep(left + jittered(left / 4));
        }
    }
}

impl RetryPolicy {
    /// Repeats an operation until it succeeds, fails permanently, or has used all attempts.
    ///
    /// # Errors
    /// The last error.
    pub fn run<T>(&self, operation: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        self.run_counted(&Traffic::default(), operation)
    }

    fn run_counted<T>(
        &self,
        traffic: &Traffic,
        mut operation: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut pause = self.first_pause;
        for attempt in 1.. {
            match operation() {
                Err(e) if e.is_retryable() && attempt < self.attempts => {
                    traffic.retried();
                    tracing::debug!(attempt, error = %e, "storage operation failed, trying again");
                    std::thread::sleep(jittered(pause).max(e.pause().unwrap_or_default()));
                    pause = pause.saturating_mul(2).min(self.longest_pause);
                }
                result => return result,
            }
        }
        operation()
    }
}

/// Between half the pause and all of it.
fn jittered(pause: Duration) -> Duration {
    let share = RandomState::new().hash_one(0_u8) % 1000;
    pause / 2 + (pause / 2000).saturating_mul(share as u32)
}

impl<S: BlobStore> BlobStore for Retry<S> {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        self.run(|| self.inner.list(prefix))
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        self.run(|| self.inner.size(id))
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        self.run(|| self.inner.read(id, limit))
    }

    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.run(|| self.measured.during(buffer.len() as u64, || self.inner.read_at(id, offset, buffer)))
    }

    /// Of storage over a network, as it turned out to be so far.
    fn hints(&self) -> Hints {
        let hints = self.inner.hints();
        if hints.asks_ahead() { self.measured.fit(hints) } else { hints }
    }

    pass_through!(but hints);
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::blob::{Cause, Trouble};

    struct Flaky {
        failures: AtomicU32,
        kind: io::ErrorKind,
    }

    impl BlobStore for Flaky {
        fn list(&self, _: &str) -> Result<Vec<BlobMetadata>, Error> {
            Ok(Vec::new())
        }
        fn size(&self, id: &BlobId) -> Result<u64, Error> {
            let left = self.failures.load(Ordering::SeqCst);
            if left == 0 {
                return Ok(7);
            }
            self.failures.store(left - 1, Ordering::SeqCst);
            Err(Error::Read { blob: id.clone(), source: self.kind.into() })
        }
        fn read(&self, id: &BlobId, _: u64) -> Result<Vec<u8>, Error> {
            Err(Error::NotFound { blob: id.clone() })
        }
        fn read_at(&self, id: &BlobId, _: u64, _: &mut [u8]) -> Result<(), Error> {
            Err(Error::NotFound { blob: id.clone() })
        }
        fn describe(&self) -> String {
            "flaky".into()
        }
    }

    fn retry(failures: u32, kind: io::ErrorKind) -> Retry<Flaky> {
        let policy = RetryPolicy {
            attempts: 3,
            first_pause: Duration::from_micros(10),
            longest_pause: Duration::from_micros(50),
        };
        Retry::new(Flaky { failures: failures.into(), kind }, policy)
    }

    #[test]
    fn passing_failures_are_repeated_up_to_the_limit() {
        let id = BlobId::new("p1").unwrap();
        assert_eq!(retry(2, io::ErrorKind::TimedOut).size(&id).unwrap(), 7);
        let store = retry(9, io::ErrorKind::TimedOut);
        assert!(store.size(&id).is_err());
        assert_eq!(store.inner.failures.load(Ordering::SeqCst), 6);
    }

    #[test]
    fn final_failures_are_not_repeated() {
        let id = BlobId::new("p1").unwrap();
        let store = retry(9, io::ErrorKind::PermissionDenied);
        assert!(store.size(&id).is_err());
        assert_eq!(store.inner.failures.load(Ordering::SeqCst), 8);
        assert!(store.read(&id, 1).unwrap_err().is_not_found());
    }

    /// Is busy for some time with the first question, and for good with none.
    struct Busy {
        asked: AtomicU32,
        pause: Duration,
    }

    impl BlobStore for Busy {
        fn list(&self, _: &str) -> Result<Vec<BlobMetadata>, Error> {
            Ok(Vec::new())
        }
        fn size(&self, _: &BlobId) -> Result<u64, Error> {
            match self.asked.fetch_add(1, Ordering::SeqCst) {
                0 => {
                    Err(Error::Remote(Box::new(Trouble::new(Cause::Busy, "").retry_after(Some(self.pause)))))
                }
                _ => Ok(7),
            }
        }
        fn read(&self, id: &BlobId, _: u64) -> Result<Vec<u8>, Error> {
            Err(Error::NotFound { blob: id.clone() })
        }
        fn read_at(&self, id: &BlobId, _: u64, _: &mut [u8]) -> Result<(), Error> {
            Err(Error::NotFound { blob: id.clone() })
        }
        fn describe(&self) -> String {
            "busy".into()
        }
    }

    #[test]
    fn a_busy_store_is_left_alone_by_all() {
        let (id, pause) = (BlobId::new("p1").unwrap(), Duration::from_millis(60));
        let policy = RetryPolicy { attempts: 1, ..RetryPolicy::default() };
        let store = Retry::new(Busy { asked: 0.into(), pause }, policy);
        assert!(store.size(&id).is_err());
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let others: Vec<_> = (0..3).map(|_| scope.spawn(|| store.list(""))).collect();
            assert!(others.into_iter().all(|other| other.join().unwrap().is_ok()));
        });
        assert!(begun.elapsed() > pause / 2);
    }
}
