//! What the file system of a target makes of a modification time: FAT keeps every other second, NTFS 100 ns, ext4 with small
//! inodes seconds until 2038.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::attributes::Attributes;
use super::names::staged_name;
use super::open_dir::OpenDir;

const SECOND: i128 = 1_000_000_000;

/// Units in which file systems count, in nanoseconds.
const UNITS: [i128; 8] = [1, 100, 1000, 1_000_000, 10_000_000, 100_000_000, SECOND, 2 * SECOND];

/// An odd second, with digits down to the last.
const ODD: i128 = 1_000_000_001_987_654_321;

/// The first and last seconds that a snapshot can name.
const EDGES: [i64; 2] = [-9_223_372_036, 9_223_372_036];

/// Which times a file system can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::restore) struct Resolution {
    /// Nanoseconds in its unit; times are cut down to a multiple of it.
    unit: i128,
    first: i128,
    last: i128,
}

impl Resolution {
    /// Tries it out in a directory, on a file that is removed again. `None` if that is refused or shows no rule.
    pub(in crate::restore) fn of(directory: &OpenDir) -> Option<Self> {
        let name = staged_name("/what becomes of times");
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(directory, name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR).ok()?;
        let found = Self::by(file.as_fd());
        let _ = unlinkat(directory, name.as_str(), UnlinkatFlags::NoRemoveDir);
        found
    }

    fn by(file: BorrowedFd<'_>) -> Option<Self> {
        let kept = |nanos: i128| -> Result<i128, Errno> {
            let time = TimeSpec::new(nanos.div_euclid(SECOND) as i64, nanos.rem_euclid(SECOND) as i64);
            futimens(file, &time, &time)?;
            Ok(time_of(&fstat(file)?))
        };
        let odd = kept(ODD).ok()?;
        let unit = UNITS.into_iter().find(|unit| ODD - ODD.rem_euclid(*unit) == odd)?;
        let [first, last] = EDGES.map(|second| kept(i128::from(second) * SECOND).ok());
        Some(Self { unit, first: first?, last: last? })
    }

    /// Whether a file has the time that is wanted, as far as the file system can hold it.
    pub(in crate::restore) fn has(self, stat: &FileStat, want: &Attributes) -> bool {
        let wanted = i128::from(want.seconds) * SECOND + i128::from(want.nanos);
        let bounded = wanted.max(self.first).min(self.last);
        time_of(stat) == bounded - bounded.rem_euclid(self.unit)
    }
}

fn time_of(stat: &FileStat) -> i128 {
    i128::from(stat.st_mtime) * SECOND + i128::from(stat.st_mtime_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(nanos: i128) -> FileStat {
        let file = std::fs::File::open("/dev/null").unwrap();
        let mut stat = fstat(&file).unwrap();
        stat.st_mtime = nanos.div_euclid(SECOND) as i64;
        stat.st_mtime_nsec = nanos.rem_euclid(SECOND) as i64;
        stat
    }

    fn want(nanos: i128) -> Attributes {
        let (seconds, nanos) = (nanos.div_euclid(SECOND) as i64, nanos.rem_euclid(SECOND) as u32);
        Attributes { mode: 0, owner: None, seconds, nanos }
    }

    #[test]
    fn times_are_compared_as_they_are_held() {
        let fat = Resolution { unit: 2 * SECOND, first: 315_532_800 * SECOND, last: 4_354_819_198 * SECOND };
        for (wanted, held, same) in [
            (ODD, 1_000_000_000 * SECOND, true),
            (ODD, ODD, false),
            (ODD, 1_000_000_002 * SECOND, false),
            (0, 315_532_800 * SECOND, true),
            (5_000_000_000 * SECOND, 4_354_819_198 * SECOND, true),
        ] {
            assert_eq!(fat.has(&stat(held), &want(wanted)), same, "{wanted} {held}");
        }
    }

    #[test]
    fn this_file_system_is_tried_out() {
        let file = tempfile::tempfile().unwrap();
        let found = Resolution::by(file.as_fd()).unwrap();
        assert!(found.has(&stat(ODD - ODD.rem_euclid(found.unit)), &want(ODD)), "{found:?}");
    }
}
