//! Owner, mode and times.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::stat::{FileStat, Mode, fchmod, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown};

use crate::restore::Error;
use crate::restore::options::Options;
use crate::snapshot::DirEntry;

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;
const ALL_BITS: u32 = 0o7777;

/// What an entry should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::restore) struct Attributes {
    pub(in crate::restore) mode: u32,
    pub(in crate::restore) uid: u32,
    pub(in crate::restore) gid: u32,
    pub(in crate::restore) seconds: i64,
    pub(in crate::restore) nanos: u32,
}

impl Attributes {
    pub(in crate::restore) fn of(entry: &DirEntry) -> Self {
        let (seconds, nanos) = entry.mtime.to_unix();
        Self { mode: entry.mode.to_posix(), uid: entry.uid, gid: entry.gid, seconds, nanos }
    }

    pub(super) fn time(&self) -> TimeSpec {
        TimeSpec::new(self.seconds, self.nanos.into())
    }

    fn has_time(&self, stat: &FileStat) -> bool {
        stat.st_mtime == self.seconds && stat.st_mtime_nsec == i64::from(self.nanos)
    }
}

/// Kopia takes two files whose modification times differ by less for the same.
const SIMILAR_NANOS: i128 = 2_000_000_000;

/// Whether Kopia's `--skip-existing` takes a file for the one that is wanted.
pub(in crate::restore) fn is_similar(stat: &FileStat, want: &Attributes, size: u64) -> bool {
    let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let there = nanos(stat.st_mtime, stat.st_mtime_nsec);
    u64::try_from(stat.st_size) == Ok(size)
        && (there - nanos(want.seconds, want.nanos.into())).abs() < SIMILAR_NANOS
}

/// Which attributes are restored.
#[derive(Debug, Clone, Copy)]
pub(in crate::restore) struct Keep {
    pub(in crate::restore) owner: bool,
    pub(in crate::restore) permissions: bool,
    pub(in crate::restore) times: bool,
}

impl Keep {
    pub(in crate::restore) fn of(options: &Options) -> Self {
        Self { owner: options.owner, permissions: options.permissions, times: options.times }
    }
}

/// Whether something already has the attributes that are restored.
pub(in crate::restore) fn matches(stat: &FileStat, want: &Attributes, keep: Keep) -> bool {
    (!keep.times || want.has_time(stat))
        && (!keep.owner || (stat.st_uid, stat.st_gid) == (want.uid, want.gid))
        && (!keep.permissions || stat.st_mode & ALL_BITS == want.mode)
}

/// Whether a refusal is one of privilege, which an ordinary user has to live with.
pub(super) fn is_refusal(errno: Errno) -> bool {
    // EINVAL: the owner has no counterpart in this user namespace.
    matches!(errno, Errno::EPERM | Errno::EINVAL)
}

/// What something in the target has already.
#[derive(Debug, Clone, Copy)]
pub(in crate::restore) struct Have {
    /// User and group.
    pub(in crate::restore) owner: (u32, u32),
    /// The mode, where it is known.
    pub(in crate::restore) mode: Option<u32>,
}

impl Have {
    pub(in crate::restore) fn of(stat: &FileStat) -> Self {
        Self { owner: (stat.st_uid, stat.st_gid), mode: Some(stat.st_mode & ALL_BITS) }
    }
}

/// Gives an open file or directory its attributes. The owner comes first, because changing it takes
/// setuid and setgid bits away; those are set only where the owner is the one they were meant for.
///
/// Returns whether something was refused for lack of privilege.
pub(in crate::restore) fn apply(
    fd: BorrowedFd<'_>,
    want: &Attributes,
    keep: Keep,
    have: Have,
    directory: bool,
) -> Result<bool, Error> {
    let mut owner = have.owner;
    let mut refused = false;
    if keep.owner && owner != (want.uid, want.gid) {
        match fchown(fd, Some(Uid::from_raw(want.uid)), Some(Gid::from_raw(want.gid))) {
            Ok(()) => owner = (want.uid, want.gid),
            Err(errno) if is_refusal(errno) => {
                refused = true;
                if owner.1 != want.gid && fchown(fd, None, Some(Gid::from_raw(want.gid))).is_ok() {
                    owner.1 = want.gid;
                }
            }
            Err(errno) => return Err(Error::system("set the owner")(errno)),
        }
    }
    if keep.permissions {
        let mut mode = want.mode;
        if owner.0 != want.uid {
            mode &= !SETUID;
        }
        if owner.1 != want.gid && !directory {
            mode &= !SETGID;
        }
        if owner != have.owner || have.mode != Some(mode) {
            match fchmod(fd, Mode::from_bits_truncate(mode)) {
                Ok(()) => {}
                Err(Errno::EPERM) => refused = true,
                Err(errno) => return Err(Error::system("set the mode")(errno)),
            }
        }
    }
    if keep.times {
        match futimens(fd, &want.time(), &want.time()) {
            Ok(()) => {}
            Err(Errno::EPERM) => refused = true,
            Err(errno) => return Err(Error::system("set the times")(errno)),
        }
    }
    Ok(refused)
}
