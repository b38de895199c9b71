//! What was in the repository at one time: all that an answer is made from.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::clock::Tick;
use super::error::Reason;
use crate::format::RepositoryFormat;
use crate::manifest::{ManifestId, ManifestSet};
use crate::object::ObjectId;
use crate::repository::{Indexed, Suspect, Unindexed};
use crate::snapshot::{Snapshot, Snapshots, Source, UtcTimestamp, is_backup};

/// The sources and snapshots of a repository as one refresh found them.
#[derive(Debug, Clone)]
pub struct View {
    pub(super) started: Tick,
    pub(super) finished: Tick,
    pub(super) inventory: Arc<Inventory>,
    /// `None` until the packs that no index names have been looked at.
    pub(super) unindexed: Option<Arc<Unindexed>>,
}

/// What a refresh found.
#[derive(Debug)]
pub(super) struct Inventory {
    pub(super) repository: RepositoryInfo,
    pub(super) index_blobs: usize,
    pub(super) sources: Vec<SourceState>,
    /// Where the sources with this clean path are.
    pub(super) by_source: HashMap<Source, Vec<usize>>,
    /// Snapshots that exist and cannot be understood.
    pub(super) suspects: Vec<Suspect>,
    pub(super) doubts: Vec<Reason>,
    pub(super) indexed: Indexed,
    /// What the snapshots were parsed from, for lists with everything that Kopia tells of them.
    pub(super) manifests: ManifestSet,
    /// How long it took to open the repository: to derive the keys and to check the format.
    pub(super) opened_in: Duration,
}

/// What a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryInfo {
    /// The random ID of the repository in hex.
    pub unique_id: String,
    /// Format version.
    pub version: u8,
    /// Name of the hash.
    pub hash: &'static str,
    /// Name of the encryption.
    pub encryption: &'static str,
    /// Version of the indexes written now.
    pub index_version: u8,
    /// Whether indexes are organised in epochs.
    pub epochs: bool,
    /// Overhead of the error correction in percent, 0 without.
    pub ecc_overhead_percent: u8,
    /// Where it is.
    pub location: String,
}

impl RepositoryInfo {
    pub(super) fn new(format: &RepositoryFormat, location: String) -> Self {
        Self {
            unique_id: hex::encode(format.unique_id()),
            version: format.version(),
            hash: format.hash_algorithm().name(),
            encryption: format.encryption().name(),
            index_version: format.index_version(),
            epochs: format.epochs().enabled,
            ecc_overhead_percent: format.ecc_overhead_percent(),
            location,
        }
    }
}

/// All snapshots of one source.
#[derive(Debug, Clone)]
pub struct SourceState {
    source: Source,
    snapshots: Vec<Arc<SnapshotInfo>>,
}

/// What is kept of a snapshot.
#[derive(Debug, Clone)]
pub struct SnapshotInfo {
    /// The ID of its manifest.
    pub id: ManifestId,
    /// When the client began.
    pub start: UtcTimestamp,
    /// When the client ended.
    pub end: UtcTimestamp,
    /// Why it is incomplete; empty when it is complete.
    pub incomplete: Box<str>,
    /// Bytes in its files.
    pub size: i64,
    /// Number of its files.
    pub files: i64,
    /// Entries that the client could not save.
    pub errors: i64,
    /// The object of its root.
    pub root: Option<ObjectId>,
}

impl SnapshotInfo {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let summary = snapshot.root.as_ref().and_then(|root| root.summary.as_ref());
        Self {
            id: snapshot.id.clone(),
            start: snapshot.start_time,
            end: snapshot.end_time,
            incomplete: snapshot.incomplete.as_str().into(),
            size: summary.map_or(snapshot.stats.total_size, |s| s.size),
            files: snapshot.files(),
            errors: i64::try_from(snapshot.unsaved()).unwrap_or(i64::MAX),
            root: snapshot.root_object().cloned(),
        }
    }

    /// Whether the client reached the end.
    pub fn is_complete(&self) -> bool {
        self.incomplete.is_empty()
    }
}

impl SourceState {
    /// All sources of a list of snapshots, in the order in which Kopia lists them.
    pub fn of_all(snapshots: &Snapshots) -> Vec<Self> {
        let all = snapshots.all();
        Self::of(all.iter().map(|snapshot| (snapshot.found_as.clone(), SnapshotInfo::new(snapshot))))
    }

