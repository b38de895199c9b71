//! The part of the index that names manifests: all that listing snapshots needs.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use super::active::{ActiveSet, Doubt};
use super::content_index::{ContentIndex, visible};
use super::entry::Entry;
use super::packed::PackedIndex;
use super::{Error, IndexReader};
use crate::blob::BlobId;
use crate::id::ContentId;

/// The entries with prefix `m` of all active index blobs. Its memory grows with the number of manifests, not with that
/// of contents, and an update reads only index blobs not seen before.
#[derive(Default)]
pub struct ManifestIndex {
    blobs: HashMap<BlobId, Extract>,
    entries: BTreeMap<ContentId, (Entry, BlobId)>,
    watermark: Option<i64>,
    doubts: Vec<Doubt>,
    /// Of a full index that the entries come from: how many index blobs it was read from, and the packs that it names.
    whole: Option<(usize, Vec<BlobId>)>,
    /// What the cache has of some of the blobs, which are there without an extract of their own.
    base: Option<(Vec<BlobId>, Extract)>,
    /// Whether the entries are no longer those of the blobs.
    stale: bool,
}

/// What is kept of one index blob.
struct Extract {
    manifests: Vec<(Entry, BlobId)>,
    packs: Vec<BlobId>,
}

debug_of!(ManifestIndex, "ManifestIndex");

impl ManifestIndex {
    /// The manifests of a full index. An update would replace them by what the storage has.
    pub fn of(index: &ContentIndex) -> Self {
        let named = |entry: Entry| Some((entry.id, (entry, index.pack(entry.pack)?.clone())));
        Self {
            blobs: HashMap::new(),
            entries: index.with_prefix(ContentId::MANIFEST).filter_map(named).collect(),
            watermark: index.watermark(),
            doubts: index.doubts().to_vec(),
            whole: Some((index.blobs().len(), index.packs().to_vec())),
            base: None,
            stale: true,
        }
    }

    /// Takes what the cache has, and puts into it what it lacks, if there is a cache.
    fn update_by_cache(&mut self, reader: &IndexReader<'_>) -> Result<Option<ActiveSet>, Error> {
        if !reader.is_cached() || !self.blobs.is_empty() {
            return Ok(None);
        }
        let loaded = reader.load().and_then(|index| {
            let named = |entry: Entry| Some((entry, index.pack(entry.pack)?.clone()));
            let manifests = index.effective_with_prefix(ContentId::MANIFEST).filter_map(named).collect();
            index.check()?;
            Ok((Extract { manifests, packs: index.packs().to_vec() }, index))
        });
        match loaded {
            Ok((extract, index)) => {
                let nothing = || Extract { manifests: Vec::new(), packs: Vec::new() };
                self.blobs = index.blobs().iter().map(|blob| (blob.clone(), nothing())).collect();
                self.base = Some((index.blobs().to_vec(), extract));
                self.stale = true;
                let (watermark, doubts) = (index.watermark(), index.doubts().to_vec());
                Ok(Some(ActiveSet { watermark, doubts, ..ActiveSet::default() }))
            }
            // Less room is needed without a cache.
            Err(error @ (Error::Spill(_) | Error::OverBudget { .. })) => {
                tracing::debug!(%error, "the index cannot be loaded by way of the cache");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Brings the blobs up to date.
    fn update_blobs(&mut self, reader: &IndexReader<'_>) -> Result<ActiveSet, Error> {
        if let Some(active) = self.update_by_cache(reader)? {
            return Ok(active);
        }
        let (before, read) = (self.blobs.len(), AtomicBool::new(false));
        let updated = reader.update(&mut self.blobs, |blob| {
            read.store(true, Ordering::Relaxed);
            Ok(Extract::new(reader.fetch_prefixed(blob, ContentId::MANIFEST)?))
        });
        // What was read before an error stays, and counts with the next update.
        self.stale |= read.into_inner() || self.blobs.len() != before;
        updated
    }

    /// Brings the index up to date with the storage, and tells whether index blobs are new or gone.
    ///
    /// # Errors
    /// As [`IndexReader::update`]; the entries are then those of the last successful update.
    pub fn update(&mut self, reader: &IndexReader<'_>) -> Result<bool, Error> {
        let mut updated = self.update_blobs(reader)?;
        let lost = |(base, _): &(Vec<BlobId>, _)| base.iter().any(|blob| !self.blobs.contains_key(blob));
        if self.base.as_ref().is_some_and(lost) {
            // Some were merged into others: what the cache had of them no longer counts.
            self.base = None;
            self.blobs.clear();
            updated = self.update_blobs(reader)?;
        }
        let ActiveSet { watermark, doubts, .. } = updated;
        self.watermark = watermark;
        self.doubts = doubts;
        self.whole = None;
        if !std::mem::take(&mut self.stale) {
            return Ok(false);
        }
        self.entries.clear();
        let base = self.base.iter().map(|(_, extract)| extract);
        for (entry, pack) in self.blobs.values().chain(base).flat_map(|extract| &extract.manifests) {
            match self.entries.get_mut(&entry.id) {
                Some((known, known_pack)) if entry.precedence(pack, known, known_pack).is_le() => {}
                Some(known) => *known = (*entry, pack.clone()),
                None => {
                    self.entries.insert(entry.id, (*entry, pack.clone()));
                }
            }
        }
        Ok(true)
    }

    /// The manifest contents that are not deleted: those that make up the live set.
    pub fn live(&self) -> impl Iterator<Item = (&Entry, &BlobId)> {
        self.entries.values().filter(|(entry, _)| !entry.deleted).map(|(entry, pack)| (entry, pack))
    }

    /// The entry of a manifest content and its pack, also when it was marked deleted.
    pub fn get(&self, id: &ContentId) -> Option<(&Entry, &BlobId)> {
        let (entry, pack) = self.entries.get(id).filter(|(entry, _)| visible(entry, self.watermark))?;
        Some((entry, pack))
    }

    /// Every manifest content that the active index blobs know of, deleted ones included.
    pub fn contents(&self) -> impl Iterator<Item = &ContentId> {
        self.entries.keys()
    }

    /// When the last of them was written, in Unix seconds.
    pub fn newest(&self) -> Option<u64> {
        self.entries.values().map(|(entry, _)| entry.time).max()
    }

    /// Number of active index blobs.
    pub fn blob_count(&self) -> usize {
        self.whole.as_ref().map_or(self.blobs.len(), |(count, _)| *count)
    }

    /// Packs that the active index blobs name, some of them more than once.
    pub fn packs(&self) -> impl Iterator<Item = &BlobId> {
        let whole = self.whole.iter().flat_map(|(_, packs)| packs);
        let base = self.base.iter().map(|(_, extract)| extract);
        self.blobs.values().chain(base).flat_map(|extract| &extract.packs).chain(whole)
    }

    /// Signs that index blobs may be missing.
    pub fn doubts(&self) -> &[Doubt] {
        &self.doubts
    }
}

impl Extract {
    fn new(index: PackedIndex) -> Self {
        let named = |entry: Entry| Some((entry, index.packs().get(entry.pack.0 as usize)?.clone()));
        let manifests = index.with_prefix(ContentId::MANIFEST).filter_map(named).collect();
        Self { manifests, packs: index.packs().to_vec() }
    }
}
