//! Damage to the blobs of a repository, as disks and people do it.

use super::blobs::BlobDirectory;
use super::error::{Error, Result};
use super::rng::Rng;
use std::path::Path;

/// Damages the blobs of a repository that lies in a directory.
///
/// Blobs are written over without a copy: a test keeps its own if it wants one.
pub struct Damage {
    blobs: BlobDirectory,
}

impl Damage {
    /// The repository in `root`.
    pub fn open(root: &Path) -> Result<Damage> {
        Ok(Damage { blobs: BlobDirectory::open(root)? })
    }

    /// Names of the blobs that begin with `prefix`, sorted.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>> {
        self.blobs.names(prefix)
    }

    /// The bytes of a blob.
    pub fn read(&self, blob: &str) -> Result<Vec<u8>> {
        self.blobs.get(blob)
    }

    /// Puts other bytes in the place of a blob, or makes a new one.
    pub fn write(&self, blob: &str, bytes: &[u8]) -> Result<()> {
        self.blobs.put(blob, bytes)
    }

    /// Inverts the bits of `mask` in one byte.
    pub fn flip(&self, blob: &str, offset: usize, mask: u8) -> Result<()> {
        let mut bytes = self.read(blob)?;
        let length = bytes.len();
        let byte = bytes
            .get_mut(offset)
            .ok_or_else(|| Error::invalid(format!("{blob} has {length} bytes, none at {offset}")))?;
        *byte ^= mask;
        self.write(blob, &bytes)
    }

    /// Inverts one bit in each of `count` different places; the offsets.
    pub fn flip_some(&self, blob: &str, count: usize, seed: u64) -> Result<Vec<usize>> {
        let mut bytes = self.read(blob)?;
        let mut rng = Rng::new(seed);
        let mut offsets = std::collections::BTreeSet::new();
        while offsets.len() < count.min(bytes.len()) {
            let offset = rng.below(bytes.len() as u64) as usize;
            if offsets.insert(offset)
                && let Some(byte) = bytes.get_mut(offset)
            {
                *byte ^= 1 << rng.below(8);
            }
        }
        self.write(blob, &bytes)?;
        Ok(offsets.into_iter().collect())
    }

    /// Cuts a blob, or lengthens it with zeros.
    pub fn truncate(&self, blob: &str, length: usize) -> Result<()> {
        let mut bytes = self.read(blob)?;
        bytes.resize(length, 0);
        self.write(blob, &bytes)
    }

    /// Overwrites a range with zeros, as a lost sector does.
    pub fn zero(&self, blob: &str, offset: usize, length: usize) -> Result<()> {
        let mut bytes = self.read(blob)?;
        let end = offset.saturating_add(length).min(bytes.len());
        if let Some(range) = bytes.get_mut(offset..end) {
            range.fill(0);
        }
        self.write(blob, &bytes)
    }

    /// Removes a blob.
    pub fn delete(&self, blob: &str) -> Result<()> {
        self.blobs.remove(blob)
    }

    /// Exchanges the bytes of two blobs.
    pub fn swap(&self, a: &str, b: &str) -> Result<()> {
        let (old_a, old_b) = (self.read(a)?, self.read(b)?);
        self.write(a, &old_b)?;
        self.write(b, &old_a)
    }

    /// Gives a blob another name.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let bytes = self.read(from)?;
        self.write(to, &bytes)?;
        self.delete(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_damage_does_what_it_says_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = BlobDirectory::create(dir.path(), r#"{"default":[],"maxNonShardedLength":20}"#).unwrap();
        blobs.put("xe0", b"0123456789").unwrap();
        blobs.put("xe1", b"bbb").unwrap();
        let damage = Damage::open(dir.path()).unwrap();
        damage.flip("xe0", 2, 1).unwrap();
        assert_eq!(damage.read("xe0").unwrap(), b"0133456789");
        assert!(damage.flip("xe0", 10, 1).is_err());
        damage.truncate("xe0", 4).unwrap();
        damage.swap("xe0", "xe1").unwrap();
        assert_eq!(damage.read("xe1").unwrap(), b"0133");
        damage.zero("xe1", 1, 100).unwrap();
        assert_eq!(damage.read("xe1").unwrap(), b"0\0\0\0");
        damage.rename("xe0", "xe2").unwrap();
        assert_eq!(damage.names("").unwrap(), ["xe1", "xe2"]);
        assert_eq!(damage.flip_some("xe2", 2, 1).unwrap().len(), 2);
        let differ = damage.read("xe2").unwrap().iter().filter(|byte| **byte != b'b').count();
        assert_eq!(differ, 2);
        damage.delete("xe2").unwrap();
        assert!(damage.delete("xe2").is_err());
    }
}
