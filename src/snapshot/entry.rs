//! Entries of directories, and roots of snapshots (`format-spec/14-directories-and-entries.md`).

use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use super::{EntryName, InvalidName, UtcTimestamp};
use crate::gojson::go_object;
use crate::object::ObjectId;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum EntryType {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Something no release of Kopia writes.
    #[default]
    Unknown,
}

impl EntryType {
    /// The letter in the format; empty for an unknown type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "f",
            Self::Directory => "d",
            Self::Symlink => "s",
            Self::Unknown => "",
        }
    }

    fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }
}

impl Serialize for EntryType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EntryType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Letter;
        impl Visitor<'_> for Letter {
            type Value = EntryType;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an entry type")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<EntryType, E> {
                Ok(match text {
                    "f" => EntryType::File,
                    "d" => EntryType::Directory,
                    "s" => EntryType::Symlink,
                    _ => EntryType::Unknown,
                })
            }
        }
        deserializer.deserialize_str(Letter)
    }
}

/// Permissions with the bit positions of Go's `os.FileMode`, which differ from POSIX for setuid, setgid and sticky.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct GoMode(u32);

impl GoMode {
    const PERMISSIONS: u32 = 0o777;
    /// Go's bits and their POSIX counterparts.
    const SPECIAL: [(u32, u32); 3] = [(1 << 23, 0o4000), (1 << 22, 0o2000), (1 << 20, 0o1000)];

    /// A mode from the number in the format.
    pub fn from_bits(bits: u32) -> GoMode {
        GoMode(bits)
    }

    /// The number in the format.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// The mode that `chmod` takes: twelve bits.
    pub fn to_posix(self) -> u32 {
        Self::SPECIAL
            .iter()
            .filter(|(go, _)| self.0 & go != 0)
            .fold(self.0 & Self::PERMISSIONS, |mode, (_, posix)| mode | posix)
    }

    /// The mode in the format for what `stat` reports. Bits above the lowest twelve are ignored.
    pub fn from_posix(mode: u32) -> GoMode {
        GoMode(
            Self::SPECIAL
                .iter()
                .filter(|(_, posix)| mode & posix != 0)
                .fold(mode & Self::PERMISSIONS, |bits, (go, _)| bits | go),
        )
    }

    /// Parses the text form as Go's `strconv.ParseInt` with base detection does, except that negative numbers are
    /// refused.
    fn parse(text: &str) -> Option<GoMode> {
        let prefixed = |prefixes: [&str; 2]| prefixes.iter().find_map(|prefix| text.strip_prefix(prefix));
        let (radix, digits) = if let Some(digits) = prefixed(["0x", "0X"]) {
            (16, digits)
        } else if let Some(digits) = prefixed(["0b", "0B"]) {
            (2, digits)
        } else if let Some(digits) = prefixed(["0o", "0O"]) {
            (8, digits)
        } else if text.starts_with('0') && text.len() > 1 {
            (8, text.get(1..)?)
        } else {
            (10, text)
        };
        // Underscores may stand between a prefix and digits or between digits.
        let underscores_fit = radix != 10 && !digits.ends_with('_') && !digits.contains("__");
        if (digits.contains('_') && !underscores_fit) || digits.starts_with(['+', '-']) {
            return None;
        }
        let bits = i32::from_str_radix(&digits.replace('_', ""), radix).ok()?;
        u32::try_from(bits).ok().map(GoMode)
    }

    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for GoMode {
    /// The text form of the format: `0` and the number in octal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0{:o}", self.0)
    }
}

impl fmt::Debug for GoMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for GoMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Octal;
        impl Visitor<'_> for Octal {
            type Value = GoMode;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mode as an octal string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<GoMode, E> {
                GoMode::parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Octal)
    }
}

