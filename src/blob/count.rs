//! Counting what is asked of a store, for tests.

use super::traffic::{Counts, Traffic};
use super::{BlobId, BlobMetadata, BlobStore, Error, Throttle};

/// Counts requests and bytes on the way to another store. Clones share their counters.
#[derive(Clone)]
pub struct Count<S> {
    inner: Throttle<S>,
    traffic: Traffic,
}

impl<S> Count<S> {
    /// Wraps a store.
    pub fn new(inner: S) -> Self {
        let traffic = Traffic::default();
        Self { inner: Throttle::counted(inner, traffic.clone()), traffic }
    }

    /// What was asked so far.
    pub fn counts(&self) -> Counts {
        self.traffic.counts()
    }
}

impl<S: BlobStore> BlobStore for Count<S> {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        self.inner.list(prefix)
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        self.inner.size(id)
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        self.inner.read(id, limit)
    }

    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.inner.read_at(id, offset, buffer)
    }

    pass_through!();
}
