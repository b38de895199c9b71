//! What all parts of one restore share.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::sys::stat::FileStat;

use super::attributes::{Attributes, Keep, has_similar_time};
use super::open_dir::OpenDir;
use super::resolution::Resolution;
use super::staging::Staging;
use super::territory::Territory;
use crate::blob::Hints;
use crate::content::Contents;
use crate::os::sync::Mutex;
use crate::restore::error::Error;
use crate::restore::options::{Options, Restore};
use crate::restore::report::{Progress, Report};

/// Ranges end at this many bytes where contents are hashed, several at a time, unless one content is longer or the store
/// prefers longer ones.
const MAX_VERIFIED_RANGE: u64 = 8 << 20;

/// Directories kept open beside those that are in use.
const RECENT: usize = 64;

/// One restore while it runs.
pub(in crate::restore) struct Session<'a> {
    pub(in crate::restore) contents: &'a Contents,
    pub(in crate::restore) options: &'a Options,
    pub(in crate::restore) report: Report<'a>,
    pub(in crate::restore) keep: Keep,
    /// Whether nothing is written: everything is read and decoded, and counted.
    pub(in crate::restore) null: bool,
    /// Whether space for large files is reserved before they are written.
    pub(in crate::restore) preallocate: bool,
    /// Whether what is restored is no directory.
    pub(in crate::restore) single: bool,
    pub(in crate::restore) territory: Territory,
    pub(in crate::restore) staging: Staging,
    recent: Mutex<VecDeque<Arc<OpenDir>>>,
    /// What the file systems of the target make of times, by device.
    resolutions: Mutex<HashMap<u64, Option<Resolution>>>,
}

impl<'a> Session<'a> {
    pub(in crate::restore) fn new(restore: &'a Restore<'_>, progress: &'a dyn Progress, null: bool) -> Self {
        let options = &restore.options;
        Self {
            contents: restore.contents,
            options,
            report: Report::new(progress, options.fail_fast),
            keep: Keep::of(options),
            null: null || options.dry_run,
            preallocate: false,
            single: restore.origin.entry().is_ok_and(|root| !root.is_directory()),
            territory: Territory::default(),
            staging: Staging::default(),
            recent: Mutex::default(),
            resolutions: Mutex::default(),
        }
    }

    /// Whether the entries of a target matter, even if only for the report of a dry run.
    pub(in crate::restore) fn meets_target(&self) -> bool {
        !self.null || self.options.dry_run
    }

    /// Whether no more work is to be begun.
    pub(in crate::restore) fn is_over(&self) -> bool {
        self.is_cancelled() || self.report.stopped()
    }

    pub(in crate::restore) fn is_cancelled(&self) -> bool {
        self.options.cancel.load(Ordering::Relaxed)
    }

    /// How the storage is read best, by what is known of it now.
    pub(in crate::restore) fn hints(&self) -> Hints {
        self.contents.store().hints()
    }

    /// Bytes at which a read ends, unless one content is longer. What is hashed needs many contents at once, which are long
    /// where the hash takes most of the time.
    pub(in crate::restore) fn longest_range(&self, hints: Hints) -> u64 {
        let share = (self.options.memory / 32).max(Hints::LOCAL.range);
        let longest = if self.options.verify { hints.range.max(MAX_VERIFIED_RANGE) } else { hints.range };
        longest.min(share)
    }

    /// Whether something in a directory has the time that is wanted, as far as its file system can hold it. A dry run, which
    /// cannot try that out, takes a whole second close by for it.
    pub(in crate::restore) fn has_time(
        &self,
        directory: &OpenDir,
        stat: &FileStat,
        want: &Attributes,
    ) -> bool {
        if self.options.dry_run {
            return stat.st_mtime_nsec == 0 && has_similar_time(stat, want);
        }
        let mut known = self.resolutions.lock();
        let resolution = *known.entry(stat.st_dev).or_insert_with(|| Resolution::of(directory));
        resolution.is_some_and(|resolution| resolution.has(stat, want))
    }

    /// Keeps a directory open for a while.
    pub(in crate::restore) fn keep_open(&self, directory: &Arc<OpenDir>) {
        let mut recent = self.recent.lock();
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        recent.push_back(Arc::clone(directory));
    }

    /// Whether a directory that a killed run had begun is gone on with.
    pub(in crate::restore) fn adopts(&self) -> bool {
        self.options.skip_existing || self.options.delta
    }

    pub(in crate::restore) fn close_kept(&self) {
        self.recent.lock().clear();
    }
}

/// Tells that a dry run did not look into a directory that a restore would open to its owner. Where entries that it may have
/// would be deleted, that is an error.
pub(in crate::restore) fn tell_unseen(session: &Session<'_>, path: &str) {
    if session.options.delete {
        let error = Error::system("tell what would be deleted in the directory")(Errno::EACCES);
        return session.report.error(path.to_owned(), &error);
    }
    let path = if path.is_empty() { "the target" } else { path };
    session.report.warning(&format!(
        "{path}: what is in it was not looked at, because it is closed; the restore opens it to its owner"
    ));
}
