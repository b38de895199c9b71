//! Directory objects and the entries in them.

use super::error::Result;
use super::object::is_zero;
use super::tree::Attributes;
use super::writer::RepositoryWriter;
use crate::snapshot::{GoMode, UtcTimestamp};
use serde::{Serialize, Serializer};

/// One entry of a directory, as JSON has it. All fields may hold nonsense.
#[derive(Default, Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DirectoryEntry {
    /// Name; `/` or `..` are for the reader to refuse.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `f`, `d` or `s`.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Octal digits of a Go file mode with a leading zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Length of the object.
    #[serde(skip_serializing_if = "is_zero")]
    pub size: i64,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtime: Option<String>,
    /// Owner; negative is for the reader to refuse.
    #[serde(skip_serializing_if = "is_zero")]
    pub uid: i64,
    /// Group.
    #[serde(skip_serializing_if = "is_zero")]
    pub gid: i64,
    /// Object ID.
    #[serde(rename = "obj")]
    pub object: String,
    /// What is below, if it is a directory.
    #[serde(rename = "summ", skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

impl DirectoryEntry {
    fn new(name: &str, kind: &str, attributes: &Attributes, size: u64, object: &str) -> DirectoryEntry {
        DirectoryEntry {
            name: name.into(),
            kind: kind.into(),
            mode: go_mode(attributes.mode),
            size: size as i64,
            mtime: (attributes.mtime_ns != 0).then(|| UtcTimestamp(attributes.mtime_ns).to_string()),
            uid: attributes.uid.into(),
            gid: attributes.gid.into(),
            object: object.into(),
            summary: None,
        }
    }

    /// A regular file.
    pub fn file(name: &str, attributes: &Attributes, size: u64, object: &str) -> DirectoryEntry {
        DirectoryEntry::new(name, "f", attributes, size, object)
    }

    /// A symbolic link, whose target is the object.
    pub fn link(name: &str, attributes: &Attributes, target_length: u64, object: &str) -> DirectoryEntry {
        DirectoryEntry::new(name, "s", attributes, target_length, object)
    }

    /// A directory.
    pub fn directory(name: &str, written: &WrittenDirectory) -> DirectoryEntry {
        let entry = DirectoryEntry::new(name, "d", &written.attributes, 0, &written.object);
        DirectoryEntry { summary: Some(written.summary.clone()), ..entry }
    }
}

/// The mode as Kopia writes it; nothing for 0.
fn go_mode(mode: u32) -> Option<String> {
    match GoMode::from_posix(mode).bits() {
        0 => None,
        bits => Some(format!("0{bits:o}")),
    }
}

/// What a directory amounts to, itself included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Bytes in files.
    pub size: i64,
    /// Regular files.
    pub files: i64,
    /// Symbolic links.
    pub symlinks: i64,
    /// Directories.
    pub dirs: i64,
    /// Newest modification, in nanoseconds since 1970.
    #[serde(rename = "maxTime", serialize_with = "as_rfc3339")]
    pub max_time_ns: i64,
    /// Why the directory is not whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub incomplete: String,
    /// Entries that could not be read.
    #[serde(rename = "numFailed")]
    pub failed: i64,
}

fn as_rfc3339<S: Serializer>(nanoseconds: &i64, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    UtcTimestamp(*nanoseconds).serialize(serializer)
}

/// A directory in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenDirectory {
    /// Object ID.
    pub object: String,
    /// What it holds.
    pub summary: Summary,
    /// Attributes, for the entry that points to it.
    pub attributes: Attributes,
}

/// Collects the entries of a directory.
#[derive(Debug, Default)]
pub struct DirectoryBuilder {
    entries: Vec<(DirectoryEntry, i64)>,
}

impl DirectoryBuilder {
    /// An empty directory.
    pub fn new() -> DirectoryBuilder {
        DirectoryBuilder::default()
    }

    /// Adds an entry as it stands; it counts for the summary with its size and, if it is a directory, its summary.
    pub fn push(&mut self, entry: DirectoryEntry, mtime_ns: i64) -> &mut DirectoryBuilder {
        self.entries.push((entry, mtime_ns));
        self
    }

    /// Adds a regular file.
    pub fn file(&mut self, name: &str, attributes: &Attributes, size: u64, object: &str) -> &mut Self {
        self.push(DirectoryEntry::file(name, attributes, size, object), attributes.mtime_ns)
    }

    /// Adds a symbolic link whose target, of `length` bytes, is the content of `object`.
    pub fn link(&mut self, name: &str, attributes: &Attributes, length: u64, object: &str) -> &mut Self {
        self.push(DirectoryEntry::link(name, attributes, length, object), attributes.mtime_ns)
    }

    /// Adds a directory.
    pub fn directory(&mut self, name: &str, written: &WrittenDirectory) -> &mut Self {
        self.push(DirectoryEntry::directory(name, written), written.attributes.mtime_ns)
    }

