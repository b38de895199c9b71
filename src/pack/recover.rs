//! All local indexes of a repository at once: what stands in for lost index blobs.

use super::{Error, read_local_index};
use crate::blob::{BlobId, BlobStore};
use crate::format::RepositoryFormat;
use crate::index::PackedIndex;
use crate::os::parallel;
use crate::os::sync::Mutex;

/// What packs say of themselves.
#[derive(Default)]
pub struct LocalIndexes {
    /// The local index of each pack that has a readable one, ordered by pack.
    pub indexes: Vec<(BlobId, PackedIndex)>,
    /// Why others do not tell: cut off, damaged, gone.
    pub unreadable: Vec<Error>,
}

/// Reads the local indexes of packs, `reads` at the same time.
pub fn read_local_indexes(
    store: &dyn BlobStore,
    format: &RepositoryFormat,
    packs: &[BlobId],
    reads: usize,
) -> LocalIndexes {
    let found = Mutex::new(LocalIndexes::default());
    let result = parallel::for_each(packs, reads, |pack| {
        let local = read_local_index(store, format, pack);
        let mut found = found.lock();
        match local {
            Ok(index) => found.indexes.push((pack.clone(), index)),
            Err(e) => found.unreadable.push(e),
        }
        Ok::<(), std::convert::Infallible>(())
    });
    let Ok(()) = result;
    let mut found = found.into_inner();
    found.indexes.sort_by(|(a, _), (b, _)| a.cmp(b));
    found.unreadable.sort_by(|a, b| a.blob().cmp(&b.blob()));
    found
}
