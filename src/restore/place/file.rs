//! Files and symbolic links of the target.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, FallocateFlags, OFlag, fallocate, openat, renameat};
use nix::sys::stat::{Mode, fstatat};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{UnlinkatFlags, fdatasync, ftruncate, symlinkat, unlinkat};

use super::apply::{Node, apply};
use super::attributes::{Attributes, Have};
use super::collision::{collision, rename_to_free};
use super::direct::Direct;
use super::mark::{Marked, mark, mark_new};
use super::names::staged_name;
use super::open_dir::OpenDir;
use super::patchable::Base;
use super::removal::list;
use super::session::Session;
use crate::restore::error::Error;
use crate::restore::refused::Refused;
use crate::snapshot::distinct_name;

/// The unit in which zeros are looked for: no common file system has smaller holes.
const BLOCK: usize = 4096;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Shorter runs of zeros are written: a hole costs a system call and a fragment.
const MIN_HOLE: usize = 4 * BLOCK;

/// Space is reserved for files from this size on.
const MIN_RESERVED: u64 = 16 << 20;

/// Files from this size on are written past the page cache.
const MIN_DIRECT: u64 = 8 << 20;

/// Made names that are tried where a name is taken.
const MAX_MADE: u32 = 1000;

/// Of the free space, no more than this part is reserved for one file.
const RESERVED_SHARE: u64 = 4;

/// A file that is being written. Unless it is finished, it is removed when dropped.
pub(in crate::restore) struct OutFile {
    file: File,
    parent: Arc<OpenDir>,
    /// The name it bears now.
    name: Box<str>,
    staged: bool,
    size: u64,
    /// Where the last byte written so far ends.
    end: AtomicU64,
    reserved: bool,
    /// The way past the page cache.
    direct: Option<Direct>,
    /// Owner and group, where the file was there before.
    owner: Option<(u32, u32)>,
    /// The mode it was created with.
    mode: u32,
    placed: AtomicBool,
}

