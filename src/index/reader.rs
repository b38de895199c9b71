//! Reading the index blobs of a repository.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::active::{ActiveSet, Doubt};
use super::content_index::ContentIndex;
use super::loading::{Loading, Stage};
use super::packed::PackedIndex;
use super::spill::SpillFile;
use super::spilled::Spilled;
use super::store::{Base, IndexStore};
use super::{Error, epochs, legacy, sealed, streamed};
use crate::blob::{BlobId, BlobMetadata, BlobStore, FetchLimits, for_each_blob};
use crate::cache::{self, Folder};
use crate::format::RepositoryFormat;
use crate::os::sync::Mutex;

/// Listing and reading race against maintenance, which deletes index blobs it has merged. Each retry lists again; a
/// network file system may serve an old listing for a while, so that the pauses grow.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// No index blob is larger: writers split at 16 million entries.
const MAX_INDEX_BLOB: u64 = 1 << 30;

/// Index blobs held at once while they are read, unless one alone is larger.
const BYTES_IN_FLIGHT: u64 = 32 << 20;

/// Loading takes more memory than the blobs have bytes: many small ones are merged into a table while they are still
/// there, and names of packs are objects of their own.
const GROWTH_PERCENT: u64 = 250;

/// How indexes are read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct IndexOptions {
    /// Number of parallel reads of index blobs; `None` for the store's own preference.
    pub reads: Option<usize>,
    /// Skip index blobs that cannot be read, with a [`Doubt`] for each, instead of failing.
    pub degraded: bool,
    /// Bytes of memory for the index, also while it is loaded. A larger index goes to a file, if there is a directory for
    /// it.
    pub memory: u64,
    /// The directory for that file. The file has no name, so that nothing is left behind, and takes about 80 bytes per
    /// content while the index is loaded, then 45. Without a directory, an index over budget is [`Error::OverBudget`]. A
    /// verification keeps its reading order there as well: 24 bytes per content while it is made, then 8.
    pub spill_directory: Option<PathBuf>,
    /// A directory that keeps the index between runs, so that the next run reads only new index blobs. The files are
    /// encrypted with a key of the repository. It is not used when reading degraded.
    pub cache_directory: Option<PathBuf>,
    /// Maximum bytes of everything in that directory, including other repositories.
    pub cache_limit: u64,
    /// Counts what is read, for those who wait.
    #[doc(hidden)]
    pub loading: Option<Loading>,
}

impl Default for IndexOptions {
    /// As much memory as it takes.
    fn default() -> Self {
        Self {
            reads: None,
            degraded: false,
            memory: u64::MAX,
            spill_directory: None,
            cache_directory: None,
            cache_limit: cache::LIMIT,
            loading: None,
        }
    }
}

impl IndexOptions {
    /// Bytes of index blobs to be held at once.
    pub(crate) fn in_flight(&self) -> u64 {
        BYTES_IN_FLIGHT.min(self.memory / 4)
    }

    /// How many small things of a store are read at the same time.
    pub(crate) fn reads_of(&self, store: &dyn BlobStore) -> usize {
        self.reads.unwrap_or_else(|| store.hints().small_reads)
    }
}

/// Finds and reads the index blobs of a repository.
pub struct IndexReader<'a> {
    store: &'a dyn BlobStore,
    format: &'a RepositoryFormat,
    options: IndexOptions,
    repairs: AtomicU64,
    cache: Option<IndexStore>,
}

/// Random start offset for blobs that are read in any order, fixed for the process. It spreads load across clients, yet
/// one process always reports the same error first.
fn begin() -> usize {
    static BEGIN: OnceLock<usize> = OnceLock::new();
    *BEGIN.get_or_init(|| usize::try_from(RandomState::new().hash_one(0_u8)).unwrap_or(0))
}

