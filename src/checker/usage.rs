//! The size of the repository in its storage.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::clock::{Clock, Tick};
use crate::blob::{self, BlobKind, BlobStore};

/// Listing all blobs of a large repository takes long, and its size changes slowly.
const INTERVAL: Duration = Duration::from_secs(3600);

/// What one kind of blobs takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlobUsage {
    /// How many there are.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The size of the repository in its storage, by kind of blob: `data`, `metadata`, `index` and `other`.
pub type Usage = BTreeMap<&'static str, BlobUsage>;

/// The sizes measured last, and whether they are being measured.
#[derive(Default)]
pub(super) struct Meter {
    running: AtomicBool,
    last: ArcSwapOption<(Tick, Usage)>,
}

impl Meter {
    pub(super) fn usage(&self) -> Option<Arc<(Tick, Usage)>> {
        self.last.load_full()
    }

    /// Measures, unless that was done of late or another thread is at it. A failure leaves what is known: it says nothing
    /// that the readings of the repository do not say themselves.
    pub(super) fn measure(&self, store: &dyn BlobStore, clock: &Clock) {
        let now = clock.now();
        let recent = self.last.load().as_ref().is_some_and(|last| now.elapsed_since(last.0) < INTERVAL);
        if recent || self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        match usage(store) {
            Ok(usage) => self.last.store(Some(Arc::new((now, usage)))),
            Err(error) => tracing::debug!("measuring the repository failed: {error}"),
        }
        self.running.store(false, Ordering::Release);
    }
}

/// Packs are listed in parts, so that the names of a large repository are not all in memory at the same time.
fn usage(store: &dyn BlobStore) -> Result<Usage, blob::Error> {
    let mut usage = Usage::new();
    let packs = [BlobKind::DataPack, BlobKind::MetadataPack];
    let parts = packs
        .iter()
        .flat_map(|kind| "0123456789abcdef".chars().map(|digit| format!("{}{digit}", kind.prefix())));
    let others = ["n", "x", "m", "l", "s", "_log", "kopia."].into_iter().map(str::to_owned);
    for prefix in parts.chain(others) {
        for blob in store.list(&prefix)? {
            let kind = match blob.id.kind() {
                BlobKind::Foreign => continue,
                BlobKind::DataPack => "data",
                BlobKind::MetadataPack => "metadata",
                BlobKind::Index
                | BlobKind::CompactionLog
                | BlobKind::EpochIndex
                | BlobKind::EpochCompaction
                | BlobKind::RangeCompaction => "index",
                _ => "other",
            };
            let sum = usage.entry(kind).or_default();
            sum.blobs += 1;
            sum.bytes += blob.size;
        }
    }
    Ok(usage)
}
