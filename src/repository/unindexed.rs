//! Packs that no index names: after the loss of an index blob, all that tells of the manifests in it.
//!
//! Kopia does not notice a lost index blob, its lists are only shorter. The packs however stay, and each carries an index
//! of itself. A manifest found only there is not proof of a backup (a client may be about to publish it, or have died
//! before it did), but it forbids saying that there is none.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::certainty::Reason;
use super::{Catalog, Error, Repository};
use crate::blob::{self, BlobId, BlobKind, BlobStore, list_kinds};
use crate::content::{self, Repairs};
use crate::format::RepositoryFormat;
use crate::index::{ContentId, Entry};
use crate::manifest::{self, Manifest, ManifestId, ManifestMemory};
use crate::os::parallel;
use crate::os::sync::Mutex;
use crate::pack::read_local_index;
use crate::snapshot::{AskedSource, Problem, Snapshot, Source, UtcTimestamp};

/// Packs that are looked into at most. Maintenance drops packs from the indexes a day before it deletes them, thousands in
/// a large repository; beyond this something else is wrong.
const MAX_PACKS: usize = 20_000;

/// A manifest that forbids to say *no* of the sources that it may belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// Whose it may be.
    pub scope: Problem,
    /// What is the matter with it.
    pub reason: Reason,
    /// When the client began, where that can be read.
    pub start: Option<UtcTimestamp>,
}

impl From<&Problem> for Suspect {
    fn from(problem: &Problem) -> Self {
        Self { scope: problem.clone(), reason: problem.into(), start: None }
    }
}

impl Suspect {
    pub(crate) fn new(manifest: &Manifest, code: &'static str, message: String) -> Self {
        Self::from(&Problem::new(manifest, code, message))
    }

    /// The source that it may belong to, with `*` for what its labels do not tell.
    pub fn source(&self) -> String {
        let part = |label: &Option<String>| label.clone().unwrap_or_else(|| "*".to_owned());
        let Problem { user, host, path, .. } = &self.scope;
        Source::new(part(user), part(host), part(path)).to_string()
    }

    /// Whether it may have begun after `time`, and not after `until`.
    pub fn may_have_begun_between(&self, time: UtcTimestamp, until: Option<UtcTimestamp>) -> bool {
        self.start.is_none_or(|start| start > time && until.is_none_or(|until| start <= until))
    }
}

/// What the indexes lead to.
#[derive(Debug, Default)]
pub(crate) struct Indexed {
    /// Packs of metadata that are named.
    pub(crate) named: HashSet<BlobId>,
    contents: HashSet<ContentId>,
    manifests: HashSet<ManifestId>,
}

impl Indexed {
    pub(crate) fn of(catalog: &Catalog) -> Self {
        let index = catalog.index();
        let packs = index.packs().filter(|pack| pack.kind() == BlobKind::MetadataPack);
        Self {
            named: packs.cloned().collect(),
            contents: index.contents().copied().collect(),
            manifests: catalog.manifests().versions().map(|manifest| manifest.id().clone()).collect(),
        }
    }
}

/// What was found in packs that no index named.
#[derive(Debug, Default, Clone)]
pub(crate) struct Scan {
    packs: BTreeMap<BlobId, Arc<Pack>>,
    too_many: usize,
}

#[derive(Debug)]
enum Pack {
    Read(Vec<Found>),
    Unreadable(Reason),
}

/// A manifest content and the snapshots that it tells of.
#[derive(Debug)]
struct Found {
    content: ContentId,
    /// When it was written, in Unix seconds.
    time: u64,
    snapshots: Vec<Suspect>,
}

/// Its contents that the indexes do not know.
#[derive(Debug, Default)]
pub(crate) struct Unindexed {
    pub(crate) suspects: Vec<Suspect>,
    pub(crate) doubts: Vec<Reason>,
}

impl Scan {
    /// Lists the packs of metadata and looks into those that are not `named`; what `known` has is not read again.
    pub(crate) fn run(
        repository: &Repository,
        named: &HashSet<BlobId>,
        known: &Self,
    ) -> Result<Self, blob::Error> {
        let mut unnamed: Vec<BlobId> = list_kinds(repository.store(), &[BlobKind::MetadataPack])?
            .into_iter()
            .map(|blob| blob.id)
            .collect();
        unnamed.retain(|id| !named.contains(id));
        Ok(Self::of(repository, unnamed, known))
    }

