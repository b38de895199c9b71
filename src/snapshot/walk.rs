//! Going through a tree.

use super::tree::{join, object_of};
use super::{DirEntry, EffectiveEntries, Error};
use crate::content::ContentSource;
use crate::manifest::ManifestId;
use crate::object::ObjectId;

/// Directories this many levels below the root are refused. Kopia's clients address files by paths of at most 4096 bytes.
pub(crate) const MAX_DEPTH: usize = 4096;

/// Bytes that the open directories of a walk may hold before those farther up are closed and, later, read again.
const MAX_HELD: usize = 32 << 20;

/// Something found on a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct WalkEntry {
    /// Path in the tree, empty for the root. Names are joined as they are: it is for people and for matching, not for a
    /// file system, see [`DirEntry::name`].
    pub path: String,
    /// How many directories down from where the walk began.
    pub depth: usize,
    /// The entry.
    pub entry: DirEntry,
}

/// Goes through a tree, a directory before what it contains, in stored order. Memory depends neither on the number of
/// entries nor on the depth.
///
/// An error concerns the one entry or directory that it names; the walk goes on with the rest. Entries with one name come
/// under names that tell them apart, see [`EffectiveEntries`].
pub struct Walk<'a> {
    source: &'a dyn ContentSource,
    snapshot: Option<ManifestId>,
    /// What to yield next, before anything else.
    first: Option<DirEntry>,
    /// The directory yielded last, to go into next.
    pending: Option<DirEntry>,
    /// The path of what was yielded last.
    path: String,
    levels: Vec<Level<'a>>,
    max_held: usize,
}

/// A directory that the walk is in.
struct Level<'a> {
    /// Length of its path.
    path: usize,
    entries: EffectiveEntries<'a>,
}

