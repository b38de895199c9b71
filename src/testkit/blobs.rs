//! A directory that blobs are written into, laid out as Kopia does.

use super::error::{Error, Result};
use crate::blob::{BlobStore, FileSystem, Sharding};
use crate::os::sync::Mutex;
use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

const SHARDS_FILE: &str = ".shards";

/// The blobs of a repository on the local file system, writable.
pub struct BlobDirectory {
    root: PathBuf,
    sharding: Sharding,
    made: Mutex<HashSet<PathBuf>>,
}

impl BlobDirectory {
    /// Makes the directory, with this `.shards` file in it.
    pub fn create(root: &Path, shards: &str) -> Result<BlobDirectory> {
        let sharding = Sharding::parse(shards.as_bytes()).map_err(Error::invalid)?;
        fs::create_dir_all(root).map_err(Error::io("create", root))?;
        let path = root.join(SHARDS_FILE);
        fs::write(&path, shards).map_err(Error::io("write", &path))?;
        Ok(BlobDirectory { root: root.to_path_buf(), sharding, made: Mutex::default() })
    }

    /// Opens a repository that is already there.
    pub fn open(root: &Path) -> Result<BlobDirectory> {
        let path = root.join(SHARDS_FILE);
        let sharding = if path.exists() {
            let stored = fs::read(&path).map_err(Error::io("read", &path))?;
            Sharding::parse(&stored).map_err(Error::invalid)?
        } else {
            Sharding::default()
        };
        Ok(BlobDirectory { root: root.to_path_buf(), sharding, made: Mutex::default() })
    }

    /// Where the repository is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the blob of this name is, or would be.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(self.sharding.path(name))
    }

    /// Writes a blob, over the one that may be there. The name may be any that the file system takes.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            let known = self.made.lock().contains(parent);
            if !known {
                fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
                self.made.lock().insert(parent.to_path_buf());
            }
        }
        let mut file = fs::File::create(&path).map_err(Error::io("create", &path))?;
        file.write_all(bytes).map_err(Error::io("write", &path))
    }

    /// A whole blob.
    pub fn get(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path(name);
        fs::read(&path).map_err(Error::io("read", &path))
    }

    /// Removes a blob.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        fs::remove_file(&path).map_err(Error::io("remove", &path))
    }

    /// Names of the blobs that begin with `prefix`, sorted.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let listed = FileSystem::open(&self.root)?.list(prefix)?;
        let mut names: Vec<String> = listed.into_iter().map(|blob| blob.id.to_string()).collect();
        names.sort_unstable();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_lie_where_kopia_looks_for_them() {
        let dir = tempfile::tempdir().unwrap();
        let blobs =
            BlobDirectory::create(dir.path(), r#"{"default":[1,3],"maxNonShardedLength":20}"#).unwrap();
        let pack = "p2f09ebc80929c10afce9d8ad8ae3bed7-s8df48a5d3ea727bc147";
        for name in ["kopia.repository", pack, "xe13"] {
            blobs.put(name, name.as_bytes()).unwrap();
        }
        assert!(dir.path().join("kopia.repository.f").is_file());
        assert!(dir.path().join("p/2f0/9ebc80929c10afce9d8ad8ae3bed7-s8df48a5d3ea727bc147.f").is_file());
        let again = BlobDirectory::open(dir.path()).unwrap();
        assert_eq!(again.names("").unwrap(), ["kopia.repository", pack, "xe13"]);
        assert_eq!(again.names("x").unwrap(), ["xe13"]);
        assert_eq!(again.get(pack).unwrap(), pack.as_bytes());
        again.remove("xe13").unwrap();
        assert!(again.get("xe13").is_err());
    }
}
