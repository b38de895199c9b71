//! What a restore reports while it runs and at its end.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use std::time::{Duration, Instant};

use serde::Serialize;

use super::error::Error;
use super::refused::{Refused, RefusedAttributes};

use crate::os::sync::Mutex;

/// Errors kept for the summary; beyond that they are only counted and passed to [`Progress::error`].
const MAX_ERRORS: usize = 100_000;

/// Warnings of one kind that name their entries; the rest get one together.
const NAMED: u64 = 20;

/// An entry that could not be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct EntryError {
    /// Path relative to the target. A name that is longer than any file system takes is cut.
    pub path: String,
    /// Stable code, as in `docs/errors.md`.
    pub code: &'static str,
    /// One line for people.
    pub message: String,
}

/// How far a restore has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Status {
    /// Files, links and skipped entries done.
    pub files: u64,
    /// Files of the tree, as far as the snapshot tells.
    pub total_files: Option<u64>,
    /// Bytes of files written, reused or skipped.
    pub bytes: u64,
    /// Bytes in files of the tree, as far as the snapshot tells.
    pub total_bytes: Option<u64>,
    /// Bytes read from the repository for files.
    pub fetched_bytes: u64,
    /// Entries that could not be restored.
    pub errors: u64,
    /// Time since the restore began.
    pub elapsed: Duration,
}

/// What happened to an entry of the target, or in a dry run, what would happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A file or link that was not there.
    New,
    /// A file or link that replaced, or was compared with, one that was there.
    Updated,
    /// A file or link that is left as it is. Its owner and mode may have been corrected.
    Unchanged,
    /// An entry of any type that the snapshot does not have, or that was in the way.
    Deleted,
    /// Something with a staged name that a killed run left; it was removed.
    Leftover,
}

/// Receives the progress of a restore. All methods have empty defaults.
pub trait Progress: Sync {
    /// Whether [`Progress::change`] is called. Making the paths of millions of entries takes time.
    fn wants_changes(&self) -> bool {
        false
    }
    /// An entry, by its path relative to the target, got its final state. Called from several threads. If a directory
    /// cannot get its name in the end, the changes reported for its entries are void, and the directory is an error.
    fn change(&self, _change: Change, _path: &str) {}
    /// Called several times a second from one thread.
    fn status(&self, _status: &Status) {}
    /// An entry could not be restored. Called from several threads.
    fn error(&self, _error: &EntryError) {}
    /// A warning for the log; nothing is lost.
    fn warning(&self, _message: &str) {}
}

impl Progress for () {}

/// What a restore did. Serialises to the summary object of the command line.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Summary {
    /// What the caller called the snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// The target.
    pub target: PathBuf,
    /// Files in place, including reused ones and without skipped ones.
    pub files: u64,
    /// Directories in place, the root included.
    pub dirs: u64,
    /// Symbolic links in place.
    pub symlinks: u64,
    /// Bytes in those files.
    pub bytes: u64,
    /// Bytes read from packs for files, gaps between contents included.
    pub fetched_bytes: u64,
    /// Bytes of existing files that were right already.
    pub reused_bytes: u64,
    /// Entries left as they were because of `skip_existing` or `overwrite`.
    pub skipped: u64,
    /// Entries deleted because the snapshot does not have them.
    pub deleted: u64,
    /// What killed runs had left, and was removed.
    pub leftovers: u64,
    /// Entries that are missing because Kopia could not save them when it made the snapshot.
    pub unsaved: u64,
    /// What could not be restored.
    pub errors: Vec<EntryError>,
    /// Duration.
    pub seconds: f64,
    /// Number of all errors, even if [`Summary::errors`] does not list all of them.
    #[serde(skip)]
    pub error_count: u64,
    /// Attributes that the target did not take, of entries whose data is in place.
    pub refused: RefusedAttributes,
    /// Whether the restore ended before all entries were tried, because of `fail_fast` or because the target accepts no
    /// more data.
    #[serde(skip)]
    pub stopped: bool,
}

