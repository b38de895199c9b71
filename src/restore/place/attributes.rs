//! Owner, mode and times: what an entry should have, and whether it has it.

use nix::sys::stat::FileStat;
use nix::sys::time::TimeSpec;

use crate::restore::options::Options;
use crate::restore::owners::OwnerMap;
use crate::snapshot::DirEntry;

pub(super) const SETUID: u32 = 0o4000;
pub(super) const SETGID: u32 = 0o2000;
const ALL_BITS: u32 = 0o7777;

/// What an entry should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::restore) struct Attributes {
    pub(in crate::restore) mode: u32,
    /// User and group; `None` if the entry names one that nothing can have.
    pub(in crate::restore) owner: Option<(u32, u32)>,
    pub(in crate::restore) seconds: i64,
    pub(in crate::restore) nanos: u32,
}

impl Attributes {
    /// Those of an entry, with the owner that takes the place of its own.
    pub(in crate::restore) fn of(entry: &DirEntry, owners: &OwnerMap) -> Self {
        let (seconds, nanos) = entry.mtime.to_unix();
        let (owner, mut mode) = (entry.owner().map(|owner| owners.map(owner)), entry.mode.to_posix());
        if owner.is_none() {
            // They were meant for an owner that cannot be set.
            mode &= !(SETUID | SETGID);
        }
        Self { mode, owner, seconds, nanos }
    }

    pub(super) fn time(&self) -> TimeSpec {
        TimeSpec::new(self.seconds, self.nanos.into())
    }

    fn has_time(&self, stat: &FileStat) -> bool {
        stat.st_mtime == self.seconds && stat.st_mtime_nsec == i64::from(self.nanos)
    }

    /// Never, where nothing can have it: then that is said each time.
    fn has_owner(&self, stat: &FileStat) -> bool {
        self.owner == Some((stat.st_uid, stat.st_gid))
    }
}

/// Times that differ by less are one time for coarse file systems, and for Kopia's `--skip-existing`.
const SIMILAR_NANOS: i128 = 2_000_000_000;

/// Whether a modification time is close to the one that is wanted.
pub(in crate::restore) fn has_similar_time(stat: &FileStat, want: &Attributes) -> bool {
    let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let there = nanos(stat.st_mtime, stat.st_mtime_nsec);
    (there - nanos(want.seconds, want.nanos.into())).abs() < SIMILAR_NANOS
}

/// Whether Kopia's `--skip-existing` takes a file for the one that is wanted.
pub(in crate::restore) fn is_similar(stat: &FileStat, want: &Attributes, size: u64) -> bool {
    u64::try_from(stat.st_size) == Ok(size) && has_similar_time(stat, want)
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

/// Whether something already has the attributes that are restored. `has_time` tells whether it has the time as far as the
/// target can hold it; that is asked only where it is not the very same.
pub(in crate::restore) fn matches(
    stat: &FileStat,
    want: &Attributes,
    keep: Keep,
    has_time: impl FnOnce() -> bool,
) -> bool {
    (!keep.times || want.has_time(stat) || has_time())
        && (!keep.owner || want.has_owner(stat))
        && (!keep.permissions || stat.st_mode & ALL_BITS == want.mode)
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
