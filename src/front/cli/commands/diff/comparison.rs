//! A directory of this machine against a tree: is it what a restore of the tree would give?

use std::collections::{BTreeMap, btree_map};
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};

use crate::snapshot::{
    Aspect, Difference, DirEntry, EntryType, Error, GoMode, MAX_DEPTH, Tree, UtcTimestamp,
};

/// Bytes of two files compared at a time.
const BLOCK: usize = 256 << 10;

/// What the file system keeps for itself at its root.
const LOST_AND_FOUND: &str = "lost+found";

/// What kept an entry from being compared.
#[derive(Debug)]
pub(crate) struct Uncompared {
    /// Its path below the directory.
    pub(crate) path: String,
    /// The stable code.
    pub(crate) code: &'static str,
    /// Why.
    pub(crate) reason: String,
}

/// What was compared so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Files that both have.
    pub(crate) files: u64,
    /// Directories that both have.
    pub(crate) dirs: u64,
    /// Symbolic links that both have.
    pub(crate) symlinks: u64,
    /// Bytes of files that were read on both sides.
    pub(crate) bytes: u64,
    /// Sockets, pipes and devices of the directory, which no snapshot holds.
    pub(crate) special: u64,
}

/// Goes through a directory and a tree side by side, sorted by name. In each [`Difference`] the directory is the old side.
///
/// What cannot be read concerns what it names; the comparison goes on with the rest. Links are never followed. Holds the
/// entries of one directory per level.
pub(crate) struct Comparison<'a> {
    tree: &'a Tree<'a>,
    top: PathBuf,
    path: String,
    /// The pair compared last, to go into next.
    pending: Option<(Pair, PathBuf)>,
    levels: Vec<Level>,
    troubles: Vec<Uncompared>,
    compared: Compared,
}

/// An entry of the directory as one of a snapshot, and the one of the tree.
type Pair = (Option<DirEntry>, Option<DirEntry>);

/// A pair and where its first side is.
type Located = (Pair, PathBuf);

struct Level {
    /// Length of the directory's path.
    path: usize,
    pairs: btree_map::IntoIter<String, Located>,
}