/// The counters behind [`Status`] and [`Summary`].
pub(super) struct Report<'a> {
    progress: &'a dyn Progress,
    lists: bool,
    started: Instant,
    fail_fast: bool,
    stop: AtomicBool,
    errors: Mutex<Vec<EntryError>>,
    refused: Mutex<RefusedAttributes>,
    pub(super) files: AtomicU64,
    pub(super) dirs: AtomicU64,
    pub(super) symlinks: AtomicU64,
    pub(super) bytes: AtomicU64,
    /// Bytes given to files, also to those that are not complete.
    pub(super) written: AtomicU64,
    pub(super) fetched: AtomicU64,
    pub(super) reused: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) skipped_bytes: AtomicU64,
    pub(super) deleted: AtomicU64,
    leftovers: AtomicU64,
    error_count: AtomicU64,
    repeated: AtomicU64,
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl<'a> Report<'a> {
    pub(super) fn new(progress: &'a dyn Progress, fail_fast: bool) -> Self {
        Self {
            progress,
            lists: progress.wants_changes(),
            started: Instant::now(),
            fail_fast,
            stop: AtomicBool::default(),
            errors: Mutex::default(),
            refused: Mutex::default(),
            files: AtomicU64::default(),
            dirs: AtomicU64::default(),
            symlinks: AtomicU64::default(),
            bytes: AtomicU64::default(),
            written: AtomicU64::default(),
            fetched: AtomicU64::default(),
            reused: AtomicU64::default(),
            skipped: AtomicU64::default(),
            skipped_bytes: AtomicU64::default(),
            deleted: AtomicU64::default(),
            leftovers: AtomicU64::default(),
            error_count: AtomicU64::default(),
            repeated: AtomicU64::default(),
        }
    }

    /// Notes that an entry could not be restored.
    pub(super) fn error(&self, path: String, error: &Error) {
        let entry = EntryError { path, code: error.code(), message: error.to_string() };
        self.progress.error(&entry);
        add(&self.error_count, 1);
        {
            let mut errors = self.errors.lock();
            if errors.len() < MAX_ERRORS {
                errors.push(entry);
            }
        }
        if self.fail_fast || error.is_fatal() {
            self.stop();
        }
    }

    /// The counters of what is in place: directories, files, links, bytes.
    pub(super) fn tally(&self) -> [&AtomicU64; 4] {
        [&self.dirs, &self.files, &self.symlinks, &self.bytes]
    }

    /// Notes an entry that has the name of a later one.
    pub(super) fn repeated_name(&self, path: impl FnOnce() -> String, stored: &str) {
        match self.repeated.fetch_add(1, Ordering::Relaxed) {
            ..NAMED => self.warning(&format!(
                "{}: another entry of its directory has the same name, {stored:?}; restored under this one [names-repeated]",
                path()
            )),
            NAMED => self.warning("more entries have the name of another one in their directory [names-repeated]"),
            _ => {}
        }
    }

    /// Notes attributes that the target did not take.
    pub(super) fn refused(&self, path: impl FnOnce() -> String, refused: &Refused) {
        if !refused.is_empty() {
            self.refused.lock().add(path, refused);
        }
    }

    /// Whether changes are told one by one.
    pub(super) fn lists(&self) -> bool {
        self.lists
    }

    /// Tells what became of an entry, where somebody wants to know.
    pub(super) fn change(&self, change: Change, path: impl FnOnce() -> String) {
        if self.lists {
            self.progress.change(change, &path());
        }
    }

    /// Counts something that a killed run left and that is removed now.
    pub(super) fn leftover(&self, path: impl FnOnce() -> String) {
        add(&self.leftovers, 1);
        self.change(Change::Leftover, path);
    }

    pub(super) fn warning(&self, message: &str) {
        self.progress.warning(message);
    }

    /// Whether no more entries are to be begun.
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Lets no more entries be begun.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn deleted(&self) -> u64 {
        load(&self.deleted)
    }

    pub(super) fn error_count(&self) -> u64 {
        load(&self.error_count)
    }

    /// Whether an entry, or one below it, could not be restored. Beyond the errors that are kept, any might be there.
    pub(super) fn has_error_in(&self, path: &str) -> bool {
        let errors = self.errors.lock();
        let is_in = |error: &EntryError| {
            error.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        errors.iter().any(is_in) || self.error_count() > errors.len() as u64
    }

    pub(super) fn tick(&self, totals: (Option<u64>, Option<u64>)) {
        self.progress.status(&Status {
            files: load(&self.files) + load(&self.symlinks) + load(&self.skipped),
            total_files: totals.0,
            bytes: load(&self.written) + load(&self.skipped_bytes),
            total_bytes: totals.1,
            fetched_bytes: load(&self.fetched),
            errors: load(&self.error_count),
            elapsed: self.started.elapsed(),
        });
    }

    pub(super) fn summary(&self, snapshot: Option<String>, target: PathBuf) -> Summary {
        let mut errors = std::mem::take(&mut *self.errors.lock());
        errors.sort_by(|a, b| a.path.cmp(&b.path));
        let mut refused = std::mem::take(&mut *self.refused.lock());
        refused.entries.sort_by(|a, b| a.path.cmp(&b.path));
        Summary {
            snapshot,
            target,
            files: load(&self.files),
            dirs: load(&self.dirs),
            symlinks: load(&self.symlinks),
            bytes: load(&self.bytes),
            fetched_bytes: load(&self.fetched),
            reused_bytes: load(&self.reused),
            skipped: load(&self.skipped),
            deleted: load(&self.deleted),
            leftovers: load(&self.leftovers),
            unsaved: 0,
            errors,
            refused,
            seconds: self.started.elapsed().as_secs_f64(),
            error_count: load(&self.error_count),
            stopped: self.stopped(),
        }
    }
}
