//! The format blob as it was when the repository was last opened: with it, keys are derived while the blob is read.
//!
//! It is what the storage gives to everybody, and it counts only where the storage still has the same.

use std::io::{self, Read};

use super::Options;
use crate::blob::{BlobStore, InRepository};
use crate::cache::{Backing, Folder, hashed};

/// Format blobs are smaller.
const MAX_SIZE: u64 = 64 << 10;

/// Where the format blob of one place is kept.
pub(super) struct KeptFormat {
    folder: Folder,
    name: String,
    bytes: Option<Vec<u8>>,
}

impl KeptFormat {
    /// What is kept for the place of this store, if the options name a directory for that.
    ///
    /// # Errors
    /// It would lie in the repository.
    pub(super) fn open(options: &Options, store: &dyn BlobStore) -> Result<Option<Self>, InRepository> {
        let asked = options.index.cache_directory.as_ref();
        let Some(directory) = asked.filter(|_| !options.index.degraded) else { return Ok(None) };
        let folder = Folder::of_places(directory, options.index.cache_limit, &store.guard())?;
        let name = format!("format-{}", hashed(store.describe().as_bytes()));
        let bytes = read(&folder, &name).unwrap_or_else(|error| {
            tracing::debug!(%error, "the format blob that was kept cannot be read");
            None
        });
        Ok(Some(Self { folder, name, bytes }))
    }

    /// The blob as it was.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.bytes.as_deref()
    }

    /// Keeps the blob as it is now.
    pub(super) fn keep(&self, bytes: &[u8]) {
        if self.bytes() == Some(bytes) {
            return;
        }
        let write = |out: &mut dyn io::Write| out.write_all(bytes);
        if let Err(error) = self.folder.write(&self.name, &self.name, bytes.len() as u64, write) {
            tracing::debug!(%error, "the format blob cannot be kept");
        }
    }
}

fn read(folder: &Folder, name: &str) -> io::Result<Option<Vec<u8>>> {
    let Some(Backing::File(file)) = folder.open(name)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(MAX_SIZE).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
