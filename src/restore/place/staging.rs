//! The note in a target that something in it may bear a staged name. It is there while a restore runs, and after one that
//! was killed: the next run then looks for what that one left, also where it has nothing to do.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::mark::Abandoned;
use super::names::{is_staged, staged_name};
use super::open_dir::{OPEN, OpenDir};
use super::removal::{is_directory, list};
use super::territory::{Territory, look};
use crate::blob::Identity;
use crate::restore::error::Error;
use crate::restore::report::Report;

/// No entry has this name.
const NOTE: &str = "/something is staged";

/// What is tried on leftovers.
const REMOVE: &str = "remove what a killed run left";

/// Whether something in the target bears a staged name, of this run or of one that was killed.
#[derive(Default)]
pub(in crate::restore) struct Staging {
    /// `None`: nothing is written, or only into a directory that is not restored itself.
    root: Option<Arc<OpenDir>>,
    /// Whether an earlier run left its note, and what it left was not yet looked for.
    earlier: AtomicBool,
    /// Whether the note could be made.
    noted: OnceLock<bool>,
    /// The directory whose lock this run has.
    locked: Option<Arc<OpenDir>>,
}

impl Staging {
    /// That of a directory into which a single file is restored.
    pub(in crate::restore) fn of_file(locked: Option<Arc<OpenDir>>) -> Self {
        Self { locked, ..Self::default() }
    }

    /// That of a target whose root is open.
    pub(in crate::restore) fn in_root(
        root: &Arc<OpenDir>,
        fresh: bool,
        locked: Option<Arc<OpenDir>>,
    ) -> Self {
        let earlier = !fresh && matches!(root.stat(&staged_name(NOTE)), Ok(Some(_)));
        let noted = if earlier { OnceLock::from(true) } else { OnceLock::new() };
        Self { root: Some(Arc::clone(root)), earlier: earlier.into(), noted, locked }
    }

    /// Makes the note. To be called before anything gets a staged name.
    pub(in crate::restore) fn begin(&self) {
        let Some(root) = &self.root else { return };
        self.noted.get_or_init(|| {
            let flags =
                OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            // Without it, what a kill leaves is removed where the next run has something to do.
            openat(&**root, staged_name(NOTE).as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR).is_ok()
        });
    }

