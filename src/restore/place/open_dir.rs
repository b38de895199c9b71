//! Directories of the target that are open, and what they were seen to do.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat};
use nix::unistd::geteuid;

use super::apply::Proven;
use super::attributes::Have;
use crate::restore::error::Error;

/// How every directory is opened. Below the root `O_NOFOLLOW` is added.
pub(in crate::restore) const OPEN: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// A directory that is open.
pub(in crate::restore) struct OpenDir {
    fd: OwnedFd,
    /// Owner and group that the system gives to what is created here.
    created_attributes: OnceLock<(u32, u32)>,
    /// Bits of modes that files created here were seen to get as asked for. Others a mask or an access list may take.
    granted: AtomicU32,
    /// Attributes that what is in here was seen to keep.
    pub(in crate::restore) proven: Proven,
}

impl OpenDir {
    pub(in crate::restore) fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            created_attributes: OnceLock::new(),
            granted: AtomicU32::new(0),
            proven: Proven::default(),
        }
    }

    /// What a file has that was just created here with `mode`, asking the system only for what earlier ones did not
    /// show.
    pub(super) fn created_attributes(&self, child: BorrowedFd<'_>, mode: u32) -> Result<Have, Errno> {
        let granted = self.granted.load(Ordering::Relaxed);
        if let Some(&owner) = self.created_attributes.get()
            && mode & !granted == 0
        {
            return Ok(Have { owner, mode: Some(mode) });
        }
        let have = Have::of(&fstat(child)?);
        if have.mode == Some(mode) {
            self.granted.fetch_or(mode, Ordering::Relaxed);
        }
        Ok(Have { owner: *self.created_attributes.get_or_init(|| have.owner), ..have })
    }

    /// Opens a directory in it.
    pub(super) fn open(&self, name: &str) -> Result<OwnedFd, Errno> {
        openat(&self.fd, name, OPEN | OFlag::O_NOFOLLOW, Mode::empty())
    }

    /// Gives something in it another name.
    pub(in crate::restore) fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        renameat(&self.fd, from, &self.fd, to).map_err(Error::system("rename"))
    }

    /// What is there under a name, which is not followed if it is a symbolic link.
    pub(in crate::restore) fn stat(&self, name: &str) -> Result<Option<FileStat>, Error> {
        match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(Error::system("look at what is there")(errno)),
        }
    }

    /// Whether a directory is there under a name.
    pub(super) fn has_directory(&self, name: &str) -> Result<bool, Error> {
        Ok(self.stat(name)?.is_some_and(|stat| kind(&stat) == SFlag::S_IFDIR))
    }
}

impl AsFd for OpenDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What kind of file a mode belongs to.
pub(in crate::restore) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

/// Lets two entries of a directory change names. `false` where the file system cannot.
pub(in crate::restore) fn swap(open: &OpenDir, one: &str, other: &str) -> Result<bool, Errno> {
    use rustix::fs::{RenameFlags, renameat_with};
    use rustix::io::Errno as Refusal;
    match renameat_with(&open.fd, one, &open.fd, other, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Refusal::INVAL | Refusal::NOSYS | Refusal::OPNOTSUPP | Refusal::XDEV | Refusal::PERM) => {
            Ok(false)
        }
        Err(errno) => Err(Errno::from_raw(errno.raw_os_error())),
    }
}

/// Lets the owner of an open directory read and change it. Returns the mode that it had, if that was another one. A directory
/// of another user stays as it is; writing into it then fails with its own error.
pub(in crate::restore) fn make_accessible(directory: &OwnedFd) -> Option<u32> {
    let mode = fstat(directory).ok()?.st_mode & 0o7777;
    let lacks = mode & 0o700 != 0o700;
    (lacks && fchmod(directory, Mode::from_bits_truncate(mode | 0o700)).is_ok()).then_some(mode)
}

/// Whether this process may let itself into a directory that it may not read as it is.
pub(in crate::restore) fn may_open(stat: &FileStat) -> bool {
    let user = geteuid();
    user.is_root() || user.as_raw() == stat.st_uid
}
