//! Work on many blobs with several in flight and a bound on the bytes held.

use super::BlobMetadata;
use crate::os::parallel;
use crate::os::sync::Semaphore;

/// How much may be under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// Blobs at once.
    pub reads: usize,
    /// Bytes of blobs at once, unless a single blob is larger.
    pub bytes: u64,
}

impl FetchLimits {
    /// Threads that can be at work at once. More would only wait, and keep the room of a large blob each: an allocator gives
    /// that back to the thread, not to the process.
    fn threads(self, blobs: &[BlobMetadata]) -> usize {
        let mut sizes: Vec<u64> = blobs.iter().map(|blob| blob.size).collect();
        sizes.sort_unstable();
        let mut left = self.bytes;
        let fitting = sizes.into_iter().map_while(|size| left.checked_sub(size).inspect(|rest| left = *rest));
        fitting.take(self.reads).count().max(1)
    }
}

/// Calls `each` once for every blob, on several threads and in no particular order.
///
/// # Errors
/// The first error that `each` returns; no new blob is begun then.
pub fn for_each_blob<E: Send>(
    blobs: &[BlobMetadata],
    limits: FetchLimits,
    each: impl Fn(&BlobMetadata) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let bytes = Semaphore::new(limits.bytes);
    parallel::for_each(blobs, limits.threads(blobs), |blob| {
        let _held = bytes.acquire(blob.size);
        each(blob)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::blob::BlobId;
    use crate::os::sync::Mutex;

    fn blobs(sizes: impl IntoIterator<Item = u64>) -> Vec<BlobMetadata> {
        let id = |n| BlobId::new(&format!("p{n}")).unwrap();
        let blob = |(n, size)| BlobMetadata { id: id(n), size, modified: None };
        sizes.into_iter().enumerate().map(blob).collect()
    }

    #[test]
    fn no_more_threads_than_can_be_at_work() {
        let threads =
            |reads, bytes, sizes: &[u64]| FetchLimits { reads, bytes }.threads(&blobs(sizes.iter().copied()));
        assert_eq!(threads(16, 100, &[40; 20]), 2);
        assert_eq!(threads(16, 100, &[90, 1, 90, 2, 90, 3]), 4);
        assert_eq!(threads(3, 100, &[1; 20]), 3);
        assert_eq!(threads(16, 100, &[500, 500]), 1);
        assert_eq!(threads(16, u64::MAX, &[u64::MAX - 1, 1, 1]), 2);
        assert_eq!(threads(16, 100, &[]), 1);
    }

    #[test]
    fn every_blob_once_within_the_bound() {
        let blobs = blobs([10; 50]);
        let (held, most) = (AtomicU64::new(0), AtomicU64::new(0));
        let seen = Mutex::new(Vec::new());
        for_each_blob(&blobs, FetchLimits { reads: 8, bytes: 30 }, |blob| {
            most.fetch_max(held.fetch_add(10, Ordering::SeqCst) + 10, Ordering::SeqCst);
            std::thread::yield_now();
            seen.lock().push(blob.id.clone());
            held.fetch_sub(10, Ordering::SeqCst);
            Ok::<(), ()>(())
        })
        .unwrap();
        let mut seen = seen.into_inner();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 50);
        assert!(most.into_inner() <= 30);
    }
}
