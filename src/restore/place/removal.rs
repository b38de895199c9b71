//! Listing and removing what is there.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::dir::{Dir as Stream, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmod, fchmodat, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::open_dir::OPEN;
use super::territory::{Looked, Reason, Territory, look};
use crate::blob::Identity;

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

/// Whether something that was listed is a directory.
pub(super) fn is_directory(parent: BorrowedFd<'_>, found: &Found) -> Result<bool, Errno> {
    match found.kind {
        Some(kind) => Ok(kind == Type::Directory),
        None => {
            let stat = fstatat(parent, found.name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
            Ok(SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR)
        }
    }
}

/// What became of an entry, or would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::restore) enum Fate {
    Removed,
    /// A directory that cannot be looked into without changing it, with an unknown number of entries.
    RemovedUnseen,
    Kept(Reason),
}

/// Picks entries that a sweep leaves, by the names that lead to them.
pub(in crate::restore) type Stays<'s> = dyn Fn(&[&CString]) -> bool + 's;

/// Whether a sweep is the real thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::restore) enum Sweep {
    Remove,
    Count,
}

/// A directory on the way down.
struct Level {
    fd: OwnedFd,
    /// What is still to be removed from it.
    rest: Vec<Found>,
    name: CString,
    /// The mode that it had before it was opened to be emptied.
    closed: Option<Mode>,
    /// Whether something in it stays, and with it the directory.
    keeps: bool,
}

enum Entered {
    Level(Level),
    Kept(Reason),
    Unseen,
    Gone,
}

impl Territory {
    /// Removes an entry of a directory and everything below it, or with [`Sweep::Count`] tells what that would remove. Each
    /// entry is reported, with its path below `path`, which is that of the directory. Symbolic links are removed, never
    /// followed; mounts and the repository stay, and the directories above them. It is no error if nothing is there.
    pub(in crate::restore) fn sweep(
        &self,
        parent: BorrowedFd<'_>,
        name: CString,
        sweep: Sweep,
        tell: &mut dyn FnMut(&[&CString], Fate),
    ) -> Result<(), Errno> {
        self.sweep_around(parent, name, sweep, None, tell)
    }

    /// The same, except for entries below it that `stays` picks by their paths: they and the directories above them are left
    /// and not reported.
    pub(in crate::restore) fn sweep_around(
        &self,
        parent: BorrowedFd<'_>,
        name: CString,
        sweep: Sweep,
        stays: Option<&Stays<'_>>,
        tell: &mut dyn FnMut(&[&CString], Fate),
    ) -> Result<(), Errno> {
        let first = Found { name, kind: None };
        match is_directory(parent, &first) {
            Ok(true) => {}
            Ok(false) => {
                if let Some(fate) = self.unlink(parent, &first.name, UnlinkatFlags::NoRemoveDir, sweep)? {
                    tell(&[&first.name], fate);
                }
                return Ok(());
            }
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(errno),
        }
        let mut levels: Vec<Level> = Vec::new();
        let mut next = Some(first.name);
        loop {
            let above = levels.last().map_or(parent, |level| level.fd.as_fd());
            if let Some(name) = next.take() {
                let entered = self.enter(above, &name, sweep)?;
                let fate = match entered {
                    Entered::Level(level) => {
                        levels.push(level);
                        continue;
                    }
                    Entered::Gone => None,
                    Entered::Kept(reason) => Some(Fate::Kept(reason)),
                    Entered::Unseen => Some(Fate::RemovedUnseen),
                };
                if let Some(fate) = fate {
                    told(&levels, &name, fate, tell);
                }
                if matches!(fate, Some(Fate::Kept(_)))
                    && let Some(level) = levels.last_mut()
                {
                    level.keeps = true;
                }
            }
            let found = levels.last_mut().and_then(|level| level.rest.pop());
            let is_left = match (&found, stays) {
                (Some(found), Some(stays)) => stays(&path_of(&levels, &found.name)),
                _ => false,
            };
            let Some(level) = levels.last_mut() else { return Ok(()) };
            match found {
                Some(_) if is_left => level.keeps = true,
                Some(found) if is_directory(level.fd.as_fd(), &found)? => next = Some(found.name),
                Some(found) => {
                    let fate =
                        self.unlink(level.fd.as_fd(), &found.name, UnlinkatFlags::NoRemoveDir, sweep)?;
                    level.keeps |= matches!(fate, Some(Fate::Kept(_)));
                    if let Some(fate) = fate {
                        told(&levels, &found.name, fate, tell);
                    }
                }
                None => {
                    let Some(done) = levels.pop() else { return Ok(()) };
                    let above = levels.last().map_or(parent, |level| level.fd.as_fd());
                    let keeps = if done.keeps {
                        // It is as closed as it was.
                        done.closed.map_or(Ok(()), |mode| fchmod(&done.fd, mode))?;
                        true
                    } else {
                        let fate = self.unlink(above, &done.name, UnlinkatFlags::RemoveDir, sweep)?;
                        if let Some(fate) = fate {
                            told(&levels, &done.name, fate, tell);
                        }
                        matches!(fate, Some(Fate::Kept(_)))
                    };
                    if keeps && let Some(level) = levels.last_mut() {
                        level.keeps = true;
                    }
                }
            }
        }
    }

