//! Reading without the index blobs that are lost.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Catalog, Error, Repository};
use crate::blob::{BlobId, BlobKind, list_kinds};
use crate::content::Contents;
use crate::index::{ContentId, ContentIndex, IndexOptions, IndexReader};
use crate::pack::{self, read_local_indexes};

/// A repository as seen through the readable index blobs and the indexes inside all packs.
///
/// It may include contents and snapshots that were deleted, if the index blob that records the deletion is lost.
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Recovered {
    /// All manifests that are found this way.
    pub catalog: Catalog,
    /// All contents that are found this way.
    pub contents: Contents,
    /// Packs whose own index was read.
    pub packs: u64,
    /// Why the indexes of other packs cannot be read.
    pub unreadable: Vec<pack::Error>,
    /// Contents that no readable index blob names.
    pub regained: BTreeSet<ContentId>,
}

debug_of!(Recovered, "Recovered", "packs" = |recovered| recovered.packs);

impl Repository {
    /// Reads the index blobs and the index inside every pack, for a repository that has lost index blobs. This takes two
    /// reads per pack.
    ///
    /// # Errors
    /// Failures to list. Index blobs and packs that cannot be read are skipped.
    pub fn recover(&self) -> Result<Recovered, Error> {
        let options = IndexOptions { degraded: true, ..self.options().index };
        let reader = IndexReader::new(self.store(), self.format(), options.clone());
        let mut known = HashMap::new();
        // A damaged log of compactions keeps all index blobs of an old repository from being chosen.
        let active = match reader.update(&mut known, |blob| reader.fetch(&blob.id)) {
            Err(e) if e.is_damage() => Default::default(),
            result => result?,
        };
        let packs = list_kinds(self.store(), &[BlobKind::DataPack, BlobKind::MetadataPack])?;
        let packs: Vec<BlobId> = packs.into_iter().map(|pack| pack.id).collect();
        let local = read_local_indexes(self.store(), self.format(), &packs, options.reads_of(self.store()));
        let count = local.indexes.len() as u64;

        let in_packs = local.indexes.iter().flat_map(|(_, index)| index.iter().map(|entry| entry.id));
        let regained = in_packs.filter(|id| !known.values().any(|index| index.get(id).is_some())).collect();

        let mut indexes: Vec<_> = known.into_iter().collect();
        indexes.sort_by(|(a, _), (b, _)| a.cmp(b));
        indexes.extend(local.indexes);
        let index = ContentIndex::build(indexes, active.watermark, active.doubts);
        let (store, format) = (Arc::clone(self.store()), Arc::clone(self.format()));
        let contents = Contents::with_index(store, format, options.clone(), index).fixed();
        let catalog = Catalog::of(&contents, super::Options { index: options, ..self.options() })?;
        Ok(Recovered { catalog, contents, packs: count, unreadable: local.unreadable, regained })
    }
}
