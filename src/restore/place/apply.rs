//! Setting owner, mode and times. A target that refuses one costs the entry that attribute and nothing else: shares, FUSE
//! file systems and ordinary users each refuse in their own way.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, UtimensatFlags, fchmod, fchmodat, fstat, fstatat, futimens, utimensat,
};
use nix::unistd::{Gid, Uid, fchown, fchownat};

use super::attributes::{Attributes, Have, Keep, SETGID, SETUID, has_similar_time};
use crate::restore::error::Error;
use crate::restore::refused::{Refusal, Refused};

/// Something in the target whose attributes are set. Symbolic links are never followed.
#[derive(Clone, Copy)]
pub(in crate::restore) enum Node<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// A file that is named in an open directory.
    File(BorrowedFd<'a>, &'a str),
    /// A symbolic link that is named in an open directory. It has no mode.
    Link(BorrowedFd<'a>, &'a str),
}

impl Node<'_> {
    fn stat(self) -> Result<FileStat, Errno> {
        match self {
            Self::Open(fd) => fstat(fd),
            Self::File(dir, name) | Self::Link(dir, name) => fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW),
        }
    }

    fn set_owner(self, user: Option<u32>, group: Option<u32>) -> Result<(), Errno> {
        let (user, group) = (user.map(Uid::from_raw), group.map(Gid::from_raw));
        match self {
            Self::Open(fd) => fchown(fd, user, group),
            Self::File(dir, name) | Self::Link(dir, name) => {
                fchownat(dir, name, user, group, AtFlags::AT_SYMLINK_NOFOLLOW)
            }
        }
    }

    fn set_mode(self, mode: u32) -> Result<(), Errno> {
        let mode = Mode::from_bits_truncate(mode);
        match self {
            Self::Open(fd) => fchmod(fd, mode),
            Self::File(dir, name) => fchmodat(dir, name, mode, FchmodatFlags::NoFollowSymlink),
            Self::Link(..) => Ok(()),
        }
    }

    fn set_times(self, want: &Attributes) -> Result<(), Errno> {
        let time = want.time();
        match self {
            Self::Open(fd) => futimens(fd, &time, &time),
            Self::File(dir, name) | Self::Link(dir, name) => {
                utimensat(dir, name, &time, &time, UtimensatFlags::NoFollowSymlink)
            }
        }
    }
}

/// Which attributes were seen to be kept in a directory. Some shares report success and keep what they had.
#[derive(Default)]
pub(in crate::restore) struct Proven {
    owner: AtomicBool,
    mode: AtomicBool,
    times: AtomicBool,
}

/// Whether an error means that the target is broken or gone, as opposed to one that has no such attribute or does not
/// let this user set it.
fn is_fault(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EIO
            | Errno::EROFS
            | Errno::ENOSPC
            | Errno::EDQUOT
            | Errno::ENOMEM
            | Errno::EINTR
            | Errno::EBADF
            | Errno::ENOENT
            | Errno::ENOTDIR
            | Errno::ELOOP
            | Errno::ENODEV
            | Errno::ENXIO
            | Errno::ESTALE
            | Errno::ENOTCONN
            | Errno::ECONNABORTED
            | Errno::ECONNRESET
            | Errno::ECONNREFUSED
            | Errno::ESHUTDOWN
            | Errno::ETIMEDOUT
            | Errno::EHOSTDOWN
            | Errno::EHOSTUNREACH
            | Errno::ENETDOWN
            | Errno::ENETUNREACH
    )
}

/// Takes note of a refusal; any other failure is passed on.
pub(super) fn noted(
    result: Result<(), Errno>,
    refusal: &mut Option<Refusal>,
    what: &'static str,
) -> Result<bool, Error> {
    match result {
        Ok(()) => Ok(true),
        Err(errno) if is_fault(errno) => Err(Error::system(what)(errno)),
        Err(errno) => {
            *refusal = Some(Refusal::System(errno));
            Ok(false)
        }
    }
}

