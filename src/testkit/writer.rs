//! The repository writer: contents into packs, entries into indexes.

use super::blobs::BlobDirectory;
use super::epochs::EpochLog;
use super::error::{Error, Result};
use super::index::{IndexEntry, merge};
use super::keys::{Keys, Sealed};
use super::manifest::PendingManifest;
use super::options::Options;
use super::pack::{Pack, PackStore};
use super::rng::{Rng, derive_name};
use crate::index::ContentId;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// Session IDs end with the number of 30-day months since 2000-01-01T00:00:00Z (`format-spec/01-blobs.md`).
const SESSION_EPOCH: u64 = 946_684_800;
const SESSION_MONTH: u64 = 30 * 24 * 3600;

/// Writes a repository in Kopia's format into a directory.
///
/// ```
/// use rokopia::testkit::{Options, RepositoryWriter, Shape};
///
/// let dir = std::env::temp_dir().join(format!("testkit-doc-{}", std::process::id()));
/// let mut writer = RepositoryWriter::create(&dir, Options::default())?;
/// let tree = Shape::mixed(1 << 20).tree(1)?;
/// let root = writer.write_tree(&tree)?;
/// writer.snapshot(&"data-demo@apps:/data".parse()?, &root);
/// writer.finish()?;
/// # std::fs::remove_dir_all(&dir).ok();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RepositoryWriter {
    pub(super) keys: Arc<Keys>,
    pub(super) blobs: Arc<BlobDirectory>,
    pub(super) options: Options,
    pub(super) rng: Rng,
    pub(super) manifests: Vec<PendingManifest>,
    pub(super) epochs: EpochLog,
    pub(super) now: u64,
    pub(super) session: String,
    format_copy: Option<Vec<u8>>,
    data: Option<Pack>,
    metadata: Option<Pack>,
    packs: Option<PackStore>,
    pending: Vec<IndexEntry>,
    known: HashSet<ContentId>,
}

impl RepositoryWriter {
    /// Makes an empty repository in `dir`, which is created if it is missing.
    pub fn create(dir: &Path, options: Options) -> Result<RepositoryWriter> {
        let (keys, format) = Keys::create(&options)?;
        let blobs = BlobDirectory::create(dir, &options.shards)?;
        blobs.put("kopia.repository", &format.repository)?;
        blobs.put("kopia.blobcfg", &format.blob_config)?;
        let mut writer = RepositoryWriter {
            keys: Arc::new(keys),
            blobs: Arc::new(blobs),
            rng: Rng::new(derive_name(options.seed, b"names")),
            manifests: Vec::new(),
            epochs: EpochLog::default(),
            now: options.now,
            session: String::new(),
            format_copy: (!options.password_change).then_some(format.repository),
            data: None,
            metadata: None,
            packs: None,
            pending: Vec::new(),
            known: HashSet::new(),
            options,
        };
        writer.new_session();
        Ok(writer)
    }

    /// The directory of blobs.
    pub fn blobs(&self) -> &BlobDirectory {
        &self.blobs
    }

    /// The writer's clock, in seconds since 1970: time of index entries and manifests.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Sets the clock; it may go backwards.
    pub fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// The ID that `data` would be stored under.
    pub fn content_id(&self, prefix: Option<u8>, data: &[u8]) -> Result<ContentId> {
        self.keys.content_id(prefix, data)
    }

    /// Stores a content, unless it is there already.
    ///
    /// Indexes mention it from the next [`flush`](Self::flush) on. `prefix` is a letter from `g` to `z`: `k` for
    /// directories, `m` for manifests, `x` for indirect objects, none for data.
    pub fn write_content(&mut self, prefix: Option<u8>, data: &[u8]) -> Result<ContentId> {
        let id = self.keys.content_id(prefix, data)?;
        if !(self.options.deduplicate && self.known.contains(&id)) {
            let sealed = self.keys.seal_as(id, data)?;
            self.append(sealed)?;
        }
        Ok(id)
    }

