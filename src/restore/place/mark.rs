//! Files that are being written bear a lock, which goes with the process that has it. So what a killed run left can be told
//! from what another one writes at this moment.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsFd;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno as Refusal;

/// What became of a file that was to be marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marked {
    /// It is this run's, or the file system knows no locks.
    Ours,
    /// Another run has removed it meanwhile as a leftover.
    Gone,
}

/// Marks a file that was just created. Somebody who removes leftovers may have it for a moment.
pub(super) fn mark_new(file: impl AsFd) -> Marked {
    while flock(&file, FlockOperation::LockExclusive) == Err(Refusal::INTR) {}
    let gone = fstat(&file).is_ok_and(|stat| stat.st_nlink == 0);
    if gone { Marked::Gone } else { Marked::Ours }
}

/// Marks a file that was there. `false` if another run has it.
pub(super) fn mark(file: impl AsFd) -> bool {
    flock(file, FlockOperation::NonBlockingLockExclusive) != Err(Refusal::WOULDBLOCK)
}

/// What bears a staged name and is nobody's. Nobody else takes it while this is there.
pub(super) struct Abandoned {
    _file: Option<File>,
}

impl Abandoned {
    /// `None` if a run that is not over writes it. What cannot be opened, and what is no file, bears no lock.
    pub(super) fn take(directory: impl AsFd, name: &CStr) -> Option<Self> {
        // Some network file systems lock only what is open for writing.
        let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(directory.as_fd(), name, flags, Mode::empty()).ok();
        match &file {
            Some(file) if !mark(file) => None,
            _ => Some(Self { _file: file.map(File::from) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &std::path::Path) -> File {
        File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap()
    }

    #[test]
    fn what_is_marked_is_nobodys_else_until_it_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let parent = File::open(dir.path()).unwrap();
        let file = open(&path);
        assert_eq!(mark_new(&file), Marked::Ours);
        assert!(!mark(open(&path)));
        assert!(Abandoned::take(&parent, c"file").is_none());
        drop(file);
        let taken = Abandoned::take(&parent, c"file").unwrap();
        assert!(!mark(open(&path)), "one of two that clean up has it");
        drop(taken);
        assert!(mark(open(&path)));
        assert!(Abandoned::take(&parent, c"nothing").is_some());
    }

    #[test]
    fn what_was_removed_before_it_was_marked_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = open(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mark_new(&file), Marked::Gone);
    }
}
