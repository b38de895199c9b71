//! The job of one verification: what is asked, and when it must stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::ledger::{Ledger, ProofHistory};
use super::options::Settings;
use super::report::model::Stopped;
use super::time::now;
use crate::blob::{BlobStore, Throttle};
use crate::content::Contents;
use crate::index::IndexOptions;
use crate::manifest::ManifestMemory;
use crate::os::sync::Mutex;
use crate::repository::{Budget, Repository};

/// How far a verification has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Progress {
    /// Packs read.
    pub packs: u64,
    /// Packs to be read.
    pub of_packs: u64,
    /// Stored bytes of contents read.
    pub bytes: u64,
    /// Stored bytes of contents to be read.
    pub of_bytes: u64,
    /// Contents found damaged.
    pub damaged: u64,
}

/// What the caller asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) repository: &'a Repository,
    pub(super) settings: &'a Settings,
    /// Where new proofs are written.
    pub(super) ledger: Option<&'a Ledger>,
    /// The proofs of former runs.
    pub(super) history: Option<&'a dyn ProofHistory>,
    pub(super) interrupted: &'a AtomicBool,
    pub(super) progress: &'a (dyn Fn(&Progress) + Sync),
}

/// A verification under way.
pub(super) struct Job<'a> {
    pub(super) asked: Asked<'a>,
    pub(super) store: Arc<dyn BlobStore>,
    /// Unix time of the beginning.
    pub(super) began: i64,
    /// The same on the clock that nobody sets.
    pub(super) begun: Instant,
    stopped: Mutex<Option<Stopped>>,
}

impl<'a> Job<'a> {
    pub(super) fn new(asked: Asked<'a>) -> Self {
        let store = Arc::clone(asked.repository.store());
        let store: Arc<dyn BlobStore> = match asked.settings.rate {
            Some(rate) => Arc::new(Throttle::to_rate(store, rate)),
            None => store,
        };
        Self { asked, store, began: now(), begun: Instant::now(), stopped: Mutex::default() }
    }

    /// How indexes are read: whatever can be read of them counts.
    pub(super) fn index_options(&self) -> IndexOptions {
        IndexOptions { degraded: true, ..self.asked.repository.options().index }
    }

    /// Bytes for a walk: most of what the index leaves.
    pub(super) fn memory_beside(&self, contents: &Contents) -> u64 {
        Budget::exactly(self.asked.settings.memory).for_trees(&contents.index())
    }

    pub(super) fn room_for_manifests(&self) -> ManifestMemory {
        ManifestMemory::new(self.asked.repository.options().manifests, 0)
    }

    /// Threads for a walk: its reads are small and wait for each other, so more threads than processors.
    pub(super) fn walkers(&self) -> usize {
        self.asked.settings.threads.max(self.asked.settings.reads).max(4)
    }

    /// Records why the verification ends early. The first reason counts.
    pub(super) fn stop(&self, why: Stopped) {
        self.stopped.lock().get_or_insert(why);
    }

    /// Why the verification ends early, if it does.
    pub(super) fn stopped(&self) -> Option<Stopped> {
        *self.stopped.lock()
    }

    /// Whether the caller has interrupted the verification.
    pub(super) fn is_interrupted(&self) -> bool {
        let interrupted = self.asked.interrupted.load(Ordering::Relaxed);
        if interrupted {
            self.stop(Stopped::Interrupted);
        }
        interrupted
    }

    /// Whether to read no more: interrupted, or out of time.
    pub(super) fn should_stop(&self) -> bool {
        if self.is_interrupted() {
            return true;
        }
        let limit = self.asked.settings.max_duration;
        let late = limit.is_some_and(|limit| self.begun.elapsed() >= limit);
        if late {
            self.stop(Stopped::Duration);
        }
        late
    }
}
