//! Contents whose packs are not there: maintenance may have moved them since the index was read.

use std::collections::HashMap;
use std::sync::Arc;

use crate::blob::{BlobId, BlobStore};
use crate::content::{self, Contents, Decoder, read_with};
use crate::index::{Entry, IndexOptions};
use crate::repository::Repository;
use crate::verify::error::Error;
use crate::verify::fault::Fault;
use crate::verify::options::Level;
use crate::verify::outcome::Outcome;

/// A second look, with indexes read again.
pub(crate) struct SecondLook<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) store: &'a Arc<dyn BlobStore>,
    pub(crate) options: IndexOptions,
    pub(crate) level: Level,
}

impl SecondLook<'_> {
    /// Looks for `suspects`, as an index named them before; gives the contents by way of the newest index.
    pub(crate) fn look(
        &self,
        contents: Contents,
        mut suspects: impl Iterator<Item = Entry>,
        outcome: &mut Outcome,
    ) -> Result<Contents, Error> {
        let Some(first) = suspects.next() else { return Ok(contents) };
        let format = Arc::clone(self.repository.format());
        let fresh = Contents::load(Arc::clone(self.store), format, self.options.clone())?;
        let current = fresh.index();
        let mut there: HashMap<BlobId, bool> = HashMap::new();
        for old in std::iter::once(first).chain(suspects) {
            // A content that no index names was deleted for good.
            let Some(entry) = current.get(&old.id)? else { continue };
            let Some(pack) = current.pack(entry.pack) else { continue };
            outcome.outside += u64::from(!entry.deleted);
            let exists = *there.entry(pack.clone()).or_insert_with(|| match self.store.size(pack) {
                Ok(_) => true,
                Err(e) => !e.is_not_found(),
            });
            if !exists {
                outcome.failures.insert_missing(pack.clone());
                continue;
            }
            match self.check_alone(&entry, pack) {
                Ok(()) if entry.deleted => {}
                Ok(()) => {
                    outcome.good += 1;
                    outcome.good_bytes += u64::from(entry.packed_length);
                }
                Err(e) => outcome.failures.insert(entry.id, Fault::of_content(&e)),
            }
        }
        Ok(fresh)
    }

    fn check_alone(&self, entry: &Entry, pack: &BlobId) -> Result<(), content::Error> {
        let decoder = Decoder::new(self.repository.format()).verify(self.level >= Level::Hash);
        read_with(&decoder, self.store, entry, pack).map(|_| ())
    }
}