impl OutFile {
    /// Creates a file of `size` bytes that will be called `name`. In a directory that is staged itself, where nobody else
    /// comes to, it bears its own name and mode from the beginning.
    pub(in crate::restore) fn create(
        session: &Session<'_>,
        parent: Arc<OpenDir>,
        name: &str,
        size: u64,
        attributes: &Attributes,
        staged_parent: bool,
    ) -> Result<Self, Error> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let bits = match session.keep.permissions {
            true if staged_parent => attributes.mode & 0o777 | 0o600,
            true => 0o600,
            false => 0o666,
        };
        let mode = Mode::from_bits_truncate(bits);
        let failed = Error::system("create a file");
        let mut bears: Box<str> = name.into();
        let mut staged = !staged_parent;
        let mut fd = None;
        if staged_parent {
            match openat(&*parent, name, flags, mode) {
                Ok(created) => fd = Some(created),
                // Names that differ for us may be one for a file system that ignores case.
                Err(Errno::EEXIST) => staged = true,
                Err(errno) => return Err(failed(errno)),
            }
        }
        let fd = match fd {
            Some(fd) => fd,
            None => {
                session.staging.begin();
                bears = staged_name(name).into();
                create_marked(session, &parent, &bears, flags, mode)?
            }
        };
        let mut out = Self {
            file: File::from(fd),
            parent,
            name: bears,
            staged,
            size,
            end: AtomicU64::new(0),
            reserved: false,
            direct: None,
            owner: None,
            mode: bits,
            placed: AtomicBool::new(false),
        };
        if session.preallocate && size >= MIN_RESERVED {
            out.reserve();
        }
        if size >= MIN_DIRECT {
            out.direct = Direct::open(&*out.parent, &out.name, &out.file);
        }
        Ok(out)
    }

    /// Puts a file aside in order to change it: under its own name it is never seen half old and half new.
    pub(in crate::restore) fn patch(
        parent: Arc<OpenDir>,
        name: &str,
        base: &Base,
        size: u64,
    ) -> Result<Self, Error> {
        let staged = staged_name(name);
        if !base.aside {
            if !mark(&base.file) {
                return Err(Error::BusyEntry);
            }
            renameat(&*parent, name, &*parent, staged.as_str()).map_err(Error::system("put a file aside"))?;
        }
        let file = base.file.try_clone().map_err(|e| Error::system("open a file")(e))?;
        Ok(Self {
            file,
            parent,
            name: staged.into(),
            staged: true,
            size,
            end: AtomicU64::new(base.size),
            reserved: false,
            direct: None,
            owner: Some(base.owner),
            mode: 0,
            placed: AtomicBool::new(false),
        })
    }

    /// Reserves space, so that the file system can lay the file out in one piece. A refusal is none of writing: a size
    /// in the repository may be a lie. Nothing is reserved that would take much of what is left: a file of holes needs
    /// little of its size.
    fn reserve(&mut self) {
        let Ok(size) = i64::try_from(self.size) else { return };
        let room =
            fstatvfs(&self.file).map(|stat| stat.blocks_available().saturating_mul(stat.fragment_size()));
        if room.is_ok_and(|room| self.size > room / RESERVED_SHARE) {
            return;
        }
        // The length comes first: ext4 leaves what is reserved beyond the end alone when a hole is made there.
        if ftruncate(&self.file, size).is_ok() {
            self.end = AtomicU64::new(self.size);
            self.reserved = fallocate(&self.file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, size).is_ok();
        }
    }

    /// Writes bytes at their place. With `sparse`, runs of zeros become holes.
    pub(in crate::restore) fn write(&self, at: u64, data: &[u8], sparse: bool) -> Result<(), Error> {
        if !sparse || data.len() < MIN_HOLE {
            return self.put(at, data);
        }
        let mut written = 0;
        let mut zeros = 0;
        let mut position = 0;
        for block in data.chunks(BLOCK) {
            let zero = ZEROS.get(..block.len()) == Some(block);
            if !zero {
                if position - zeros >= MIN_HOLE {
                    self.put(at + written as u64, data.get(written..zeros).unwrap_or_default())?;
                    self.punch(at + zeros as u64, position - zeros)?;
                    written = position;
                }
                zeros = position + block.len();
            }
            position += block.len();
        }
        if position - zeros < MIN_HOLE {
            zeros = position;
        }
        self.put(at + written as u64, data.get(written..zeros).unwrap_or_default())?;
        self.punch(at + zeros as u64, position - zeros)
    }

    /// Gives the file its length, where holes at its end or an older file left it with another one.
    fn set_length(&self) -> Result<(), Error> {
        let end = self.end.load(Ordering::Relaxed);
        if end == self.size {
            return Ok(());
        }
        let size = i64::try_from(self.size).map_err(|_| Error::system("set the length")(Errno::EFBIG))?;
        match ftruncate(&self.file, size) {
            Ok(()) => Ok(()),
            // Some FUSE file systems cannot; what is longer than it was is then written.
            Err(Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EPERM | Errno::EACCES | Errno::EINVAL)
                if end < self.size =>
            {
                let mut at = end;
                while at < self.size {
                    let length = (self.size - at).min(BLOCK as u64);
                    self.put(at, ZEROS.get(..length as usize).unwrap_or(&ZEROS))?;
                    at += length;
                }
                Ok(())
            }
            Err(errno) => Err(Error::system("set the length")(errno)),
        }
    }

    fn put(&self, at: u64, data: &[u8]) -> Result<(), Error> {
        if data.is_empty() {
            return Ok(());
        }
        let directly = self.direct.as_ref().map_or(0..0, |direct| direct.write(data, at));
        let failed = |e: std::io::Error| Error::system("write a file")(e);
        let before = data.get(..directly.start).unwrap_or_default();
        self.file.write_all_at(before, at).map_err(failed)?;
        let behind = data.get(directly.end..).unwrap_or_default();
        self.file.write_all_at(behind, at + directly.end as u64).map_err(failed)?;
        self.end.fetch_max(at + data.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Gives reserved space back where zeros belong.
    fn punch(&self, at: u64, length: usize) -> Result<(), Error> {
        if !self.reserved || length == 0 {
            return Ok(());
        }
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let (Ok(at), Ok(length)) = (i64::try_from(at), i64::try_from(length)) else { return Ok(()) };
        match fallocate(&self.file, flags, at, length) {
            // What is reserved reads as zeros anyway.
            Ok(()) | Err(Errno::EOPNOTSUPP) => Ok(()),
            Err(errno) => Err(Error::system("make a hole")(errno)),
        }
    }

    /// Gives the file its attributes and its name. Returns the attributes that were refused.
    pub(in crate::restore) fn finish(
        &self,
        session: &Session<'_>,
        to: Place<'_>,
        attributes: &Attributes,
    ) -> Result<(Refused, Placed), Error> {
        self.set_length()?;
        let have = match self.owner {
            Some(owner) => Have { owner, mode: None },
            None => {
                let created_attributes = self.parent.created_attributes(self.file.as_fd(), self.mode);
                created_attributes.map_err(Error::system("look at a new file"))?
            }
        };
        let refused =
            apply(Node::Open(self.file.as_fd()), attributes, session.keep, have, &self.parent.proven)?;
        if session.options.fsync {
            fdatasync(&self.file).map_err(Error::system("bring a file to disk"))?;
        }
        let placed = if self.staged { place(&self.parent, &self.name, to)? } else { Placed::Named };
        self.placed.store(true, Ordering::Relaxed);
        Ok((refused, placed))
    }
}

impl Drop for OutFile {
    fn drop(&mut self) {
        if !self.placed.load(Ordering::Relaxed) {
            // If this fails too, the next run removes it: the name is a staged one, or in a staged directory.
            let _ = unlinkat(&*self.parent, &*self.name, UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// Creates a file of a staged name which other runs see to be in use.
fn create_marked(
    session: &Session<'_>,
    parent: &OpenDir,
    staged: &str,
    flags: OFlag,
    mode: Mode,
) -> Result<OwnedFd, Error> {
    let create = || openat(parent, staged, flags, mode);
    loop {
        let file = session.staging.create(&session.territory, parent, staged, "create a file", create)?;
        if mark_new(&file) == Marked::Ours {
            return Ok(file);
        }
    }
}

/// Under which name something is placed, and what may be there.
#[derive(Debug, Clone, Copy)]
pub(in crate::restore) struct Place<'n> {
    /// The name in the snapshot.
    pub(in crate::restore) name: &'n str,
    /// Whether something is there, and is to be replaced. Otherwise what turns up is another entry of this restore, whose
    /// name the file system cannot tell from this one.
    pub(in crate::restore) replaces: bool,
    /// Whether it keeps its staged name, because a directory has its own.
    pub(in crate::restore) waits: bool,
}

/// What became of something that was to be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::restore) enum Placed {
    /// It bears its name.
    Named,
    /// Another entry has the name in another spelling. It still bears its staged name; [`Dir::contend`](super::Dir::contend)
    /// decides.
    Taken,
}

/// Brings something from its staged name to its own.
fn place(parent: &OpenDir, staged: &str, to: Place<'_>) -> Result<Placed, Error> {
    if to.waits {
        return Ok(Placed::Named);
    }
    if !to.replaces {
        if rename_to_free(parent, staged, to.name).map_err(Error::system("rename a file"))? {
            return Ok(Placed::Named);
        }
        // Unless somebody else has put it there meanwhile.
        if !is_listed(parent, to.name) {
            return Ok(Placed::Taken);
        }
    }
    replace(parent, staged, to.name).map(|()| Placed::Named)
}

/// Whether a directory has the name in exactly this spelling.
fn is_listed(parent: &OpenDir, name: &str) -> bool {
    let mut listed = false;
    let all = list(parent.as_fd(), |found| listed |= found.name.to_bytes() == name.as_bytes());
    all.is_ok() && listed
}

/// Brings something from its staged name to one that is made for it, because its own is taken.
pub(super) fn place_apart(
    session: &Session<'_>,
    parent: &OpenDir,
    staged: &str,
    name: &str,
) -> Result<String, Error> {
    if session.options.rename_collisions {
        for number in 1..=MAX_MADE {
            let made = distinct_name(name, number, 1);
            if rename_to_free(parent, staged, &made).map_err(Error::system("rename a file"))? {
                return Ok(made);
            }
        }
    }
    Err(collision(parent, name))
}

/// Brings something to a name, in place of what is there, unless that is a directory.
fn replace(parent: &OpenDir, staged: &str, name: &str) -> Result<(), Error> {
    match renameat(parent, staged, parent, name) {
        Ok(()) => Ok(()),
        Err(Errno::EISDIR | Errno::EEXIST | Errno::ENOTEMPTY) => Err(Error::directory_in_the_way()),
        Err(errno) => Err(Error::system("rename a file")(errno)),
    }
}

/// Makes a symbolic link and gives it its name. Returns the attributes that were refused.
pub(in crate::restore) fn make_link(
    session: &Session<'_>,
    parent: &OpenDir,
    to: Place<'_>,
    target: &[u8],
    attributes: &Attributes,
) -> Result<(Refused, Placed), Error> {
    session.staging.begin();
    let staged = staged_name(to.name);
    let create = || symlinkat(OsStr::from_bytes(target), parent, staged.as_str());
    session.staging.create(&session.territory, parent, &staged, "create a symbolic link", create)?;
    let result = set_link_attributes(session, parent, &staged, attributes)
        .and_then(|refused| Ok((refused, place(parent, &staged, to)?)));
    if result.is_err() {
        let _ = unlinkat(parent, staged.as_str(), UnlinkatFlags::NoRemoveDir);
    }
    result
}

fn set_link_attributes(
    session: &Session<'_>,
    parent: &OpenDir,
    name: &str,
    attributes: &Attributes,
) -> Result<Refused, Error> {
    let stat =
        fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(Error::system("look at a new link"))?;
    let node = Node::Link(parent.as_fd(), name);
    apply(node, attributes, session.keep, Have::of(&stat), &parent.proven)
}
