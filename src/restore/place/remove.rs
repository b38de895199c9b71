//! Listing and removing what is there.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::dir::{Dir as Stream, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::dir::OPEN;

/// Something in a directory.
pub(in crate::restore) struct Found {
    pub(in crate::restore) name: CString,
    /// Whether it is a directory, where the file system tells without being asked for more.
    kind: Option<Type>,
}

/// Calls `each` for everything in a directory except `.` and `..`.
pub(in crate::restore) fn list(directory: BorrowedFd<'_>, mut each: impl FnMut(Found)) -> Result<(), Errno> {
    let mut stream = Stream::openat(directory, ".", OPEN, Mode::empty())?;
    for entry in stream.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            each(Found { name: name.to_owned(), kind: entry.file_type() });
        }
    }
    Ok(())
}

fn is_directory(parent: BorrowedFd<'_>, found: &Found) -> Result<bool, Errno> {
    match found.kind {
        Some(kind) => Ok(kind == Type::Directory),
        None => {
            let stat = fstatat(parent, found.name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
            Ok(SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR)
        }
    }
}

fn open(parent: BorrowedFd<'_>, name: &CString, sweep: Sweep) -> Result<OwnedFd, Errno> {
    match openat(parent, name.as_c_str(), OPEN | OFlag::O_NOFOLLOW, Mode::empty()) {
        Err(Errno::EACCES) if sweep == Sweep::Remove => {
            fchmodat(parent, name.as_c_str(), Mode::S_IRWXU, FchmodatFlags::NoFollowSymlink)?;
            openat(parent, name.as_c_str(), OPEN | OFlag::O_NOFOLLOW, Mode::empty())
        }
        other => other,
    }
}

/// A directory on the way down.
struct Level {
    fd: OwnedFd,
    /// What is still to be removed from it.
    rest: Vec<Found>,
    name: CString,
}

impl Level {
    fn enter(parent: BorrowedFd<'_>, name: CString, sweep: Sweep) -> Result<Self, Errno> {
        let fd = open(parent, &name, sweep)?;
        let mut rest = Vec::new();
        list(fd.as_fd(), |found| rest.push(found))?;
        Ok(Self { fd, rest, name })
    }
}

/// Removes an entry of a directory and everything below it, and tells how many entries that were. Symbolic links are
/// removed, never followed. It is no error if it is not there.
pub(in crate::restore) fn remove_all(parent: BorrowedFd<'_>, name: CString) -> Result<u64, Errno> {
    sweep_all(parent, name, Sweep::Remove)
}

/// Whether a sweep is the real thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::restore) enum Sweep {
    Remove,
    Count,
}

/// [`remove_all`], or only the count of what that would remove.
pub(in crate::restore) fn sweep_all(
    parent: BorrowedFd<'_>,
    name: CString,
    sweep: Sweep,
) -> Result<u64, Errno> {
    let unlink = |parent: BorrowedFd<'_>, name: &CString, flags| match sweep {
        Sweep::Count => Ok(1),
        Sweep::Remove => match unlinkat(parent, name.as_c_str(), flags) {
            Ok(()) => Ok(1),
            Err(Errno::ENOENT) => Ok(0),
            Err(errno) => Err(errno),
        },
    };
    let first = Found { name, kind: None };
    match is_directory(parent, &first) {
        Ok(true) => {}
        Ok(false) => return unlink(parent, &first.name, UnlinkatFlags::NoRemoveDir),
        Err(Errno::ENOENT) => return Ok(0),
        Err(errno) => return Err(errno),
    }
    let mut swept = 0;
    let mut levels = vec![Level::enter(parent, first.name, sweep)?];
    while let Some(level) = levels.last_mut() {
        if let Some(found) = level.rest.pop() {
            if is_directory(level.fd.as_fd(), &found)? {
                let below = Level::enter(level.fd.as_fd(), found.name, sweep)?;
                levels.push(below);
            } else {
                swept += unlink(level.fd.as_fd(), &found.name, UnlinkatFlags::NoRemoveDir)?;
            }
        } else if let Some(done) = levels.pop() {
            let above = levels.last().map_or(parent, |level| level.fd.as_fd());
            swept += unlink(above, &done.name, UnlinkatFlags::RemoveDir)?;
        }
    }
    Ok(swept)
}
