//! A store that remembers what was read from it, and acts after so many reads of packs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rokopia::blob::{BlobId, BlobMetadata, BlobStore, Error, FileSystem};

/// One read of a part of a blob.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) blob: BlobId,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

pub(crate) struct Trace {
    inner: FileSystem,
    reads: Mutex<Vec<Read>>,
    count: AtomicUsize,
    /// After this many reads `stop` is raised.
    pub(crate) limit: usize,
    pub(crate) stop: AtomicBool,
    /// Done once, before the first read of a pack.
    before_packs: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// Done once, before everything is listed, which is after the indexes were read.
    before_listing: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Trace {
    pub(crate) fn new(inner: FileSystem, limit: usize) -> Self {
        Self {
            inner,
            reads: Mutex::default(),
            count: AtomicUsize::new(0),
            limit,
            stop: AtomicBool::new(false),
            before_packs: Mutex::default(),
            before_listing: Mutex::default(),
        }
    }

    pub(crate) fn before_packs(self, act: impl FnOnce() + Send + 'static) -> Self {
        *self.before_packs.lock().unwrap() = Some(Box::new(act));
        self
    }

    pub(crate) fn before_listing(self, act: impl FnOnce() + Send + 'static) -> Self {
        *self.before_listing.lock().unwrap() = Some(Box::new(act));
        self
    }

    /// Reads of parts of packs so far, in order.
    pub(crate) fn reads(&self) -> Vec<Read> {
        self.reads.lock().unwrap().clone()
    }
}

impl BlobStore for Trace {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        if prefix.is_empty()
            && let Some(act) = self.before_listing.lock().unwrap().take()
        {
            act();
        }
        self.inner.list(prefix)
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        self.inner.size(id)
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        self.inner.read(id, limit)
    }

    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        if let Some(act) = self.before_packs.lock().unwrap().take() {
            act();
        }
        if self.count.fetch_add(1, Ordering::SeqCst) + 1 >= self.limit {
            self.stop.store(true, Ordering::SeqCst);
        }
        let length = buffer.len() as u64;
        self.reads.lock().unwrap().push(Read { blob: id.clone(), offset, length });
        self.inner.read_at(id, offset, buffer)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn disk_order(&self, id: &BlobId) -> Option<u64> {
        self.inner.disk_order(id)
    }

    fn forget(&self, id: &BlobId) {
        self.inner.forget(id);
    }
}