/// One entry of a directory, or the root of a snapshot. A field that the format leaves out is zero: mode 000, the epoch,
/// uid 0.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct DirEntry {
    /// The name as stored: any string, so see [`DirEntry::name`]. Bytes that were not UTF-8 are U+FFFD.
    #[serde(rename = "name", skip_serializing_if = "String::is_empty")]
    pub raw_name: String,
    /// The name as stored, if a later entry of the directory has the same one, so that `raw_name` was made unique.
    #[serde(skip)]
    pub stored_name: Option<Box<str>>,
    /// What it is.
    #[serde(rename = "type", skip_serializing_if = "EntryType::is_unknown")]
    pub kind: EntryType,
    /// Permissions.
    #[serde(skip_serializing_if = "GoMode::is_zero")]
    pub mode: GoMode,
    /// Size in bytes as the client saw it; for a complete file, the length of its object. Zero for directories; their
    /// totals are in `summary`.
    #[serde(skip_serializing_if = "is_zero")]
    pub size: u64,
    /// Modification time; for a directory, that of the directory itself.
    #[serde(skip_serializing_if = "is_epoch")]
    pub mtime: UtcTimestamp,
    /// Numeric owner; [`NO_ID`] if no file can have it. See [`DirEntry::owner`].
    #[serde(skip_serializing_if = "is_zero")]
    pub uid: u32,
    /// Numeric group; [`NO_ID`] if no file can have it.
    #[serde(skip_serializing_if = "is_zero")]
    pub gid: u32,
    /// Where the data is; `None` if the format names no object.
    #[serde(rename = "obj", serialize_with = "object_text")]
    pub object: Option<ObjectId>,
    /// Totals of a directory.
    #[serde(rename = "summ", skip_serializing_if = "Option::is_none")]
    pub summary: Option<Box<Summary>>,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_epoch(time: &UtcTimestamp) -> bool {
    time.0 == 0
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn object_text<S: Serializer>(object: &Option<ObjectId>, serializer: S) -> Result<S::Ok, S::Error> {
    match object {
        Some(object) => serializer.collect_str(object),
        None => serializer.serialize_str(""),
    }
}

/// An object ID where the empty string means none.
#[derive(Default)]
struct OptionalObject(Option<ObjectId>);

impl<'de> Deserialize<'de> for OptionalObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Id;
        impl Visitor<'_> for Id {
            type Value = OptionalObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object ID")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<OptionalObject, E> {
                if text.is_empty() {
                    return Ok(OptionalObject(None));
                }
                text.parse().map(|id| OptionalObject(Some(id))).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Id)
    }
}

/// The ID that stands for none: `chown` takes it as "leave it as it is". What is negative or has more than 32 bits in a
/// repository is read as this, too.
pub const NO_ID: u32 = u32::MAX;

/// An owner or group.
#[derive(Default)]
struct Id(u32);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an owner or group")
            }

            fn visit_u64<E: serde::de::Error>(self, id: u64) -> Result<Id, E> {
                Ok(Id(u32::try_from(id).unwrap_or(NO_ID)))
            }

            fn visit_i64<E: serde::de::Error>(self, id: i64) -> Result<Id, E> {
                Ok(Id(u32::try_from(id).unwrap_or(NO_ID)))
            }

            fn visit_f64<E: serde::de::Error>(self, id: f64) -> Result<Id, E> {
                // Whole numbers that are too long for 64 bits come as these.
                match id.fract() == 0.0 && !(0.0..=f64::from(u32::MAX)).contains(&id) {
                    true => Ok(Id(NO_ID)),
                    false => Err(E::invalid_value(serde::de::Unexpected::Float(id), &self)),
                }
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<Id, E> {
                Ok(Id(0))
            }
        }
        deserializer.deserialize_any(Number)
    }
}

/// The fields of an entry as they are read.
#[derive(Default)]
struct Fields {
    name: String,
    kind: EntryType,
    mode: GoMode,
    size: u64,
    mtime: UtcTimestamp,
    uid: Id,
    gid: Id,
    object: OptionalObject,
    summary: Option<Box<Summary>>,
}
go_object!(Fields {
    "name" => name,
    "type" => kind,
    "mode" => mode (raw),
    "size" => size,
    "mtime" => mtime (raw),
    "uid" => uid (raw),
    "gid" => gid (raw),
    "obj" => object,
    "summ" => summary (raw),
});

impl<'de> Deserialize<'de> for DirEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Fields { name, kind, mode, size, mtime, uid, gid, object, summary } =
            Fields::deserialize(deserializer)?;
        Ok(DirEntry {
            raw_name: name,
            stored_name: None,
            kind,
            mode,
            size,
            mtime,
            uid: uid.0,
            gid: gid.0,
            object: object.0,
            summary,
        })
    }
}

impl DirEntry {
    /// The name, if it can be a path component.
    pub fn name(&self) -> Result<EntryName, InvalidName> {
        EntryName::new(&self.raw_name)
    }

