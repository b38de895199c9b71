//! Files of the target that are changed in place instead of being written again.

use std::fs::File;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat};

use super::mark::mark;
use super::names::staged_name;
use super::open_dir::{OpenDir, kind};

/// A file of the target that may hold some of the data already.
pub(in crate::restore) struct Base {
    pub(in crate::restore) file: File,
    pub(in crate::restore) size: u64,
    pub(in crate::restore) owner: (u32, u32),
    /// Whether it bears the staged name, because a run was killed while it was being patched.
    pub(in crate::restore) aside: bool,
}

impl Base {
    /// Opens the file that bears a name, or the one that a killed run put aside under it. `None` if there is none that
    /// could be patched: it has to be a regular file that no other name leads to.
    pub(in crate::restore) fn open(directory: &OpenDir, name: &str) -> Option<Self> {
        let open = |name: &str, aside: bool| {
            let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
            let fd = match openat(directory, name, flags, Mode::empty()) {
                Err(Errno::EACCES) => open_closed(directory, name, flags)?,
                other => other.ok()?,
            };
            let stat = fstat(&fd).ok()?;
            // What another run has put aside is not ours.
            let free = !aside || mark(&fd);
            let fits = kind(&stat) == SFlag::S_IFREG && stat.st_nlink == 1 && free;
            fits.then_some(Self {
                file: File::from(fd),
                size: u64::try_from(stat.st_size).ok()?,
                owner: (stat.st_uid, stat.st_gid),
                aside,
            })
        };
        open(name, false).or_else(|| open(&staged_name(name), true))
    }
}

/// Opens a file of our own whose mode lets not even us write, as applications make them. It has that mode again at once.
fn open_closed(directory: &OpenDir, name: &str, flags: OFlag) -> Option<OwnedFd> {
    let readable = openat(directory, name, flags.difference(OFlag::O_RDWR), Mode::empty()).ok()?;
    let stat = fstat(&readable).ok()?;
    let mode = Mode::from_bits_truncate(stat.st_mode);
    if kind(&stat) != SFlag::S_IFREG || fchmod(&readable, mode | Mode::S_IWUSR).is_err() {
        return None;
    }
    let writable = openat(directory, name, flags, Mode::empty());
    fchmod(&readable, mode).ok()?;
    writable.ok()
}
