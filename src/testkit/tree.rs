//! Trees of files that exist only as a description: names, attributes and seeds of data.

use super::data::Data;
use super::error::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;

/// Permissions, owner and time of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// POSIX permission bits with setuid (04000), setgid (02000) and sticky (01000).
    pub mode: u32,
    /// Nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A regular file of a [`Tree`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    /// Name in its directory.
    pub name: String,
    /// Permissions, owner, time.
    pub attributes: Attributes,
    /// What is in it.
    pub data: Data,
}

/// A symbolic link of a [`Tree`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeLink {
    /// Name in its directory.
    pub name: String,
    /// Where it points.
    pub target: Vec<u8>,
    /// Owner and time; the mode of a link is always 0777.
    pub attributes: Attributes,
}

/// Files of one directory that follow a rule, so that millions need no memory: number → file.
pub(crate) trait Series: Send + Sync {
    /// How many.
    fn len(&self) -> usize;
    /// File number `index`, in ascending order of names.
    fn file(&self, index: usize) -> TreeFile;
}

/// A directory of a [`Tree`].
pub struct TreeDirectory {
    path: String,
    attributes: Attributes,
    directories: BTreeMap<String, usize>,
    files: BTreeMap<String, TreeFile>,
    links: BTreeMap<String, TreeLink>,
    series: Option<Box<dyn Series>>,
}

impl TreeDirectory {
    /// Path below the root, without a leading slash; empty for the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Name in its parent; empty for the root.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Permissions, owner, time.
    pub fn attributes(&self) -> Attributes {
        self.attributes
    }

    /// Directories in it, by name: (name, number in the tree).
    pub fn directories(&self) -> impl Iterator<Item = (&str, usize)> {
        self.directories.iter().map(|(name, number)| (name.as_str(), *number))
    }

    /// Its regular files; by name, unless a series and single files were mixed.
    pub fn files(&self) -> impl Iterator<Item = TreeFile> + '_ {
        let series = self.series.iter().flat_map(|series| (0..series.len()).map(|index| series.file(index)));
        self.files.values().cloned().chain(series)
    }

    /// How many regular files it holds itself.
    pub fn file_count(&self) -> usize {
        self.files.len() + self.series.as_ref().map_or(0, |series| series.len())
    }

    /// Its symbolic links, by name.
    pub fn links(&self) -> impl Iterator<Item = &TreeLink> {
        self.links.values()
    }
}

/// A tree of files, described. See [`Shape`](super::Shape) for ready-made ones.
///
/// ```
/// use rokopia::testkit::{Data, DataKind, Tree};
///
/// let mut tree = Tree::new();
/// tree.add_file("etc/hosts", Data { kind: DataKind::Text, seed: 1, size: 300 })?;
/// tree.add_link("etc/link", "hosts")?;
/// assert_eq!(tree.listing().map(|e| e.path).collect::<Vec<_>>(), ["", "etc", "etc/hosts", "etc/link"]);
/// # Ok::<(), rokopia::testkit::Error>(())
/// ```
pub struct Tree {
    directories: Vec<TreeDirectory>,
    owner: (u32, u32),
}

/// Time of the first file of a tree; those of the standard workloads count on from here.
pub(crate) const BASE_TIME_NS: i64 = 1_700_000_000_000_000_000;

impl Default for Tree {
    fn default() -> Self {
        Tree::new()
    }
}

impl Tree {
    /// A tree of only a root directory (0755, owned by root).
    pub fn new() -> Tree {
        Tree::owned_by(0, 0)
    }

    /// A tree of only a root directory; it and what is added later belong to `uid` and `gid`.
    pub fn owned_by(uid: u32, gid: u32) -> Tree {
        let mut tree = Tree { directories: Vec::new(), owner: (uid, gid) };
        tree.push_directory(String::new());
        tree
    }

    fn push_directory(&mut self, path: String) -> usize {
        let number = self.directories.len();
        self.directories.push(TreeDirectory {
            path,
            attributes: self.default_attributes(0o755, number as i64),
            directories: BTreeMap::new(),
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            series: None,
        });
        number
    }

    /// Attributes of this tree's owner, `seconds` after its first file.
    pub(crate) fn default_attributes(&self, mode: u32, seconds: i64) -> Attributes {
        // Not whole seconds: a reader that drops nanoseconds must be caught.
        let nanoseconds = seconds.wrapping_mul(1_000_003).rem_euclid(1_000_000_000);
        let mtime_ns = BASE_TIME_NS + seconds.rem_euclid(1 << 30) * 1_000_000_000 + nanoseconds;
        Attributes { mode, mtime_ns, uid: self.owner.0, gid: self.owner.1 }
    }

