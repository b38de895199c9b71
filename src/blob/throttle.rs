//! Slowing a store down, to spare a disk or to model a slow one, and counting what is asked of it.

use std::time::Duration;

use super::traffic::{Limits, Question, Traffic};
use super::{BlobId, BlobMetadata, BlobStore, Error};

/// Counts requests and bytes, answers no faster than they may come, or each request only after some time, as NFS or S3 do.
#[derive(Debug, Clone)]
pub struct Throttle<S> {
    inner: S,
    delay: Duration,
    traffic: Traffic,
}

impl<S> Throttle<S> {
    /// A store that gives this many bytes per second.
    pub fn to_rate(inner: S, bytes_per_second: u64) -> Self {
        let limits = Limits { bytes_per_second: Some(bytes_per_second), ..Limits::default() };
        Self::counted(inner, Traffic::limited(limits))
    }

    /// A store whose requests take this much longer, however many are under way.
    #[cfg_attr(not(feature = "testkit"), allow(dead_code, reason = "only tests ask for it"))]
    pub fn delayed(inner: S, delay: Duration) -> Self {
        Self { inner, delay, traffic: Traffic::default() }
    }

    /// A store whose requests count there, and wait as it says.
    pub fn counted(inner: S, traffic: Traffic) -> Self {
        Self { inner, delay: Duration::ZERO, traffic }
    }

    fn asks(&self, question: Question) {
        self.traffic.pause(self.delay + self.traffic.asks(question));
    }

    fn received(&self, bytes: usize) {
        self.traffic.pause(self.traffic.received(bytes));
    }
}

impl<S: BlobStore> BlobStore for Throttle<S> {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        self.asks(Question::List);
        self.inner.list(prefix)
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        self.asks(Question::Size);
        self.inner.size(id)
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        self.asks(Question::Read);
        let bytes = self.inner.read(id, limit)?;
        self.received(bytes.len());
        Ok(bytes)
    }

    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.asks(Question::Read);
        self.inner.read_at(id, offset, buffer)?;
        self.received(buffer.len());
        Ok(())
    }

    pass_through!();
}