debug_of!(Walk<'_>, "Walk");

impl<'a> Walk<'a> {
    pub(super) fn new(
        source: &'a dyn ContentSource,
        snapshot: Option<ManifestId>,
        path: String,
        entry: DirEntry,
    ) -> Self {
        let first = Some(entry);
        Walk { source, snapshot, first, pending: None, path, levels: Vec::new(), max_held: MAX_HELD }
    }

    /// Leaves out what is inside the directory that was yielded last.
    pub fn skip_directory(&mut self) {
        self.pending = None;
    }

    fn enter(&mut self, directory: &DirEntry) -> Result<(), Error> {
        let object = object_of(directory, &self.path)?;
        let is_open = |known: &ObjectId| self.levels.iter().any(|level| level.entries.directory() == known);
        if is_open(object) {
            return Err(Error::Loop { path: self.path.clone(), directory: *object });
        }
        if self.levels.len() >= MAX_DEPTH {
            return Err(Error::TooDeep { path: self.path.clone(), limit: MAX_DEPTH });
        }
        let entries = EffectiveEntries::open(self.source, object)?;
        self.levels.push(Level { path: self.path.len(), entries });
        let mut held: usize = self.levels.iter().map(|level| level.entries.held()).sum();
        let above = self.levels.len() - 1;
        for level in self.levels.iter_mut().take(above).filter(|level| level.entries.held() > 0) {
            if held <= self.max_held {
                break;
            }
            held -= level.entries.held();
            level.entries.suspend();
        }
        Ok(())
    }

    fn yielded(&mut self, entry: DirEntry) -> WalkEntry {
        if entry.is_directory() {
            self.pending = Some(entry.clone());
        }
        WalkEntry { path: self.path.clone(), depth: self.levels.len(), entry }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<WalkEntry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(first) = self.first.take() {
            return Some(Ok(self.yielded(first)));
        }
        if let Some(directory) = self.pending.take()
            && let Err(error) = self.enter(&directory)
        {
            return Some(Err(error.at(self.snapshot.as_ref(), &self.path)));
        }
        while let Some(level) = self.levels.last_mut() {
            self.path.truncate(level.path);
            match level.entries.next() {
                None => {
                    self.levels.pop();
                }
                Some(Ok(entry)) => {
                    join(&mut self.path, &entry.raw_name);
                    return Some(Ok(self.yielded(entry)));
                }
                Some(Err(error)) => {
                    if let Some(name) = error.path().filter(|_| error.is_entry()) {
                        join(&mut self.path, name);
                    }
                    return Some(Err(error.at(self.snapshot.as_ref(), &self.path)));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::index::ContentId;
    use crate::snapshot::EntryType;

    type Contents = BTreeMap<ContentId, Vec<u8>>;

    fn put(contents: &mut Contents, id: &str, entries: &str) {
        let json = format!(r#"{{"stream":"kopia:directory","entries":[{entries}]}}"#);
        contents.insert(id.parse().unwrap(), json.into_bytes());
    }

    fn walk<'a>(contents: &'a Contents, id: &str) -> Walk<'a> {
        let kind = EntryType::Directory;
        let root = DirEntry { kind, object: Some(id.parse().unwrap()), ..DirEntry::default() };
        Walk::new(contents, Some(ManifestId::new("snap")), String::new(), root)
    }

    fn paths(walk: Walk<'_>) -> Vec<String> {
        walk.map(|found| match found {
            Ok(found) => format!("{} {}", found.depth, found.path),
            Err(error) => {
                assert_eq!(error.snapshot().unwrap().as_str(), "snap");
                format!("!{} {}", error.code(), error.path().unwrap())
            }
        })
        .collect()
    }

    fn sample() -> Contents {
        let mut contents = Contents::new();
        put(
            &mut contents,
            "k01",
            r#"{"name":"a","type":"d","obj":"k02"},{"name":"b","type":"d","obj":"k03"},{"name":"f","type":"f","obj":"00"}"#,
        );
        put(
            &mut contents,
            "k02",
            r#"{"name":"x","type":"f"},{"name":"c","type":"d","obj":"k03"},{"name":"y","type":"s"}"#,
        );
        put(&mut contents, "k03", "");
        contents
    }

    #[test]
    fn goes_through_everything_in_order() {
        let contents = sample();
        assert_eq!(paths(walk(&contents, "k01")), ["0 ", "1 a", "2 a/x", "2 a/c", "2 a/y", "1 b", "1 f"]);
        let mut skipping = walk(&contents, "k01");
        let mut seen = Vec::new();
        while let Some(found) = skipping.next() {
            let found = found.unwrap();
            if found.path == "a" {
                skipping.skip_directory();
            }
            seen.push(found.path);
        }
        assert_eq!(seen, ["", "a", "b", "f"]);
    }

    #[test]
    fn errors_do_not_end_it() {
        let mut contents = sample();
        contents.remove(&"k03".parse().unwrap());
        put(
            &mut contents,
            "k02",
            r#"null,{"name":"x","mode":0},{"name":"n","type":"d"},{"name":"d"},{"name":"d"}"#,
        );
        assert_eq!(
            paths(walk(&contents, "k01")),
            [
                "0 ",
                "1 a",
                "!entry-invalid a",
                "!entry-invalid a/x",
                "2 a/n",
                "!entry-without-object a/n",
                "2 a/d~1",
                "2 a/d",
                "1 b",
                "!content-missing b",
                "1 f"
            ]
        );
        contents.insert("k02".parse().unwrap(), b"{".to_vec());
        assert_eq!(paths(walk(&contents, "k01"))[1..4], ["1 a", "!directory-damaged a", "1 b"]);
        assert_eq!(paths(walk(&contents, "k09")), ["0 ", "!content-missing "]);
    }

    #[test]
    fn loops_end() {
        let mut contents = sample();
        put(
            &mut contents,
            "k03",
            r#"{"name":"up","type":"d","obj":"k01"},{"name":"me","type":"d","obj":"k03"}"#,
        );
        let found = paths(walk(&contents, "k01"));
        assert!(
            found.contains(&"!directory-loop a/c/up".to_owned())
                && found.contains(&"!directory-loop b/me".to_owned())
        );
        assert!(found.ends_with(&["1 f".to_owned()]));
    }

    #[test]
    fn depth_is_bounded() {
        let mut contents = Contents::new();
        for level in 0..=MAX_DEPTH {
            put(
                &mut contents,
                &format!("k{level:04x}"),
                &format!(r#"{{"name":"d","type":"d","obj":"k{:04x}"}}"#, level + 1),
            );
        }
        let last = walk(&contents, "k0000").last().unwrap().unwrap_err();
        assert_eq!(last.code(), "directory-too-deep");
    }

    #[test]
    fn closing_directories_changes_nothing() {
        let contents = sample();
        let mut frugal = walk(&contents, "k01");
        frugal.max_held = 0;
        assert_eq!(paths(frugal), paths(walk(&contents, "k01")));
    }
}