    fn of(repository: &Repository, mut unnamed: Vec<BlobId>, known: &Self) -> Self {
        let (store, format, options) = (repository.store(), repository.format(), repository.options());
        let room = ManifestMemory::new(options.manifests, 0);
        unnamed.sort();
        let too_many = unnamed.len().saturating_sub(MAX_PACKS);
        unnamed.truncate(MAX_PACKS);
        let found = Mutex::new(BTreeMap::new());
        let done = parallel::for_each(&unnamed, options.index.reads_of(store), |id| {
            let pack = match known.packs.get(id) {
                Some(pack) if matches!(**pack, Pack::Read(_)) => Some(Arc::clone(pack)),
                _ => Pack::read(store, format, id, &room).map(Arc::new),
            };
            if let Some(pack) = pack {
                found.lock().insert(id.clone(), pack);
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let Ok(()) = done;
        Self { packs: found.into_inner(), too_many }
    }

    /// Leaves of what was found only what the indexes do not know by now.
    pub(crate) fn compare(&self, indexed: &Indexed) -> Unindexed {
        self.compare_where(indexed, |_| true)
    }

    /// The same, of manifest contents that were written at some times.
    fn compare_where(&self, indexed: &Indexed, time_counts: impl Fn(u64) -> bool) -> Unindexed {
        let mut unindexed = Unindexed::default();
        if self.too_many > 0 {
            unindexed.doubts.push(Reason::new(
                "packs-unindexed",
                format!(
                    "{} packs of metadata are named by no index: index blobs may be missing",
                    self.packs.len() + self.too_many
                ),
            ));
        }
        for (_, pack) in self.packs.iter().filter(|(id, _)| !indexed.named.contains(*id)) {
            match pack.as_ref() {
                Pack::Unreadable(reason) => unindexed.doubts.push(reason.clone()),
                Pack::Read(contents) => {
                    let unknown = contents.iter().filter(|found| {
                        !indexed.contents.contains(&found.content) && time_counts(found.time)
                    });
                    let suspects = unknown.flat_map(|found| &found.snapshots);
                    let new = suspects.filter(|suspect| !indexed.manifests.contains(&suspect.scope.id));
                    unindexed.suspects.extend(new.cloned());
                }
            }
        }
        unindexed
    }
}

impl Pack {
    /// `None` for a pack that is gone, or that holds nothing.
    fn read(
        store: &dyn BlobStore,
        format: &RepositoryFormat,
        id: &BlobId,
        room: &ManifestMemory,
    ) -> Option<Self> {
        match Self::manifests(store, format, id, room) {
            Ok(contents) => Some(Self::Read(contents)),
            Err(Error::Pack(crate::pack::Error::Blob(e))) if e.is_not_found() => None,
            // A client that ends before it has written its index blob has made no snapshot.
            Err(Error::Pack(crate::pack::Error::Blob(blob::Error::Empty { .. }))) => None,
            Err(e) => {
                let message = format!("pack {id} is named by no index and cannot be looked into: {e}");
                Some(Self::Unreadable(Reason::new("pack-unindexed", message).of_blob(Some(id))))
            }
        }
    }

    fn manifests(
        store: &dyn BlobStore,
        format: &RepositoryFormat,
        id: &BlobId,
        room: &ManifestMemory,
    ) -> Result<Vec<Found>, Error> {
        let index = read_local_index(store, format, id)?;
        let here = |entry: &Entry| index.packs().get(entry.pack.0 as usize).is_none_or(|pack| pack == id);
        let entries = index.with_prefix(ContentId::MANIFEST).filter(|entry| !entry.deleted && here(entry));
        let found = |entry: Entry| {
            let snapshots = snapshots_in(store, format, id, &entry, room)?;
            Ok(Found { content: entry.id, time: entry.time, snapshots })
        };
        entries.map(found).collect()
    }
}

/// The snapshots that a manifest content tells of.
fn snapshots_in(
    store: &dyn BlobStore,
    format: &RepositoryFormat,
    pack: &BlobId,
    entry: &Entry,
    room: &ManifestMemory,
) -> Result<Vec<Suspect>, Error> {
    let plaintext = content::read_one(store, format, entry, pack, &Repairs::default())?;
    let manifests = manifest::parse(entry.id, &plaintext, room)?;
    let suspect = |manifest: &Manifest| {
        let snapshot = Snapshot::parse(manifest).ok();
        let began = snapshot.as_ref().map(|s| format!(" of {} at {}", s.found_as, s.start_time));
        let message = format!(
            "snapshot {}{} is in pack {pack}, which no index names: an index blob may be missing, or a backup is being written",
            manifest.id(),
            began.unwrap_or_default()
        );
        let mut suspect = Suspect::new(manifest, "snapshot-unindexed", message);
        suspect.reason = suspect.reason.of_blob(Some(pack));
        suspect.start = snapshot.map(|snapshot| snapshot.start_time);
        suspect
    };
    Ok(manifests.iter().filter(|manifest| Snapshot::is_in(manifest)).map(suspect).collect())
}

/// Sessions of clients that are marked as open: the indexes of their packs are yet to come.
#[derive(Debug, Default)]
pub(crate) struct Sessions(HashSet<String>);

impl Sessions {
    /// Those whose markers are among these blobs (`format-spec/01-blobs.md`).
    pub(crate) fn of<'a>(blobs: impl Iterator<Item = &'a BlobId>) -> Self {
        let markers = blobs.filter(|blob| blob.kind() == BlobKind::Session);
        Self(markers.filter_map(|blob| session(blob)).map(str::to_owned).collect())
    }

    fn in_store(repository: &Repository) -> Result<Self, blob::Error> {
        let markers = list_kinds(repository.store(), &[BlobKind::Session])?;
        Ok(Self::of(markers.iter().map(|marker| &marker.id)))
    }

    /// Whether a pack is of one of them.
    pub(crate) fn write(&self, pack: &BlobId) -> bool {
        session(pack).is_some_and(|session| self.0.contains(session))
    }
}

/// What a name says about the session that wrote the blob.
fn session(blob: &BlobId) -> Option<&str> {
    blob.as_str().rsplit_once('-').map(|(_, session)| session)
}

/// Snapshots that packs tell of and no index names, although nothing explains that but a lost index blob.
#[derive(Debug, Default)]
pub struct Unlisted {
    snapshots: Vec<Suspect>,
    doubts: Vec<Reason>,
}

impl Unlisted {
    /// The snapshots, ordered by pack.
    pub fn snapshots(&self) -> &[Suspect] {
        &self.snapshots
    }

    /// Packs that cannot be looked into: they may have more.
    pub fn doubts(&self) -> &[Reason] {
        &self.doubts
    }

    /// Whether there is nothing of the kind.
    pub fn is_empty(&self) -> bool {
        self.snapshots.is_empty() && self.doubts.is_empty()
    }

    /// Why another snapshot than the one that began at `chosen` could have been meant: one that is not listed and began
    /// later, and not after `until`. Without `asked` it may be one of any source.
    pub fn newer_than(
        &self,
        chosen: UtcTimestamp,
        until: Option<UtcTimestamp>,
        asked: Option<&AskedSource>,
    ) -> Option<&Reason> {
        let concerned = |suspect: &&Suspect| {
            asked.is_none_or(|asked| suspect.scope.may_be(asked))
                && suspect.may_have_begun_between(chosen, until)
        };
        let suspect = self.snapshots.iter().find(concerned).map(|suspect| &suspect.reason);
        suspect.or(self.doubts.first())
    }
}

impl Catalog {
    /// All that packs say which no index names, also of backups that are being written.
    pub(super) fn look_into_unnamed_packs(&self) -> Result<Unindexed, Error> {
        let indexed = Indexed::of(self);
        let scan = Scan::run(&self.repository(), &indexed.named, &Scan::default())?;
        Ok(scan.compare(&indexed))
    }

    /// Snapshots that lists lack because an index blob is lost. Those of backups that are being written do not count, nor
    /// those that compactions of an old repository have dropped.
    ///
    /// It costs one listing of the packs of metadata. Only when some of them are named by no index are they looked into,
    /// and only when that finds something are the indexes read once more. What cannot be listed or read is a doubt.
    pub fn unlisted(&mut self) -> Unlisted {
        self.find_unlisted().unwrap_or_else(|error| {
            let message = format!("it cannot be found out whether index blobs are lost: {error}");
            Unlisted { doubts: vec![Reason::new(error.code(), message)], ..Unlisted::default() }
        })
    }

    fn find_unlisted(&mut self) -> Result<Unlisted, Error> {
        let unnamed = self.unnamed_packs()?;
        if unnamed.is_empty() {
            return Ok(Unlisted::default());
        }
        let sessions = Sessions::in_store(&self.repository())?;
        let unnamed = unnamed.into_iter().filter(|pack| !sessions.write(pack)).collect();
        let scan = Scan::of(&self.repository(), unnamed, &Scan::default());
        if self.lacks(&scan).is_empty() {
            return Ok(Unlisted::default());
        }
        // A backup may have ended between the two readings.
        self.refresh()?;
        Ok(self.lacks(&scan))
    }

    fn unnamed_packs(&self) -> Result<Vec<BlobId>, Error> {
        let named: HashSet<&BlobId> = self.index().packs().collect();
        let packs = list_kinds(self.repository().store(), &[BlobKind::MetadataPack])?;
        Ok(packs.into_iter().map(|pack| pack.id).filter(|pack| !named.contains(pack)).collect())
    }

    fn lacks(&self, scan: &Scan) -> Unlisted {
        // Compactions of epochs keep all entries; those of older repositories drop what was deleted, and deleting a
        // manifest content writes another one.
        let epochs = self.repository().format().epochs().enabled;
        let newest = self.index().newest();
        let can_be_dropped = |time: u64| !epochs && newest.is_some_and(|newest| time <= newest);
        let Unindexed { suspects, doubts } =
            scan.compare_where(&Indexed::of(self), |time| !can_be_dropped(time));
        Unlisted { snapshots: suspects, doubts }
    }
}