/// Gives something its attributes. The owner comes first, because changing it takes setuid and setgid bits away; those
/// are set only where the owner is the one that they were meant for.
///
/// Returns what was refused.
///
/// # Errors
/// A target that is broken or gone.
pub(in crate::restore) fn apply(
    node: Node<'_>,
    want: &Attributes,
    keep: Keep,
    have: Have,
    proven: &Proven,
) -> Result<Refused, Error> {
    let mut refused = Refused::default();
    let owner = match keep.owner {
        true => set_owner(node, want, have.owner, proven, &mut refused)?,
        false => have.owner,
    };
    let mode = allowed_mode(want, owner);
    let is_link = matches!(node, Node::Link(..));
    let mut mode_set = false;
    if keep.permissions && !is_link && (owner != have.owner || have.mode != Some(mode)) {
        mode_set = noted(node.set_mode(mode), &mut refused.mode, "set the mode")?;
    }
    let mut times_set = false;
    if keep.times {
        times_set = noted(node.set_times(want), &mut refused.times, "set the times")?;
    }
    let unproven = |set: bool, flag: &AtomicBool| set && !flag.load(Ordering::Relaxed);
    let (check_mode, check_times) = (unproven(mode_set, &proven.mode), unproven(times_set, &proven.times));
    if check_mode || check_times {
        let stat = node.stat().map_err(Error::system("look at the attributes"))?;
        if check_mode {
            // A change of owner alone does not show that modes are kept.
            let changed = have.mode.is_some_and(|before| before & 0o777 != mode & 0o777);
            settle(stat.st_mode & 0o777 == mode & 0o777, changed, &proven.mode, &mut refused.mode);
        }
        if check_times {
            settle(has_similar_time(&stat, want), true, &proven.times, &mut refused.times);
        }
    }
    Ok(refused)
}

/// Notes whether an attribute that was set is there now.
fn settle(kept: bool, changed: bool, proven: &AtomicBool, refusal: &mut Option<Refusal>) {
    if !kept {
        *refusal = Some(Refusal::Ignored);
    } else if changed {
        proven.store(true, Ordering::Relaxed);
    }
}

/// Sets user and group, and returns those that the thing has then.
fn set_owner(
    node: Node<'_>,
    want: &Attributes,
    have: (u32, u32),
    proven: &Proven,
    refused: &mut Refused,
) -> Result<(u32, u32), Error> {
    let Some((user, group)) = want.owner else {
        refused.owner = Some(Refusal::NoSuchOwner);
        return Ok(have);
    };
    if have == (user, group) {
        return Ok(have);
    }
    let mut owner = have;
    // A quota that is used up is the other user's.
    let set = node.set_owner(Some(user), Some(group)).map_err(|errno| match errno {
        Errno::EDQUOT => Errno::EPERM,
        errno => errno,
    });
    if noted(set, &mut refused.owner, "set the owner")? {
        owner = (user, group);
    } else if have.1 != group && node.set_owner(None, Some(group)).is_ok() {
        owner.1 = group;
    }
    if owner != have && (want.mode & (SETUID | SETGID) != 0 || !proven.owner.load(Ordering::Relaxed)) {
        let stat = node.stat().map_err(Error::system("look at the attributes"))?;
        let there = (stat.st_uid, stat.st_gid);
        if refused.owner.is_none() {
            settle(there == owner, true, &proven.owner, &mut refused.owner);
        }
        owner = there;
    }
    Ok(owner)
}

/// The mode that something of this owner may have.
fn allowed_mode(want: &Attributes, owner: (u32, u32)) -> u32 {
    let mut mode = want.mode;
    if want.owner.is_none_or(|(user, _)| user != owner.0) {
        mode &= !SETUID;
    }
    if want.owner.is_none_or(|(_, group)| group != owner.1) {
        mode &= !SETGID;
    }
    mode
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANT: Attributes = Attributes { mode: 0o6755, owner: Some((7, 8)), seconds: 0, nanos: 0 };

    #[test]
    fn set_id_bits_are_for_the_owner_that_they_were_meant_for() {
        for (owner, mode) in [((7, 8), 0o6755), ((7, 9), 0o4755), ((0, 8), 0o2755), ((0, 0), 0o755)] {
            assert_eq!(allowed_mode(&WANT, owner), mode, "{owner:?}");
        }
        assert_eq!(allowed_mode(&Attributes { owner: None, ..WANT }, (7, 8)), 0o755);
    }

    #[test]
    fn a_refusal_is_not_a_fault() {
        for errno in [
            Errno::EPERM,
            Errno::EACCES,
            Errno::ENOSYS,
            Errno::EOPNOTSUPP,
            Errno::EINVAL,
            Errno::EOVERFLOW,
            Errno::ENOTTY,
        ] {
            assert!(!is_fault(errno), "{errno}");
        }
        for errno in [Errno::EIO, Errno::EROFS, Errno::ENOSPC, Errno::EDQUOT, Errno::ESTALE, Errno::ENOTCONN]
        {
            assert!(is_fault(errno), "{errno}");
        }
    }
}
