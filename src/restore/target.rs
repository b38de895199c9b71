//! The target: where it is, and its root while a restore runs.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, Flock, FlockArg, open};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, stat};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{sync, syncfs};

use super::error::Error;
use super::place::{
    Attributes, Dir, OPEN, OpenDir, Session, Staging, Territory, make_accessible, may_delete_in, may_open,
    tell_unseen, what_is_in,
};
use crate::blob::WritablePath;
use crate::snapshot::DirEntry;

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
        let mut fresh = false;
        let mut lifted = None;
        let fd = match open(path, OPEN, Mode::empty()) {
            Err(Errno::ENOENT) => {
                fresh = true;
                directory.create_dir_all().map_err(Error::target(path, "create the directory"))?;
                open(path, OPEN, Mode::empty())
            }
            Err(Errno::EACCES) => open_closed(path).map(|(fd, mode)| {
                lifted = Some(mode);
                fd
            }),
            other => other,
        }
        .map_err(Error::target(path, "open the directory"))?;
        if fstatvfs(&fd).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY)) {
            return Err(Error::target(path, "write to it")(Errno::EROFS));
        }
        let again = fd.try_clone().map_err(Error::target(path, "open the directory"))?;
        let lock = match Flock::lock(again, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Some(lock),
            Err((_, Errno::EWOULDBLOCK)) if name.is_none() => {
                return Err(Error::Busy { path: path.to_path_buf() });
            }
            // Some network file systems know no locks, and files may be restored side by side.
            Err(_) => None,
        };
        if !fresh && lifted.is_none() {
            lifted = make_accessible(&fd);
        }
        Ok(Self { open: Arc::new(OpenDir::new(fd)), name: name.clone(), fresh, lifted, lock })
    }

    /// Opens the target for a dry run, if it is there: it is not made, and others may use it.
    pub(super) fn look(place: &Place, session: &Session<'_>) -> Result<Option<Self>, Error> {
        let Place { directory, name } = place;
        let path = directory.as_path();
        match open(path, OPEN, Mode::empty()) {
            Ok(fd) => {
                let (open, name) = (Arc::new(OpenDir::new(fd)), name.clone());
                Ok(Some(Self { open, name, fresh: false, lifted: None, lock: None }))
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(Errno::EACCES) if stat(path).is_ok_and(|stat| may_open(&stat)) => {
                tell_unseen(session, "");
                Ok(None)
            }
            Err(errno) => Err(Error::target(path, "open the directory")(errno)),
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

    /// The note of staged names in the target.
    pub(super) fn staging(&self) -> Staging {
        let locked = self.lock.is_some().then(|| Arc::clone(&self.open));
        match self.name {
            Some(_) => Staging::of_file(locked),
            None => Staging::in_root(&self.open, self.fresh, locked),
        }
    }

    /// Removes what killed restores of single files left beside this one. Other files may be restored there at the same time,
    /// without the lock.
    pub(super) fn remove_leftovers(&self, session: &Session<'_>) {
        if self.name.is_none() || self.fresh || self.lock.is_none() {
            return;
        }
        let (names, _) = what_is_in(&self.open);
        let (staging, territory, report) = (&session.staging, &session.territory, &session.report);
        if let Err(error) = staging.remove_leftovers(territory, report, &self.open, names, str::to_owned) {
            report.warning(&error.to_string());
        }
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
    let unusable = |what, errno: Errno| Error::target(target, what)(errno);
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

/// Where a target is, for messages.
pub(super) fn absolute(target: &Path) -> PathBuf {
    std::path::absolute(target).unwrap_or_else(|_| target.to_path_buf())
}
