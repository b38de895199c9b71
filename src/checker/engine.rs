//! The side of the checker that touches the storage: it opens the repository, checks that it is still the same, and makes
//! views of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::error::{Error, Reason};
use super::view::{Inventory, RepositoryInfo, SnapshotInfo, SourceState};
use crate::blob::{self, BlobId, BlobMetadata, BlobStore};
use crate::crypto::Password;
use crate::format::RepositoryFormat;
use crate::gojson::time::GoTime;
use crate::manifest::ManifestId;
use crate::repository::{self, Access, Catalog, Options, Repository};
use crate::repository::{Indexed, Suspect};
use crate::snapshot::{Snapshot, Source};

/// Opens the storage again. Each refresh does, so that nothing of an earlier mount lives on in open files.
pub type OpenStore = Arc<dyn Fn() -> Result<Arc<dyn BlobStore>, blob::Error> + Send + Sync>;

/// Finds the password again. Each opening does, so that a rotated secret is picked up.
pub type FindPassword = Arc<dyn Fn() -> Result<Password, crate::crypto::Error> + Send + Sync>;

/// Opens and reads one repository; used by one thread at a time.
pub(super) struct Engine {
    open_store: OpenStore,
    password: FindPassword,
    options: Options,
    opened: Option<Opened>,
    rejected: Option<Rejected>,
}

/// What could not be opened, and why: trying again without a change would cost a key derivation for the same result.
struct Rejected {
    format_blob: Vec<u8>,
    password: Password,
    reason: Reason,
}

struct Opened {
    format_blob: Vec<u8>,
    store: Arc<Reopened>,
    repository: Repository,
    opened_in: Duration,
    catalog: Option<Catalog>,
    parsed: Parsed,
    inventory: Option<Arc<Inventory>>,
}

/// Snapshots by manifest, with the time by which a changed manifest is told from a known one.
type Parsed = HashMap<ManifestId, (GoTime, Result<(Source, Arc<SnapshotInfo>), Suspect>)>;

/// What a refresh comes to.
pub(super) struct Refreshed {
    pub(super) inventory: Arc<Inventory>,
    /// For looking into packs while the engine goes on.
    pub(super) repository: Repository,
}

/// Why a refresh failed.
pub(super) struct Refused {
    pub(super) reason: Reason,
    /// Whether what was known before must no longer be used either.
    pub(super) forget: bool,
    /// Whether trying again may help.
    pub(super) retryable: bool,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        let forget = matches!(error, Error::Replaced { .. });
        Self { reason: Reason::from(&error), forget, retryable: error.is_retryable() }
    }
}

impl Engine {
    pub(super) fn new(open_store: OpenStore, password: FindPassword, options: Options) -> Self {
        Self { open_store, password, options, opened: None, rejected: None }
    }

    /// Reads what is new. `expected` is the unique ID that the repository must have, if that is known.
    pub(super) fn refresh(&mut self, expected: Option<&str>) -> Result<Refreshed, Refused> {
        let store = (self.open_store)().map_err(Error::from)?;
        let location = store.describe();
        let lost = |e| Error::from(RepositoryFormat::look_for_copy(&store, e));
        let format_blob = RepositoryFormat::read_blob(&store).map_err(lost)?;
        let found = hex::encode(RepositoryFormat::unique_id_in(&format_blob).map_err(lost)?);
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            self.opened = None;
            return Err(Error::Replaced { location, expected: expected.to_owned(), found }.into());
        }
        let opened = self.open(Arc::clone(&store), format_blob)?;
        opened.update().map_err(Error::from)?;
        // The same blob before and after: what was read in between is of one repository.
        if RepositoryFormat::read_blob(&store).ok().as_ref() != Some(&opened.format_blob) {
            return Err(Error::Changed { location }.into());
        }
        let inventory = opened.inventory(location).ok_or(Error::Changed { location: store.describe() })?;
        Ok(Refreshed { inventory, repository: opened.repository.clone() })
    }

    fn open(&mut self, store: Arc<dyn BlobStore>, format_blob: Vec<u8>) -> Result<&mut Opened, Refused> {
        let known = self.opened.take().filter(|opened| opened.format_blob == format_blob);
        let opened = match known {
            Some(opened) => {
                opened.store.0.store(Arc::new(store));
                opened
            }
            None => {
                let begun = Instant::now();
                let store = Arc::new(Reopened(ArcSwap::from_pointee(store)));
                let repository = self.unlock(Arc::clone(&store), &format_blob)?;
                Opened {
                    format_blob,
                    store,
                    repository,
                    opened_in: begun.elapsed(),
                    catalog: None,
                    parsed: Parsed::new(),
                    inventory: None,
                }
            }
        };
        Ok(self.opened.insert(opened))
    }

    /// Derives the keys, unless that has failed before for the same password and format blob.
    fn unlock(&mut self, store: Arc<Reopened>, format_blob: &[u8]) -> Result<Repository, Refused> {
        let password = (self.password)().map_err(repository::Error::from).map_err(Error::from)?;
        let same = |rejected: &&Rejected| {
            rejected.format_blob == format_blob && rejected.password.candidates().eq(password.candidates())
        };
        if let Some(rejected) = self.rejected.as_ref().filter(same) {
            return Err(Refused { reason: rejected.reason.clone(), forget: false, retryable: false });
        }
        // What is listed while keys are derived serves this very refresh, which lists next.
        repository::open_within(store, &password, self.options.clone(), Access::Index).map_err(|error| {
            let error = Error::from(error);
            if !error.is_retryable() && error.blob().is_none() {
                let reason = Reason::from(&error);
                self.rejected = Some(Rejected { format_blob: format_blob.to_vec(), password, reason });
            }
            error.into()
        })
    }
}