    /// Removes something of ours, whatever it is. It is no error if it is not there.
    pub(in crate::restore) fn clear(&self, parent: BorrowedFd<'_>, name: CString) -> Result<(), Errno> {
        let mut kept = false;
        self.sweep(parent, name, Sweep::Remove, &mut |_, fate| kept |= matches!(fate, Fate::Kept(_)))?;
        if kept { Err(Errno::EBUSY) } else { Ok(()) }
    }

    /// Removes one entry; `None` where it was gone already.
    fn unlink(
        &self,
        parent: BorrowedFd<'_>,
        name: &CString,
        flags: UnlinkatFlags,
        sweep: Sweep,
    ) -> Result<Option<Fate>, Errno> {
        if sweep == Sweep::Count {
            let mounted = look(parent, name).is_ok_and(|looked| self.is_mounted_on(&looked));
            return Ok(Some(if mounted { Fate::Kept(Reason::MountedOn) } else { Fate::Removed }));
        }
        match unlinkat(parent, name.as_c_str(), flags) {
            Ok(()) => Ok(Some(Fate::Removed)),
            Err(Errno::ENOENT) => Ok(None),
            Err(Errno::EBUSY) => Ok(Some(Fate::Kept(Reason::MountedOn))),
            Err(errno) => Err(errno),
        }
    }

    fn enter(&self, parent: BorrowedFd<'_>, name: &CString, sweep: Sweep) -> Result<Entered, Errno> {
        let looked = match look(parent, name) {
            Err(Errno::ENOENT) => return Ok(Entered::Gone),
            other => other?,
        };
        if let Some(reason) = self.keeps(&looked) {
            return Ok(Entered::Kept(reason));
        }
        let fd = match open(parent, name, &looked, sweep) {
            Err(Errno::EACCES) if sweep == Sweep::Count => return Ok(Entered::Unseen),
            Err(Errno::ENOENT) => return Ok(Entered::Gone),
            other => other?,
        };
        // Nobody may have put something else in its place meanwhile.
        if Identity::from(&fstat(&fd)?) != looked.identity {
            return Err(Errno::ESTALE);
        }
        let mode = Mode::from_bits_truncate(looked.mode);
        let closed = (!mode.contains(Mode::S_IRWXU)).then_some(mode);
        if closed.is_some() && sweep == Sweep::Remove {
            // Refused where it is another user's: then removing tells what is the matter.
            let _ = fchmod(&fd, mode | Mode::S_IRWXU);
        }
        let mut rest = Vec::new();
        match list(fd.as_fd(), |found| rest.push(found)) {
            Err(Errno::EACCES) if sweep == Sweep::Count => return Ok(Entered::Unseen),
            other => other?,
        }
        Ok(Entered::Level(Level { fd, rest, name: name.clone(), closed, keeps: false }))
    }
}

