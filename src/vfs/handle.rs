//! Names for nodes that outlive the process: what a file server gives to its clients.
//!
//! A handle says by itself where its node is: in which directory object, at which place. Its number comes from the path, so
//! that equal directories of two snapshots are two nodes. A code, made with a key of the repository, keeps clients from
//! naming what they were never shown.

use super::ROOT;
use crate::index::ContentId;
use crate::object::ObjectId;

/// The longest handle, as NFSv3 takes it.
const LONGEST: usize = 64;

/// Bytes of the code at the end.
const CODE: usize = 8;

/// Levels of index objects are few; with the mark for compression they fill a byte.
const COMPRESSED: u8 = 0x80;

/// What handles are signed with.
#[derive(Clone)]
pub struct HandleKey([u8; 32]);

debug_of!(HandleKey, "HandleKey");

impl HandleKey {
    /// The key for the tree with this root, made from a secret of the repository. The same as long as both are.
    pub fn new(secret: &[u8], root: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("rokopia 2026-12-01 handles of a file server");
        hasher.update(&(secret.len() as u64).to_le_bytes()).update(secret).update(root.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// A number that goes with the key.
    pub fn number(&self) -> u64 {
        u64::from_le_bytes(self.code(b"number"))
    }

    fn code(&self, bytes: &[u8]) -> [u8; CODE] {
        let [a, b, c, d, e, f, g, h, ..] = *blake3::keyed_hash(&self.0, bytes).as_bytes();
        [a, b, c, d, e, f, g, h]
    }
}

/// A node, and how to find it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    pub(super) inode: u64,
    pub(super) parent: u64,
    pub(super) place: Place,
}

/// Where a node is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// In the layout above the snapshots, by its number.
    Layout,
    /// In a directory of a snapshot.
    Entry { directory: ObjectId, position: u32 },
}

impl Handle {
    /// The root of the tree.
    pub const ROOT: Self = Self { inode: ROOT, parent: ROOT, place: Place::Layout };

    /// Its inode number.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// The inode number of the directory above it.
    pub fn parent(&self) -> u64 {
        self.parent
    }

    /// Whether it means the same for ever, as what is in a snapshot does.
    pub fn is_fixed(&self) -> bool {
        matches!(self.place, Place::Entry { .. })
    }

    /// The bytes for clients. `None` where they do not fit, which no hash of today makes.
    pub fn to_bytes(self, key: &HandleKey) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(LONGEST);
        bytes.extend_from_slice(&self.inode.to_le_bytes());
        bytes.extend_from_slice(&self.parent.to_le_bytes());
        if let Place::Entry { directory, position } = self.place {
            let compressed = if directory.is_compressed() { COMPRESSED } else { 0 };
            bytes.push(directory.indirections().min(COMPRESSED - 1) | compressed);
            bytes.extend_from_slice(&position.to_le_bytes());
            bytes.extend_from_slice(directory.content().key());
        }
        bytes.extend_from_slice(&key.code(&bytes));
        (bytes.len() <= LONGEST).then_some(bytes)
    }

    /// Reads a handle. `None` for what was not signed with the key.
    pub fn from_bytes(bytes: &[u8], key: &HandleKey) -> Option<Self> {
        let (signed, code) = bytes.split_at_checked(bytes.len().checked_sub(CODE)?)?;
        if key.code(signed) != code {
            return None;
        }
        let (inode, rest) = number(signed)?;
        let (parent, rest) = number(rest)?;
        if rest.is_empty() {
            return Some(Self { inode, parent, place: Place::Layout });
        }
        let (&levels, rest) = rest.split_first()?;
        let (position, content) = rest.split_at_checked(4)?;
        let position = u32::from_le_bytes(position.try_into().ok()?);
        let content = ContentId::from_key(content)?;
        let marks = "I".repeat(usize::from(levels & !COMPRESSED));
        let compressed = if levels & COMPRESSED != 0 { "Z" } else { "" };
        let directory = format!("{marks}{compressed}{content}").parse().ok()?;
        Some(Self { inode, parent, place: Place::Entry { directory, position } })
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_at_checked(8)?;
    Some((u64::from_le_bytes(number.try_into().ok()?), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_read_back_by_their_key_alone() {
        let key = HandleKey::new(b"secret", "all");
        for object in
            ["k0011", "IIk8fcad2d89cd8e0b0ad22c2720ddec71a", "Zk00", &format!("Ik{}", "ab".repeat(32))]
        {
            let place = Place::Entry { directory: object.parse().unwrap(), position: 70_000 };
            for handle in [Handle { inode: 7, parent: 1, place }, Handle::ROOT] {
                let bytes = handle.to_bytes(&key).unwrap();
                assert_eq!(Handle::from_bytes(&bytes, &key), Some(handle));
                assert_eq!(Handle::from_bytes(&bytes, &HandleKey::new(b"secret", "other")), None);
                for at in 0..bytes.len() {
                    let mut forged = bytes.clone();
                    forged[at] ^= 1;
                    assert_eq!(Handle::from_bytes(&forged, &key), None);
                    assert_eq!(Handle::from_bytes(&bytes[..at], &key), None);
                }
            }
        }
    }
}
