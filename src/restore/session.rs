//! What all parts of one restore share.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, Flock, FlockArg, open};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmod, fchmodat, fstat, stat};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{sync, syncfs};

use super::Error;
use super::options::{Options, Restore};
use super::place::{
    Attributes, Dir, Keep, OPEN, OpenDir, Resolution, Staging, Territory, has_similar_time, may_delete_in,
};
use super::plan::MAX_VERIFIED_RANGE;
use super::report::{Progress, Report};
use crate::blob::{Hints, WritablePath};
use crate::content::Contents;
use crate::os::sync::Mutex;
use crate::snapshot::DirEntry;

/// Directories kept open beside those that are in use.
const RECENT: usize = 64;

/// One restore while it runs.
pub(super) struct Session<'a> {
    pub(super) contents: &'a Contents,
    pub(super) options: &'a Options,
    /// How the store is read best.
    pub(super) hints: Hints,
    pub(super) report: Report<'a>,
    pub(super) keep: Keep,
    /// Whether nothing is written: everything is read and decoded, and counted.
    pub(super) null: bool,
    /// Whether space for large files is reserved before they are written.
    pub(super) preallocate: bool,
    /// Whether what is restored is no directory.
    pub(super) single: bool,
    pub(super) territory: Territory,
    pub(super) staging: Staging,
    recent: Mutex<VecDeque<Arc<OpenDir>>>,
    /// What the file systems of the target make of times, by device.
    resolutions: Mutex<HashMap<u64, Option<Resolution>>>,
}

impl<'a> Session<'a> {
    pub(super) fn new(restore: &'a Restore<'_>, progress: &'a dyn Progress, null: bool) -> Self {
        let options = &restore.options;
        Self {
            contents: restore.contents,
            options,
            hints: restore.contents.store().hints(),
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

    /// Whether there is a target whose entries matter, be it only to tell what would become of them.
    pub(super) fn meets_target(&self) -> bool {
        !self.null || self.options.dry_run
    }

    /// Whether no more work is to be begun.
    pub(super) fn is_over(&self) -> bool {
        self.is_cancelled() || self.report.stopped()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.options.cancel.load(Ordering::Relaxed)
    }

    /// Bytes at which a read ends, unless one content is longer. What is hashed needs many contents at once, which are long
    /// where the hash takes most of the time.
    pub(super) fn longest_range(&self) -> u64 {
        let share = (self.options.memory / 32).max(Hints::LOCAL.range);
        let longest =
            if self.options.verify { self.hints.range.max(MAX_VERIFIED_RANGE) } else { self.hints.range };
        longest.min(share)
    }

    /// Whether something in a directory has the time that is wanted, as far as its file system can hold it. A dry run, which
    /// cannot try that out, takes a whole second close by for it.
    pub(super) fn has_time(&self, directory: &OpenDir, stat: &FileStat, want: &Attributes) -> bool {
        if self.options.dry_run {
            return stat.st_mtime_nsec == 0 && has_similar_time(stat, want);
        }
        let mut known = self.resolutions.lock();
        let resolution = *known.entry(stat.st_dev).or_insert_with(|| Resolution::of(directory));
        resolution.is_some_and(|resolution| resolution.has(stat, want))
    }

    /// Keeps a directory open for a while.
    pub(super) fn keep_open(&self, directory: &Arc<OpenDir>) {
        let mut recent = self.recent.lock();
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        recent.push_back(Arc::clone(directory));
    }

    /// Whether a directory that a killed run had begun is gone on with.
    pub(super) fn adopts(&self) -> bool {
        self.options.skip_existing || self.options.delta
    }

    pub(super) fn close_kept(&self) {
        self.recent.lock().clear();
    }
}

/// Where a target is: the directory to open, and the name in it for what is no directory.
pub(super) struct Place {
    directory: WritablePath,
    name: Option<String>,
}

impl Place {
    /// Decides where `entry` goes. Nothing is touched.
    pub(super) fn of(session: &Session<'_>, target: &Path, entry: &DirEntry) -> Result<Self, Error> {
        let options = session.options;
        let (directory, name) = directory_and_name(target, entry)?;
        let guard = session.contents.store().guard();
        let directory = match &name {
            None => {
                if options.delete && !options.delete_anywhere {
                    may_delete_in(&directory)?;
                }
                guard.writable_tree(&directory, options.delete)?
            }
            Some(name) => {
                guard.writable(&directory.join(name))?;
                guard.writable(&directory)?
            }
        };
        Ok(Self { directory, name })
    }

    /// The path of what is restored.
    pub(super) fn path(&self) -> PathBuf {
        let directory = self.directory.as_path();
        self.name.as_ref().map_or_else(|| directory.to_path_buf(), |name| directory.join(name))
    }
}

/// The opened target: the directory that is restored into, or the one that holds what is restored.
pub(super) struct Root {
    pub(super) open: Arc<OpenDir>,
    /// The name in it, when no directory is restored.
    pub(super) name: Option<String>,
    /// Whether the directory was made for this restore, so that nothing is in it.
    pub(super) fresh: bool,
    /// The mode that the directory had before it was opened for its owner.
    lifted: Option<u32>,
    lock: Option<Flock<OwnedFd>>,
}

impl Root {
    /// Opens the target, and makes it if it is missing.
    pub(super) fn open(place: &Place) -> Result<Self, Error> {
        let Place { directory, name } = place;
        let path = directory.as_path();
        let failed = |what| move |source| Error::Target { path: path.to_path_buf(), what, source };
        let mut fresh = false;
        let mut lifted = None;
        let fd = match open(path, OPEN, Mode::empty()) {
            Err(Errno::ENOENT) => {
                fresh = true;
                directory.create_dir_all().map_err(|e| failed("create the directory")(errno_of(&e)))?;
                open(path, OPEN, Mode::empty())
            }
            Err(Errno::EACCES) => open_closed(path).map(|(fd, mode)| {
                lifted = Some(mode);
                fd
            }),
            other => other,
        }
        .map_err(failed("open the directory"))?;
        if fstatvfs(&fd).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY)) {
            return Err(failed("write to it")(Errno::EROFS));
        }
        let again = fd.try_clone().map_err(|e| failed("open the directory")(errno_of(&e)))?;
        let lock = match Flock::lock(again, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Some(lock),
            Err((_, Errno::EWOULDBLOCK)) if name.is_none() => {
                return Err(Error::Busy { path: path.to_path_buf() });
            }
            // Some network file systems know no locks, and files may be restored side by side.
            Err(_) => None,
        };
        if !fresh && lifted.is_none() {
            lifted = lift(&fd);
        }
        Ok(Self { open: Arc::new(OpenDir::new(fd)), name: name.clone(), fresh, lifted, lock })
    }

