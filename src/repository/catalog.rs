//! What the manifests of a repository say: its snapshots and policies, without its full index.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::certainty::Reason;
use super::manifest_cache::ManifestCache;
use super::{Error, Options, Repository};
use crate::blob::{BlobId, BlobKind, BlobStore, list_kinds};
use crate::content::{self, Contents, Decoder, Repairs};
use crate::format::RepositoryFormat;
use crate::index::{self, ContentId, Doubt, Entry, IndexReader, ManifestIndex, Stage};
use crate::manifest::{self, Manifest, ManifestMemory, ManifestSet};
use crate::os::parallel;
use crate::os::sync::Mutex;
use crate::snapshot::{Selection, Snapshots, Source};

/// Maintenance may move manifests between reading the index and reading them.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// The manifests of a repository as of the last refresh.
///
/// Its memory grows with the number of manifests alone, and a refresh reads only index blobs and manifest contents that
/// are new.
pub struct Catalog {
    store: Arc<dyn BlobStore>,
    format: Arc<RepositoryFormat>,
    options: Options,
    index: ManifestIndex,
    manifests: ManifestSet,
    skipped: Vec<Reason>,
    repairs: Repairs,
    /// Whether something changed since the last refresh that succeeded.
    changed: bool,
}

debug_of!(Catalog, "Catalog", "store" = |catalog| catalog.store.describe());

impl Catalog {
    pub(super) fn load(
        store: Arc<dyn BlobStore>,
        format: Arc<RepositoryFormat>,
        options: Options,
    ) -> Result<Self, Error> {
        let mut catalog = Self {
            store,
            format,
            options,
            index: ManifestIndex::default(),
            manifests: ManifestSet::default(),
            skipped: Vec::new(),
            repairs: Repairs::default(),
            changed: true,
        };
        catalog.refresh()?;
        Ok(catalog)
    }

    /// The manifests that these contents hold.
    pub(super) fn of(contents: &Contents, options: Options) -> Result<Self, Error> {
        let mut catalog = Self {
            store: Arc::clone(contents.store()),
            format: Arc::clone(contents.format()),
            options,
            index: ManifestIndex::of(&contents.index()),
            manifests: ManifestSet::default(),
            skipped: Vec::new(),
            repairs: Repairs::default(),
            changed: true,
        };
        catalog.read_manifests()?;
        Ok(catalog)
    }

    /// Brings the catalog up to date with the storage, and returns whether anything in it was added or removed.
    ///
    /// # Errors
    /// Any index blob or manifest content that cannot be read, unless reading degraded. The catalog then still shows
    /// what it showed before.
    pub fn refresh(&mut self) -> Result<bool, Error> {
        let mut attempt = 1;
        loop {
            let reader = IndexReader::with_cache(&self.store, &self.format, self.options.index.clone())?;
            self.changed |= self.index.update(&reader)?;
            match self.read_manifests() {
                Err(Error::Manifest(manifest::Error::Content {
                    source: content::Error::PackMissing { content, blob },
                })) if attempt < ATTEMPTS => {
                    tracing::debug!(%content, %blob, "pack vanished while manifests were read, trying again");
                    attempt += 1;
                    std::thread::sleep(PAUSE);
                }
                result => {
                    result?;
                    return Ok(std::mem::take(&mut self.changed));
                }
            }
        }
    }