    /// Whether this is a file that was still being written when a checkpoint was saved: its object is then shorter than
    /// its size. The client calls it `.checkpointed.NAME.UUID`.
    pub fn is_checkpointed(&self) -> bool {
        let is_uuid = |text: &str| {
            text.len() == 36
                && text.bytes().enumerate().all(|(at, byte)| match at {
                    8 | 13 | 18 | 23 => byte == b'-',
                    _ => byte.is_ascii_hexdigit(),
                })
        };
        self.raw_name
            .strip_prefix(".checkpointed.")
            .and_then(|rest| rest.rsplit_once('.'))
            .is_some_and(|(name, uuid)| !name.is_empty() && is_uuid(uuid))
    }

    /// Owner and group; `None` if no file can have one of them. Then neither can be set, nor the setuid and setgid bits.
    pub fn owner(&self) -> Option<(u32, u32)> {
        (self.uid != NO_ID && self.gid != NO_ID).then_some((self.uid, self.gid))
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == EntryType::Directory
    }

    /// Size and modification time as Kopia shows and restores them: of a directory that is not the root of a
    /// snapshot, the totals of everything below it.
    pub fn kopia_size_and_mtime(&self) -> (i64, UtcTimestamp) {
        match &self.summary {
            Some(summary) if self.is_directory() => (summary.size, summary.max_time),
            _ => (i64::try_from(self.size).unwrap_or(i64::MAX), self.mtime),
        }
    }
}

/// Totals over a directory and everything below it, as the client wrote them; they are not verified.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Summary {
    /// Bytes in files.
    pub size: i64,
    /// Number of files.
    pub files: i64,
    /// Number of symbolic links. Before Kopia v0.20 only those in the directory itself.
    pub symlinks: i64,
    /// Number of directories, this one included.
    pub dirs: i64,
    /// Latest modification time below.
    #[serde(rename = "maxTime")]
    pub max_time: UtcTimestamp,
    /// Why the directory is incomplete; empty if it is complete.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub incomplete: String,
    /// Number of entries that could not be saved.
    #[serde(rename = "numFailed")]
    pub failed: i64,
    /// Number of entries that could not be saved, where a policy said to ignore it.
    #[serde(rename = "numIgnoredErrors", skip_serializing_if = "is_zero")]
    pub ignored_errors: i64,
    /// What could not be saved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FailedEntry>,
}
go_object!(Summary {
    "size" => size,
    "files" => files,
    "symlinks" => symlinks,
    "dirs" => dirs,
    "maxTime" => max_time (raw),
    "incomplete" => incomplete,
    "numFailed" => failed,
    "numIgnoredErrors" => ignored_errors,
    "errors" => errors (list),
});

impl Summary {
    /// Number of entries below that could not be saved, whether a policy said to ignore it or not.
    pub fn unsaved(&self) -> u64 {
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        count(self.failed).saturating_add(count(self.ignored_errors)).max(self.errors.len() as u64)
    }
}

