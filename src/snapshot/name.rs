//! Names of entries. A directory of a repository may hold any string as a name; only some can be a path component.

use std::fmt;
use std::ops::Deref;

/// The longest name, in bytes, that common file systems take.
const NAME_MAX: usize = 255;

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
    fn long_names_are_flagged() {
        assert!(!EntryName::new(&"a".repeat(255)).unwrap().is_too_long());
        assert!(EntryName::new(&"é".repeat(128)).unwrap().is_too_long());
    }
}
