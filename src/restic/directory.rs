//! A repository of restic in a directory, as on a NAS.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::sealed::{self, Key, KeyFile};
use super::{Error, Snapshot};
use crate::crypto::Password;

/// The largest file that is read.
const MOST: u64 = 16 << 20;

/// Keys that are tried.
const MOST_KEYS: usize = 64;

/// How often a list that changes is read again.
const ATTEMPTS: usize = 3;

/// An opened repository: one of its keys fits, and its configuration was read.
pub struct Repository {
    path: PathBuf,
    key: Key,
    id: String,
    version: u64,
}

debug_of!(Repository, "Repository", "path" = |repository| &repository.path);

#[derive(Deserialize)]
struct Config {
    version: u64,
    id: String,
}

impl Repository {
    /// Opens the repository in a directory.
    ///
    /// # Errors
    /// [`Error`]. A directory without a repository is an error and no answer: a file system that is not mounted looks so.
    pub fn open(path: &Path, password: &Password) -> Result<Self, Error> {
        let config = path.join("config");
        let sealed = read(&config).map_err(|error| match error {
            Error::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Error::NoRepository { path: path.to_owned() }
            }
            error => error,
        })?;
        let key = open_key(path, password)?;
        let damaged = |reason: String| Error::Damaged { path: config.clone(), reason };
        let plain = key.open(&sealed).ok_or_else(|| damaged("its seal is not that of the key".to_owned()))?;
        let json = sealed::json(plain).map_err(damaged)?;
        let Config { version, id } = serde_json::from_slice(&json).map_err(|e| damaged(e.to_string()))?;
        if !matches!(version, 1 | 2) {
            return Err(Error::Version { path: path.to_owned(), version });
        }
        Ok(Self { path: path.to_owned(), key, id, version })
    }

    /// The ID that restic gave it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The version of its format: 1 or 2.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All snapshots, oldest first, and those that could not be read. The list is complete: it was the same before and
    /// after they were read.
    ///
    /// # Errors
    /// A list that cannot be read, or that changes each time.
    pub fn snapshots(&self) -> Result<(Vec<Snapshot>, Vec<Error>), Error> {
        let directory = self.path.join("snapshots");
        for _ in 0..ATTEMPTS {
            let before = names(&directory)?;
            let (mut snapshots, mut unreadable) = (Vec::new(), Vec::new());
            for name in &before {
                match self.snapshot(&directory, name) {
                    Ok(snapshot) => snapshots.push(snapshot),
                    Err(error) => unreadable.push(error),
                }
            }
            if names(&directory)? == before {
                snapshots.sort_by(|a, b| (a.started(), &a.id).cmp(&(b.started(), &b.id)));
                return Ok((snapshots, unreadable));
            }
        }
        Err(Error::Changing { path: directory })
    }

    fn snapshot(&self, directory: &Path, name: &str) -> Result<Snapshot, Error> {
        let path = directory.join(name);
        let sealed = read_named(&path, name)?;
        let damaged = |reason: String| Error::Damaged { path: path.clone(), reason };
        let plain =
            self.key.open(&sealed).ok_or_else(|| damaged("its seal is not that of the key".to_owned()))?;
        let json = sealed::json(plain).map_err(damaged)?;
        Snapshot::parse(name, &json).map_err(damaged)
    }
}

/// The master key, from the first file of keys that the password opens.
fn open_key(path: &Path, password: &Password) -> Result<Key, Error> {
    let directory = path.join("keys");
    let names = names(&directory)?;
    let mut problem = None;
    for name in names.iter().take(MOST_KEYS) {
        let path = directory.join(name);
        let opened = read_named(&path, name).and_then(|bytes| {
            let damaged = |reason: String| Error::Damaged { path: path.clone(), reason };
            let file: KeyFile = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
            file.open(password.expose()).map_err(damaged)
        });
        match opened {
            Ok(Some(key)) => return Ok(key),
            Ok(None) => {}
            // Another key may still be good.
            Err(error) => problem = Some(error),
        }
    }
    Err(problem.unwrap_or(Error::WrongPassword { path: path.to_owned(), keys: names.len() }))
}

/// The names of a directory that are those of files of restic: SHA-256 in hexadecimal digits. What it leaves behind while
/// it writes has other names.
fn names(directory: &Path) -> Result<BTreeSet<String>, Error> {
    let failed = |source| Error::Read { path: directory.to_owned(), source };
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let is_hash =
            name.len() == 64 && name.as_bytes().iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if is_hash {
            names.insert(name.to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// A file whose bytes have the hash that it is named by.
fn read_named(path: &Path, name: &str) -> Result<Vec<u8>, Error> {
    let bytes = read(path)?;
    if hex::encode(Sha256::digest(&bytes)) != name {
        let reason = "its bytes do not have the hash that it is named by".to_owned();
        return Err(Error::Damaged { path: path.to_owned(), reason });
    }
    Ok(bytes)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MOST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST {
        return Err(Error::Damaged { path: path.to_owned(), reason: "it is too large".to_owned() });
    }
    Ok(bytes)
}
