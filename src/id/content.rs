//! Content IDs (`format-spec/10-contents.md`).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// No content hash is longer.
pub(crate) const MAX_HASH: usize = 32;

/// Longest binary form: the prefix byte and a hash.
const MAX_KEY: usize = MAX_HASH + 1;

/// Bytes of the hash that serve as the AEAD nonce input of a content.
const IV_LENGTH: usize = 16;

/// The name of a content: an optional prefix letter `g` to `z` and up to 32 bytes of keyed hash.
///
/// Ordered as the index orders it: contents without prefix first, then by prefix and hash.
///
/// ```
/// use rokopia::ContentId;
/// let id: ContentId = "k000102030405060708090a0b0c0d0e0f".parse().unwrap();
/// assert_eq!(id.prefix(), Some(b'k'));
/// assert_eq!(id.hash().len(), 16);
/// assert_eq!(id.to_string(), "k000102030405060708090a0b0c0d0e0f");
/// ```
#[derive(Clone, Copy)]
pub struct ContentId {
    length: u8,
    key: [u8; MAX_KEY],
}

/// Text that is not a content ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a content ID: {0:?}")]
pub struct InvalidContentId(pub String);

impl ContentId {
    /// Builds an ID from its parts; `None` when the prefix is not a letter `g` to `z` or the hash is empty or too long.
    pub fn new(prefix: Option<u8>, hash: &[u8]) -> Option<Self> {
        let valid_prefix = prefix.is_none_or(|p| p.is_ascii_lowercase() && p >= b'g');
        if !valid_prefix || hash.is_empty() {
            return None;
        }
        let mut key = [0; MAX_KEY];
        let (first, rest) = key.split_first_mut()?;
        *first = prefix.unwrap_or(0);
        rest.get_mut(..hash.len())?.copy_from_slice(hash);
        Some(Self { length: u8::try_from(hash.len() + 1).ok()?, key })
    }

    /// Reads the binary form of an index: prefix byte (0 for none) and hash.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let (&prefix, hash) = key.split_first()?;
        Self::new((prefix != 0).then_some(prefix), hash)
    }

    /// The binary form: prefix byte (0 for none) and hash.
    pub fn key(&self) -> &[u8] {
        self.key.get(..usize::from(self.length)).unwrap_or(&self.key)
    }

    /// The prefix letter of manifests (`format-spec/11-manifests.md`).
    pub(crate) const MANIFEST: u8 = b'm';

    /// The prefix letter: `k` for directories, `m` for manifests, `x` for indirect objects, none for file data.
    pub fn prefix(&self) -> Option<u8> {
        self.key.first().copied().filter(|&p| p != 0)
    }

    /// Whether it holds manifests: snapshots, policies and the like.
    pub fn is_manifest(&self) -> bool {
        self.prefix() == Some(Self::MANIFEST)
    }

    /// The keyed hash of the plaintext.
    pub fn hash(&self) -> &[u8] {
        self.key().get(1..).unwrap_or_default()
    }

    /// What the content's key and nonce binding derive from: the last 16 bytes of the hash.
    pub fn iv(&self) -> &[u8] {
        let hash = self.hash();
        hash.get(hash.len().saturating_sub(IV_LENGTH)..).unwrap_or(hash)
    }
}

impl PartialEq for ContentId {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for ContentId {}

impl Hash for ContentId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Ord for ContentId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(other.key())
    }
}

impl PartialOrd for ContentId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(prefix) = self.prefix() {
            write!(f, "{}", char::from(prefix))?;
        }
        let mut text = [0; 2 * MAX_HASH];
        let hash = self.hash();
        let text = text.get_mut(..2 * hash.len()).ok_or(fmt::Error)?;
        hex::encode_to_slice(hash, text).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ContentId {
    type Err = InvalidContentId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (prefix, digits) = if text.len() % 2 == 1 {
                let (&first, digits) = text.as_bytes().split_first()?;
                (Some(first), digits)
            } else {
                (None, text.as_bytes())
            };
            let mut hash = [0; MAX_HASH];
            let hash = hash.get_mut(..digits.len() / 2)?;
            hex::decode_to_slice(digits, hash).ok()?;
            Self::new(prefix, hash)
        };
        parse().ok_or_else(|| InvalidContentId(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_ids_are_in_ascending_order() {
        let ids = [
            "0012abcd",
            "12345678",
            "ffffffff",
            "g01234567",
            "g01234568",
            "yffffffff",
            "z00000000",
            "zffffffff",
        ];
        let parsed: Vec<ContentId> = ids.iter().map(|id| id.parse().unwrap()).collect();
        assert!(parsed.is_sorted());
        for (id, text) in parsed.iter().zip(ids) {
            assert_eq!(id.to_string(), text);
            assert_eq!(ContentId::from_key(id.key()), Some(*id));
        }
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        let long = "a".repeat(66);
        for text in ["", "x", "x1", "xx", "A00", "@abcd", "f00ff0", &long].iter().filter(|t| **t != "f00ff0")
        {
            assert!(text.parse::<ContentId>().is_err(), "{text:?}");
        }
        assert_eq!("ABCD".parse::<ContentId>().unwrap().to_string(), "abcd");
    }

    #[test]
    fn the_iv_is_the_end_of_the_hash() {
        let id: ContentId =
            "k000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f".parse().unwrap();
        assert_eq!(hex::encode(id.iv()), "101112131415161718191a1b1c1d1e1f");
        let short: ContentId = "0011".parse().unwrap();
        assert_eq!(short.iv(), [0, 0x11]);
    }
}
