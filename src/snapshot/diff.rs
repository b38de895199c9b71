//! What differs between two trees.

use std::collections::{BTreeMap, btree_map};
use std::vec;

use super::tree::join;
use super::walk::MAX_DEPTH;
use super::{DirEntry, EntryType, Error, Tree};
use crate::object::ObjectId;

/// Bytes of two files compared at a time.
const BLOCK: usize = 256 << 10;

/// An entry that is not the same in both trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Path below the entries compared, empty for these themselves.
    pub path: String,
    /// The entry in the first tree; `None` where it was added.
    pub old: Option<DirEntry>,
    /// The entry in the second tree; `None` where it was removed.
    pub new: Option<DirEntry>,
    /// What is not the same, where both have it.
    pub aspects: Vec<Aspect>,
}

/// What can differ between two entries with one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    /// One is a directory, file or link and the other is not.
    Type,
    /// The bytes of a file, or the target of a link.
    Content,
    /// Permissions.
    Mode,
    /// Numeric owner or group.
    Owner,
    /// Modification time.
    Mtime,
}

impl Aspect {
    /// A word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Content => "content",
            Self::Mode => "mode",
            Self::Owner => "owner",
            Self::Mtime => "mtime",
        }
    }
}

/// Goes through two trees side by side, sorted by name within each directory. Directories that are the same object are
/// not read; files with different objects are, since the same bytes can be stored in more than one way.
///
/// An error concerns what it names; the comparison goes on with the rest. Holds the entries of one directory of each
/// tree per level.
pub struct Diff<'a> {
    old: &'a Tree<'a>,
    new: &'a Tree<'a>,
    /// The pair compared last, to go into next.
    pending: Option<Pair>,
    path: String,
    levels: Vec<Level>,
    errors: vec::IntoIter<Error>,
}

type Pair = (Option<DirEntry>, Option<DirEntry>);

struct Level {
    /// Length of the directory's path.
    path: usize,
    directories: [Option<ObjectId>; 2],
    pairs: btree_map::IntoIter<String, Pair>,
}

impl<'a> Diff<'a> {
    /// Compares an entry of one tree with one of another, and everything below them.
    pub fn new(old: (&'a Tree<'a>, DirEntry), new: (&'a Tree<'a>, DirEntry)) -> Self {
        Diff {
            old: old.0,
            new: new.0,
            pending: None,
            path: String::new(),
            levels: Vec::new(),
            errors: Vec::new().into_iter(),
        }
        .begin((Some(old.1), Some(new.1)))
    }

    fn begin(mut self, roots: Pair) -> Self {
        let pairs = BTreeMap::from([(String::new(), roots)]).into_iter();
        self.levels.push(Level { path: 0, directories: [None, None], pairs });
        self
    }

    /// Reads the directories of a pair, and queues what cannot be read of them.
    fn enter(&mut self, (old, new): Pair) {
        let directory = |entry: Option<DirEntry>| entry.filter(DirEntry::is_directory);
        let (old, new) = (directory(old), directory(new));
        let object = |entry: &Option<DirEntry>| entry.as_ref().and_then(|entry| entry.object);
        let directories = [object(&old), object(&new)];
        let same = directories[0].is_some() && directories[0] == directories[1];
        if same || (old.is_none() && new.is_none()) {
            return;
        }
        let mut errors = Vec::new();
        let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
        for (side, (tree, entry)) in [(self.old, old), (self.new, new)].into_iter().enumerate() {
            let Some(entry) = entry else { continue };
            for child in self.children(tree, &entry, side, &mut errors) {
                let pair = pairs.entry(child.raw_name.clone()).or_default();
                if side == 0 { pair.0 = Some(child) } else { pair.1 = Some(child) }
            }
        }
        self.errors = errors.into_iter();
        self.levels.push(Level { path: self.path.len(), directories, pairs: pairs.into_iter() });
    }

    fn children(
        &self,
        tree: &Tree<'_>,
        directory: &DirEntry,
        side: usize,
        errors: &mut Vec<Error>,
    ) -> Vec<DirEntry> {
        let path = &self.path;
        let is_open = |object: &ObjectId| {
            self.levels.iter().any(|level| level.directories.get(side) == Some(&Some(*object)))
        };
        if self.levels.len() > MAX_DEPTH {
            errors.push(Error::TooDeep { path: path.clone(), limit: MAX_DEPTH }.at(tree.snapshot(), path));
            return Vec::new();
        }
        if let Some(object) = directory.object.filter(is_open) {
            errors.push(Error::Loop { path: path.clone(), directory: object }.at(tree.snapshot(), path));
            return Vec::new();
        }
        match tree.directory(directory, path) {
            Ok(entries) => entries
                .filter_map(|entry| entry.map_err(|error| errors.push(error.at(tree.snapshot(), path))).ok())
                .collect(),
            Err(error) => {
                errors.push(error);
                Vec::new()
            }
        }
    }

    fn aspects(&self, old: &DirEntry, new: &DirEntry) -> Result<Vec<Aspect>, Error> {
        let mut aspects = Vec::new();
        if old.kind != new.kind {
            aspects.push(Aspect::Type);
        } else if !old.is_directory() && !self.same_content(old, new)? {
            aspects.push(Aspect::Content);
        }
        for (aspect, same) in [
            (Aspect::Mode, old.mode == new.mode),
            (Aspect::Owner, (old.uid, old.gid) == (new.uid, new.gid)),
            (Aspect::Mtime, old.mtime == new.mtime),
        ] {
            if !same {
                aspects.push(aspect);
            }
        }
        Ok(aspects)
    }