/// Opens a directory that is to be emptied, also one that its owner has closed.
fn open(parent: BorrowedFd<'_>, name: &CString, looked: &Looked, sweep: Sweep) -> Result<OwnedFd, Errno> {
    let open = || openat(parent, name.as_c_str(), OPEN | OFlag::O_NOFOLLOW, Mode::empty());
    match open() {
        Err(Errno::EACCES) if sweep == Sweep::Remove => {
            let mode = Mode::from_bits_truncate(looked.mode) | Mode::S_IRWXU;
            fchmodat(parent, name.as_c_str(), mode, FchmodatFlags::NoFollowSymlink)
                .map_err(|_| Errno::EACCES)?;
            open()
        }
        other => other,
    }
}

fn told(levels: &[Level], name: &CString, fate: Fate, tell: &mut dyn FnMut(&[&CString], Fate)) {
    tell(&path_of(levels, name), fate);
}

fn path_of<'n>(levels: &'n [Level], name: &'n CString) -> Vec<&'n CString> {
    levels.iter().map(|level| &level.name).chain([name]).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use nix::fcntl::open;

    use super::*;
    use crate::blob::Guard;

    fn swept(root: &Path, name: &str, sweep: Sweep) -> Vec<(String, Fate)> {
        let fd = open(root, OPEN, Mode::empty()).unwrap();
        let territory = Territory::of(fd.as_fd(), Guard::default()).unwrap();
        let mut told = Vec::new();
        let mut tell = |path: &[&CString], fate| {
            let names: Vec<&str> = path.iter().map(|name| name.to_str().unwrap()).collect();
            told.push((names.join("/"), fate));
        };
        territory.sweep(fd.as_fd(), CString::new(name).unwrap(), sweep, &mut tell).unwrap();
        told.sort_by(|a, b| a.0.cmp(&b.0));
        told
    }

    #[test]
    fn what_would_be_removed_is_what_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("a/b/c")).unwrap();
        fs::create_dir(at("kept")).unwrap();
        fs::write(at("kept/file"), "").unwrap();
        fs::write(at("a/b/file"), "").unwrap();
        symlink(at("kept"), at("a/link")).unwrap();
        let counted = swept(dir.path(), "a", Sweep::Count);
        assert!(at("a/b/c").exists());
        let expected = ["a", "a/b", "a/b/c", "a/b/file", "a/link"];
        assert_eq!(counted, expected.map(|path| (path.to_owned(), Fate::Removed)));
        assert_eq!(swept(dir.path(), "a", Sweep::Remove), counted);
        assert!(!at("a").exists() && at("kept/file").exists());
        assert_eq!(swept(dir.path(), "a", Sweep::Remove), []);
    }

    #[test]
    fn what_stays_keeps_the_directories_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("a/b/c")).unwrap();
        fs::create_dir_all(at("a/d/e")).unwrap();
        fs::write(at("a/b/c/mine"), "").unwrap();
        fs::write(at("a/b/other"), "").unwrap();
        let fd = open(dir.path(), OPEN, Mode::empty()).unwrap();
        let territory = Territory::of(fd.as_fd(), Guard::default()).unwrap();
        let stays = |path: &[&CString]| path.last().is_some_and(|name| name.to_bytes() == b"mine");
        for sweep in [Sweep::Count, Sweep::Remove] {
            let mut told = 0;
            let mut tell = |_: &[&CString], _| told += 1;
            territory.sweep_around(fd.as_fd(), c"a".to_owned(), sweep, Some(&stays), &mut tell).unwrap();
            assert_eq!(told, 3, "{sweep:?}");
        }
        assert!(at("a/b/c/mine").exists() && !at("a/b/other").exists() && !at("a/d").exists());
    }

    #[test]
    fn closed_directories_are_opened_to_be_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("a/closed/deep")).unwrap();
        fs::write(at("a/closed/deep/file"), "").unwrap();
        for (name, mode) in [("a/closed/deep", 0o500), ("a/closed", 0), ("a", 0o300)] {
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        assert_eq!(swept(dir.path(), "a", Sweep::Remove).len(), 4);
        assert!(!at("a").exists());
    }
}
