//! The tree of snapshots as a FUSE file system.

mod handles;

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyOpen, Request, Session, SessionACL,
};

use handles::Handles;

use crate::snapshot::UtcTimestamp;
use crate::vfs::{self, Attributes, Directory, Kind, Vfs};

/// What is in a snapshot never changes.
const FOR_GOOD: Duration = Duration::from_secs(24 * 3600);

/// Directories above snapshots change when there are new ones.
const A_MOMENT: Duration = Duration::from_secs(5);

/// How a tree is mounted.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Whether other users may look into it; the kernel then checks owners and modes.
    pub(crate) allow_other: bool,
    /// Who everything belongs to, instead of the owners in the snapshots.
    pub(crate) owner: Option<(u32, u32)>,
    /// Threads that answer the kernel.
    pub(crate) threads: usize,
    /// What the list of mounts shows.
    pub(crate) name: String,
}

/// Mounts a tree.
///
/// # Errors
/// What the system said: no `/dev/fuse`, no right to mount, no such directory.
pub(crate) fn mount(vfs: Arc<Vfs>, directory: &Path, options: &Options) -> io::Result<BackgroundSession> {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::RO,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoAtime,
        MountOption::FSName(options.name.clone()),
        MountOption::Subtype("rokopia".to_owned()),
    ];
    if options.allow_other {
        config.acl = SessionACL::All;
        config.mount_options.push(MountOption::DefaultPermissions);
    }
    config.n_threads = Some(options.threads.max(1));
    let tree = Tree { vfs, owner: options.owner, files: Handles::default(), directories: Handles::default() };
    Session::new(tree, directory, &config)?.spawn()
}

struct Tree {
    vfs: Arc<Vfs>,
    owner: Option<(u32, u32)>,
    files: Handles<vfs::File>,
    directories: Handles<Directory>,
}

impl Tree {
    fn attributes(&self, found: &Attributes) -> FileAttr {
        let (uid, gid) = self.owner.unwrap_or((found.uid, found.gid));
        let mtime = system_time(found.mtime);
        FileAttr {
            ino: INodeNo(found.inode),
            size: found.size,
            blocks: found.size.div_ceil(512),
            atime: mtime,
            mtime,
            ctime: mtime,
            crtime: mtime,
            kind: file_type(found.kind),
            perm: u16::try_from(found.mode & 0o7777).unwrap_or(0o444),
            nlink: 1,
            uid,
            gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::Directory => FileType::Directory,
        Kind::File => FileType::RegularFile,
        Kind::Link => FileType::Symlink,
    }
}

fn system_time(time: UtcTimestamp) -> SystemTime {
    let nanos = time.as_nanos();
    let distance = Duration::from_nanos(nanos.unsigned_abs());
    let moved = if nanos < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    moved.unwrap_or(UNIX_EPOCH)
}

/// How long the kernel may believe what it was told: a directory above snapshots has no time of its own.
fn validity(found: &Attributes) -> Duration {
    if found.mtime == UtcTimestamp::default() { A_MOMENT } else { FOR_GOOD }
}

/// The error for the kernel. What cannot be read is logged: the reader only sees EIO.
fn errno(error: &vfs::Error, inode: INodeNo) -> Errno {
    match error {
        vfs::Error::NotFound => Errno::ENOENT,
        vfs::Error::Stale { .. } => Errno::ESTALE,
        vfs::Error::NotADirectory => Errno::ENOTDIR,
        vfs::Error::NotAFile => Errno::EISDIR,
        vfs::Error::NotALink => Errno::EINVAL,
        error => {
            tracing::warn!(inode = inode.0, "cannot be read: {error}");
            Errno::EIO
        }
    }
}

impl Filesystem for Tree {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Older kernels do without.
        for wanted in
            [InitFlags::FUSE_DO_READDIRPLUS, InitFlags::FUSE_PARALLEL_DIROPS, InitFlags::FUSE_CACHE_SYMLINKS]
        {
            let _ = config.add_capabilities(wanted);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        // No entry has a name that is not UTF-8.
        let found =
            name.to_str().ok_or(vfs::Error::NotFound).and_then(|name| self.vfs.lookup(parent.0, name));
        match found {
            Ok(found) => reply.entry(&validity(&found), &self.attributes(&found), Generation(0)),
            Err(error) => reply.error(errno(&error, parent)),
        }
    }

    fn forget(&self, _: &Request, inode: INodeNo, times: u64) {
        self.vfs.forget(inode.0, times);
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.vfs.attributes(inode.0) {
            Ok(found) => reply.attr(&validity(&found), &self.attributes(&found)),
            Err(error) => reply.error(errno(&error, inode)),
        }
    }

    fn readlink(&self, _: &Request, inode: INodeNo, reply: ReplyData) {
        match self.vfs.link_target(inode.0) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(errno(&error, inode)),
        }
    }

    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.vfs.open(inode.0) {
            Ok(file) => reply.opened(self.files.add(file), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(errno(&error, inode)),
        }
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(file) = self.files.get(handle) else { return reply.error(Errno::EBADF) };
        match file.read_at(offset, size as usize) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(errno(&error, inode)),
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.files.remove(handle);
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn opendir(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.vfs.open_directory(inode.0) {
            Ok(directory) => reply.opened(self.directories.add(directory), FopenFlags::empty()),
            Err(error) => reply.error(errno(&error, inode)),
        }
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let Some(directory) = self.directories.get(handle) else { return reply.error(Errno::EBADF) };
        for (position, item) in items(&directory, offset) {
            let full = match item {
                Item::Dots(name, inode) => reply.add(INodeNo(inode), position, FileType::Directory, name),
                Item::Entry(entry) => {
                    let inode = INodeNo(self.vfs.inode_of(directory.inode(), entry));
                    reply.add(inode, position, file_type(entry.kind), &*entry.name)
                }
            };
            if full {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(
        &self,
        _: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let Some(directory) = self.directories.get(handle) else { return reply.error(Errno::EBADF) };
        let Ok(own) = self.vfs.attributes(inode.0) else { return reply.error(Errno::ESTALE) };
        for (position, item) in items(&directory, offset) {
            match item {
                Item::Dots(name, inode) => {
                    // The kernel looks only at the number and the name of these two.
                    let dots = self.attributes(&Attributes { inode, ..own });
                    if reply.add(INodeNo(inode), position, name, &Duration::ZERO, &dots, Generation(0)) {
                        break;
                    }
                }
                Item::Entry(entry) => {
                    let found = self.vfs.use_entry(directory.inode(), entry);
                    let (valid, attributes) = (validity(&found), self.attributes(&found));
                    let number = INodeNo(found.inode);
                    if reply.add(number, position, &*entry.name, &valid, &attributes, Generation(0)) {
                        // It did not fit, so the kernel does not know it.
                        self.vfs.forget(found.inode, 1);
                        break;
                    }
                }
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.directories.remove(handle);
        reply.ok();
    }
}

enum Item<'a> {
    Dots(&'static str, u64),
    Entry(&'a vfs::Listed),
}

/// What follows after a position, each with the position after itself.
fn items(directory: &Directory, offset: u64) -> impl Iterator<Item = (u64, Item<'_>)> {
    let dots = [Item::Dots(".", directory.inode()), Item::Dots("..", directory.parent())];
    let all = dots.into_iter().chain(directory.entries().iter().map(Item::Entry));
    (1..).zip(all).skip(usize::try_from(offset).unwrap_or(usize::MAX))
}
