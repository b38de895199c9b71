//! Names that the file system of the target cannot tell apart: it ignores case, normalises, or cuts something off.
//!
//! Nothing is guessed about how it compares names. What is under a name that nobody has put there is something else
//! under another spelling.

use std::ffi::CString;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, renameat};
use nix::sys::stat::{FileStat, fstatat};
use rustix::fs::{RenameFlags, renameat_with};

use super::names::is_staged;
use super::open_dir::OpenDir;
use super::removal::list;
use crate::restore::error::Error;

/// Names in a directory, as hashes.
pub(in crate::restore) struct Listed {
    key: RandomState,
    hashes: Vec<u64>,
}

impl Listed {
    /// The names that are in a directory now.
    pub(in crate::restore) fn of(open: &OpenDir) -> Result<Self, Errno> {
        Self::without(open, |_| false)
    }

    /// The names that are in a directory now, without those that `skip` takes.
    fn without(open: &OpenDir, mut skip: impl FnMut(&CString) -> bool) -> Result<Self, Errno> {
        let key = RandomState::new();
        let mut hashes = Vec::new();
        list(open.as_fd(), |found| {
            if !skip(&found.name) {
                hashes.push(key.hash_one(found.name.to_bytes()));
            }
        })?;
        hashes.sort_unstable();
        Ok(Self { key, hashes })
    }

    /// Whether the name is there in exactly this spelling.
    pub(in crate::restore) fn has(&self, name: &[u8]) -> bool {
        self.hashes.binary_search(&self.key.hash_one(name)).is_ok()
    }
}

/// What a killed run left in an existing directory, and what else is in it. A directory that cannot be listed has
/// nothing that could be removed.
pub(in crate::restore) fn what_is_in(open: &OpenDir) -> (Vec<CString>, Option<Listed>) {
    let mut leftovers = Vec::new();
    let listed = Listed::without(open, |name| {
        let staged = is_staged(name.to_bytes());
        if staged {
            leftovers.push(name.clone());
        }
        staged
    });
    match listed {
        Ok(listed) => (leftovers, Some(listed)),
        Err(_) => (Vec::new(), None),
    }
}

/// The spelling under which a directory lists what `stat` shows.
pub(in crate::restore) fn spelling_of(open: &OpenDir, name: &str, stat: &FileStat) -> Option<CString> {
    let mut names = Vec::new();
    list(open.as_fd(), |found| names.push(found.name)).ok()?;
    if names.iter().any(|other| other.to_bytes() == name.as_bytes()) {
        return CString::new(name).ok();
    }
    let is_it = |other: &CString| {
        let there = fstatat(open, other.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        there.is_ok_and(|there| (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino))
    };
    // Some FUSE file systems number each spelling by itself; there the name that differs by case alone is it.
    let folded = name.to_lowercase();
    let similar = |other: &CString| other.to_str().is_ok_and(|other| other.to_lowercase() == folded);
    let at = names.iter().position(is_it).or_else(|| names.iter().position(similar))?;
    Some(names.swap_remove(at))
}

/// Renames within a directory if nothing is under the new name. `false` if something is.
pub(super) fn rename_to_free(open: &OpenDir, from: &str, to: &str) -> Result<bool, Errno> {
    match renameat_with(open, from, open, to, RenameFlags::NOREPLACE) {
        Ok(()) => return Ok(true),
        Err(rustix::io::Errno::EXIST | rustix::io::Errno::NOTEMPTY) => return Ok(false),
        // Not every file system knows the flag.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {}
        Err(error) => return Err(Errno::from_raw(error.raw_os_error())),
    }
    match fstatat(open, to, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(false),
        Err(Errno::ENOENT) => renameat(open, from, open, to).map(|()| true),
        Err(errno) => Err(errno),
    }
}

/// What is said of a name that something else has in another spelling.
pub(in crate::restore) fn collision(open: &OpenDir, name: &str) -> Error {
    let stat = fstatat(open, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok();
    let other = stat.and_then(|stat| spelling_of(open, name, &stat));
    Error::Collision { other: other.map(|other| other.to_string_lossy().into_owned()) }
}