    fn at(&mut self, number: usize) -> Result<&mut TreeDirectory> {
        self.directories
            .get_mut(number)
            .ok_or_else(|| Error::invalid(format!("no directory number {number}")))
    }

    /// Adds a directory and those above it that are missing; its number.
    pub fn add_directory(&mut self, path: &str) -> Result<usize> {
        let mut number = 0;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if name == "." || name == ".." || name.contains('\0') {
                return Err(Error::invalid(format!("{path:?} is not a path below the root")));
            }
            let parent = self.at(number)?;
            if parent.files.contains_key(name) || parent.links.contains_key(name) {
                return Err(Error::invalid(format!("{path:?} leads through a file")));
            }
            number = match parent.directories.get(name) {
                Some(known) => *known,
                None => {
                    let below =
                        if parent.path.is_empty() { name.into() } else { format!("{}/{name}", parent.path) };
                    let new = self.push_directory(below);
                    self.at(number)?.directories.insert(name.into(), new);
                    new
                }
            };
        }
        Ok(number)
    }

    fn parent_of<'a>(&mut self, path: &'a str) -> Result<(&'a str, &mut TreeDirectory)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let number = self.add_directory(parent)?;
        let directory = self.at(number)?;
        if name.is_empty() || name == "." || name == ".." || directory.directories.contains_key(name) {
            return Err(Error::invalid(format!("{path:?} cannot be a file")));
        }
        Ok((name, directory))
    }

    /// Adds a file (0644) and the directories above it.
    pub fn add_file(&mut self, path: &str, data: Data) -> Result<&mut TreeFile> {
        let attributes = self.default_attributes(0o644, path.len() as i64);
        let (name, directory) = self.parent_of(path)?;
        directory.links.remove(name);
        let file = TreeFile { name: name.into(), attributes, data };
        directory.files.insert(name.into(), file);
        directory.files.get_mut(name).ok_or_else(|| Error::invalid("a file just added is gone"))
    }

    /// Adds a symbolic link and the directories above it.
    pub fn add_link(&mut self, path: &str, target: impl Into<Vec<u8>>) -> Result<()> {
        let attributes = self.default_attributes(0o777, path.len() as i64);
        let (name, directory) = self.parent_of(path)?;
        directory.files.remove(name);
        directory
            .links
            .insert(name.into(), TreeLink { name: name.into(), target: target.into(), attributes });
        Ok(())
    }

    pub(crate) fn set_series(&mut self, directory: usize, series: impl Series + 'static) -> Result<()> {
        self.at(directory)?.series = Some(Box::new(series));
        Ok(())
    }

    /// Changes permissions, owner and time of a directory; the root is number 0.
    pub fn set_directory_attributes(&mut self, number: usize, attributes: Attributes) -> Result<()> {
        self.at(number)?.attributes = attributes;
        Ok(())
    }

    /// All directories, the root first and each after its parent; the index is the directory's number.
    pub fn directories(&self) -> &[TreeDirectory] {
        &self.directories
    }

    /// Numbers of the directories, each after those in it: the order in which a repository is written.
    pub(crate) fn bottom_up(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.directories.len());
        let mut stack = vec![0];
        while let Some(number) = stack.pop() {
            order.push(number);
            if let Some(directory) = self.directories.get(number) {
                stack.extend(directory.directories.values());
            }
        }
        order.reverse();
        order
    }

    /// Every entry: a directory, its files, its links, then what is below it.
    pub fn listing(&self) -> impl Iterator<Item = Listed> + '_ {
        let mut order = Vec::with_capacity(self.directories.len());
        let mut stack = vec![0];
        while let Some(number) = stack.pop() {
            if let Some(directory) = self.directories.get(number) {
                order.push(directory);
                stack.extend(directory.directories.values().rev());
            }
        }
        order.into_iter().flat_map(|directory| {
            let below = |name: &str| match directory.path.as_str() {
                "" => name.to_owned(),
                path => format!("{path}/{name}"),
            };
            let own = Listed {
                path: directory.path.clone(),
                attributes: directory.attributes,
                kind: ListedKind::Directory,
            };
            let files = directory.files().map(move |file| Listed {
                path: below(&file.name),
                attributes: file.attributes,
                kind: ListedKind::File(file.data),
            });
            let links = directory.links().map(move |link| Listed {
                path: below(&link.name),
                attributes: link.attributes,
                kind: ListedKind::Link(link.target.clone()),
            });
            std::iter::once(own).chain(files).chain(links)
        })
    }

    /// Writes [`listing`](Self::listing) as JSON lines; with SHA-256 of every file if `hashes`, which reads them all.
    pub fn write_listing(&self, hashes: bool, out: &mut dyn Write) -> Result<()> {
        for entry in self.listing() {
            serde_json::to_writer(&mut *out, &entry.line(hashes))?;
            out.write_all(b"\n").map_err(Error::Data)?;
        }
        Ok(())
    }

    /// How many entries there are, and how many bytes in files.
    pub fn totals(&self) -> TreeTotals {
        let mut totals = TreeTotals { directories: self.directories.len() as u64, ..TreeTotals::default() };
        for directory in &self.directories {
            totals.links += directory.links.len() as u64;
            totals.files += directory.file_count() as u64;
            totals.bytes += directory.files().map(|file| file.data.size).sum::<u64>();
        }
        totals
    }
}

