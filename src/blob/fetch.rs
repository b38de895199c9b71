//! Reading many whole blobs with several reads in flight and a bound on the bytes held.

use std::sync::{Condvar, Mutex, PoisonError};

use super::{BlobMetadata, BlobStore, Error};
use crate::parallel;

/// How much may be under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// Reads in flight.
    pub reads: usize,
    /// Bytes of blobs in memory, unless a single blob is larger.
    pub bytes: u64,
    /// No blob of this kind can be larger.
    pub blob: u64,
}

struct Gate {
    free: Mutex<u64>,
    freed: Condvar,
    limit: u64,
}

impl Gate {
    /// Waits until `bytes` are free (a larger request waits for all of them); gives back what was taken.
    fn acquire(&self, bytes: u64) -> u64 {
        let bytes = bytes.min(self.limit);
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            self.freed.wait_while(free, |free| *free < bytes).unwrap_or_else(PoisonError::into_inner);
        *free -= bytes;
        bytes
    }

    fn release(&self, bytes: u64) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += bytes;
        self.freed.notify_all();
    }
}

/// Reads each blob once and hands it to `each`, on several threads and in no particular order.
///
/// # Errors
/// The first error that `each` gives back; reading stops then.
pub fn fetch_all<E: Send>(
    store: &dyn BlobStore,
    blobs: &[BlobMetadata],
    limits: FetchLimits,
    each: impl Fn(&BlobMetadata, Result<Vec<u8>, Error>) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let gate = Gate { free: Mutex::new(limits.bytes), freed: Condvar::new(), limit: limits.bytes };
    parallel::for_each(blobs, limits.reads, |blob| {
        let taken = gate.acquire(blob.size);
        let result = each(blob, store.read(&blob.id, limits.blob));
        gate.release(taken);
        result
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::blob::BlobId;

    struct Numbers {
        held: AtomicU64,
        most: AtomicU64,
    }

    impl BlobStore for Numbers {
        fn list(&self, _: &str) -> Result<Vec<BlobMetadata>, Error> {
            Ok((0..50)
                .map(|n| BlobMetadata {
                    id: BlobId::new(&format!("p{n}")).unwrap(),
                    size: 10,
                    modified: None,
                })
                .collect())
        }
        fn size(&self, _: &BlobId) -> Result<u64, Error> {
            Ok(10)
        }
        fn read(&self, _: &BlobId, _: u64) -> Result<Vec<u8>, Error> {
            let held = self.held.fetch_add(10, Ordering::SeqCst) + 10;
            self.most.fetch_max(held, Ordering::SeqCst);
            Ok(vec![0; 10])
        }
        fn read_at(&self, _: &BlobId, _: u64, _: &mut [u8]) -> Result<(), Error> {
            Ok(())
        }
        fn describe(&self) -> String {
            String::new()
        }
    }

    #[test]
    fn every_blob_once_within_the_bound() {
        let store = Numbers { held: AtomicU64::new(0), most: AtomicU64::new(0) };
        let seen = Mutex::new(Vec::new());
        let limits = FetchLimits { reads: 8, bytes: 30, blob: 100 };
        fetch_all(&store, &store.list("").unwrap(), limits, |blob, bytes| {
            assert_eq!(bytes.unwrap().len(), 10);
            seen.lock().unwrap().push(blob.id.clone());
            store.held.fetch_sub(10, Ordering::SeqCst);
            Ok::<(), ()>(())
        })
        .unwrap();
        let mut seen = seen.into_inner().unwrap();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 50);
        assert!(store.most.into_inner() <= 30);
    }
}