    fn read_manifests(&mut self) -> Result<(), Error> {
        let live: Vec<(&Entry, &BlobId)> = self.index.live().collect();
        let current: BTreeSet<ContentId> = live.iter().map(|(entry, _)| entry.id).collect();
        let new: Vec<_> = live.into_iter().filter(|(entry, _)| !self.manifests.has(&entry.id)).collect();
        let cache = match new.is_empty() {
            true => None,
            false => {
                ManifestCache::open(&self.options, &self.store, &self.format).map_err(index::Error::from)?
            }
        };
        let room = ManifestMemory::new(self.options.manifests, self.manifests.memory());
        let read = Mutex::new(Vec::new());
        let skipped = Mutex::new(Vec::new());
        let loading = self.options.index.loading.as_ref();
        loading.inspect(|loading| loading.expect(Stage::Manifests, new.len()));
        let outcome = parallel::for_each(&new, self.options.index.reads_of(&self.store), |(entry, pack)| {
            let manifests = self.read_manifest(entry, pack, &room, cache.as_ref());
            loading.inspect(|loading| loading.step(Stage::Manifests));
            match manifests {
                Ok(manifests) => {
                    read.lock().push((entry.id, manifests));
                }
                Err(error) if self.options.index.degraded => {
                    let reason = Reason::new(error.code(), error.to_string()).of_blob(Some(pack));
                    skipped.lock().push(reason);
                }
                Err(error) => return Err(error),
            }
            Ok(())
        });
        loading.inspect(|loading| loading.settle(Stage::Manifests));
        outcome?;
        self.skipped = skipped.into_inner();
        let read = read.into_inner();
        self.changed |= self.manifests.update(&current, read);
        if let Some(cache) = cache {
            cache.keep(&current);
        }
        Ok(())
    }

    fn read_manifest(
        &self,
        entry: &Entry,
        pack: &BlobId,
        room: &ManifestMemory,
        cache: Option<&ManifestCache>,
    ) -> Result<Vec<Manifest>, manifest::Error> {
        if let Some(payload) = cache.and_then(|cache| cache.get(&entry.id)) {
            return manifest::parse(entry.id, payload, room);
        }
        let plaintext = content::read_one(&self.store, &self.format, entry, pack, &self.repairs)?;
        if self.options.hash_manifests && !Decoder::new(&self.format).is_named(&entry.id, &plaintext) {
            let blob = pack.clone();
            return Err(content::Error::WrongHash { content: entry.id, blob, offset: entry.offset }.into());
        }
        let manifests = manifest::parse(entry.id, &plaintext, room)?;
        if let Some(cache) = cache {
            cache.add(entry.id, plaintext);
        }
        Ok(manifests)
    }

    /// All live manifests.
    pub fn manifests(&self) -> &ManifestSet {
        &self.manifests
    }

    /// The part of the index that the catalog was made from.
    pub fn index(&self) -> &ManifestIndex {
        &self.index
    }

    /// What error correction has repaired in manifest contents.
    pub fn repairs(&self) -> &Repairs {
        &self.repairs
    }

    /// The repository that the manifests come from.
    pub(super) fn repository(&self) -> Repository {
        Repository {
            store: Arc::clone(&self.store),
            format: Arc::clone(&self.format),
            options: self.options.clone(),
        }
    }

    /// Contents of manifests that were skipped, and why.
    pub(super) fn skipped(&self) -> &[Reason] {
        &self.skipped
    }

    /// All snapshots, parsed, and those that cannot be.
    pub fn all_snapshots(&self) -> Snapshots {
        Snapshots::new(&self.manifests)
    }

    /// The snapshots of one source: the complete ones, the latest, or those of a time can be chosen from them.
    ///
    /// That there are none is no proof that there is no backup: [`Catalog::absence`] is.
    pub fn snapshots(&self, source: &Source) -> Selection {
        Snapshots::of_source(&self.manifests, source)
    }

    /// A sign in the storage that index blobs are lost, if there is one: packs that no active index names, or no index
    /// at all. Then an empty list means nothing.
    ///
    /// This lists all packs. A pack that a backup is writing at this moment is among them.
    ///
    /// # Errors
    /// A failure to list.
    pub(super) fn lost_indexes(&self) -> Result<Option<Doubt>, Error> {
        let named: BTreeSet<&BlobId> = self.index.packs().collect();
        let packs = list_kinds(&self.store, &[BlobKind::DataPack, BlobKind::MetadataPack])?;
        // An empty pack holds nothing that could be lost with an index.
        let stray = packs
            .into_iter()
            .filter(|pack| !pack.is_empty())
            .map(|pack| pack.id)
            .filter(|pack| !named.contains(pack));
        let stray: Vec<BlobId> = stray.collect();
        let count = stray.len();
        let unindexed = stray.into_iter().min().map(|blob| Doubt::UnindexedPacks { count, blob });
        // Creating a repository writes manifests, and with them an index blob.
        Ok(unindexed.or((self.index.blob_count() == 0).then_some(Doubt::NoIndexBlobs)))
    }
}
