//! The repository as the pages read it: opened when it is first asked for, and kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use super::Trouble;
use crate::checker::{FindPassword, OpenStore};
use crate::content::{self, ContentSource};
use crate::index::ContentId;
use crate::os::sync::Mutex;
use crate::repository::Budget;
use crate::snapshot::{Snapshot, Snapshots};
use crate::vfs::{Bytes, Growing, ONE_SHARD, Vfs};
use crate::{Catalog, Options, Repository};

/// Share of the memory for directories as they are stored; the rest is for the tree and for data.
const STORED_DIRECTORIES: u64 = 4;

/// How often at most a snapshot that is not known is looked for.
const PAUSE: Duration = Duration::from_secs(2);

/// Threads that read ahead for all downloads.
const READS: usize = 4;

/// How the repository is opened.
pub(super) struct Library {
    open_store: OpenStore,
    password: FindPassword,
    options: Options,
    budget: Budget,
    opened: Mutex<Option<Arc<Opened>>>,
}

impl Library {
    pub(super) fn new(
        open_store: OpenStore,
        password: FindPassword,
        options: Options,
        budget: Budget,
    ) -> Self {
        Self { open_store, password, options: budget.bound(options), budget, opened: Mutex::default() }
    }

    /// The repository, which must be the one with this ID: the one that the service answers for.
    pub(super) fn opened(&self, unique_id: &str) -> Result<Arc<Opened>, Trouble> {
        // Who comes while it is opened waits: two would cost twice the memory.
        let mut opened = self.opened.lock();
        if let Some(known) = opened.as_ref().filter(|known| known.unique_id == unique_id) {
            return Ok(Arc::clone(known));
        }
        *opened = None;
        let store = (self.open_store)().map_err(crate::Error::from)?;
        let password = (self.password)().map_err(crate::Error::from)?;
        let repository =
            Repository::open_with(store, &password, self.options.clone()).map_err(crate::Error::from)?;
        let found = hex::encode(repository.format().unique_id());
        if found != unique_id {
            return Err(Trouble::NotNow("the repository was replaced by another one".to_owned()));
        }
        let (catalog, contents) = repository.catalog_and_contents().map_err(crate::Error::from)?;
        let contents = match contents {
            Some(contents) => contents,
            None => repository.contents().map_err(crate::Error::from)?,
        };
        let memory = self.budget.for_data_at_least(&contents.index());
        let growing = Arc::new(Growing::new(contents));
        let stored = memory / STORED_DIRECTORIES;
        let kept = Arc::new(Kept::new(Arc::clone(&growing), stored));
        let snapshots = Arc::new(catalog.all_snapshots());
        let vfs = Vfs::of_snapshots(kept.clone(), &Snapshots::default(), memory - stored, READS);
        let known = Mutex::new(Known { catalog, snapshots, looked: Instant::now() });
        let new = Opened { unique_id: found, repository, growing, source: kept, vfs: Arc::new(vfs), known };
        Ok(Arc::clone(opened.insert(Arc::new(new))))
    }
}

/// The repository, open.
pub(super) struct Opened {
    unique_id: String,
    repository: Repository,
    growing: Arc<Growing>,
    /// For trees.
    pub(super) source: Arc<dyn ContentSource>,
    /// For directories and data.
    pub(super) vfs: Arc<Vfs>,
    known: Mutex<Known>,
}

struct Known {
    catalog: Catalog,
    snapshots: Arc<Snapshots>,
    looked: Instant,
}

impl Opened {
    /// All snapshots; read again where `enough` is not true of those known.
    fn snapshots(&self, enough: impl Fn(&Snapshots) -> bool) -> Result<Arc<Snapshots>, Trouble> {
        let mut known = self.known.lock();
        if !enough(&known.snapshots) && known.looked.elapsed() >= PAUSE {
            if known.catalog.refresh().map_err(crate::Error::from)? {
                self.growing.replace(self.repository.contents().map_err(crate::Error::from)?);
                known.snapshots = Arc::new(known.catalog.all_snapshots());
            }
            known.looked = Instant::now();
        }
        Ok(Arc::clone(&known.snapshots))
    }

    /// All snapshots, among them this one if it is there.
    pub(super) fn snapshots_with(&self, id: &str) -> Result<Arc<Snapshots>, Trouble> {
        self.snapshots(|known| known.get(id).is_some())
    }

    /// A snapshot.
    pub(super) fn snapshot(&self, id: &str) -> Result<Arc<Snapshot>, Trouble> {
        self.snapshots_with(id)?.get(id).cloned().ok_or(Trouble::NotFound)
    }
}

/// Contents, of which those of directories are kept: each question walks down through them.
struct Kept {
    below: Arc<Growing>,
    directories: Cache<ContentId, Arc<Vec<u8>>, Bytes>,
}

impl Kept {
    fn new(below: Arc<Growing>, memory: u64) -> Self {
        Self { below, directories: Cache::with_weighter(ONE_SHARD, memory, Bytes) }
    }
}

impl ContentSource for Kept {
    fn get(&self, id: &ContentId) -> Result<Vec<u8>, content::Error> {
        // Contents without a prefix are file data, which the tree keeps.
        if id.prefix().is_none() {
            return self.below.get(id);
        }
        let read = || Ok::<_, content::Error>(Arc::new(self.below.get(id)?));
        Ok(self.directories.get_or_insert_with(id, read)?.to_vec())
    }

    fn original_length(&self, id: &ContentId) -> Result<Option<u64>, content::Error> {
        self.below.original_length(id)
    }
}