debug_of!(IndexReader<'_>, "IndexReader");

impl<'a> IndexReader<'a> {
    /// A reader of the indexes in `store` that ignores the cache.
    pub fn new(store: &'a dyn BlobStore, format: &'a RepositoryFormat, options: IndexOptions) -> Self {
        Self { store, format, options, repairs: AtomicU64::new(0), cache: None }
    }

    /// A reader that uses the cache for index blobs that it has, if the options name one.
    ///
    /// # Errors
    /// [`Error::InRepository`] for a cache in the repository.
    pub(crate) fn with_cache(
        store: &'a Arc<dyn BlobStore>,
        format: &'a Arc<RepositoryFormat>,
        options: IndexOptions,
    ) -> Result<Self, Error> {
        let cache = match options.cache_directory.as_ref().filter(|_| !options.degraded) {
            None => None,
            Some(directory) => {
                let folder = Folder::new(directory, options.cache_limit, &store.guard(), format)?;
                Some(IndexStore::new(folder, Arc::clone(store), Arc::clone(format), &options))
            }
        };
        Ok(Self { cache, ..Self::new(store, format, options) })
    }

    /// Whether there is a cache.
    pub(super) fn is_cached(&self) -> bool {
        self.cache.is_some()
    }

    /// Number of places in index blobs that error correction has repaired so far.
    pub fn repairs(&self) -> u64 {
        self.repairs.load(Ordering::Relaxed)
    }

    /// Lists the index blobs and selects the active ones.
    ///
    /// # Errors
    /// Storage failures, and damaged compaction logs of repositories without epochs, unless reading degraded.
    pub fn active(&self) -> Result<ActiveSet, Error> {
        if self.format.epochs().enabled {
            Ok(epochs::select(&self.store.list(epochs::PREFIX)?))
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

    /// Reads the entries of an index blob for contents with a prefix. Entries of other contents may be included.
    pub(super) fn fetch_prefixed(&self, blob: &BlobMetadata, prefix: u8) -> Result<PackedIndex, Error> {
        if self.is_streamed(blob) {
            let memory = self.options.memory / 2;
            streamed::read_prefixed(self.store, self.format, blob, prefix, memory)
        } else {
            self.fetch(&blob.id)
        }
    }

    /// Writes the entries of an index blob to a file.
    fn fetch_spilled(&self, blob: &BlobMetadata, file: &SpillFile) -> Result<Spilled, Error> {
        if self.is_streamed(blob) {
            streamed::read_spilled(self.store, self.format, blob, file, self.options.memory / 2)
        } else {
            Spilled::write(self.fetch(&blob.id)?, file).map_err(Error::Spill)
        }
    }

    /// Whether a blob is too large to be held. Error correction mends whole blobs only.
    fn is_streamed(&self, blob: &BlobMetadata) -> bool {
        blob.size > self.options.in_flight() && self.format.ecc().is_none()
    }

    /// Reads all active index blobs that `known` does not have, keeps of each what `read` gives, and forgets in `known`
    /// what is no longer active.
    ///
    /// Blobs that vanish meanwhile make it list again. On an error `known` keeps what was read so far.
    ///
    /// # Errors
    /// The first unreadable blob, unless [`IndexOptions::degraded`]; [`Error::KeepsVanishing`].
    pub fn update<T: Send>(
        &self,
        known: &mut HashMap<BlobId, T>,
        read: impl Fn(&BlobMetadata) -> Result<T, Error> + Sync,
    ) -> Result<ActiveSet, Error> {
        self.update_from(self.active()?, known, read)
    }

    /// [`update`](Self::update), with a listing just made.
    fn update_from<T: Send>(
        &self,
        mut active: ActiveSet,
        known: &mut HashMap<BlobId, T>,
        read: impl Fn(&BlobMetadata) -> Result<T, Error> + Sync,
    ) -> Result<ActiveSet, Error> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            match self.fetch_missing(&mut active, known, &read)? {
                None => {
                    if self.options.degraded && lost_any(&active) {
                        // What they stood for is read in their place, as far as it is still there.
                        let superseded = std::mem::take(&mut active.superseded);
                        active.optional.extend(superseded);
                        self.fetch_missing(&mut active, known, &read)?;
                    }
                    let current: HashSet<&BlobId> =
                        active.blobs.iter().chain(&active.optional).map(|blob| &blob.id).collect();
                    known.retain(|blob, _| current.contains(blob));
                    return Ok(active);
                }
                Some(blob) if attempt == ATTEMPTS && self.options.degraded => {
                    active.blobs.retain(|b| b.id != blob);
                    let reason = "it is listed but not there".into();
                    active.doubts.push(Doubt::Unreadable { blob, reason, unrepairable: false });
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
            active = self.active()?;
        }
        Ok(active)
    }

    /// Reads what is missing; returns a blob that has vanished, if any.
    fn fetch_missing<T: Send>(
        &self,
        active: &mut ActiveSet,
        known: &mut HashMap<BlobId, T>,
        read: &(impl Fn(&BlobMetadata) -> Result<T, Error> + Sync),
    ) -> Result<Option<BlobId>, Error> {
        let mut missing: Vec<BlobMetadata> = active
            .blobs
            .iter()
            .chain(&active.optional)
            .filter(|b| !known.contains_key(&b.id) && !is_unreadable(active, b))
            .cloned()
            .collect();
        // Clients of one server that start together do not all ask for the same blob next.
        let first = begin().checked_rem(missing.len()).unwrap_or(0);
        missing.rotate_left(first);
        let optional: HashSet<&BlobId> = active.optional.iter().map(|blob| &blob.id).collect();
        let limits =
            FetchLimits { reads: self.options.reads_of(self.store), bytes: self.options.in_flight() };
        let loading = self.options.loading.as_ref();
        loading.inspect(|loading| loading.expect(Stage::Index, missing.len()));
        let found = Mutex::new(Vec::new());
        let vanished = Mutex::new(None);
        let doubts = Mutex::new(Vec::new());
        let outcome = for_each_blob(&missing, limits, |blob| {
            let read = read(blob);
            loading.inspect(|loading| loading.step(Stage::Index));
            match read {
                Ok(kept) => push(&found, (blob.id.clone(), kept)),
                Err(Error::Blob(e)) if e.is_not_found() => {
                    *vanished.lock() = Some(blob.id.clone());
                }
                Err(e) if optional.contains(&blob.id) || (self.options.degraded && e.is_damage()) => {
                    push(&doubts, Doubt::unreadable(&blob.id, &e));
                }
                Err(e) => return Err(e),
            }
            Ok(())
        });
        loading.inspect(|loading| loading.settle(Stage::Index));
        known.extend(found.into_inner());
        active.doubts.extend(doubts.into_inner());
        outcome?;
        Ok(vanished.into_inner())
    }

    /// Loads the full index: what the cache has from there, the rest into memory if it fits, otherwise into a file.
    ///
    /// # Errors
    /// As [`IndexReader::update`]; [`Error::OverBudget`] and [`Error::Spill`] when it fits nowhere.
    pub fn load(&self) -> Result<ContentIndex, Error> {
        self.load_set(self.active()?)
    }

    /// The same for a listing just made.
    pub(super) fn load_set(&self, active: ActiveSet) -> Result<ContentIndex, Error> {
        let base = self.base_for(&active);
        self.load_upon(active, base)
    }

    /// Loads the full index, unless it does not fit into memory.
    ///
    /// # Errors
    /// As [`IndexReader::update`].
    pub fn load_if_it_fits(&self) -> Result<Option<ContentIndex>, Error> {
        let active = self.active()?;
        let base = self.base_for(&active);
        let fits = self.memory_for(&active, base.as_ref()) <= self.options.memory;
        fits.then(|| self.load_upon(active, base)).transpose()
    }

    fn base_for(&self, active: &ActiveSet) -> Option<Base> {
        self.cache.as_ref()?.base_for(active)
    }

    /// Bytes that loading what is missing of these blobs into memory takes.
    fn memory_for(&self, active: &ActiveSet, base: Option<&Base>) -> u64 {
        let stored: u64 = active.blobs.iter().chain(&active.optional).map(|blob| blob.size).sum();
        let cached: u64 = base.iter().flat_map(|base| &base.blobs).map(|(_, size)| size).sum();
        let missing = stored.saturating_sub(cached);
        if missing == 0 && base.is_some() {
            return 0;
        }
        (missing.saturating_mul(GROWTH_PERCENT) / 100).saturating_add(self.options.in_flight())
    }

    /// Loads what the base does not have, and keeps the whole for the next run where that is worth it.
    fn load_upon(&self, active: ActiveSet, base: Option<Base>) -> Result<ContentIndex, Error> {
        let limit = self.options.memory;
        let needed = self.memory_for(&active, base.as_ref());
        let (index, blobs, size) = if needed <= limit {
            let (indexes, base, active) = self.load_all(active, base, |blob| self.fetch(&blob.id))?;
            let blobs = sizes_of(&active, base.as_ref(), indexes.iter().map(|(blob, _)| blob));
            let size = base.as_ref().map(Base::size);
            (ContentIndex::build_upon(base, indexes, active.watermark, active.doubts), blobs, size)
        } else {
            let cache = self.options.cache_directory.as_ref().filter(|_| self.is_cached());
            let directory = self.options.spill_directory.as_ref().or(cache);
            let directory = directory.ok_or(Error::OverBudget { needed, limit })?;
            let directory = &self.store.guard().writable(directory)?;
            let file = SpillFile::create(directory).map_err(Error::Spill)?;
            let (indexes, base, active) =
                self.load_all(active, base, |blob| self.fetch_spilled(blob, &file))?;
            let blobs = sizes_of(&active, base.as_ref(), indexes.iter().map(|(blob, _)| blob));
            let size = base.as_ref().map(Base::size);
            let ActiveSet { watermark, doubts, .. } = active;
            let index =
                ContentIndex::build_spilled(base, indexes, &file, directory, limit / 4, watermark, doubts)?;
            (index, blobs, size)
        };
        if let Some(cache) = &self.cache {
            cache.keep(&index, blobs, size.as_ref());
        }
        Ok(index)
    }

    /// All active index blobs that the base does not have, in the order of their names. A base with blobs that are not
    /// active any more is given up.
    #[allow(clippy::type_complexity, reason = "each part goes its own way")]
    fn load_all<T: Send>(
        &self,
        active: ActiveSet,
        base: Option<Base>,
        read: impl Fn(&BlobMetadata) -> Result<T, Error> + Sync,
    ) -> Result<(Vec<(BlobId, T)>, Option<Base>, ActiveSet), Error> {
        let cached = base.iter().flat_map(|base| &base.blobs);
        let mut known: HashMap<BlobId, Option<T>> = cached.map(|(blob, _)| (blob.clone(), None)).collect();
        let read = |blob: &BlobMetadata| read(blob).map(Some);
        let mut active = self.update_from(active, &mut known, read)?;
        let whole = |base: &Base| base.blobs.iter().all(|(blob, _)| known.contains_key(blob));
        let whole = base.as_ref().is_none_or(whole);
        let base = base.filter(|_| whole);
        if !whole {
            known.retain(|_, read| read.is_some());
            active = self.update_from(active, &mut known, read)?;
        }
        let mut indexes: Vec<_> = known.into_iter().filter_map(|(blob, read)| Some((blob, read?))).collect();
        indexes.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok((indexes, base, active))
    }
}

/// These blobs and those of the base, with the sizes that are listed.
fn sizes_of<'b>(
    active: &ActiveSet,
    base: Option<&Base>,
    read: impl Iterator<Item = &'b BlobId>,
) -> Vec<(BlobId, u64)> {
    let listed: HashMap<&BlobId, u64> =
        active.blobs.iter().chain(&active.optional).map(|blob| (&blob.id, blob.size)).collect();
    let cached = base.iter().flat_map(|base| base.blobs.iter().cloned());
    let read = read.filter_map(|blob| Some((blob.clone(), *listed.get(blob)?)));
    cached.chain(read).collect()
}

/// Whether a blob that must be read could not be.
fn lost_any(active: &ActiveSet) -> bool {
    active.blobs.iter().any(|blob| is_unreadable(active, blob))
}

/// Whether reading a blob was tried and given up.
fn is_unreadable(active: &ActiveSet, tried: &BlobMetadata) -> bool {
    active.doubts.iter().any(|doubt| matches!(doubt, Doubt::Unreadable { blob, .. } if *blob == tried.id))
}

fn push<T>(list: &Mutex<Vec<T>>, item: T) {
    list.lock().push(item);
}