impl Opened {
    fn update(&mut self) -> Result<(), repository::Error> {
        let changed = match &mut self.catalog {
            Some(catalog) => catalog.refresh()?,
            None => {
                self.catalog = Some(self.repository.catalog()?);
                true
            }
        };
        if changed {
            self.inventory = None;
        }
        Ok(())
    }

    /// What the catalog has, made again if that changed.
    fn inventory(&mut self, location: String) -> Option<Arc<Inventory>> {
        let catalog = self.catalog.as_ref()?;
        let doubts = catalog.doubts();
        if let Some(known) = self.inventory.as_ref().filter(|known| known.doubts == doubts) {
            return Some(Arc::clone(known));
        }
        parse_new(&mut self.parsed, catalog);
        let (sources, by_source) = sources(&self.parsed);
        let inventory = Arc::new(Inventory {
            repository: RepositoryInfo::new(self.repository.format(), location),
            index_blobs: catalog.index().blob_count(),
            sources,
            by_source,
            suspects: suspects(&self.parsed),
            doubts,
            indexed: Indexed::of(catalog),
            manifests: catalog.manifests().live(),
            opened_in: self.opened_in,
        });
        self.inventory = Some(Arc::clone(&inventory));
        Some(inventory)
    }
}

/// Parses the snapshots that are not known yet, and forgets those that are gone.
fn parse_new(parsed: &mut Parsed, catalog: &Catalog) {
    let mut live = 0;
    for manifest in catalog.manifests().iter().filter(|manifest| Snapshot::is_in(manifest)) {
        live += 1;
        if parsed.get(manifest.id()).is_some_and(|(modified, ..)| *modified == manifest.modified()) {
            continue;
        }
        let snapshot = match Snapshot::parse(manifest) {
            Ok(snapshot) => Ok((snapshot.found_as.clone(), Arc::new(SnapshotInfo::new(&snapshot)))),
            Err(e) => Err(Suspect::new(manifest, e.code(), e.to_string())),
        };
        parsed.insert(manifest.id().clone(), (manifest.modified(), snapshot));
    }
    if parsed.len() != live {
        parsed.retain(|id, _| catalog.manifests().get(id).is_some_and(Snapshot::is_in));
    }
}

fn sources(parsed: &Parsed) -> (Vec<SourceState>, HashMap<Source, Vec<usize>>) {
    let mut sources: HashMap<&Source, SourceState> = HashMap::new();
    for (source, snapshot) in parsed.values().filter_map(|(_, snapshot)| snapshot.as_ref().ok()) {
        let state = sources.entry(source).or_insert_with(|| SourceState::new(source.clone()));
        state.add(Arc::clone(snapshot));
    }
    let mut sources: Vec<SourceState> = sources.into_values().collect();
    sources.sort_by(|a, b| a.source().cmp(b.source()));
    for source in &mut sources {
        source.sort();
    }
    let mut by_source: HashMap<Source, Vec<usize>> = HashMap::new();
    for (at, state) in sources.iter().enumerate() {
        by_source.entry(state.source().clone().cleaned()).or_default().push(at);
    }
    (sources, by_source)
}

fn suspects(parsed: &Parsed) -> Vec<Suspect> {
    let mut suspects: Vec<Suspect> =
        parsed.values().filter_map(|(_, snapshot)| snapshot.as_ref().err().cloned()).collect();
    suspects.sort_by(|a, b| a.scope.id.cmp(&b.scope.id));
    suspects
}

/// A store that can be exchanged for a newly opened one of the same place.
struct Reopened(ArcSwap<Arc<dyn BlobStore>>);

impl BlobStore for Reopened {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, blob::Error> {
        self.0.load().list(prefix)
    }

    fn size(&self, id: &BlobId) -> Result<u64, blob::Error> {
        self.0.load().size(id)
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, blob::Error> {
        self.0.load().read(id, limit)
    }

    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), blob::Error> {
        self.0.load().read_at(id, offset, buffer)
    }

    fn describe(&self) -> String {
        self.0.load().describe()
    }

    fn disk_order(&self, id: &BlobId) -> Option<u64> {
        self.0.load().disk_order(id)
    }

    fn forget(&self, id: &BlobId) {
        self.0.load().forget(id);
    }

    fn hints(&self) -> blob::Hints {
        self.0.load().hints()
    }

    fn is_empty(&self) -> Result<bool, blob::Error> {
        self.0.load().is_empty()
    }

    fn guard(&self) -> blob::Guard {
        self.0.load().guard()
    }
}
