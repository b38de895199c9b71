//! Repositories in memory, cheap to copy and to damage.

use std::collections::BTreeMap;
use std::sync::Arc;

use rokopia::blob::{BlobId, BlobMetadata, BlobStore, Error};

pub type Blobs = BTreeMap<BlobId, Arc<[u8]>>;

/// Blobs in memory.
#[derive(Clone, Default)]
pub struct Memory(pub Blobs);

impl Memory {
    /// All blobs of a store that can be read.
    pub fn copy_of(store: &dyn BlobStore) -> Result<Memory, Error> {
        let read = |blob: BlobMetadata| Some((blob.id.clone(), store.read(&blob.id, u64::MAX).ok()?.into()));
        Ok(Memory(store.list("")?.into_iter().filter_map(read).collect()))
    }

    fn get(&self, id: &BlobId) -> Result<&[u8], Error> {
        self.0.get(id).map(AsRef::as_ref).ok_or_else(|| Error::NotFound { blob: id.clone() })
    }
}

impl BlobStore for Memory {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        let blobs = self.0.iter().filter(|(id, _)| id.as_str().starts_with(prefix));
        let listed = |(id, bytes): (&BlobId, &Arc<[u8]>)| BlobMetadata {
            id: id.clone(),
            size: bytes.len() as u64,
            modified: None,
        };
        Ok(blobs.map(listed).collect())
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        Ok(self.get(id)?.len() as u64)
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        let (bytes, size) = (self.get(id)?, self.size(id)?);
        if size > limit {
            return Err(Error::TooLarge { blob: id.clone(), size, limit });
        }
        if size == 0 {
            return Err(Error::Empty { blob: id.clone() });
        }
        Ok(bytes.to_vec())
    }

    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let bytes = usize::try_from(offset).ok().and_then(|start| self.get(id).ok()?.get(start..));
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => self.get(id).map(|_| &[] as &[u8])?,
        };
        match bytes.get(..buffer.len()) {
            Some(bytes) => buffer.copy_from_slice(bytes),
            None if self.size(id)? == 0 => return Err(Error::Empty { blob: id.clone() }),
            None => {
                let (wanted, got) = (buffer.len() as u64, bytes.len() as u64);
                return Err(Error::ShortRead { blob: id.clone(), offset, wanted, got });
            }
        }
        Ok(())
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}
