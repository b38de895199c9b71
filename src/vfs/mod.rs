//! Snapshots as one read-only tree of files with stable inode numbers.
//!
//! The tree knows neither FUSE nor NFS nor HTTP: fronts translate its answers. A directory of a snapshot is read as one
//! object and kept while there is room; file data is kept by content, so that readers of the same data share it, and is
//! read ahead of a reader that goes forward.
//!
//! Layout over all snapshots: `/USER@HOST/PATH/TIME/…`, with `latest` beside the times, a link to the newest complete one.

mod data;
mod error;
mod growing;
mod handle;
mod layout;
mod nodes;

#[cfg(feature = "browse")]
pub(crate) use data::Bytes;
pub use data::File;
pub use error::Error;
pub(crate) use growing::Growing;
pub use handle::{Handle, HandleKey};

use std::sync::{Arc, PoisonError, RwLock};

use quick_cache::sync::Cache;

use crate::content::ContentSource;
use crate::object::{self, ObjectId};
use crate::os::sync::Mutex;
use crate::snapshot::{DirEntry, EffectiveEntries, EntryType, Snapshot, Snapshots, UtcTimestamp};
use data::{Ahead, Data};
use handle::Place;
use layout::{Child, Layout};
use nodes::{Node, Nodes, What};

/// The inode number of the root.
pub const ROOT: u64 = 1;

/// Longest target of a symbolic link, as Linux takes it.
const MAX_LINK: u64 = 4095;

/// Bytes that an entry of a kept directory takes beside its name.
const ENTRY_BYTES: u64 = 160;

/// So few expected items that a cache is not split: a directory of a million entries may take all of the room.
pub(crate) const ONE_SHARD: usize = 32;

/// Share of the memory that directories may take; the rest is for data.
const DIRECTORIES: u64 = 4;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
}

/// What `stat` tells of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// The inode number.
    pub inode: u64,
    /// What it is.
    pub kind: Kind,
    /// Twelve bits of mode.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Modification time.
    pub mtime: UtcTimestamp,
}

/// An entry of an open directory.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The name, one path component.
    pub name: Box<str>,
    /// What it is.
    pub kind: Kind,
    what: What,
}

impl Listed {
    /// The entry of the snapshot; `None` above the snapshots.
    #[cfg(feature = "browse")]
    pub(crate) fn entry(&self) -> Option<&DirEntry> {
        match &self.what {
            What::Entry(entry) => Some(entry),
            What::Virtual(_) | What::Link(_) => None,
        }
    }
}

/// A directory as it was when it was opened, in the order of names.
#[derive(Debug, Clone)]
pub struct Directory {
    inode: u64,
    parent: u64,
    entries: Arc<Vec<Listed>>,
}

impl Directory {
    /// Its entries, without `.` and `..`.
    pub fn entries(&self) -> &[Listed] {
        &self.entries
    }

    /// Its inode number.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// The inode number of the directory above it.
    pub fn parent(&self) -> u64 {
        self.parent
    }
}

/// Snapshots as a tree of files. Every method may be called from many threads.
pub struct Vfs {
    source: Arc<dyn ContentSource>,
    layout: RwLock<Arc<Layout>>,
    nodes: Mutex<Nodes>,
    directories: Cache<ObjectId, Arc<Vec<Listed>>, Weight>,
    data: Arc<Data>,
    ahead: Ahead,
}

debug_of!(Vfs, "Vfs");

#[derive(Clone)]
struct Weight;

impl quick_cache::Weighter<ObjectId, Arc<Vec<Listed>>> for Weight {
    fn weight(&self, _: &ObjectId, entries: &Arc<Vec<Listed>>) -> u64 {
        entries.iter().map(|entry| ENTRY_BYTES + entry.name.len() as u64).sum::<u64>().max(1)
    }
}