debug_of!(Comparison<'_>, "Comparison", "top" = |this| &this.top);

impl<'a> Comparison<'a> {
    /// Compares what is at `top` with an entry of a tree, and everything below them.
    ///
    /// # Errors
    /// Nothing is at `top`.
    pub(crate) fn new(top: &Path, tree: &'a Tree<'a>, entry: DirEntry) -> io::Result<Self> {
        let top = fs::canonicalize(top)?;
        let here = entry_of("", &fs::symlink_metadata(&top)?);
        let pairs = BTreeMap::from([(String::new(), ((Some(here), Some(entry)), top.clone()))]);
        let levels = vec![Level { path: 0, pairs: pairs.into_iter() }];
        let (path, compared) = (String::new(), Compared::default());
        Ok(Self { tree, top, path, pending: None, levels, troubles: Vec::new(), compared })
    }

    /// What was compared so far.
    pub(crate) fn compared(&self) -> Compared {
        self.compared
    }

    fn trouble(&mut self, code: &'static str, reason: String) {
        self.troubles.push(Uncompared { path: self.path.clone(), code, reason });
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        self.trouble("local-unreadable", format!("reading {}: {error}", path.display()));
    }

    fn tree_trouble(&mut self, error: &Error) {
        self.trouble(error.code(), error.to_string());
    }

    /// Reads the directories of a pair.
    fn enter(&mut self, (here, saved): Pair, at: &Path) {
        let is_directory = |entry: &Option<DirEntry>| entry.as_ref().is_some_and(DirEntry::is_directory);
        if !is_directory(&here) && !is_directory(&saved) {
            return;
        }
        if self.levels.len() > MAX_DEPTH {
            return self.trouble("directory-too-deep", format!("{} is too deep", at.display()));
        }
        let mut pairs: BTreeMap<String, Located> = BTreeMap::new();
        if let Some(saved) = saved.filter(DirEntry::is_directory) {
            match self.tree.directory(&saved, &self.path) {
                Ok(entries) => {
                    for entry in entries {
                        match entry {
                            Ok(entry) => {
                                let child = at.join(&entry.raw_name);
                                pairs.insert(entry.raw_name.clone(), ((None, Some(entry)), child));
                            }
                            Err(error) => self.tree_trouble(&error.at(self.tree.snapshot(), &self.path)),
                        }
                    }
                }
                Err(error) => return self.tree_trouble(&error),
            }
        }
        if is_directory(&here) {
            match fs::read_dir(at) {
                Ok(children) => children.for_each(|child| self.child(child, at, &mut pairs)),
                Err(error) => return self.unreadable(at, &error),
            }
        }
        self.levels.push(Level { path: self.path.len(), pairs: pairs.into_iter() });
    }

    fn child(
        &mut self,
        child: io::Result<fs::DirEntry>,
        above: &Path,
        pairs: &mut BTreeMap<String, Located>,
    ) {
        let found = child.and_then(|child| {
            let at = child.path();
            Ok((child.file_name(), fs::symlink_metadata(&at)?, at))
        });
        let (name, metadata, at) = match found {
            Ok(found) => found,
            Err(error) => return self.unreadable(above, &error),
        };
        // As snapshots hold them, and restores write them: what is not UTF-8 is replaced.
        let name = name.to_string_lossy().into_owned();
        let here = entry_of(&name, &metadata);
        if here.kind == EntryType::Unknown {
            self.compared.special += 1;
            return;
        }
        let own = name == LOST_AND_FOUND && here.is_directory() && here.uid == 0 && above == self.top;
        let pair = pairs.entry(name);
        if own && matches!(pair, btree_map::Entry::Vacant(_)) {
            return;
        }
        let ((taken, _), place) = pair.or_insert_with(|| ((None, None), at.clone()));
        if taken.is_some() {
            return self.trouble("name-collision", format!("two names look like {}", at.display()));
        }
        *taken = Some(here);
        *place = at;
    }

    fn aspects(&mut self, here: &DirEntry, saved: &DirEntry, at: &Path) -> Vec<Aspect> {
        let mut aspects = Vec::new();
        if here.kind != saved.kind {
            aspects.push(Aspect::Type);
        } else if self.is_other_content(here, saved, at) {
            aspects.push(Aspect::Content);
        }
        let is_link = saved.kind == EntryType::Symlink;
        if !is_link && here.mode.to_posix() != saved.mode.to_posix() {
            aspects.push(Aspect::Mode);
        }
        // An owner that no file can have is restored to nobody.
        if saved.owner().is_some_and(|owner| owner != (here.uid, here.gid)) {
            aspects.push(Aspect::Owner);
        }
        if here.mtime != saved.mtime {
            aspects.push(Aspect::Mtime);
        }
        aspects
    }

    /// Whether the data differs. Where it cannot be read, that is remembered.
    fn is_other_content(&mut self, here: &DirEntry, saved: &DirEntry, at: &Path) -> bool {
        match saved.kind {
            EntryType::Directory | EntryType::Unknown => {
                self.compared.dirs += 1;
                false
            }
            EntryType::Symlink => {
                self.compared.symlinks += 1;
                let target = self.tree.link_target(saved, &self.path);
                match (fs::read_link(at), target) {
                    (Ok(here), Ok(saved)) => here.as_os_str().as_bytes() != saved,
                    (Err(error), _) => {
                        self.unreadable(at, &error);
                        false
                    }
                    (_, Err(error)) => {
                        self.tree_trouble(&error);
                        false
                    }
                }
            }
            EntryType::File => {
                self.compared.files += 1;
                if here.size != saved.size {
                    return true;
                }
                match self.same_bytes(saved, at) {
                    Ok(same) => !same,
                    Err(Unread::Here(error)) => {
                        self.unreadable(at, &error);
                        false
                    }
                    Err(Unread::Saved(error)) => {
                        self.tree_trouble(&error);
                        false
                    }
                }
            }
        }
    }

    fn same_bytes(&mut self, saved: &DirEntry, at: &Path) -> Result<bool, Unread> {
        // What became something else meanwhile is neither followed nor waited for.
        let open = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(at);
        let mut file = open.map_err(Unread::Here)?;
        let mut reader = self.tree.reader(saved, &self.path).map_err(Unread::Saved)?;
        let (mut left, mut right) = (Vec::with_capacity(BLOCK), vec![0; BLOCK]);
        loop {
            left.clear();
            let got = file.by_ref().take(BLOCK as u64).read_to_end(&mut left).map_err(Unread::Here)?;
            let other = reader
                .fill(&mut right)
                .map_err(|error| Unread::Saved(Error::from(error).at(self.tree.snapshot(), &self.path)))?;
            if Some(left.as_slice()) != right.get(..other) {
                return Ok(false);
            }
            self.compared.bytes += got as u64;
            if got < BLOCK {
                return Ok(true);
            }
        }
    }
}

enum Unread {
    Here(io::Error),
    Saved(Error),
}

/// What is in a directory, as a snapshot would hold it.
fn entry_of(name: &str, metadata: &Metadata) -> DirEntry {
    let kind = match metadata.file_type() {
        kind if kind.is_dir() => EntryType::Directory,
        kind if kind.is_file() => EntryType::File,
        kind if kind.is_symlink() => EntryType::Symlink,
        _ => EntryType::Unknown,
    };
    let nanos = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
    DirEntry {
        raw_name: name.to_owned(),
        kind,
        mode: GoMode::from_posix(metadata.mode() & 0o7777),
        size: if kind == EntryType::Directory { 0 } else { metadata.len() },
        mtime: UtcTimestamp(nanos),
        uid: metadata.uid(),
        gid: metadata.gid(),
        ..DirEntry::default()
    }
}

impl Iterator for Comparison<'_> {
    type Item = Result<Difference, Uncompared>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((pair, at)) = self.pending.take() {
                self.enter(pair, &at);
            }
            if let Some(trouble) = self.troubles.pop() {
                return Some(Err(trouble));
            }
            let level = self.levels.last_mut()?;
            self.path.truncate(level.path);
            let Some((name, (pair, at))) = level.pairs.next() else {
                self.levels.pop();
                continue;
            };
            if !name.is_empty() {
                if !self.path.is_empty() {
                    self.path.push('/');
                }
                self.path.push_str(&name);
            }
            let aspects = match &pair {
                (Some(here), Some(saved)) => Some(self.aspects(here, saved, &at)),
                _ => None,
            };
            self.pending = Some((pair.clone(), at));
            let (old, new) = pair;
            let path = self.path.clone();
            match aspects {
                Some(aspects) if aspects.is_empty() => {}
                aspects => {
                    return Some(Ok(Difference { path, old, new, aspects: aspects.unwrap_or_default() }));
                }
            }
        }
    }
}
