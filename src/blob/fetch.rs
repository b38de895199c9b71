//! Work on many blobs with several in flight and a bound on the bytes held.

use std::sync::{Condvar, Mutex, PoisonError};

use super::BlobMetadata;
use crate::parallel;

/// How much may be under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// Blobs at once.
    pub reads: usize,
    /// Bytes of blobs at once, unless a single blob is larger.
    pub bytes: u64,
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

/// Calls `each` once for every blob, on several threads and in no particular order.
///
/// # Errors
/// The first error that `each` gives back; no new blob is begun then.
pub fn for_each_blob<E: Send>(
    blobs: &[BlobMetadata],
    limits: FetchLimits,
    each: impl Fn(&BlobMetadata) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let gate = Gate { free: Mutex::new(limits.bytes), freed: Condvar::new(), limit: limits.bytes };
    parallel::for_each(blobs, limits.reads, |blob| {
        let taken = gate.acquire(blob.size);
        let result = each(blob);
        gate.release(taken);
        result
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::blob::BlobId;

    #[test]
    fn every_blob_once_within_the_bound() {
        let blob = |n| BlobMetadata { id: BlobId::new(&format!("p{n}")).unwrap(), size: 10, modified: None };
        let blobs: Vec<BlobMetadata> = (0..50).map(blob).collect();
        let (held, most) = (AtomicU64::new(0), AtomicU64::new(0));
        let seen = Mutex::new(Vec::new());
        for_each_blob(&blobs, FetchLimits { reads: 8, bytes: 30 }, |blob| {
            most.fetch_max(held.fetch_add(10, Ordering::SeqCst) + 10, Ordering::SeqCst);
            std::thread::yield_now();
            seen.lock().unwrap().push(blob.id.clone());
            held.fetch_sub(10, Ordering::SeqCst);
            Ok::<(), ()>(())
        })
        .unwrap();
        let mut seen = seen.into_inner().unwrap();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 50);
        assert!(most.into_inner() <= 30);
    }
}
