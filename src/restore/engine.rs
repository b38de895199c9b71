//! The parts of a restore, put together.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::Duration;

use super::ahead::Ahead;
use super::error::Error;
use super::fetch::Fetcher;
use super::options::Restore;
use super::place::{Dir, Session};
use super::plan::Planner;
use super::report::{Progress, Summary};
use super::target::{Place, Root, absolute};
use super::walk::{Walker, check_single, open_root};
use super::{displace, prune};
use crate::os::parallel::spawn_up_to;
use crate::os::sync::Semaphore;
use crate::snapshot::{DirEntry, EffectiveEntries};

/// Batches that are planned or worked on at the same time.
const BATCHES: u64 = 3;

/// Reads waiting for a thread.
const QUEUE: usize = 64;

/// Bytes of ranges in flight: more does not help, and memory that is not in the cache is slow.
const MAX_IN_FLIGHT: u64 = 32 << 20;

/// Time between two calls of [`Progress::status`].
const TICK: Duration = Duration::from_millis(200);

/// Entries named of those that are not in the snapshot.
const UNSAVED_NAMED: usize = 3;

/// What is restored where.
enum Target {
    Path(Root),
    Nothing,
}

impl Restore<'_> {
    /// Restores into `target`, which is created if it is missing.
    ///
    /// A directory's entries go into `target`; a file or symbolic link takes its place, or goes into it under its own name
    /// where it is a directory, or ends with a slash.
    ///
    /// # Errors
    /// What keeps it from starting, before anything in the target is touched: an unreadable root directory, a target
    /// that cannot be opened. Later failures are counted in [`Summary::errors`], except for [`Error::Cancelled`].
    pub fn run(self, target: impl AsRef<Path>, progress: &dyn Progress) -> Result<Summary, Error> {
        run(&self, Some(target.as_ref()), progress)
    }

    /// Reads and decodes all that [`Restore::run`] would write, and writes nothing: a drill. The target of the summary is
    /// empty.
    ///
    /// # Errors
    /// As [`Restore::run`], without those of a target.
    pub fn run_to_null(self, progress: &dyn Progress) -> Result<Summary, Error> {
        run(&self, None, progress)
    }
}

/// Restores into `target`, or nowhere.
fn run(restore: &Restore<'_>, target: Option<&Path>, progress: &dyn Progress) -> Result<Summary, Error> {
    let mut session = Session::new(restore, progress, target.is_none());
    let ahead = Ahead::new(restore.contents, session.options.reads, session.options.verify);
    let mut root = restore.origin.entry()?.clone();
    // Everything that can keep the restore from starting comes before the target is touched.
    let entries = if root.is_directory() {
        Some(open_root(&ahead, &root)?)
    } else {
        // The size of a root is that which the client saw first, not that which it read.
        root.size = check_single(&ahead, &root)?;
        None
    };
    let place = target.map(|target| Place::of(&session, target, &root)).transpose()?;
    let opened = match &place {
        Some(place) if !session.null => Target::Path(Root::open(place)?),
        Some(place) => Root::look(place, &session)?.map_or(Target::Nothing, Target::Path),
        None => Target::Nothing,
    };
    if let Target::Path(opened) = &opened {
        session.territory = opened.territory(&session)?;
        session.preallocate = !session.null && opened.preallocates();
        if !session.null {
            session.staging = opened.staging();
        }
    }
    let session = &session;
    if let Target::Path(opened) = &opened
        && !session.null
    {
        opened.remove_leftovers(session);
    }
    work(session, &ahead, &root, entries, &opened)?;
    session.close_kept();
    if let Target::Path(opened) = opened
        && !session.null
    {
        opened.sync()?;
        opened.unlock();
    }
    if session.is_cancelled() {
        return Err(Error::Cancelled);
    }
    let summary = session.report.summary(
        session.options.snapshot.clone(),
        place.map(|place| absolute(&place.path())).unwrap_or_default(),
    );
    Ok(Summary { unsaved: tell_unsaved(session, &root), ..summary })
}