impl Vfs {
    /// The tree of all these snapshots, which [`Vfs::update`] replaces. It takes up to `memory` bytes for what it keeps, and
    /// reads ahead with `reads` threads.
    pub fn of_snapshots(
        source: Arc<dyn ContentSource>,
        snapshots: &Snapshots,
        memory: u64,
        reads: usize,
    ) -> Self {
        Self::new(source, Layout::of_snapshots(snapshots), memory, reads)
    }

    /// The tree whose root is this directory.
    pub fn of_directory(source: Arc<dyn ContentSource>, root: DirEntry, memory: u64, reads: usize) -> Self {
        Self::new(source, Layout::of_directory(root), memory, reads)
    }

    fn new(source: Arc<dyn ContentSource>, layout: Layout, memory: u64, reads: usize) -> Self {
        let for_directories = memory / DIRECTORIES;
        let data = Arc::new(Data::new(Arc::clone(&source), memory - for_directories));
        Self {
            source,
            nodes: Mutex::new(Nodes::new(layout.root())),
            layout: RwLock::new(Arc::new(layout)),
            directories: Cache::with_weighter(ONE_SHARD, for_directories, Weight),
            ahead: Ahead::start(&data, reads),
            data,
        }
    }

    /// Shows these snapshots instead. Nodes that are in use stay what they are.
    pub fn update(&self, snapshots: &Snapshots) {
        let layout = Arc::new(Layout::of_snapshots(snapshots));
        *self.layout.write().unwrap_or_else(PoisonError::into_inner) = layout;
    }

    fn layout(&self) -> Arc<Layout> {
        Arc::clone(&self.layout.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn nodes(&self) -> std::sync::MutexGuard<'_, Nodes> {
        self.nodes.lock()
    }

    fn node(&self, inode: u64) -> Result<Node, Error> {
        self.nodes().get(inode).ok_or(Error::Stale { inode })
    }

    /// The attributes of a node in use.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub fn attributes(&self, inode: u64) -> Result<Attributes, Error> {
        Ok(attributes(inode, &self.node(inode)?.what))
    }