    /// All sources of these snapshots, in the order of their display form.
    pub(crate) fn of(snapshots: impl Iterator<Item = (Source, SnapshotInfo)>) -> Vec<Self> {
        let mut states: BTreeMap<Source, Self> = BTreeMap::new();
        for (source, snapshot) in snapshots {
            let state = states.entry(source.clone()).or_insert_with(|| Self::new(source));
            state.add(Arc::new(snapshot));
        }
        states.values_mut().for_each(Self::sort);
        states.into_values().collect()
    }

    pub(super) fn new(source: Source) -> Self {
        Self { source, snapshots: Vec::new() }
    }

    pub(super) fn add(&mut self, snapshot: Arc<SnapshotInfo>) {
        self.snapshots.push(snapshot);
    }

    pub(super) fn sort(&mut self) {
        self.snapshots.sort_by(|a, b| (a.start, a.end, &a.id).cmp(&(b.start, b.end, &b.id)));
    }

    /// The source.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Its snapshots, oldest first.
    pub fn snapshots(&self) -> &[Arc<SnapshotInfo>] {
        &self.snapshots
    }

    /// How many snapshots are complete.
    pub fn complete(&self) -> usize {
        self.snapshots.iter().filter(|s| s.is_complete()).count()
    }

    /// The newest snapshot, complete or not.
    pub fn newest(&self) -> Option<&SnapshotInfo> {
        self.snapshots.last().map(Arc::as_ref)
    }

    /// The newest complete snapshot.
    pub fn newest_complete(&self) -> Option<&SnapshotInfo> {
        self.snapshots.iter().rev().find(|s| s.is_complete()).map(Arc::as_ref)
    }

    /// The newest snapshot that counts as a backup, of those that began at `until` or before: the one that a restore
    /// chooses. It is incomplete only where none of these is complete.
    pub fn newest_backup(&self, until: Option<UtcTimestamp>) -> Option<&SnapshotInfo> {
        let in_time = |s: &&Arc<SnapshotInfo>| until.is_none_or(|until| s.start <= until);
        let any = self.snapshots.iter().filter(in_time).any(|s| s.is_complete());
        let backup = |s: &&Arc<SnapshotInfo>| is_backup(s.is_complete(), s.files > 0, any);
        self.snapshots.iter().rev().filter(in_time).find(backup).map(Arc::as_ref)
    }
}

impl View {
    /// When the refresh began that made this view: nothing later is in it for sure.
    pub fn started(&self) -> Tick {
        self.started
    }

    /// How long the refresh took.
    pub fn took(&self) -> Duration {
        self.finished.elapsed_since(self.started)
    }

    /// What the repository is.
    pub fn repository(&self) -> &RepositoryInfo {
        &self.inventory.repository
    }

    /// All live manifests.
    pub(crate) fn manifests(&self) -> &ManifestSet {
        &self.inventory.manifests
    }

    /// How long it took to open the repository, the last time that had to be done.
    pub fn opened_in(&self) -> Duration {
        self.inventory.opened_in
    }

    /// Number of active index blobs.
    pub fn index_blobs(&self) -> usize {
        self.inventory.index_blobs
    }

    /// All sources, in the order in which Kopia lists them.
    pub fn sources(&self) -> &[SourceState] {
        &self.inventory.sources
    }

    /// The sources that are the same directory as this one: rarely more than one.
    pub fn find(&self, source: &Source) -> impl Iterator<Item = &SourceState> {
        let places = self.inventory.by_source.get(&source.clone().cleaned());
        places.into_iter().flatten().filter_map(|at| self.inventory.sources.get(*at))
    }

    /// Number of snapshots of all sources.
    pub fn snapshots(&self) -> usize {
        self.sources().iter().map(|source| source.snapshots.len()).sum()
    }

    /// Why this view cannot say *no* of any source.
    pub fn doubts(&self) -> impl Iterator<Item = &Reason> {
        self.inventory.doubts.iter().chain(self.unindexed.iter().flat_map(|found| &found.doubts))
    }

    /// Snapshots in packs that no index names: they exist, and are not among those of the sources.
    pub(crate) fn unlisted(&self) -> impl Iterator<Item = &Suspect> {
        self.unindexed.iter().flat_map(|found| &found.suspects)
    }

    /// Manifests that forbid to say *no* of some sources.
    pub fn suspects(&self) -> impl Iterator<Item = &Suspect> {
        self.inventory.suspects.iter().chain(self.unindexed.iter().flat_map(|found| &found.suspects))
    }
}
