//! Counting what is asked of a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{BlobId, BlobMetadata, BlobStore, Error};

/// Requests and bytes since the store was wrapped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Listings.
    pub lists: u64,
    /// Size questions.
    pub sizes: u64,
    /// Whole blobs and ranges read.
    pub reads: u64,
    /// Bytes that those reads delivered.
    pub bytes: u64,
}

#[derive(Default)]
struct Cells {
    lists: AtomicU64,
    sizes: AtomicU64,
    reads: AtomicU64,
    bytes: AtomicU64,
}

/// Counts requests and bytes on the way to another store. Clones share their counters.
pub struct Count<S> {
    inner: S,
    cells: Arc<Cells>,
}

impl<S: Clone> Clone for Count<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), cells: Arc::clone(&self.cells) }
    }
}

impl<S> Count<S> {
    /// Wraps a store.
    pub fn new(inner: S) -> Self {
        Self { inner, cells: Arc::default() }
    }

    /// What was asked so far.
    pub fn counts(&self) -> Counts {
        let get = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        Counts {
            lists: get(&self.cells.lists),
            sizes: get(&self.cells.sizes),
            reads: get(&self.cells.reads),
            bytes: get(&self.cells.bytes),
        }
    }

    fn read_bytes(&self, length: usize) {
        self.cells.bytes.fetch_add(length as u64, Ordering::Relaxed);
    }
}

impl<S: BlobStore> BlobStore for Count<S> {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        self.cells.lists.fetch_add(1, Ordering::Relaxed);
        self.inner.list(prefix)
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        self.cells.sizes.fetch_add(1, Ordering::Relaxed);
        self.inner.size(id)
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        self.cells.reads.fetch_add(1, Ordering::Relaxed);
        let bytes = self.inner.read(id, limit)?;
        self.read_bytes(bytes.len());
        Ok(bytes)
    }

    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.cells.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.read_at(id, offset, buffer)?;
        self.read_bytes(buffer.len());
        Ok(())
    }

    pass_through!();
}
