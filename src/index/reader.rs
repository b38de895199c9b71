//! Reading the index blobs of a repository.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::active::{ActiveSet, Doubt};
use super::content_index::ContentIndex;
use super::packed::PackedIndex;
use super::{Error, epochs, legacy, sealed};
use crate::blob::{BlobId, BlobMetadata, BlobStore, FetchLimits, fetch_all};
use crate::format::RepositoryFormat;

/// Listing and reading race against maintenance, which deletes index blobs it has merged. Each retry lists anew; a
/// network file system may serve an old listing for a while, so that the pauses grow.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// No index blob is larger: writers split at 16 million entries.
const MAX_INDEX_BLOB: u64 = 1 << 30;

/// Index blobs held at once while they are read, unless one alone is larger.
const BYTES_IN_FLIGHT: u64 = 32 << 20;

/// How indexes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexOptions {
    /// Index blobs read at the same time.
    pub reads: usize,
    /// Pass over index blobs that cannot be read, with a [`Doubt`] for each, instead of failing.
    pub degraded: bool,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self { reads: 16, degraded: false }
    }
}

/// Finds and reads the index blobs of a repository.
pub struct IndexReader<'a> {
    store: &'a dyn BlobStore,
    format: &'a RepositoryFormat,
    options: IndexOptions,
    repairs: AtomicU64,
}

impl<'a> IndexReader<'a> {
    /// A reader of the indexes in `store`.
    pub fn new(store: &'a dyn BlobStore, format: &'a RepositoryFormat, options: IndexOptions) -> Self {
        Self { store, format, options, repairs: AtomicU64::new(0) }
    }

    /// Places in index blobs that error correction had to mend so far.
    pub fn repairs(&self) -> u64 {
        self.repairs.load(Ordering::Relaxed)
    }

    /// Lists the index blobs and chooses those that count.
    ///
    /// # Errors
    /// Storage failures, and damaged compaction logs of repositories without epochs, unless reading degraded.
    pub fn active(&self) -> Result<ActiveSet, Error> {
        if self.format.epochs().enabled {
            Ok(epochs::select(&self.store.list("x")?))
        } else {
            legacy::select(self.store, self.format, self.options.degraded)
        }
    }

    /// Reads one index blob.
    ///
    /// # Errors
    /// Every way in which the blob is missing, damaged or not an index.
    pub fn fetch(&self, blob: &BlobId) -> Result<PackedIndex, Error> {
        self.parse(blob, self.store.read(blob, MAX_INDEX_BLOB)?)
    }

    fn parse(&self, blob: &BlobId, stored: Vec<u8>) -> Result<PackedIndex, Error> {
        let opened = sealed::open(self.format, blob, stored)?;
        self.repairs.fetch_add(opened.repairs as u64, Ordering::Relaxed);
        PackedIndex::parse(opened.plaintext).map_err(|reason| Error::Malformed { blob: blob.clone(), reason })
    }

    /// Reads all active index blobs that `known` does not have, keeps of each what `extract` makes of it, and forgets
    /// in `known` what is not active any more.
    ///
    /// Blobs that vanish meanwhile make it list anew. On an error `known` keeps what was read so far.
    ///
    /// # Errors
    /// The first unreadable blob, unless [`IndexOptions::degraded`]; [`Error::KeepsVanishing`].
    pub fn update<T: Send>(
        &self,
        known: &mut HashMap<BlobId, T>,
        extract: impl Fn(PackedIndex) -> T + Sync,
    ) -> Result<ActiveSet, Error> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let mut active = self.active()?;
            match self.fetch_missing(&mut active, known, &extract)? {
                None => {
                    let current: HashSet<&BlobId> =
                        active.blobs.iter().chain(&active.optional).map(|blob| &blob.id).collect();
                    known.retain(|blob, _| current.contains(blob));
                    return Ok(active);
                }
                Some(blob) if attempt == ATTEMPTS && self.options.degraded => {
                    active.blobs.retain(|b| b.id != blob);
                    let reason = "it is listed but not there".into();
                    active.doubts.push(Doubt::Unreadable { blob, reason });
                    return Ok(active);
                }
                Some(blob) if attempt == ATTEMPTS => {
                    return Err(Error::KeepsVanishing { blob, attempts: ATTEMPTS });
                }
                Some(blob) => {
                    tracing::debug!(%blob, "index blob vanished while indexes were read, listing again")
                }
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
        self.active()
    }

    /// Reads what is missing; gives back a blob that is not there any more, if any.
    fn fetch_missing<T: Send>(
        &self,
        active: &mut ActiveSet,
        known: &mut HashMap<BlobId, T>,
        extract: &(impl Fn(PackedIndex) -> T + Sync),
    ) -> Result<Option<BlobId>, Error> {
        let missing: Vec<BlobMetadata> = active
            .blobs
            .iter()
            .chain(&active.optional)
            .filter(|b| !known.contains_key(&b.id))
            .cloned()
            .collect();
        let optional: HashSet<&BlobId> = active.optional.iter().map(|blob| &blob.id).collect();
        let limits = FetchLimits { reads: self.options.reads, bytes: BYTES_IN_FLIGHT, blob: MAX_INDEX_BLOB };
        let read = Mutex::new(Vec::new());
        let vanished = Mutex::new(None);
        let doubts = Mutex::new(Vec::new());
        let outcome = fetch_all(self.store, &missing, limits, |blob, stored| {
            match stored.map_err(Error::from).and_then(|stored| self.parse(&blob.id, stored)) {
                Ok(index) => push(&read, (blob.id.clone(), extract(index))),
                Err(Error::Blob(e)) if e.is_not_found() => {
                    *vanished.lock().unwrap_or_else(PoisonError::into_inner) = Some(blob.id.clone());
                }
                Err(e) if optional.contains(&blob.id) || (self.options.degraded && e.is_damage()) => {
                    push(&doubts, Doubt::Unreadable { blob: blob.id.clone(), reason: e.to_string() });
                }
                Err(e) => return Err(e),
            }
            Ok(())
        });
        known.extend(read.into_inner().unwrap_or_else(PoisonError::into_inner));
        active.doubts.extend(doubts.into_inner().unwrap_or_else(PoisonError::into_inner));
        outcome?;
        Ok(vanished.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Loads the full index.
    ///
    /// # Errors
    /// As [`IndexReader::update`].
    pub fn load(&self) -> Result<ContentIndex, Error> {
        let mut known = HashMap::new();
        let active = self.update(&mut known, |index| index)?;
        let mut indexes: Vec<_> = known.into_iter().collect();
        indexes.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(ContentIndex::build(indexes, active.watermark, active.doubts))
    }
}

fn push<T>(list: &Mutex<Vec<T>>, item: T) {
    list.lock().unwrap_or_else(PoisonError::into_inner).push(item);
}
