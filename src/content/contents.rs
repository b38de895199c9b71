//! The contents of a repository by way of its full index.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::decoder::{Decoder, Scratch};
use super::{ContentSource, Error, Repairs};
use crate::blob::{BlobId, BlobStore};
use crate::format::RepositoryFormat;
use crate::index::{ContentId, ContentIndex, Entry, IndexOptions, IndexReader};
use crate::os::sync::Mutex;

/// The contents of a repository, found by its full index.
///
/// If a pack is missing, the indexes are read again, because maintenance may have moved the content. Only if the new
/// index names the same pack, the content is reported as missing.
pub struct Contents {
    store: Arc<dyn BlobStore>,
    format: Arc<RepositoryFormat>,
    index: ArcSwap<ContentIndex>,
    options: IndexOptions,
    reloading: Mutex<()>,
    gone: Mutex<HashSet<BlobId>>,
    fixed: bool,
    repairs: Repairs,
}

debug_of!(Contents, "Contents", "store" = |contents| contents.store.describe());

impl Contents {
    /// Loads the full index.
    ///
    /// # Errors
    /// As [`IndexReader::load`].
    pub fn load(
        store: Arc<dyn BlobStore>,
        format: Arc<RepositoryFormat>,
        options: IndexOptions,
    ) -> Result<Self, Error> {
        let index = IndexReader::with_cache(&store, &format, options.clone())?.load()?;
        Ok(Self::with_index(store, format, options, index))
    }

    /// Loads the full index, unless it does not fit into memory.
    ///
    /// # Errors
    /// As [`IndexReader::load_if_it_fits`].
    pub fn load_if_it_fits(
        store: Arc<dyn BlobStore>,
        format: Arc<RepositoryFormat>,
        options: IndexOptions,
    ) -> Result<Option<Self>, Error> {
        let index = IndexReader::with_cache(&store, &format, options.clone())?.load_if_it_fits()?;
        Ok(index.map(|index| Self::with_index(store, format, options, index)))
    }

    /// Contents with an index from elsewhere, for example one that was recovered from packs.
    pub fn with_index(
        store: Arc<dyn BlobStore>,
        format: Arc<RepositoryFormat>,
        options: IndexOptions,
        index: ContentIndex,
    ) -> Self {
        Self {
            store,
            format,
            index: ArcSwap::from_pointee(index),
            options,
            reloading: Mutex::default(),
            gone: Mutex::default(),
            fixed: false,
            repairs: Repairs::default(),
        }
    }

    /// Never reads the index blobs: for an index that knows more than they do.
    #[must_use]
    pub fn fixed(self) -> Self {
        Self { fixed: true, ..self }
    }

    /// The index in use now.
    pub fn index(&self) -> Arc<ContentIndex> {
        self.index.load_full()
    }

    /// The format of the repository.
    pub fn format(&self) -> &Arc<RepositoryFormat> {
        &self.format
    }

    /// Where the packs are.
    pub fn store(&self) -> &Arc<dyn BlobStore> {
        &self.store
    }

    /// What error correction has repaired so far.
    pub fn repairs(&self) -> &Repairs {
        &self.repairs
    }

    /// The index to look again in after a pack named by `stale` was missing, or `None` when looking again is of no use.
    ///
    /// # Errors
    /// A failure to read the indexes again.
    pub fn reload_after(
        &self,
        stale: &Arc<ContentIndex>,
        pack: &BlobId,
    ) -> Result<Option<Arc<ContentIndex>>, Error> {
        let _one_at_a_time = self.reloading.lock();
        let current = self.index();
        if !Arc::ptr_eq(&current, stale) {
            return Ok(Some(current));
        }
        if self.fixed || !self.gone.lock().insert(pack.clone()) {
            return Ok(None);
        }
        let reader = IndexReader::with_cache(&self.store, &self.format, self.options.clone())?;
        let fresh = Arc::new(reader.load()?);
        self.index.store(Arc::clone(&fresh));
        Ok(Some(fresh))
    }

    fn read(&self, index: &ContentIndex, entry: &Entry) -> Result<Vec<u8>, Error> {
        let pack = pack_of(index, entry)?;
        read_one(&self.store, &self.format, entry, pack, &self.repairs)
    }
}

/// Reads a content from its pack by itself.
///
/// # Errors
/// Every way in which the pack or the content is missing, damaged or not readable.
pub fn read_one(
    store: &dyn BlobStore,
    format: &RepositoryFormat,
    entry: &Entry,
    pack: &BlobId,
    repairs: &Repairs,
) -> Result<Vec<u8>, Error> {
    let (plaintext, repaired) = read_with(&Decoder::new(format), store, entry, pack)?;
    repairs.note(pack, repaired);
    Ok(plaintext)
}

/// Reads a content from its pack by itself; its plaintext, and how many ranges of it error correction had to mend.
///
/// # Errors
/// As [`read_one`].
pub(crate) fn read_with(
    decoder: &Decoder<'_>,
    store: &dyn BlobStore,
    entry: &Entry,
    pack: &BlobId,
) -> Result<(Vec<u8>, usize), Error> {
    decoder.check(entry, pack)?;
    let mut stored = vec![0; entry.packed_length as usize];
    store.read_at(pack, entry.offset.into(), &mut stored).map_err(|e| read_error(entry.id, e))?;
    let mut scratch = Scratch::default();
    let decoded = decoder.decode(entry, pack, &mut stored, &mut scratch)?;
    Ok((decoded.plaintext.to_vec(), decoded.repaired.len()))
}

/// The name of an entry's pack.
///
/// # Errors
/// [`Error::Missing`] for an entry of another index.
pub fn pack_of<'a>(index: &'a ContentIndex, entry: &Entry) -> Result<&'a BlobId, Error> {
    index.pack(entry.pack).ok_or(Error::Missing { content: entry.id })
}

/// What a failure to read from a pack means for a content in it.
pub fn read_error(content: ContentId, source: crate::blob::Error) -> Error {
    match source {
        crate::blob::Error::NotFound { blob } => Error::PackMissing { content, blob },
        source => Error::Read { content, source },
    }
}

impl ContentSource for Contents {
    fn get(&self, id: &ContentId) -> Result<Vec<u8>, Error> {
        let mut index = self.index();
        loop {
            let entry = index.get(id)?.ok_or(Error::Missing { content: *id })?;
            match self.read(&index, &entry) {
                Err(Error::PackMissing { content, blob }) => match self.reload_after(&index, &blob)? {
                    Some(fresh) => index = fresh,
                    None => return Err(Error::PackMissing { content, blob }),
                },
                result => return result,
            }
        }
    }

    fn original_length(&self, id: &ContentId) -> Result<Option<u64>, Error> {
        Ok(self.index().get(id)?.map(|entry| u64::from(entry.original_length)))
    }
}