    /// The summary of what was added, of a directory that was itself modified at `own_mtime_ns`.
    pub fn summary(&self, own_mtime_ns: i64) -> Summary {
        let mut summary = Summary { dirs: 1, ..Summary::default() };
        let mut newest = None;
        for (entry, mtime) in &self.entries {
            newest = newest.max(Some(*mtime));
            match entry.kind.as_str() {
                "f" => {
                    summary.files += 1;
                    // Hostile trees claim sizes that have no sum.
                    summary.size = summary.size.saturating_add(entry.size);
                }
                "s" => summary.symlinks += 1,
                _ => {}
            }
            if let Some(below) = &entry.summary {
                summary.size = summary.size.saturating_add(below.size);
                summary.files += below.files;
                summary.symlinks += below.symlinks;
                summary.dirs += below.dirs;
                summary.failed += below.failed;
                newest = newest.max(Some(below.max_time_ns));
            }
        }
        summary.max_time_ns = newest.unwrap_or(own_mtime_ns);
        summary
    }

    /// Puts the entries into Kopia's order: directories first, then by the bytes of the names.
    pub fn sort(&mut self) -> &mut DirectoryBuilder {
        self.entries.sort_by(|(a, _), (b, _)| {
            (a.kind != "d").cmp(&(b.kind != "d")).then_with(|| a.name.as_bytes().cmp(b.name.as_bytes()))
        });
        self
    }

    /// The directory's JSON, entries in the order they were added (or [sorted](Self::sort)).
    pub fn json(&self, summary: &Summary) -> Result<Vec<u8>> {
        #[derive(Serialize)]
        struct Directory<'a> {
            stream: &'static str,
            entries: Option<Vec<&'a DirectoryEntry>>,
            summary: &'a Summary,
        }
        let entries: Vec<&DirectoryEntry> = self.entries.iter().map(|(entry, _)| entry).collect();
        let entries = Some(entries).filter(|entries| !entries.is_empty());
        let mut json = serde_json::to_vec(&Directory { stream: "kopia:directory", entries, summary })?;
        json.push(b'\n');
        Ok(json)
    }
}

impl RepositoryWriter {
    /// Stores a directory, its entries in Kopia's order.
    pub fn write_directory(
        &mut self,
        mut directory: DirectoryBuilder,
        attributes: Attributes,
    ) -> Result<WrittenDirectory> {
        let summary = directory.summary(attributes.mtime_ns);
        let json = directory.sort().json(&summary)?;
        self.write_directory_json(&json, summary, attributes)
    }

    /// Stores any bytes as a directory, with any claims about it.
    pub fn write_directory_json(
        &mut self,
        json: &[u8],
        summary: Summary,
        attributes: Attributes,
    ) -> Result<WrittenDirectory> {
        let object = self.write_prefixed_object(Some(b'k'), &mut &*json)?.id;
        Ok(WrittenDirectory { object, summary, attributes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Attributes = Attributes { mode: 0o755, mtime_ns: 5, uid: 0, gid: 0 };

    #[test]
    fn entries_look_as_kopia_writes_them() {
        let attributes = Attributes { mode: 0o4755, mtime_ns: 1_704_164_645_100_000_000, uid: 7, gid: 0 };
        let entry = DirectoryEntry::file("a", &attributes, 3, "00");
        assert_eq!(
            serde_json::to_string(&entry).unwrap(),
            r#"{"name":"a","type":"f","mode":"040000755","size":3,"mtime":"2024-01-02T03:04:05.1Z","uid":7,"obj":"00"}"#
        );
        let bare = Attributes { mode: 0, mtime_ns: 0, uid: 0, gid: 0 };
        let entry = DirectoryEntry::link("l", &bare, 0, "00");
        assert_eq!(serde_json::to_string(&entry).unwrap(), r#"{"name":"l","type":"s","obj":"00"}"#);
    }

    #[derive(serde::Deserialize)]
    struct Modes {
        written: Vec<Mode>,
    }

    #[derive(serde::Deserialize)]
    struct Mode {
        text: String,
        posix: String,
    }

    #[test]
    fn modes_are_go_modes() {
        let modes: Modes =
            serde_json::from_str(include_str!("../../format-spec/vectors/modes.json")).unwrap();
        assert!(modes.written.len() > 5);
        for mode in modes.written {
            assert_eq!(go_mode(u32::from_str_radix(&mode.posix, 8).unwrap()), Some(mode.text));
        }
        assert_eq!(go_mode(0), None);
    }

    #[test]
    fn summaries_add_up_and_empty_directories_have_null() {
        let mut inner = DirectoryBuilder::new();
        assert_eq!(
            String::from_utf8(inner.json(&inner.summary(0)).unwrap()).unwrap(),
            "{\"stream\":\"kopia:directory\",\"entries\":null,\"summary\":{\"size\":0,\"files\":0,\"symlinks\":0,\
             \"dirs\":1,\"maxTime\":\"1970-01-01T00:00:00Z\",\"numFailed\":0}}\n"
        );
        inner.file("z", &Attributes { mtime_ns: 9, ..ROOT }, 10, "00");
        inner.link("a", &ROOT, 3, "00");
        let summary = inner.summary(100);
        assert_eq!((summary.size, summary.files, summary.symlinks, summary.max_time_ns), (10, 1, 1, 9));
        let written = WrittenDirectory { object: "k00".into(), summary, attributes: ROOT };
        let mut outer = DirectoryBuilder::new();
        outer.file("b", &ROOT, 1, "00");
        outer.directory("zz", &written);
        let total = outer.summary(0);
        assert_eq!(
            (total.size, total.files, total.symlinks, total.dirs, total.max_time_ns),
            (11, 2, 1, 2, 9)
        );
        outer.sort();
        assert_eq!(outer.entries.iter().map(|(e, _)| e.name.as_str()).collect::<Vec<_>>(), ["zz", "b"]);
    }
}
