//! The tree of files in a snapshot: finding entries by path, and opening them.

use super::walk::Walk;
use super::{DirEntry, EffectiveEntries, Entries, EntryType, Error, GoMode, Snapshot};
use crate::content::{ContentSource, Contents};
use crate::manifest::ManifestId;
use crate::object::{self, ObjectId, Reader};

/// The longest target of a symbolic link that is read, in bytes. Linux takes 4095, Windows 32767 characters.
const MAX_LINK: u64 = 128 << 10;

/// A tree of files: that of a snapshot, or of any object. Paths are relative to its root and separated by `/`; an empty
/// path is the root itself.
///
/// Errors name the snapshot and the path.
pub struct Tree<'a> {
    source: &'a dyn ContentSource,
    snapshot: Option<ManifestId>,
    root: DirEntry,
}

impl Contents {
    /// The files of a snapshot. Nothing is read yet.
    ///
    /// # Errors
    /// [`Error::NoRoot`] for a snapshot that was never finished.
    pub fn tree(&self, snapshot: &Snapshot) -> Result<Tree<'_>, Error> {
        Tree::of_snapshot(self, snapshot)
    }
}

debug_of!(Tree<'_>, "Tree", "snapshot" = |tree| &tree.snapshot, "root" = |tree| &tree.root);

impl<'a> Tree<'a> {
    /// The tree of a snapshot.
    ///
    /// # Errors
    /// [`Error::NoRoot`]. Nothing is read yet.
    pub fn of_snapshot(source: &'a dyn ContentSource, snapshot: &Snapshot) -> Result<Self, Error> {
        let root = snapshot.root.clone().ok_or_else(|| Error::NoRoot { snapshot: snapshot.id.clone() })?;
        Ok(Tree { source, snapshot: Some(snapshot.id.clone()), root })
    }

    /// The tree of an object that is not the root of any snapshot. Its root has made-up attributes, the same as Kopia's:
    /// a directory `/` with mode 0555, or a file `file` with mode 0644, of root and from 1970.
    ///
    /// # Errors
    /// If it cannot be determined whether the object is a directory.
    pub fn of_object(source: &'a dyn ContentSource, object: &ObjectId) -> Result<Self, Error> {
        let directory = object.is_directory()
            && match Entries::open(source, object).next() {
                Some(Err(Error::Directory { .. })) => false,
                Some(Err(error)) if !error.is_entry() => return Err(error.at(None, "")),
                _ => true,
            };
        let (raw_name, kind, mode) = match directory {
            true => ("/", EntryType::Directory, 0o555),
            false => ("file", EntryType::File, 0o644),
        };
        let size = if directory { 0 } else { Reader::new(source, object).length().unwrap_or_default() };
        let mode = GoMode::from_posix(mode);
        let root = DirEntry {
            raw_name: raw_name.to_owned(),
            kind,
            mode,
            size,
            object: Some(*object),
            ..DirEntry::default()
        };
        Ok(Tree { source, snapshot: None, root })
    }

    /// The snapshot, if the tree is that of one.
    pub fn snapshot(&self) -> Option<&ManifestId> {
        self.snapshot.as_ref()
    }

    /// The entry of the root.
    pub fn root(&self) -> &DirEntry {
        &self.root
    }

    /// The entry at `path`.
    ///
    /// # Errors
    /// [`Error::is_not_found`] distinguishes a missing path from directories that cannot be read.
    pub fn entry(&self, path: &str) -> Result<DirEntry, Error> {
        self.find(path).map_err(|error| error.at(self.snapshot(), path))
    }

    fn find(&self, path: &str) -> Result<DirEntry, Error> {
        let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
        let mut entry = self.root.clone();
        let mut walked = String::new();
        while parts.peek().is_some() {
            let rest: Vec<&str> = parts.clone().collect();
            let (found, used) = self.child(&entry, &walked, &rest, path)?;
            for part in parts.by_ref().take(used) {
                join(&mut walked, part);
            }
            entry = found;
        }
        Ok(entry)
    }

    /// The entry of `directory` that is called like the first of `rest`, or like all of them: names from
    /// standard input may contain slashes. Also tells how many parts its name has.
    fn child(
        &self,
        directory: &DirEntry,
        at: &str,
        rest: &[&str],
        path: &str,
    ) -> Result<(DirEntry, usize), Error> {
        if !directory.is_directory() {
            return Err(Error::NotADirectory { path: at.to_owned() });
        }
        let first = rest.first().copied().unwrap_or_default();
        let whole = rest.join("/");
        let (mut as_first, mut as_whole) = (None, None);
        for entry in Entries::open(self.source, object_of(directory, at)?) {
            // Of equal names the last one counts, even if it is not valid.
            match entry {
                Ok(entry) if entry.raw_name == first => as_first = Some(Ok(entry)),
                Ok(entry) if entry.raw_name == whole => as_whole = Some(Ok(entry)),
                Err(error) if !error.is_entry() => return Err(error),
                Err(error) if error.path() == Some(first) => as_first = Some(Err(error)),
                Err(error) if error.path() == Some(&whole) => as_whole = Some(Err(error)),
                _ => {}
            }
        }
        if as_first.is_none() && as_whole.is_none() && first.contains('~') {
            as_first = self.child_of_made_name(directory, at, first)?.map(Ok);
        }
        let found = as_first.map(|found| (found, 1)).or(as_whole.map(|found| (found, rest.len())));
        let missing = || Error::NotFound { path: path.to_owned(), missing: format!("{at}/{first}") };
        let (found, used) = found.ok_or_else(missing)?;
        Ok((found?, used))
    }

    /// The entry that [`EffectiveEntries`] gives a name that was made.
    fn child_of_made_name(
        &self,
        directory: &DirEntry,
        at: &str,
        name: &str,
    ) -> Result<Option<DirEntry>, Error> {
        for entry in EffectiveEntries::open(self.source, object_of(directory, at)?)? {
            match entry {
                Ok(entry) if entry.stored_name.is_some() && entry.raw_name == name => return Ok(Some(entry)),
                Err(error) if !error.is_entry() => return Err(error),
                _ => {}
            }
        }
        Ok(None)
    }

    /// The data of the file at `path`.
    ///
    /// # Errors
    /// As [`Tree::entry`]; [`Error::IsADirectory`].
    pub fn open(&self, path: &str) -> Result<Reader<'a>, Error> {
        let entry = self.entry(path)?;
        match entry.kind {
            EntryType::Directory => Err(Error::IsADirectory { path: path.to_owned() }),
            _ => self.reader(&entry, path),
        }
    }

    /// The data of an entry; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::NoObject`]. Nothing is read yet.
    pub fn reader(&self, entry: &DirEntry, path: &str) -> Result<Reader<'a>, Error> {
        let object = object_of(entry, path).map_err(|error| error.at(self.snapshot(), path))?;
        Ok(Reader::new(self.source, object))
    }

    /// The entries of the directory at `path`, see [`EffectiveEntries`].
    ///
    /// # Errors
    /// As [`Tree::entry`]; [`Error::NotADirectory`].
    pub fn read_dir(&self, path: &str) -> Result<EffectiveEntries<'a>, Error> {
        self.directory(&self.entry(path)?, path)
    }

    /// The entries of a directory; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::NotADirectory`], and a directory that cannot be read.
    pub fn directory(&self, entry: &DirEntry, path: &str) -> Result<EffectiveEntries<'a>, Error> {
        if !entry.is_directory() {
            return Err(Error::NotADirectory { path: path.to_owned() }.at(self.snapshot(), path));
        }
        let open = object_of(entry, path).and_then(|object| EffectiveEntries::open(self.source, object));
        open.map_err(|error| error.at(self.snapshot(), path))
    }

    /// The target of a symbolic link, which may be any bytes; `path` is for messages.
    ///
    /// # Errors
    /// If the target cannot be read or is longer than any system allows.
    pub fn link_target(&self, entry: &DirEntry, path: &str) -> Result<Vec<u8>, Error> {
        let target =
            object_of(entry, path).and_then(|object| Ok(object::read_all(self.source, object, MAX_LINK)?));
        target.map_err(|error| error.at(self.snapshot(), path))
    }

    /// The entry at `path` and everything below it, a directory before what it contains.
    ///
    /// # Errors
    /// As [`Tree::entry`].
    pub fn walk(&self, path: &str) -> Result<Walk<'a>, Error> {
        let entry = self.entry(path)?;
        let mut clean = String::new();
        path.split('/').filter(|part| !part.is_empty()).for_each(|part| join(&mut clean, part));
        Ok(Walk::new(self.source, self.snapshot.clone(), clean, entry))
    }
}

/// The object of an entry.
pub(super) fn object_of<'e>(entry: &'e DirEntry, path: &str) -> Result<&'e ObjectId, Error> {
    entry.object.as_ref().ok_or_else(|| Error::NoObject { path: path.to_owned() })
}

/// Appends a name to a path.
pub(super) fn join(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('/');
    }
    path.push_str(name);
}

#[cfg(test)]
mod tests;