    /// Opens the target for a dry run, if it is there: it is not made, and others may use it.
    pub(super) fn look(place: &Place) -> Result<Option<Self>, Error> {
        let Place { directory, name } = place;
        let path = directory.as_path();
        match open(path, OPEN, Mode::empty()) {
            Ok(fd) => {
                let (open, name) = (Arc::new(OpenDir::new(fd)), name.clone());
                Ok(Some(Self { open, name, fresh: false, lifted: None, lock: None }))
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(source) => {
                Err(Error::Target { path: path.to_path_buf(), what: "open the directory", source })
            }
        }
    }

    /// Entries of the target that may be removed.
    pub(super) fn territory(&self, session: &Session<'_>) -> Result<Territory, Error> {
        let guard = session.contents.store().guard();
        Territory::of(self.open.as_fd(), guard).map_err(Error::system("look at the target"))
    }

    /// Whether reserving space is worth it. In memory it would mean writing everything twice.
    pub(super) fn preallocates(&self) -> bool {
        fstatfs(self.open.as_fd()).is_ok_and(|stat| stat.filesystem_type() != TMPFS_MAGIC)
    }

    pub(super) fn sync(&self) -> Result<(), Error> {
        match syncfs(self.open.as_fd()) {
            // What cannot be brought to disk by itself is with everything else.
            Err(Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EINVAL) => {
                sync();
                Ok(())
            }
            result => result.map_err(Error::system("bring the data to disk")),
        }
    }

    /// The directory as the top of the tree. Its attributes are restored if it is what is restored.
    pub(super) fn directory<'s>(&self, session: &'s Session<'s>, entry: &DirEntry) -> Arc<Dir<'s>> {
        if session.null {
            return Dir::nowhere(session, Some(&self.open), entry.object);
        }
        let attributes = self.name.is_none().then(|| Attributes::of(entry, &session.options.owners));
        Dir::root(session, Arc::clone(&self.open), attributes, entry.object, self.fresh, self.lifted)
    }

    /// What of the target bears a staged name.
    pub(super) fn staging(&self) -> Staging {
        if self.name.is_some() { Staging::default() } else { Staging::in_root(&self.open, self.fresh) }
    }

    pub(super) fn unlock(self) {
        drop(self.lock);
    }
}

/// The directory to open, and the name in it for what is no directory: the last one of the target, or in a directory that
/// is there its own.
fn directory_and_name(target: &Path, entry: &DirEntry) -> Result<(PathBuf, Option<String>), Error> {
    if entry.is_directory() {
        return Ok((target.to_path_buf(), None));
    }
    let unusable = |what, source| Error::Target { path: target.to_path_buf(), what, source };
    // With a slash at its end it can be nothing else.
    if target.is_dir() || target.as_os_str().as_bytes().ends_with(b"/") {
        // The root of a backup from standard input is called by a path.
        let name = entry.raw_name.rsplit('/').next().unwrap_or_default();
        if name.is_empty() {
            return Err(unusable("put a file without a name into the directory", Errno::EISDIR));
        }
        return Ok((target.to_path_buf(), Some(Error::name(name)?.as_str().to_owned())));
    }
    let (parent, name) = (target.parent(), target.file_name());
    let name = name.ok_or_else(|| unusable("name a file there", Errno::EINVAL))?;
    let parent = parent.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = name.to_str().ok_or_else(|| unusable("use a name that is not UTF-8 there", Errno::EINVAL))?;
    Ok((parent.to_path_buf(), Some(name.to_owned())))
}

/// Opens a directory that its owner has closed to everybody; gives the mode that it had.
fn open_closed(path: &Path) -> Result<(OwnedFd, u32), Errno> {
    let mode = stat(path)?.st_mode & 0o7777;
    let opened = Mode::from_bits_truncate(mode | 0o700);
    fchmodat(AT_FDCWD, path, opened, FchmodatFlags::FollowSymlink).map_err(|_| Errno::EACCES)?;
    Ok((open(path, OPEN, Mode::empty())?, mode))
}

/// Makes an open directory writable for its owner; gives the mode that it had, if that was another one. Refused where it is
/// another user's: then what is written into it tells.
fn lift(directory: &OwnedFd) -> Option<u32> {
    let mode = fstat(directory).ok()?.st_mode & 0o7777;
    let lacks = mode & 0o700 != 0o700;
    (lacks && fchmod(directory, Mode::from_bits_truncate(mode | 0o700)).is_ok()).then_some(mode)
}

/// The error number of an I/O error.
pub(super) fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Where a target is, for messages.
pub(super) fn absolute(target: &Path) -> PathBuf {
    std::path::absolute(target).unwrap_or_else(|_| target.to_path_buf())
}
