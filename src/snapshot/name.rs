//! Names of entries. A directory of a repository may hold any string as a name; only some can be a path component.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// The longest name, in bytes, that common file systems take.
const NAME_MAX: usize = 255;

/// Bytes of what is taken for the extension of a name, its dot included.
const LONGEST_EXTENSION: usize = 16;

/// No file system takes longer names, in bytes: some count 255 units of UTF-16.
const LONGEST: usize = 1024;

/// A name that is exactly one path component: not empty, not `.` or `..`, without `/` and NUL.
///
/// ```
/// use rokopia::snapshot::EntryName;
/// assert_eq!(EntryName::new("etc").unwrap().as_str(), "etc");
/// assert!(EntryName::new("../etc").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(Box<str>);

/// Why a name cannot be a path component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// There is no name.
    #[error("the name is empty")]
    Empty,
    /// `.` or `..`.
    #[error("the name stands for another directory")]
    Dots,
    /// A `/` in the name.
    #[error("the name contains a slash")]
    Slash,
    /// A NUL byte in the name.
    #[error("the name contains a NUL")]
    Nul,
    /// Longer than any file system takes.
    #[error("the name is longer than any file system takes")]
    TooLong,
}

impl EntryName {
    /// Takes a name if it is one path component.
    pub fn new(name: &str) -> Result<EntryName, InvalidName> {
        Self::check(name).map(|()| EntryName(name.into()))
    }

    /// Tells whether a name is one path component.
    pub fn check(name: &str) -> Result<(), InvalidName> {
        match name {
            "" => Err(InvalidName::Empty),
            "." | ".." => Err(InvalidName::Dots),
            name if name.len() > LONGEST => Err(InvalidName::TooLong),
            name if name.contains('/') => Err(InvalidName::Slash),
            name if name.contains('\0') => Err(InvalidName::Nul),
            _ => Ok(()),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name is longer than the 255 bytes that common file systems take.
    pub fn is_too_long(&self) -> bool {
        self.0.len() > NAME_MAX
    }
}

impl Deref for EntryName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<std::path::Path> for EntryName {
    fn as_ref(&self) -> &std::path::Path {
        std::path::Path::new(&*self.0)
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for EntryName {
    type Error = InvalidName;

    fn try_from(name: String) -> Result<Self, InvalidName> {
        Self::check(&name).map(|()| EntryName(name.into()))
    }
}

/// A name as messages and lists of errors have it: one that no file system takes, and that may be megabytes long, is cut.
pub(crate) fn shown_name(name: &str) -> Cow<'_, str> {
    if name.len() <= LONGEST {
        return name.into();
    }
    let mut end = NAME_MAX;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", name.get(..end).unwrap_or_default()).into()
}

/// A name that tells an entry from others that have the same: `NAME~1.EXTENSION`, with as many tildes as it takes. The
/// bytes that it adds come off the end of the name where that would be too long for a file system.
pub(crate) fn distinct_name(name: &str, number: u32, tildes: u8) -> String {
    let dot = name.rfind('.').filter(|at| *at > 0 && name.len() - at <= LONGEST_EXTENSION);
    let (stem, extension) = name.split_at_checked(dot.unwrap_or(name.len())).unwrap_or((name, ""));
    let mark = format!("{}{number}", "~".repeat(tildes.into()));
    let mut end = stem.len();
    if name.len() <= NAME_MAX {
        end = end.min(NAME_MAX.saturating_sub(mark.len() + extension.len()));
    }
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{mark}{extension}", stem.get(..end).unwrap_or(stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_single_components_pass() {
        for name in ["a", "...", "..a", " ", "\\", "C:", "a\nb", "\u{fffd}", "-rf"] {
            assert_eq!(EntryName::new(name).unwrap().as_str(), name);
        }
        for (name, why) in [
            ("", InvalidName::Empty),
            (".", InvalidName::Dots),
            ("..", InvalidName::Dots),
            ("/", InvalidName::Slash),
            ("../x", InvalidName::Slash),
            ("a/b", InvalidName::Slash),
            ("a\0", InvalidName::Nul),
        ] {
            assert_eq!(EntryName::new(name), Err(why), "{name:?}");
            assert_eq!(EntryName::try_from(name.to_owned()), Err(why), "{name:?}");
        }
    }

    #[test]
    fn made_names_keep_the_extension_and_fit() {
        for (name, made) in [
            ("caf\u{fffd}.txt", "caf\u{fffd}~1.txt"),
            ("a", "a~1"),
            (".profile", ".profile~1"),
            ("a.tar.gz", "a.tar~1.gz"),
            ("end.", "end~1."),
            ("no.extension as long as this", "no.extension as long as this~1"),
        ] {
            assert_eq!(distinct_name(name, 1, 1), made);
        }
        assert_eq!(distinct_name("a.b", 12, 3), "a~~~12.b");
        for name in ["n".repeat(255), "\u{fffd}".repeat(85), format!("{}.txt", "é".repeat(125))] {
            let made = distinct_name(&name, 1, 1);
            assert!(made.len() <= 255 && made != name && made.contains("~1"), "{made}");
        }
    }

    #[test]
    fn names_are_shown_as_they_are_unless_no_file_system_takes_them() {
        let longest = "n".repeat(LONGEST);
        assert_eq!(shown_name(&longest), longest);
        assert_eq!(shown_name("../x"), "../x");
        assert_eq!(shown_name(&"é".repeat(1 << 20)), format!("{}…", "é".repeat(127)));
    }

    #[test]
    fn long_names_are_flagged() {
        assert!(!EntryName::new(&"a".repeat(255)).unwrap().is_too_long());
        assert!(EntryName::new(&"é".repeat(128)).unwrap().is_too_long());
    }
}