    fn same_content(&self, old: &DirEntry, new: &DirEntry) -> Result<bool, Error> {
        if old.object == new.object {
            return Ok(true);
        }
        if old.kind == EntryType::File && old.size != new.size {
            return Ok(false);
        }
        let mut buffers = [vec![0; BLOCK], vec![0; BLOCK]];
        let [left, right] = &mut buffers;
        let mut readers = (self.old.reader(old, &self.path)?, self.new.reader(new, &self.path)?);
        loop {
            let got = readers.0.fill(left).map_err(|e| Error::from(e).at(self.old.snapshot(), &self.path))?;
            let other =
                readers.1.fill(right).map_err(|e| Error::from(e).at(self.new.snapshot(), &self.path))?;
            if left.get(..got) != right.get(..other) {
                return Ok(false);
            }
            if got < BLOCK {
                return Ok(true);
            }
        }
    }
}

impl Iterator for Diff<'_> {
    type Item = Result<Difference, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(pair) = self.pending.take() {
                self.enter(pair);
            }
            if let Some(error) = self.errors.next() {
                return Some(Err(error));
            }
            let level = self.levels.last_mut()?;
            self.path.truncate(level.path);
            let Some((name, pair)) = level.pairs.next() else {
                self.levels.pop();
                continue;
            };
            if !name.is_empty() {
                join(&mut self.path, &name);
            }
            self.pending = Some(pair.clone());
            let aspects = match &pair {
                (Some(old), Some(new)) => match self.aspects(old, new) {
                    Ok(aspects) if aspects.is_empty() => continue,
                    Ok(aspects) => aspects,
                    Err(error) => return Some(Err(error)),
                },
                _ => Vec::new(),
            };
            let (old, new) = pair;
            return Some(Ok(Difference { path: self.path.clone(), old, new, aspects }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::index::ContentId;
    use crate::snapshot::GoMode;

    type Contents = BTreeMap<ContentId, Vec<u8>>;

    fn put(contents: &mut Contents, id: &str, bytes: &str) {
        contents.insert(id.parse().unwrap(), bytes.as_bytes().to_vec());
    }

    fn directory(contents: &mut Contents, id: &str, entries: &str) {
        put(contents, id, &format!(r#"{{"stream":"kopia:directory","entries":[{entries}]}}"#));
    }

    fn sample() -> Contents {
        let mut contents = Contents::new();
        directory(
            &mut contents,
            "k0a",
            r#"{"name":"same","type":"d","obj":"k99"},{"name":"sub","type":"d","obj":"k0c"},
            {"name":"gone","type":"f","size":3,"obj":"01"},{"name":"twice","type":"f","size":3,"obj":"01"},
            {"name":"turns","type":"d","obj":"k0c"},{"name":"link","type":"s","obj":"01"}"#,
        );
        directory(
            &mut contents,
            "k0b",
            r#"{"name":"same","type":"d","obj":"k99","mode":"0755"},{"name":"sub","type":"d","obj":"k0d"},
            {"name":"new","type":"f","size":3,"obj":"01"},{"name":"twice","type":"f","size":3,"obj":"02"},
            {"name":"turns","type":"f","size":3,"obj":"03","uid":7},{"name":"link","type":"s","obj":"03"}"#,
        );
        directory(&mut contents, "k0c", r#"{"name":"f","type":"f","size":3,"obj":"01"}"#);
        directory(&mut contents, "k0d", r#"{"name":"f","type":"f","size":3,"obj":"03"}"#);
        put(&mut contents, "01", "abc");
        put(&mut contents, "02", "abc");
        put(&mut contents, "03", "abd");
        contents
    }

    fn differences(contents: &Contents, old: &str, new: &str) -> Vec<String> {
        let tree = |id: &str| {
            let root = DirEntry {
                kind: EntryType::Directory,
                mode: GoMode::from_posix(0o755),
                object: Some(id.parse().unwrap()),
                ..DirEntry::default()
            };
            (Tree::of_object(contents, &id.parse().unwrap()).unwrap(), root)
        };
        let ((old, old_root), (new, new_root)) = (tree(old), tree(new));
        Diff::new((&old, old_root), (&new, new_root))
            .map(|found| match found {
                Ok(Difference { path, old: Some(_), new: Some(_), aspects }) => {
                    let aspects: Vec<_> = aspects.into_iter().map(Aspect::as_str).collect();
                    format!("{path}: {}", aspects.join(" "))
                }
                Ok(Difference { path, new: Some(_), .. }) => format!("+{path}"),
                Ok(Difference { path, .. }) => format!("-{path}"),
                Err(error) => format!("!{} {}", error.path().unwrap(), error.code()),
            })
            .collect()
    }

    #[test]
    fn everything_that_is_not_the_same() {
        let expected = [
            "-gone",
            "link: content",
            "+new",
            "same: mode",
            "sub/f: content",
            "turns: type owner",
            "-turns/f",
        ];
        assert_eq!(differences(&sample(), "k0a", "k0b"), expected);
        assert!(differences(&sample(), "k0a", "k0a").is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_named_and_the_rest_compared() {
        let mut contents = sample();
        contents.remove(&"k0d".parse().unwrap());
        contents.remove(&"02".parse().unwrap());
        let found = differences(&contents, "k0a", "k0b");
        assert!(found.contains(&"!sub content-missing".into()), "{found:?}");
        assert!(found.contains(&"!twice content-missing".into()), "{found:?}");
        assert!(found.contains(&"+new".into()), "{found:?}");
    }

    #[test]
    fn directories_in_themselves_end() {
        let mut contents = Contents::new();
        directory(&mut contents, "k0a", r#"{"name":"a","type":"d","obj":"k0a"}"#);
        directory(&mut contents, "k0b", r#"{"name":"a","type":"d","obj":"k0b"}"#);
        assert_eq!(differences(&contents, "k0a", "k0b"), ["!a directory-loop", "!a directory-loop"]);
    }
}
