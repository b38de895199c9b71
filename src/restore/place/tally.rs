//! Counters of what was restored in a directory and below, to be taken back if it is lost.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};

use super::open_dir::{OPEN, OpenDir, kind};
use super::removal::list;
use crate::restore::report::add;

/// Counters of what was restored.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) dirs: AtomicU64,
    files: AtomicU64,
    links: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    pub(super) fn parts(&self) -> [&AtomicU64; 4] {
        [&self.dirs, &self.files, &self.links, &self.bytes]
    }

    pub(super) fn add_to(&self, other: &Self) {
        for (part, sum) in self.parts().into_iter().zip(other.parts()) {
            add(sum, part.load(Ordering::Relaxed));
        }
    }

    /// What is there under a name. What cannot be looked at does not count.
    pub(super) fn of(open: &OpenDir, name: &str) -> Self {
        let tally = Self::default();
        if let Ok(name) = CString::new(name) {
            tally.add_tree(open.as_fd(), name);
        }
        tally
    }

    fn add_tree(&self, above: BorrowedFd<'_>, name: CString) {
        let mut levels: Vec<(OwnedFd, Vec<CString>)> = Vec::new();
        let mut next = Some(name);
        loop {
            let above = levels.last().map_or(above, |(fd, _)| fd.as_fd());
            if let Some(name) = next.take()
                && let Some(level) = self.add_entry(above, &name)
            {
                levels.push(level);
            }
            let Some((_, rest)) = levels.last_mut() else { return };
            next = rest.pop();
            if next.is_none() {
                levels.pop();
            }
        }
    }

    /// Counts an entry, and opens it if it is a directory.
    fn add_entry(&self, above: BorrowedFd<'_>, name: &CString) -> Option<(OwnedFd, Vec<CString>)> {
        let stat = fstatat(above, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        match kind(&stat) {
            SFlag::S_IFDIR => {
                add(&self.dirs, 1);
                let fd = openat(above, name.as_c_str(), OPEN | OFlag::O_NOFOLLOW, Mode::empty()).ok()?;
                let mut names = Vec::new();
                list(fd.as_fd(), |found| names.push(found.name)).ok()?;
                return Some((fd, names));
            }
            SFlag::S_IFLNK => add(&self.links, 1),
            _ => {
                add(&self.files, 1);
                add(&self.bytes, u64::try_from(stat.st_size).unwrap_or_default());
            }
        }
        None
    }

    /// Takes it all out of other counters.
    pub(super) fn take_from(&self, others: [&AtomicU64; 4]) {
        for (part, sum) in self.parts().into_iter().zip(others) {
            sum.fetch_sub(part.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}
