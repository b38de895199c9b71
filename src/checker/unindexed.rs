//! Packs that no index names: after the loss of an index blob, all that tells of the manifests in it.
//!
//! Kopia does not notice a lost index blob, its lists are only shorter. The packs however stay, and each carries an index
//! of itself. A manifest found only there is not proof of a backup (a client may be about to publish it, or have died
//! before it did), but it forbids saying that there is none.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::engine::is_snapshot;
use super::error::{Error, Reason};
use super::view::Suspect;
use crate::blob::{BlobId, BlobKind, BlobStore, list_kinds};
use crate::content::{Decoder, Scratch};
use crate::format::RepositoryFormat;
use crate::index::{ContentId, Entry};
use crate::manifest::{self, Manifest, ManifestId, Room};
use crate::os::parallel;
use crate::pack::read_local_index;
use crate::snapshot::AskedSource;
use crate::{Catalog, Repository};

/// Packs that are looked into at most. Maintenance drops packs from the indexes a day before it deletes them, thousands in
/// a large repository; beyond this something else is wrong.
const MAX_PACKS: usize = 20_000;

/// What the indexes lead to.
#[derive(Debug, Default)]
pub(super) struct Indexed {
    /// Packs of metadata that are named.
    pub(super) named: HashSet<BlobId>,
    contents: HashSet<ContentId>,
    manifests: HashSet<ManifestId>,
}

impl Indexed {
    pub(super) fn of(catalog: &Catalog) -> Self {
        let index = catalog.index();
        let packs = index.packs().filter(|pack| pack.kind() == BlobKind::MetadataPack);
        Self {
            named: packs.cloned().collect(),
            contents: index.contents().copied().collect(),
            manifests: catalog.manifests().versions().map(|manifest| manifest.id().clone()).collect(),
        }
    }
}

/// Why it cannot be said, from a list of snapshots that has none of `source`, that there is none.
///
/// # Errors
/// A failure to list packs.
pub(crate) fn doubt_about_absence(
    repository: &Repository,
    catalog: &Catalog,
    asked: &AskedSource,
) -> Result<Option<Reason>, Error> {
    if let Some(reason) = super::engine::doubts(catalog).into_iter().next() {
        return Ok(Some(reason));
    }
    let indexed = Indexed::of(catalog);
    let scan = Scan::run(repository, &indexed.named, &Scan::default())?;
    let Unindexed { suspects, doubts } = scan.compare(&indexed);
    let suspect = suspects.into_iter().find(|suspect| suspect.scope.may_be(asked));
    Ok(suspect.map(|suspect| suspect.reason).or_else(|| doubts.into_iter().next()))
}

/// What was found in packs that no index named.
#[derive(Debug, Default, Clone)]
pub(super) struct Scan {
    packs: BTreeMap<BlobId, Arc<Pack>>,
    too_many: usize,
}

#[derive(Debug)]
enum Pack {
    Read(Vec<Found>),
    Unreadable(Reason),
}

/// A manifest content and the snapshots that it tells of.
type Found = (ContentId, Vec<Suspect>);

/// What of it the indexes do not know.
#[derive(Debug, Default)]
pub(super) struct Unindexed {
    pub(super) suspects: Vec<Suspect>,
    pub(super) doubts: Vec<Reason>,
}

impl Scan {
    /// Lists the packs of metadata and looks into those that are not `named`; what `known` has is not read again.
    pub(super) fn run(repository: &Repository, named: &HashSet<BlobId>, known: &Self) -> Result<Self, Error> {
        let (store, format, options) = (repository.store(), repository.format(), repository.options());
        let room = Room::new(options.manifests, 0);
        let packs = list_kinds(store, &[BlobKind::MetadataPack])?;
        let mut unnamed: Vec<BlobId> =
            packs.into_iter().map(|blob| blob.id).filter(|id| !named.contains(id)).collect();
        unnamed.sort();
        let too_many = unnamed.len().saturating_sub(MAX_PACKS);
        unnamed.truncate(MAX_PACKS);
        let found = Mutex::new(BTreeMap::new());
        parallel::for_each(&unnamed, options.index.reads, |id| {
            let pack = match known.packs.get(id) {
                Some(pack) if matches!(**pack, Pack::Read(_)) => Some(Arc::clone(pack)),
                _ => Pack::read(store, format, id, &room).map(Arc::new),
            };
            if let Some(pack) = pack {
                found.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), pack);
            }
            Ok::<(), Error>(())
        })?;
        Ok(Self { packs: found.into_inner().unwrap_or_else(PoisonError::into_inner), too_many })
    }

    /// Leaves of what was found only what the indexes do not know by now.
    pub(super) fn compare(&self, indexed: &Indexed) -> Unindexed {
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
                    let unknown = contents.iter().filter(|(content, _)| !indexed.contents.contains(content));
                    let suspects = unknown.flat_map(|(_, suspects)| suspects);
                    let new = suspects.filter(|suspect| !indexed.manifests.contains(&suspect.scope.id));
                    unindexed.suspects.extend(new.cloned());
                }
            }
        }
        unindexed
    }
}

impl Pack {
    /// `None` for a pack that is gone.
    fn read(store: &dyn BlobStore, format: &RepositoryFormat, id: &BlobId, room: &Room) -> Option<Self> {
        match Self::manifests(store, format, id, room) {
            Ok(contents) => Some(Self::Read(contents)),
            Err(crate::Error::Pack(crate::pack::Error::Blob(e))) if e.is_not_found() => None,
            Err(e) => Some(Self::Unreadable(Reason::new(
                "pack-unindexed",
                format!("pack {id} is named by no index and cannot be looked into: {e}"),
            ))),
        }
    }

    fn manifests(
        store: &dyn BlobStore,
        format: &RepositoryFormat,
        id: &BlobId,
        room: &Room,
    ) -> Result<Vec<Found>, crate::Error> {
        let index = read_local_index(store, format, id)?;
        let here = |entry: &Entry| index.packs().get(entry.pack.0 as usize).is_none_or(|pack| pack == id);
        let entries = index.with_prefix(ContentId::MANIFEST).filter(|entry| !entry.deleted && here(entry));
        entries.map(|entry| Ok((entry.id, snapshots_in(store, format, id, &entry, room)?))).collect()
    }
}

/// The snapshots that a manifest content tells of.
fn snapshots_in(
    store: &dyn BlobStore,
    format: &RepositoryFormat,
    pack: &BlobId,
    entry: &Entry,
    room: &Room,
) -> Result<Vec<Suspect>, crate::Error> {
    let decoder = Decoder::new(format);
    decoder.check(entry, pack)?;
    let mut stored = vec![0; entry.packed_length as usize];
    store.read_at(pack, entry.offset.into(), &mut stored)?;
    let mut scratch = Scratch::default();
    let decoded = decoder.decode(entry, pack, &mut stored, &mut scratch)?;
    let manifests = manifest::parse(entry.id, decoded.plaintext, room)?;
    let suspect = |manifest: &Manifest| {
        let id = manifest.id();
        let message = format!(
            "snapshot {id} is in pack {pack}, which no index names: an index blob may be missing, or a backup is being written"
        );
        Suspect::new(manifest, "snapshot-unindexed", message)
    };
    Ok(manifests.iter().filter(|manifest| is_snapshot(manifest)).map(suspect).collect())
}