    /// The node of that name in a directory, which is in use from now on: see [`Vfs::forget`].
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotADirectory`], and a directory that cannot be read.
    pub fn lookup(&self, directory: u64, name: &str) -> Result<Attributes, Error> {
        let entries = self.entries(&self.node(directory)?.what)?;
        let at = entries.binary_search_by(|entry| (*entry.name).cmp(name)).map_err(|_| Error::NotFound)?;
        let entry = entries.get(at).ok_or(Error::NotFound)?;
        Ok(self.use_entry(directory, entry))
    }

    /// Takes an entry of an open directory into use, as [`Vfs::lookup`] does.
    pub fn use_entry(&self, directory: u64, entry: &Listed) -> Attributes {
        let inode = self.nodes().use_child(directory, &entry.name, &entry.what);
        attributes(inode, &entry.what)
    }

    /// The inode number that an entry of a directory has or would get.
    pub fn inode_of(&self, directory: u64, entry: &Listed) -> u64 {
        nodes::number(directory, &entry.name)
    }

    /// Takes back `times` uses of a node.
    pub fn forget(&self, inode: u64, times: u64) {
        self.nodes().forget(inode, times);
    }

    /// Opens a directory: one object is read, if it is not kept.
    ///
    /// # Errors
    /// As [`Vfs::lookup`].
    pub fn open_directory(&self, inode: u64) -> Result<Directory, Error> {
        let node = self.node(inode)?;
        Ok(Directory { inode, parent: node.parent, entries: self.entries(&node.what)? })
    }

    fn entries(&self, what: &What) -> Result<Arc<Vec<Listed>>, Error> {
        match what {
            What::Virtual(path) => {
                let layout = self.layout();
                let children = layout.children(path).ok_or(Error::NotFound)?;
                Ok(Arc::new(children.iter().map(|(name, child)| listed(name, path, child)).collect()))
            }
            What::Entry(entry) if entry.is_directory() => {
                let object = entry.object.as_ref().ok_or(Error::NoObject)?;
                self.directories.get_or_insert_with(object, || self.read_directory(object))
            }
            What::Entry(_) | What::Link(_) => Err(Error::NotADirectory),
        }
    }

    fn read_directory(&self, object: &ObjectId) -> Result<Arc<Vec<Listed>>, Error> {
        let mut entries = Vec::new();
        for entry in EffectiveEntries::open(&*self.source, object)? {
            let entry = entry?;
            let Some(kind) = kind_of(entry.kind) else { continue };
            match entry.name() {
                Ok(name) => {
                    let name = name.as_str().into();
                    entries.push(Listed { name, kind, what: What::Entry(Arc::new(entry)) });
                }
                Err(reason) => tracing::warn!("an entry of {object} is left out: {reason}"),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Arc::new(entries))
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// [`Error::NotALink`], and a target that cannot be read.
    pub fn link_target(&self, inode: u64) -> Result<Vec<u8>, Error> {
        self.target_of(&self.node(inode)?.what)
    }

    fn target_of(&self, what: &What) -> Result<Vec<u8>, Error> {
        match what {
            What::Link(target) => Ok(target.as_bytes().to_vec()),
            What::Entry(entry) if entry.kind == EntryType::Symlink => {
                let object = entry.object.as_ref().ok_or(Error::NoObject)?;
                Ok(object::read_all(&*self.source, object, MAX_LINK)?)
            }
            _ => Err(Error::NotALink),
        }
    }

    /// Opens a file. Of the data nothing is read yet, of an indirect object its table.
    ///
    /// # Errors
    /// [`Error::NotAFile`], and a table that cannot be read.
    pub fn open(&self, inode: u64) -> Result<File, Error> {
        self.open_what(&self.node(inode)?.what)
    }

    fn open_what(&self, what: &What) -> Result<File, Error> {
        match what {
            What::Entry(entry) if entry.kind == EntryType::File => {
                let object = entry.object.as_ref().ok_or(Error::NoObject)?;
                File::open(Arc::clone(&self.data), self.ahead.clone(), object)
            }
            _ => Err(Error::NotAFile),
        }
    }

    /// Opens the file of an entry, as [`Vfs::open`] does.
    ///
    /// # Errors
    /// As [`Vfs::open`].
    #[cfg(feature = "browse")]
    pub(crate) fn open_entry(&self, entry: &DirEntry) -> Result<File, Error> {
        let object =
            entry.object.as_ref().filter(|_| entry.kind == EntryType::File).ok_or(Error::NotAFile)?;
        File::open(Arc::clone(&self.data), self.ahead.clone(), object)
    }

    /// The entries of a directory in the order of names, kept while there is room. What has no valid name is left out.
    ///
    /// # Errors
    /// A directory that cannot be read.
    #[cfg(feature = "browse")]
    pub(crate) fn entries_of(&self, directory: &DirEntry) -> Result<Arc<Vec<Listed>>, Error> {
        let object =
            directory.object.as_ref().filter(|_| directory.is_directory()).ok_or(Error::NotADirectory)?;
        self.directories.get_or_insert_with(object, || self.read_directory(object))
    }

    /// What a handle names, whether or not any node is in use.
    fn named(&self, handle: &Handle) -> Result<What, Error> {
        let stale = Error::Stale { inode: handle.inode };
        match handle.place {
            Place::Layout => self.layout().numbered_as(handle.inode).ok_or(stale),
            Place::Entry { directory, position } => {
                let entries =
                    self.directories.get_or_insert_with(&directory, || self.read_directory(&directory))?;
                let entry = usize::try_from(position).ok().and_then(|position| entries.get(position));
                Ok(entry.ok_or(stale)?.what.clone())
            }
        }
    }

    /// The attributes of the node that a handle names.
    ///
    /// # Errors
    /// [`Error::Stale`], and a directory that cannot be read.
    pub fn attributes_of(&self, handle: &Handle) -> Result<Attributes, Error> {
        Ok(attributes(handle.inode, &self.named(handle)?))
    }

    /// The node of that name in a directory.
    ///
    /// # Errors
    /// As [`Vfs::lookup`], and [`Error::Stale`].
    pub fn child_of(&self, directory: &Handle, name: &str) -> Result<(Handle, Attributes), Error> {
        let listing = self.listing_of(directory)?;
        let position =
            listing.entries.binary_search_by(|entry| (*entry.name).cmp(name)).map_err(|_| Error::NotFound)?;
        listing.get(position).ok_or(Error::NotFound)
    }

    /// The entries of a directory.
    ///
    /// # Errors
    /// As [`Vfs::child_of`].
    pub fn listing_of(&self, directory: &Handle) -> Result<Listing, Error> {
        let what = self.named(directory)?;
        let entries = self.entries(&what)?;
        let object = match &what {
            What::Entry(entry) => entry.object,
            What::Virtual(_) | What::Link(_) => None,
        };
        Ok(Listing { handle: *directory, object, entries })
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// As [`Vfs::link_target`], and [`Error::Stale`].
    pub fn link_target_of(&self, handle: &Handle) -> Result<Vec<u8>, Error> {
        self.target_of(&self.named(handle)?)
    }

    /// Opens a file, as [`Vfs::open`] does.
    ///
    /// # Errors
    /// As [`Vfs::open`], and [`Error::Stale`].
    pub fn open_file(&self, handle: &Handle) -> Result<File, Error> {
        self.open_what(&self.named(handle)?)
    }
}

/// The entries of a directory, in the order of names, each with its handle.
#[derive(Debug)]
pub struct Listing {
    handle: Handle,
    /// The directory; `None` above the snapshots.
    object: Option<ObjectId>,
    entries: Arc<Vec<Listed>>,
}

impl Listing {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Whether the entries can change: above the snapshots alone.
    pub fn changes(&self) -> bool {
        self.object.is_none()
    }

    /// The name of an entry.
    pub fn name(&self, position: usize) -> Option<&str> {
        Some(&self.entries.get(position)?.name)
    }

    /// The handle and the attributes of an entry.
    pub fn get(&self, position: usize) -> Option<(Handle, Attributes)> {
        let entry = self.entries.get(position)?;
        let (parent, inode) = (self.handle.inode, nodes::number(self.handle.inode, &entry.name));
        let place = match self.object {
            None => Place::Layout,
            Some(directory) => Place::Entry { directory, position: u32::try_from(position).ok()? },
        };
        Some((Handle { inode, parent, place }, attributes(inode, &entry.what)))
    }
}

fn listed(name: &str, directory: &str, child: &Child) -> Listed {
    let kind = match child {
        Child::Directory => Kind::Directory,
        Child::Link(_) => Kind::Link,
        Child::Root(root) => kind_of(root.kind).unwrap_or(Kind::Directory),
    };
    Listed { name: name.into(), kind, what: child.what(directory, name) }
}

fn kind_of(kind: EntryType) -> Option<Kind> {
    match kind {
        EntryType::Directory => Some(Kind::Directory),
        EntryType::File => Some(Kind::File),
        EntryType::Symlink => Some(Kind::Link),
        EntryType::Unknown => None,
    }
}

fn attributes(inode: u64, what: &What) -> Attributes {
    match what {
        What::Virtual(_) => Attributes {
            inode,
            kind: Kind::Directory,
            mode: 0o555,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: UtcTimestamp::default(),
        },
        What::Link(target) => Attributes {
            inode,
            kind: Kind::Link,
            mode: 0o777,
            uid: 0,
            gid: 0,
            size: target.len() as u64,
            mtime: UtcTimestamp::default(),
        },
        What::Entry(entry) => Attributes {
            inode,
            kind: kind_of(entry.kind).unwrap_or(Kind::File),
            mode: entry.mode.to_posix(),
            uid: entry.uid,
            gid: entry.gid,
            size: entry.size,
            mtime: entry.mtime,
        },
    }
}

/// The root of a snapshot as a node.
fn root_of(snapshot: &Snapshot) -> Option<Arc<DirEntry>> {
    snapshot.root.clone().map(Arc::new)
}

#[cfg(test)]
mod tests;