    /// Stores a content again, also if it is there: a newer entry that points into a new pack.
    pub fn rewrite_content(&mut self, prefix: Option<u8>, data: &[u8]) -> Result<ContentId> {
        let sealed = self.keys.seal(prefix, data)?;
        self.store(sealed)
    }

    /// Marks a content as deleted; its bytes stay.
    pub fn delete_content(&mut self, id: &ContentId) -> Result<()> {
        let known = self.pending.iter().rev().chain(self.epochs.entries()).find(|entry| entry.id == *id);
        let entry = known.cloned().ok_or_else(|| Error::invalid(format!("no content {id} was written")))?;
        self.known.remove(id);
        self.pending.push(IndexEntry { deleted: true, time: self.now.max(entry.time + 1), ..entry });
        Ok(())
    }

    /// Adds a sealed content unless it is there already.
    pub(super) fn append(&mut self, sealed: Sealed) -> Result<ContentId> {
        if self.options.deduplicate && !self.known.insert(sealed.id) {
            self.keys.sealed.give(sealed.stored);
            return Ok(sealed.id);
        }
        self.store(sealed)
    }

    /// Adds a sealed content to the pack of its kind.
    pub(super) fn store(&mut self, sealed: Sealed) -> Result<ContentId> {
        let prefixed = sealed.id.prefix().is_some();
        let slot = if prefixed { &mut self.metadata } else { &mut self.data };
        let pack = match slot {
            Some(pack) => pack,
            None => {
                let letter = if prefixed { 'q' } else { 'p' };
                let name = format!("{letter}{}-{}", hex::encode(self.rng.bytes::<16>()), self.session);
                slot.insert(Pack::new(
                    &self.keys,
                    &name,
                    self.format_copy.as_deref(),
                    self.options.pack_size,
                )?)
            }
        };
        let entry = pack.push(&sealed, self.now)?;
        let full = pack.len() >= self.options.pack_size;
        self.pending.push(entry);
        self.keys.sealed.give(sealed.stored);
        if full && let Some(pack) = slot.take() {
            self.store_pack(pack)?;
        }
        Ok(sealed.id)
    }

    fn store_pack(&mut self, pack: Pack) -> Result<()> {
        let store = self.packs.get_or_insert_with(|| PackStore::start(self.keys.clone(), self.blobs.clone()));
        store.put(pack)
    }

    /// Closes the packs and waits until they are stored; index entries stay pending.
    pub fn close_packs(&mut self) -> Result<()> {
        for pack in [self.data.take(), self.metadata.take()].into_iter().flatten() {
            self.store_pack(pack)?;
        }
        match self.packs.take() {
            Some(mut store) => store.finish(),
            None => Ok(()),
        }
    }

    /// Adds an index entry as it stands, true or not; the next flush writes it.
    pub fn forge_entry(&mut self, entry: IndexEntry) {
        self.pending.push(entry);
    }

    /// Entries that the next flush will write; may be changed.
    pub fn pending_entries(&mut self) -> &mut Vec<IndexEntry> {
        &mut self.pending
    }

    /// Stores pending manifests, closes the packs, and writes the index of all that is new; one session of a Kopia
    /// client.
    pub fn flush(&mut self) -> Result<()> {
        self.write_manifests()?;
        self.close_packs()?;
        let mut entries = std::mem::take(&mut self.pending);
        if !entries.is_empty() {
            merge(&mut entries);
            self.write_epoch_index(entries)?;
        }
        self.now += 1;
        self.new_session();
        Ok(())
    }

    /// The last flush.
    pub fn finish(mut self) -> Result<()> {
        self.flush()
    }

    fn new_session(&mut self) {
        let month = self.now.saturating_sub(SESSION_EPOCH) / SESSION_MONTH;
        self.session = format!("s{}{month:x}", hex::encode(self.rng.bytes::<8>()));
    }
}
