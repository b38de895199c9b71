//! Trying again what a network file system or an object store failed to do.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::{BlobId, BlobMetadata, BlobStore, Error};

/// How often and how patiently to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Repeats operations whose failure may pass ([`Error::is_retryable`]), with growing pauses and jitter, so that many
/// clients of one server do not come back in step.
#[derive(Debug)]
pub struct Retry<S> {
    inner: S,
    policy: RetryPolicy,
}

impl<S> Retry<S> {
    /// Wraps a store.
    pub fn new(inner: S, policy: RetryPolicy) -> Self {
        Self { inner, policy }
    }
}

impl RetryPolicy {
    /// Does an operation until it succeeds, fails for good or has been tried often enough.
    ///
    /// # Errors
    /// The last error.
    pub fn run<T>(&self, mut operation: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        let mut pause = self.first_pause;
        for attempt in 1.. {
            match operation() {
                Err(e) if e.is_retryable() && attempt < self.attempts => {
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
        self.policy.run(|| self.inner.list(prefix))
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        self.policy.run(|| self.inner.size(id))
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        self.policy.run(|| self.inner.read(id, limit))
    }

    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.policy.run(|| self.inner.read_at(id, offset, buffer))
    }

    pass_through!();
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

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
}