/// Something the client could not save.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FailedEntry {
    /// Path relative to the root of the snapshot.
    pub path: String,
    /// What the client said.
    pub error: String,
}
go_object!(FailedEntry { "path" => path, "error" => error });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gojson::write::to_string;

    fn parse(json: &str) -> Result<DirEntry, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn mode_vectors() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../format-spec/vectors/modes.json")).unwrap();
        for (group, printed) in [("written", true), ("lenient", false)] {
            let modes = vectors[group].as_array().unwrap();
            assert!(modes.len() >= 10);
            for vector in modes {
                let text = vector["text"].as_str().unwrap();
                let mode = GoMode::parse(text).unwrap_or_else(|| panic!("{text}"));
                assert_eq!(u64::from(mode.bits()), vector["go"].as_u64().unwrap());
                assert_eq!(format!("{:04o}", mode.to_posix()), vector["posix"].as_str().unwrap());
                if printed {
                    assert_eq!(mode.to_string(), text);
                    assert_eq!(GoMode::from_posix(mode.to_posix()), mode);
                }
            }
        }
        for text in vectors["invalid"].as_array().unwrap() {
            let text = text.as_str().unwrap();
            assert_eq!(GoMode::parse(text), None, "{text}");
            assert!(parse(&format!(r#"{{"mode":"{text}"}}"#)).is_err());
        }
        assert_eq!(GoMode::parse("+644"), None);
        assert_eq!(GoMode::parse("0_-1"), None);
        assert_eq!(
            format!("{:04o}", parse("{}").unwrap().mode.to_posix()),
            vectors["absent"].as_str().unwrap()
        );
    }

    #[test]
    fn entries_round_trip() {
        for json in [
            r#"{"name":"a","type":"f","mode":"0644","size":12,"mtime":"2024-01-02T03:04:05.6Z","uid":1000,"gid":100,"obj":"00ff"}"#,
            r#"{"name":"d","type":"d","mode":"04000777","obj":"Ik00","summ":{"size":1,"files":2,"symlinks":3,"dirs":4,"maxTime":"1970-01-01T00:00:00Z","incomplete":"checkpoint","numFailed":1,"numIgnoredErrors":5,"errors":[{"path":"x/y","error":"no"}]}}"#,
            r#"{"obj":""}"#,
            r#"{"name":"\u003c\u2028","obj":"Z00"}"#,
        ] {
            assert_eq!(to_string(&parse(json).unwrap()).unwrap(), json);
        }
    }

    #[test]
    fn absent_and_null_are_zero() {
        let zero = DirEntry::default();
        assert_eq!(parse("{}").unwrap(), zero);
        let nulls =
            r#"{"name":null,"type":null,"size":null,"uid":null,"gid":null,"obj":null,"summ":null,"new":[]}"#;
        assert_eq!(parse(nulls).unwrap(), zero);
        assert_eq!(parse(r#"{"mtime":null}"#).unwrap().mtime.0, -6_795_364_578_871_345_152, "as in Go");
        let summary =
            parse(r#"{"summ":{"errors":[null,{"path":"p"}],"size":null}}"#).unwrap().summary.unwrap();
        assert_eq!((summary.errors.len(), summary.unsaved()), (2, 2));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for json in [
            "null",
            "[]",
            r#"{"mode":null}"#,
            r#"{"mode":420}"#,
            r#"{"mode":""}"#,
            r#"{"size":"1"}"#,
            r#"{"size":1.5}"#,
            r#"{"size":-1}"#,
            r#"{"size":99999999999999999999}"#,
            r#"{"uid":1.5}"#,
            r#"{"uid":"0"}"#,
            r#"{"obj":"q"}"#,
            r#"{"obj":1}"#,
            r#"{"mtime":"today"}"#,
            r#"{"name":"a""#,
        ] {
            assert!(parse(json).is_err(), "{json}");
        }
    }

    #[test]
    fn an_owner_that_no_file_can_have_is_none() {
        for id in ["-1", "-9223372036854775808", "4294967295", "4294967296", "99999999999999999999", "-1e30"]
        {
            for key in ["uid", "gid"] {
                let entry = parse(&format!(r#"{{"name":"a","{key}":{id}}}"#)).unwrap();
                assert_eq!((entry.raw_name.as_str(), entry.owner()), ("a", None), "{key} {id}");
            }
        }
        assert_eq!(parse(r#"{"uid":4294967294,"gid":null}"#).unwrap().owner(), Some((4_294_967_294, 0)));
    }

    #[test]
    fn files_of_checkpoints_are_known_by_their_names() {
        let named =
            |name: &str| DirEntry { raw_name: name.to_owned(), ..DirEntry::default() }.is_checkpointed();
        let uuid = "123e4567-e89b-12d3-a456-426614174000";
        assert!(named(&format!(".checkpointed.a.b.{uuid}")));
        for name in [".checkpointed.a", ".checkpointed.a.b", &format!(".checkpointed..{uuid}"), uuid] {
            assert!(!named(name), "{name}");
        }
    }

    #[test]
    fn kopia_shows_totals_of_directories() {
        let directory = parse(r#"{"type":"d","mtime":"2024-01-01T00:00:00Z","summ":{"size":7,"maxTime":"2025-01-01T00:00:00Z"}}"#).unwrap();
        assert_eq!(directory.kopia_size_and_mtime(), (7, "2025-01-01T00:00:00Z".parse().unwrap()));
        let file = parse(r#"{"type":"f","size":3,"summ":{"size":7}}"#).unwrap();
        assert_eq!(file.kopia_size_and_mtime(), (3, UtcTimestamp(0)));
    }
}