/// Says what Kopia could not save, so that no restore has it; gives how much that is.
fn tell_unsaved(session: &Session<'_>, root: &DirEntry) -> u64 {
    let Some(summary) = root.summary.as_deref() else { return 0 };
    let unsaved = summary.unsaved();
    if unsaved > 0 {
        let named = summary.errors.iter().take(UNSAVED_NAMED);
        let named: Vec<String> = named.map(|failed| format!("{} ({})", failed.path, failed.error)).collect();
        session.report.warning(&format!(
            "entries that Kopia could not save when it made the snapshot, and that are not in it: {unsaved}, such as {}",
            named.join("; ")
        ));
    }
    unsaved
}

fn work<'s>(
    session: &'s Session<'s>,
    ahead: &'s Ahead<'s>,
    root: &DirEntry,
    entries: Option<Box<EffectiveEntries<'s>>>,
    opened: &Target,
) -> Result<(), Error> {
    let permits = Semaphore::new(BATCHES);
    let (sender, receiver) = crossbeam_channel::bounded(QUEUE);
    let fetcher = Fetcher::new(session, in_flight(session));
    let planner = Planner::new(session, ahead, &permits, sender);
    let walker = Walker::new(session, ahead, planner);
    let dir = match opened {
        Target::Path(opened) => opened.directory(session, root),
        Target::Nothing => Dir::nowhere(session, None, root.object),
    };
    let top = Arc::clone(&dir);
    let name = match opened {
        Target::Path(Root { name: Some(name), .. }) => Error::name(name)?,
        _ => Error::name("root")?,
    };
    let ended = AtomicBool::new(false);
    let fetch = || fetcher.work(&receiver);
    let walked = std::thread::scope(|scope| {
        let ticker = Builder::new().spawn_scoped(scope, || tick(session, root, &ended)).ok();
        let workers = spawn_up_to(scope, fetcher.threads(), fetch);
        if workers.is_empty() {
            // Nobody would take what the walk finds.
            ended.store(true, Ordering::Relaxed);
            return Err(Error::OutOfThreads);
        }
        // The walk gives up its end of the queue when it ends, and the workers end when the queue is empty.
        let walked = match entries {
            Some(entries) => walker.run(dir, entries),
            None => walker.run_single(&dir, &name, root),
        };
        let whole = workers.into_iter().map(|worker| worker.join()).filter(Result::is_err).count() == 0;
        ended.store(true, Ordering::Relaxed);
        if let Some(ticker) = ticker {
            ticker.thread().unpark();
        }
        if whole { Ok(walked) } else { Err(Error::Panicked) }
    })?;
    // Jobs that were not begun hold directories.
    drop(receiver);
    displace::displace(session, walked.displacing);
    // Before anything is deleted, because a name that two entries have is an error.
    walked.existed.iter().chain([&top]).for_each(|dir| dir.settle_directories());
    prune::prune(session, ahead, walked.existed);
    if !session.is_over()
        && let Err(error) = session.staging.remove_what_a_killed_run_left(&session.territory, &session.report)
    {
        session.report.error(String::new(), &error);
    }
    // The last one to go: nothing bears a staged name any more.
    drop(top);
    Ok(())
}

fn in_flight(session: &Session<'_>) -> usize {
    let options = session.options;
    let most = if options.verify { 2 * MAX_IN_FLIGHT } else { MAX_IN_FLIGHT };
    // What a network has under way is not in the cache of a processor anyhow.
    let most = most.max(session.hints().range.saturating_mul(options.reads as u64) / 2);
    usize::try_from((options.memory / 4).min(most)).unwrap_or(usize::MAX)
}

fn tick(session: &Session<'_>, root: &DirEntry, ended: &AtomicBool) {
    let count = |number: i64| u64::try_from(number).unwrap_or_default();
    let totals = root.summary.as_ref().map_or((None, Some(root.size)), |summary| {
        (Some(count(summary.files) + count(summary.symlinks)), Some(count(summary.size)))
    });
    while !ended.load(Ordering::Relaxed) {
        session.report.tick(totals);
        std::thread::park_timeout(TICK);
    }
    session.report.tick(totals);
}
