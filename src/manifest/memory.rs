//! How much memory manifests may take.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that manifests may take, and how many are left. Several threads may share it.
#[derive(Debug)]
pub struct ManifestMemory {
    limit: u64,
    left: AtomicU64,
}

impl Default for ManifestMemory {
    /// Without a limit.
    fn default() -> Self {
        Self::new(u64::MAX, 0)
    }
}

impl ManifestMemory {
    /// A limit in bytes, of which `taken` are in use already.
    pub fn new(limit: u64, taken: u64) -> Self {
        Self { limit, left: AtomicU64::new(limit.saturating_sub(taken)) }
    }

    /// All bytes, taken or not.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Takes some bytes, unless that is more than there are.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let less = |left: u64| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is() {
        let room = ManifestMemory::new(100, 30);
        assert!(room.take(50) && !room.take(21) && room.take(20) && !room.take(1) && room.take(0));
        assert_eq!(room.limit(), 100);
        assert!(!ManifestMemory::new(10, 20).take(1));
    }
}
