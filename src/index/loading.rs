//! How far opening a repository has come, for those who wait for it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what opening reads. Clones share their counts.
#[derive(Clone, Default)]
pub struct Loading(Arc<[Counter; 2]>);

#[derive(Default)]
struct Counter {
    done: AtomicU64,
    total: AtomicU64,
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Index blobs.
    Index,
    /// Contents full of manifests.
    Manifests,
}

impl Loading {
    fn counter(&self, stage: Stage) -> &Counter {
        let [index, manifests] = &*self.0;
        match stage {
            Stage::Index => index,
            Stage::Manifests => manifests,
        }
    }

    /// Adds `count` to what is to be read.
    pub(crate) fn expect(&self, stage: Stage, count: usize) {
        self.counter(stage).total.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// One was read, or could not be.
    pub(crate) fn step(&self, stage: Stage) {
        self.counter(stage).done.fetch_add(1, Ordering::Relaxed);
    }

    /// What is left will not be read.
    pub(crate) fn settle(&self, stage: Stage) {
        let counter = self.counter(stage);
        counter.done.store(counter.total.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// What is being read, how many of them are done, and how many there are; `None` where there is nothing to wait for.
    pub(crate) fn status(&self) -> Option<(Stage, u64, u64)> {
        [Stage::Index, Stage::Manifests].into_iter().find_map(|stage| {
            let counter = self.counter(stage);
            let (done, total) = (counter.done.load(Ordering::Relaxed), counter.total.load(Ordering::Relaxed));
            (done < total).then_some((stage, done, total))
        })
    }
}

impl PartialEq for Loading {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Loading {}

impl fmt::Debug for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Loading").field(&self.status()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stage_after_the_other_is_shown() {
        let loading = Loading::default();
        assert_eq!(loading.status(), None);
        loading.expect(Stage::Index, 2);
        loading.clone().step(Stage::Index);
        loading.expect(Stage::Manifests, 1);
        assert_eq!(loading.status(), Some((Stage::Index, 1, 2)));
        loading.step(Stage::Index);
        assert_eq!(loading.status(), Some((Stage::Manifests, 0, 1)));
        loading.step(Stage::Manifests);
        assert_eq!(loading.status(), None);
        assert!(loading == loading.clone() && loading != Loading::default());
    }
}
