//! Which file of the cache serves for a listing of index blobs, and when there is a new one.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::active::ActiveSet;
use super::cached::{self, BlobSet, CachedIndex, Pages, Rebuild, Table};
use super::content_index::ContentIndex;
use super::reader::{IndexOptions, IndexReader};
use crate::blob::{BlobId, BlobMetadata, BlobStore};
use crate::cache::{Backing, Folder, Sealed};
use crate::format::RepositoryFormat;

/// What the names of the files begin with.
const KIND: &str = "index-";

/// Index blobs beside those of the file that are read with each opening before there is a new file.
const NEW_BLOBS: usize = 8;

/// A file is written again when at least this part of its entries is beside it.
const NEW_PART: u64 = 16;

/// A part of the memory for an index, for pages of the file; another one for its table.
const PAGES_SHARE: u64 = 4;

/// The index of some of the active blobs, from the cache.
pub(super) struct Base {
    pub(super) blobs: BlobSet,
    pub(super) packs: Vec<BlobId>,
    pub(super) indexes: Vec<CachedIndex>,
    name: String,
}

/// Indexes in the cache of one repository.
pub(super) struct IndexStore {
    folder: Arc<Folder>,
    store: Arc<dyn BlobStore>,
    format: Arc<RepositoryFormat>,
    /// How index blobs are read: without a cache.
    options: IndexOptions,
}

impl IndexStore {
    pub(super) fn new(
        folder: Folder,
        store: Arc<dyn BlobStore>,
        format: Arc<RepositoryFormat>,
        options: &IndexOptions,
    ) -> Self {
        let options = IndexOptions { cache_directory: None, ..options.clone() };
        Self { folder: Arc::new(folder), store, format, options }
    }

    /// The file that has most of the active blobs, and no other.
    pub(super) fn base_for(&self, active: &ActiveSet) -> Option<Base> {
        let set: HashMap<&BlobId, u64> =
            active.blobs.iter().chain(&active.optional).map(|blob| (&blob.id, blob.size)).collect();
        let mut all: BlobSet = set.iter().map(|(id, size)| ((*id).clone(), *size)).collect();
        all.sort();
        let exact = self.name(&all);
        if let Some(base) = self.open(&exact) {
            return Some(base);
        }
        let names = self.folder.names(KIND).into_iter().filter(|name| *name != exact);
        let within = |base: &Base| base.blobs.iter().all(|(id, size)| set.get(id) == Some(size));
        names
            .filter_map(|name| self.open(&name))
            .filter(|base| !base.blobs.is_empty() && within(base))
            .max_by_key(|base| base.blobs.len())
    }

    /// The name of the file for these blobs. It says nothing of them to those without the key.
    fn name(&self, blobs: &BlobSet) -> String {
        let mut digest = Sha256::new();
        digest.update(self.format.unique_id());
        for (id, size) in blobs {
            digest.update(format!("\n{id} {size}"));
        }
        let digest = hex::encode(digest.finalize());
        format!("{KIND}{}", digest.get(..32).unwrap_or(&digest))
    }

    fn limit(&self) -> u64 {
        self.options.memory / 2
    }

    fn open(&self, name: &str) -> Option<Base> {
        let opened = self.folder.open(name).and_then(|backing| {
            let Some(backing) = backing else { return Ok(None) };
            let (file, bytes) = Sealed::open(backing, &self.format, cached::PURPOSE, self.limit())?;
            let table = Table::parse(&bytes, file.pages()).filter(|table| self.name(&table.blobs) == name);
            Ok(Some((table.ok_or(io::ErrorKind::InvalidData)?, file, bytes)))
        });
        match opened {
            Ok(opened) => {
                let (table, file, bytes) = opened?;
                let rebuild = self.rebuild(table.blobs.clone(), name.to_owned());
                let pages = Pages::new(file, &bytes, self.options.memory / PAGES_SHARE, rebuild);
                let (blobs, packs, indexes) = CachedIndex::all(table, pages);
                Some(Base { blobs, packs, indexes, name: name.to_owned() })
            }
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                tracing::debug!(name, "the cached index does not fit into memory");
                None
            }
            Err(error) => {
                self.folder.warn(&format!("the index {name} cannot be used and is made anew"), &error);
                self.folder.remove(name);
                None
            }
        }
    }

    /// Reads these blobs, and writes the file again, or keeps it in memory where that is not possible.
    fn rebuild(&self, blobs: BlobSet, name: String) -> Box<Rebuild> {
        let (folder, store, format) =
            (Arc::clone(&self.folder), Arc::clone(&self.store), Arc::clone(&self.format));
        let options = self.options.clone();
        let anew = move |folder: &Folder, name: &str| {
            let metadata =
                |(id, size): &(BlobId, u64)| BlobMetadata { id: id.clone(), size: *size, modified: None };
            let set = ActiveSet { blobs: blobs.iter().map(metadata).collect(), ..ActiveSet::default() };
            let reader = IndexReader::new(&store, &format, options.clone());
            let index = reader.load_set(set).map_err(|e| io::Error::other(e.to_string()))?;
            let wanted: HashSet<&BlobId> = blobs.iter().map(|(id, _)| id).collect();
            if index.blobs().iter().collect::<HashSet<_>>() != wanted {
                return Err(io::Error::other("index blobs are gone that the cached index was made from"));
            }
            let size = index.entries().saturating_mul(cached::ENTRY_SIZE);
            let written = folder.write(KIND, name, size, |out| cached::write(&index, &blobs, &format, out));
            let backing = match written {
                Ok(true) => folder.open(name)?,
                Ok(false) => None,
                Err(error) => {
                    folder.warn("an index cannot be written", &error);
                    None
                }
            };
            let backing = match backing {
                Some(backing) => backing,
                None if size > options.memory => {
                    return Err(io::Error::other("there is no room to make the cached index anew"));
                }
                None => {
                    let mut bytes = Vec::new();
                    cached::write(&index, &blobs, &format, &mut bytes)?;
                    Backing::Memory(bytes)
                }
            };
            Sealed::open(backing, &format, cached::PURPOSE, options.memory / 2)
        };
        Box::new(move || {
            // Whatever comes of it, nobody is to find the damaged file again.
            folder.remove(&name);
            anew(&folder, &name)
        })
    }

    /// Puts an index of these blobs into the cache where that spares the next opening enough.
    pub(super) fn keep(&self, index: &ContentIndex, mut blobs: BlobSet, base: Option<&BaseSize>) {
        let new = base.map_or(blobs.len(), |base| blobs.len() - base.blobs);
        let entries = index.entries();
        let small = base.is_some_and(|base| {
            new < NEW_BLOBS && entries.saturating_sub(base.entries) * NEW_PART < base.entries
        });
        if new == 0 || small {
            return;
        }
        blobs.sort();
        let name = self.name(&blobs);
        let size = entries.saturating_mul(cached::ENTRY_SIZE);
        let write = |out: &mut dyn io::Write| cached::write(index, &blobs, &self.format, out);
        match self.folder.write(KIND, &name, size, write) {
            Ok(written) => {
                if let Some(base) = base.filter(|base| written && base.name != name) {
                    self.folder.remove(&base.name);
                }
            }
            Err(error) => self.folder.warn("the index cannot be kept", &error),
        }
    }
}

/// How much of an index is in the cache.
pub(super) struct BaseSize {
    blobs: usize,
    entries: u64,
    name: String,
}

impl Base {
    pub(super) fn size(&self) -> BaseSize {
        let entries = self.indexes.iter().map(|index| u64::from(index.len())).sum();
        BaseSize { blobs: self.blobs.len(), entries, name: self.name.clone() }
    }
}