/// What a [`Tree`] amounts to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TreeTotals {
    /// Directories, the root included.
    pub directories: u64,
    /// Regular files.
    pub files: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes in regular files.
    pub bytes: u64,
}

/// One entry of [`Tree::listing`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Path below the root; empty for the root.
    pub path: String,
    /// Permissions, owner, time.
    pub attributes: Attributes,
    /// What it is.
    pub kind: ListedKind,
}

/// What an entry of a listing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListedKind {
    /// A directory.
    Directory,
    /// A regular file with these bytes.
    File(Data),
    /// A symbolic link to this target.
    Link(Vec<u8>),
}

#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    r#type: &'static str,
    mode: String,
    mtime_ns: i64,
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

impl Listed {
    fn line(&self, hashes: bool) -> Line<'_> {
        let (kind, size, sha256, target) = match &self.kind {
            ListedKind::Directory => ("d", None, None, None),
            ListedKind::File(data) => {
                ("f", Some(data.size), hashes.then(|| hex::encode(data.sha256())), None)
            }
            ListedKind::Link(target) => ("l", None, None, Some(String::from_utf8_lossy(target).into_owned())),
        };
        let Attributes { mode, mtime_ns, uid, gid } = self.attributes;
        Line {
            path: &self.path,
            r#type: kind,
            mode: format!("0{mode:o}"),
            mtime_ns,
            uid,
            gid,
            size,
            sha256,
            target,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::DataKind;

    const SOME: Data = Data { kind: DataKind::Noise, seed: 1, size: 10 };

    fn sample() -> Tree {
        let mut tree = Tree::new();
        tree.add_file("b/x", SOME).unwrap();
        tree.add_file("a/c/y", SOME).unwrap().attributes.mode = 0o600;
        tree.add_link("a/l", "../b").unwrap();
        tree.add_directory("a/empty").unwrap();
        tree
    }

    #[test]
    fn the_listing_has_every_entry_once() {
        let tree = sample();
        let paths: Vec<_> = tree.listing().map(|e| e.path).collect();
        assert_eq!(paths, ["", "a", "a/l", "a/c", "a/c/y", "a/empty", "b", "b/x"]);
        assert_eq!(tree.totals(), TreeTotals { directories: 5, files: 2, links: 1, bytes: 20 });
        let mut out = Vec::new();
        tree.write_listing(true, &mut out).unwrap();
        let lines: Vec<serde_json::Value> = out
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect();
        assert_eq!(lines.len(), 8);
        assert_eq!(lines[4]["mode"], "0600");
        assert_eq!(lines[4]["sha256"].as_str().unwrap(), hex::encode(SOME.sha256()));
        assert_eq!(lines[2]["target"], "../b");
    }

    #[test]
    fn children_come_before_their_parents_bottom_up() {
        let tree = sample();
        let order = tree.bottom_up();
        assert_eq!(order.len(), tree.directories().len());
        let place = |n: usize| order.iter().position(|x| *x == n).unwrap();
        for (number, directory) in tree.directories().iter().enumerate() {
            for (_, child) in directory.directories() {
                assert!(place(child) < place(number));
            }
        }
    }

    #[test]
    fn paths_that_make_no_tree_are_refused() {
        let mut tree = sample();
        for path in ["", "a", "../x", "b/x/below", "a/./x", "b/."] {
            assert!(tree.add_file(path, SOME).is_err(), "{path:?}");
        }
        assert!(tree.add_directory("b/x").is_err());
    }
}
