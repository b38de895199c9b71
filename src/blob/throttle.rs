//! Slowing a store down: to spare a disk, or to model a slow one.

use std::time::{Duration, Instant};

use super::{BlobId, BlobMetadata, BlobStore, Error};

use crate::os::sync::Mutex;

/// A shared allowance of bytes per second.
struct Pace {
    bytes_per_second: f64,
    free_at: Mutex<Instant>,
}

impl Pace {
    fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1) as f64, free_at: Mutex::new(Instant::now()) }
    }

    /// Takes `bytes` from the allowance and says how long the caller has to wait for them.
    fn take(&self, bytes: usize, now: Instant) -> Duration {
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        let mut free_at = self.free_at.lock();
        *free_at = (*free_at).max(now) + cost;
        free_at.duration_since(now)
    }
}

/// Answers no faster than this many bytes per second, over all threads, or each request only after some time, as NFS or S3 do.
pub struct Throttle<S> {
    inner: S,
    delay: Duration,
    pace: Option<Pace>,
}

impl<S> Throttle<S> {
    /// A store that gives this many bytes per second.
    pub fn to_rate(inner: S, bytes_per_second: u64) -> Self {
        Self { inner, delay: Duration::ZERO, pace: Some(Pace::new(bytes_per_second)) }
    }

    /// A store whose requests take this much longer, however many are under way.
    #[cfg_attr(not(feature = "testkit"), allow(dead_code, reason = "only tests ask for it"))]
    pub fn delayed(inner: S, delay: Duration) -> Self {
        Self { inner, delay, pace: None }
    }

    fn wait(&self, bytes: usize) {
        let transfer = self.pace.as_ref().map_or(Duration::ZERO, |pace| pace.take(bytes, Instant::now()));
        std::thread::sleep(self.delay + transfer);
    }
}

impl<S: BlobStore> BlobStore for Throttle<S> {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        self.wait(0);
        self.inner.list(prefix)
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        self.wait(0);
        self.inner.size(id)
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        let bytes = self.inner.read(id, limit)?;
        self.wait(bytes.len());
        Ok(bytes)
    }

    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.wait(buffer.len());
        self.inner.read_at(id, offset, buffer)
    }

    pass_through!();
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
}