    /// Removes the note, when no staged name is left in the target.
    pub(super) fn end(&self) -> Result<(), Errno> {
        let Some(root) = self.root.as_ref().filter(|_| self.noted.get() == Some(&true)) else {
            return Ok(());
        };
        if self.earlier.load(Ordering::Relaxed) {
            return Ok(());
        }
        match unlinkat(&**root, staged_name(NOTE).as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Removes everything that a killed run left in the target, if one was killed there. Directories keep their times.
    pub(in crate::restore) fn remove_what_a_killed_run_left(
        &self,
        territory: &Territory,
        report: &Report<'_>,
    ) -> Result<(), Error> {
        let Some(root) = self.root.as_ref().filter(|_| self.earlier.load(Ordering::Relaxed)) else {
            return Ok(());
        };
        sweep(root, territory, report).map_err(Error::system(REMOVE))?;
        self.earlier.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Whether another restore writes, or may write, to a directory: one whose target is that or one above it.
    pub(super) fn others_are_at_work(&self, directory: &OpenDir) -> Result<bool, Errno> {
        let own = self.locked.as_ref().map(fstat).transpose()?;
        let own = own.as_ref().map(Identity::from);
        let mut here = openat(directory, ".", OPEN, Mode::empty())?;
        loop {
            let identity = Identity::from(&fstat(&here)?);
            if own != Some(identity) && is_in_use(&here) {
                return Ok(true);
            }
            // What may not be read above is not known to be in use.
            let Ok(above) = openat(&here, "..", OPEN, Mode::empty()) else { return Ok(false) };
            if Identity::from(&fstat(&above)?) == identity {
                return Ok(false);
            }
            here = above;
        }
    }

    /// Makes room for something that is to bear a staged name which something has.
    ///
    /// # Errors
    /// Another restore is working on it.
    pub(super) fn make_room(
        &self,
        territory: &Territory,
        parent: &OpenDir,
        staged: &str,
    ) -> Result<(), Error> {
        // Directories bear no mark of their own.
        if parent.has_directory(staged)? && self.others_are_at_work(parent).map_err(Error::system(REMOVE))? {
            return Err(Error::BusyEntry);
        }
        let name = CString::new(staged).map_err(|_| Error::system(REMOVE)(Errno::EINVAL))?;
        let abandoned = Abandoned::take(parent, &name).ok_or(Error::BusyEntry)?;
        let cleared = territory.clear(parent.as_fd(), name).map_err(Error::system(REMOVE));
        drop(abandoned);
        cleared
    }

    /// Creates something under a staged name, in the place of what was left under it.
    ///
    /// # Errors
    /// It cannot be created; another restore is working on it.
    pub(super) fn create<T>(
        &self,
        territory: &Territory,
        parent: &OpenDir,
        staged: &str,
        what: &'static str,
        create: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, Error> {
        match create() {
            Err(Errno::EEXIST) => {
                self.make_room(territory, parent, staged)?;
                create()
            }
            other => other,
        }
        .map_err(Error::system(what))
    }

    /// Removes from a directory what runs that are over have left there, unless another one is at work.
    pub(in crate::restore) fn remove_leftovers(
        &self,
        territory: &Territory,
        report: &Report<'_>,
        directory: &OpenDir,
        mut names: Vec<CString>,
        path_of: impl Fn(&str) -> String,
    ) -> Result<(), Error> {
        names.retain(|name| !is_note(name.to_bytes()));
        if names.is_empty() {
            return Ok(());
        }
        if self.others_are_at_work(directory).map_err(Error::system(REMOVE))? {
            report.warning(
                "what looks like a killed run's is left alone, because another restore is at work there",
            );
            return Ok(());
        }
        for name in names {
            let text = name.to_string_lossy();
            // This run may have gone on with it.
            if directory.stat(&text)?.is_some()
                && remove_leftover(territory, directory.as_fd(), &name).map_err(Error::system(REMOVE))?
            {
                report.leftover(|| path_of(&text));
            }
        }
        Ok(())
    }
}

/// Removes one leftover. `false` if a run that is not over writes it.
fn remove_leftover(territory: &Territory, directory: BorrowedFd<'_>, name: &CString) -> Result<bool, Errno> {
    let Some(_abandoned) = Abandoned::take(directory, name) else { return Ok(false) };
    territory.clear(directory, name.clone()).map(|()| true)
}

/// Whether a name is that of the note.
fn is_note(name: &[u8]) -> bool {
    name == staged_name(NOTE).as_bytes()
}

/// Directories are left by `..`, so that a deep tree needs no more descriptors than a flat one.
fn sweep(root: &OpenDir, territory: &Territory, report: &Report<'_>) -> Result<(), Errno> {
    let mut here: OwnedFd = openat(root, ".", OPEN, Mode::empty())?;
    let mut path: Vec<CString> = Vec::new();
    let mut levels = vec![(Identity::from(&fstat(&here)?), swept(&here, territory, report, &path)?)];
    while let Some((_, rest)) = levels.last_mut() {
        if let Some(name) = rest.pop() {
            let Ok(looked) = look(here.as_fd(), &name) else { continue };
            if territory.keeps(&looked).is_some() {
                continue;
            }
            // What is closed now was closed to that run too, or was opened by it and is not closed.
            let Ok(below) = openat(&here, name.as_c_str(), OPEN | OFlag::O_NOFOLLOW, Mode::empty()) else {
                continue;
            };
            if is_in_use(&below) {
                continue;
            }
            path.push(name);
            let inside = swept(&below, territory, report, &path)?;
            levels.push((Identity::from(&fstat(&below)?), inside));
            here = below;
        } else {
            levels.pop();
            path.pop();
            if let Some((above, _)) = levels.last() {
                here = openat(&here, "..", OPEN, Mode::empty())?;
                if Identity::from(&fstat(&here)?) != *above {
                    return Err(Errno::ESTALE);
                }
            }
        }
    }
    Ok(())
}

/// Removes what is staged from one directory, and returns the directories in it.
fn swept(
    directory: &OwnedFd,
    territory: &Territory,
    report: &Report<'_>,
    path: &[CString],
) -> Result<Vec<CString>, Errno> {
    let mut staged = Vec::new();
    let mut others = Vec::new();
    list(directory.as_fd(), |found| {
        let name = found.name.to_bytes();
        if !is_staged(name) {
            others.push(found);
        } else if !is_note(name) {
            staged.push(found.name);
        }
    })?;
    if !staged.is_empty() {
        let before = fstat(directory)?;
        for name in staged {
            if remove_leftover(territory, directory.as_fd(), &name)? {
                report.leftover(|| {
                    let names = path.iter().chain([&name]).map(|name| name.to_string_lossy());
                    names.collect::<Vec<_>>().join("/")
                });
            }
        }
        let (accessed, modified) = times(&before);
        let _ = futimens(directory, &accessed, &modified);
    }
    others.retain(|found| is_directory(directory.as_fd(), found).unwrap_or(false));
    Ok(others.into_iter().map(|found| found.name).collect())
}

/// Whether another restore has this directory for its target.
fn is_in_use(directory: impl AsFd) -> bool {
    // Locks belong to an opening.
    let Ok(again) = openat(directory.as_fd(), ".", OPEN, Mode::empty()) else { return false };
    matches!(Flock::lock(again, FlockArg::LockExclusiveNonblock), Err((_, Errno::EWOULDBLOCK)))
}

fn times(stat: &FileStat) -> (TimeSpec, TimeSpec) {
    (TimeSpec::new(stat.st_atime, stat.st_atime_nsec), TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec))
}

/// Removes something of this run, whatever it is.
pub(super) fn clear(territory: &Territory, parent: &OpenDir, name: &str) -> Result<(), Error> {
    let name = CString::new(name).map_err(|_| Error::system(REMOVE)(Errno::EINVAL))?;
    territory.clear(parent.as_fd(), name).map_err(Error::system(REMOVE))
}
