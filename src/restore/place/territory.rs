//! What in a target may be removed: where it ends, and what in it is never removed.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;
use rustix::fs::{AtFlags as StatxAt, StatxFlags, makedev, statx};

use crate::blob::{Guard, Identity, InRepository};
use crate::restore::error::Error;

/// What a new ext4 volume has, and `fsck` puts things into.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// Accounts of people begin here; homes of other accounts are where services keep their data.
const FIRST_PERSON: u32 = 1000;
const NOBODY: u32 = 65534;

/// A mounted file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Volume {
    device: u64,
    /// The same file system may be mounted twice. Kernels before 5.8 do not number mounts.
    mount: Option<u64>,
}

/// Why something stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::restore) enum Reason {
    OtherFileSystem,
    MountedOn,
    Repository,
}

impl Reason {
    pub(in crate::restore) fn text(self) -> &'static str {
        match self {
            Self::OtherFileSystem => "another file system is mounted there",
            Self::MountedOn => "something is mounted on it",
            Self::Repository => "it is the repository",
        }
    }
}

/// A directory, as it was looked at before it is entered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looked {
    volume: Volume,
    pub(super) identity: Identity,
    pub(super) mode: u32,
}

/// The file system that is restored into.
#[derive(Debug, Default)]
pub(in crate::restore) struct Territory {
    /// `None` before the target is open.
    volume: Option<Volume>,
    guard: Guard,
}

impl Territory {
    /// That of a directory that is open.
    pub(in crate::restore) fn of(root: BorrowedFd<'_>, guard: Guard) -> Result<Self, Errno> {
        Ok(Self { volume: Some(look(root, c"")?.volume), guard })
    }

    /// Whether a directory that is open lies on another file system than the target.
    pub(in crate::restore) fn is_elsewhere(&self, directory: impl AsFd) -> Result<bool, Errno> {
        Ok(self.keeps(&look(directory.as_fd(), c"")?) == Some(Reason::OtherFileSystem))
    }

    /// Why a directory is left alone, with all that is in it.
    pub(super) fn keeps(&self, directory: &Looked) -> Option<Reason> {
        if self.guard.is_guarded(directory.identity) {
            return Some(Reason::Repository);
        }
        (self.volume != Some(directory.volume)).then_some(Reason::OtherFileSystem)
    }

    /// Whether something is mounted on what is no directory. Device numbers do not tell: those of an overlay differ.
    pub(super) fn is_mounted_on(&self, file: &Looked) -> bool {
        self.volume.is_some_and(|volume| volume.mount != file.volume.mount)
    }

    /// Refuses to go into the repository, which may be mounted in the target.
    pub(super) fn allow(&self, directory: Identity, path: &str) -> Result<(), InRepository> {
        self.guard.refuse(directory, Path::new(path))
    }
}

/// Looks at something in a directory, or at the directory itself where the name is empty. Links are not followed.
pub(super) fn look(parent: BorrowedFd<'_>, name: &CStr) -> Result<Looked, Errno> {
    let flags = StatxAt::SYMLINK_NOFOLLOW | StatxAt::NO_AUTOMOUNT | StatxAt::EMPTY_PATH;
    match statx(parent, name, flags, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID) {
        Ok(stat) => {
            let device = makedev(stat.stx_dev_major, stat.stx_dev_minor);
            let numbered = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID);
            Ok(Looked {
                volume: Volume { device, mount: numbered.then_some(stat.stx_mnt_id) },
                identity: Identity::new(device, stat.stx_ino),
                mode: stat.stx_mode.into(),
            })
        }
        // Older kernels, and containers that know no newer calls.
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
            let stat = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_EMPTY_PATH)?;
            let volume = Volume { device: stat.st_dev, mount: None };
            Ok(Looked { volume, identity: Identity::from(&stat), mode: stat.st_mode })
        }
        Err(errno) => Err(Errno::from_raw(errno.raw_os_error())),
    }
}

/// Whether a name at the root of a target is never removed.
pub(in crate::restore) fn is_of_the_volume(name: &[u8]) -> bool {
    name == LOST_AND_FOUND
}

/// Refuses to delete in places where hardly anybody means to: the root directory, and a directory that is or contains the
/// home of a person.
pub(crate) fn may_delete_in(target: &Path) -> Result<(), Error> {
    let Some(identity) = Identity::at(target) else { return Ok(()) };
    let refuse = |what: String| Err(Error::DeleteRefused { path: target.to_path_buf(), what });
    if Identity::at(Path::new("/")) == Some(identity) {
        return refuse("it is the root directory".into());
    }
    for (owner, home) in homes() {
        let Ok(home) = home.canonicalize() else { continue };
        let Some(depth) = home.ancestors().position(|above| Identity::at(above) == Some(identity)) else {
            continue;
        };
        let verb = if depth == 0 { "is" } else { "contains" };
        return refuse(format!("it {verb} the home directory of {owner}"));
    }
    Ok(())
}

/// Who has a home, and where.
fn homes() -> Vec<(String, PathBuf)> {
    let own = std::env::var_os("HOME").filter(|home| !home.is_empty());
    let mut homes: Vec<_> = own.map(|home| ("this user".to_owned(), home.into())).into_iter().collect();
    // A static binary has no other way to ask for users.
    let table = std::fs::read("/etc/passwd").unwrap_or_default();
    homes.extend(String::from_utf8_lossy(&table).lines().filter_map(home_of_person));
    homes
}

fn home_of_person(line: &str) -> Option<(String, PathBuf)> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let user: u32 = fields.nth(1)?.parse().ok()?;
    let home = fields.nth(2).filter(|home| home.starts_with('/'))?;
    let person = user == 0 || (user >= FIRST_PERSON && user != NOBODY);
    person.then(|| (name.to_owned(), home.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_have_homes_and_services_do_not() {
        let home = |line| home_of_person(line).map(|(name, home)| (name, home.to_str().unwrap().to_owned()));
        let some = |name: &str, home: &str| Some((name.to_owned(), home.to_owned()));
        assert_eq!(home("root:x:0:0:root:/root:/bin/bash"), some("root", "/root"));
        assert_eq!(home("ann:x:1000:1000:Ann,,,:/home/ann:/bin/sh"), some("ann", "/home/ann"));
        for line in [
            "postgres:x:105:113::/var/lib/postgresql:/bin/bash",
            "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin",
            "",
            "+::::::",
            "x:x:1001",
        ] {
            assert_eq!(home(line), None, "{line}");
        }
    }

    #[test]
    fn the_root_directory_is_no_place_to_delete_in() {
        assert!(matches!(may_delete_in(Path::new("/")), Err(Error::DeleteRefused { .. })));
        assert!(matches!(may_delete_in(Path::new("/usr/..")), Err(Error::DeleteRefused { .. })));
        assert!(may_delete_in(&std::env::temp_dir().join("no-such-directory")).is_ok());
        let place = tempfile::tempdir().unwrap();
        assert!(may_delete_in(place.path()).is_ok());
    }
}
