//! Object IDs (`format-spec/12-objects.md`).

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::index::ContentId;

/// The prefix of contents that hold directories.
const DIRECTORY_PREFIX: u8 = b'k';

/// The name of an object: a content, marked as compressed at the object layer (`Z`) or as the innermost of several
/// levels of index objects (`I` for each).
///
/// Parses everything Kopia ever wrote, also the historic marker `D` and upper-case hex digits, and prints the one
/// canonical form.
///
/// ```
/// use rokopia::ObjectId;
/// let id: ObjectId = "IDk8FCAD2D89CD8E0B0AD22C2720DDEC71A".parse().unwrap();
/// assert_eq!(id.to_string(), "Ik8fcad2d89cd8e0b0ad22c2720ddec71a");
/// assert_eq!(id.indirections(), 1);
/// assert!(id.is_directory());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    indirections: u8,
    compressed: bool,
    content: ContentId,
}

/// Text that is not an object ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an object ID: {0:?}")]
pub struct InvalidObjectId(pub String);

impl ObjectId {
    /// The object that is exactly one content.
    pub fn direct(content: ContentId) -> ObjectId {
        ObjectId { indirections: 0, compressed: false, content }
    }

    /// How many levels of index objects lie above the data; 0 for an object of one content.
    pub fn indirections(&self) -> u8 {
        self.indirections
    }

    /// Whether the content is compressed at the object layer, inside whatever the content layer did.
    pub fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// The innermost content: the data itself, or the index of the deepest index object.
    pub fn content(&self) -> &ContentId {
        &self.content
    }

    /// Whether the object is, by its prefix, a directory.
    pub fn is_directory(&self) -> bool {
        self.content.prefix() == Some(DIRECTORY_PREFIX)
    }

    /// The object that holds the table of this one's chunks; `None` for an object of one content.
    pub fn index(&self) -> Option<ObjectId> {
        Some(ObjectId { indirections: self.indirections.checked_sub(1)?, ..*self })
    }
}

impl FromStr for ObjectId {
    type Err = InvalidObjectId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let rest = text.trim_start_matches('I');
            let indirections = u8::try_from(text.len() - rest.len()).ok()?;
            let (compressed, rest) = match rest.strip_prefix('Z') {
                Some(_) if indirections > 0 => return None,
                Some(rest) => (true, rest),
                None => (false, rest),
            };
            // "D" marked direct objects in early releases; it has no meaning now.
            let content = rest.strip_prefix('D').unwrap_or(rest).parse().ok()?;
            Some(ObjectId { indirections, compressed, content })
        };
        parse().ok_or_else(|| InvalidObjectId(text.chars().take(80).collect()))
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for _ in 0..self.indirections {
            f.write_str("I")?;
        }
        if self.compressed {
            f.write_str("Z")?;
        }
        self.content.fmt(f)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ObjectId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors() -> serde_json::Value {
        serde_json::from_str(include_str!("../../format-spec/vectors/object-ids.json")).unwrap()
    }

    #[test]
    fn valid_vectors() {
        let vectors = vectors();
        let valid = vectors["valid"].as_array().unwrap();
        assert!(valid.len() > 10);
        for vector in valid {
            let id: ObjectId = vector["text"].as_str().unwrap().parse().unwrap();
            assert_eq!(id.to_string(), vector["canonical"].as_str().unwrap());
            assert_eq!(u64::from(id.indirections()), vector["indirections"].as_u64().unwrap());
            assert_eq!(id.is_compressed(), vector["compressed"].as_bool().unwrap());
            assert_eq!(id.content().to_string(), vector["content"].as_str().unwrap());
            assert_eq!(id.to_string().parse::<ObjectId>().unwrap(), id);
        }
    }

    #[test]
    fn invalid_vectors() {
        let vectors = vectors();
        let invalid = vectors["invalid"].as_array().unwrap();
        assert!(invalid.len() > 10);
        for vector in invalid {
            let text = vector["text"].as_str().unwrap();
            assert!(text.parse::<ObjectId>().is_err(), "{text}");
        }
        assert!("".parse::<ObjectId>().is_err());
        assert!(format!("{}00", "I".repeat(256)).parse::<ObjectId>().is_err());
    }

    #[test]
    fn index_peels_one_level() {
        let id: ObjectId = "IIx00ff".parse().unwrap();
        let index = id.index().unwrap();
        assert_eq!(index.to_string(), "Ix00ff");
        assert_eq!(index.index().unwrap().to_string(), "x00ff");
        assert_eq!(index.index().unwrap().index(), None);
    }
}
