//! Blob names.

use std::fmt;
use std::sync::Arc;

/// Longest name accepted; an index record stores the length in one byte (`format-spec/08-index.md`).
const MAX_LENGTH: usize = 255;

/// The name of a blob, safe to be turned into a path or a URL.
///
/// One to 255 characters of `[A-Za-z0-9_.-]` without `..`. Cloning is cheap.
///
/// ```
/// use rokopia::BlobId;
/// assert!(BlobId::new("kopia.repository").is_ok());
/// assert!(BlobId::new("p/../../etc/passwd").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(Arc<str>);

/// A name that is not a plausible blob name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a blob name: {0:?}")]
pub struct InvalidBlobId(pub String);

impl BlobId {
    /// Checks a name.
    ///
    /// # Errors
    /// [`InvalidBlobId`] with the offending name.
    pub fn new(name: &str) -> Result<Self, InvalidBlobId> {
        if Self::is_valid(name) {
            Ok(Self(name.into()))
        } else {
            Err(InvalidBlobId(name.chars().take(300).collect()))
        }
    }

    /// Whether a name is safe.
    fn is_valid(name: &str) -> bool {
        !name.is_empty()
            && name.len() <= MAX_LENGTH
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
            && !name.contains("..")
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for BlobId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for BlobId {
    type Err = InvalidBlobId;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kopia_writes_are_accepted() {
        for name in [
            "kopia.repository",
            "p2f09ebc80929c10afce9d8ad8ae3bed7-s8df48a5d3ea727bc147",
            "_log_20261121072210_043f_1_2_3_00",
            "xe13",
        ] {
            assert_eq!(BlobId::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_could_leave_the_store_are_refused() {
        for name in ["", "..", "a/b", "a\0b", "a..b", "ü", "a b", &"x".repeat(256)] {
            assert!(BlobId::new(name).is_err(), "{name:?}");
        }
    }
}
