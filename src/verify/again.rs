//! Contents whose packs are not there: maintenance may have moved them since the index was read.

use std::collections::HashMap;
use std::sync::Arc;

use super::Error;
use super::findings::Cause;
use super::options::Level;
use super::outcome::Outcome;
use super::scan::pack_missing;
use crate::Repository;
use crate::blob::{BlobId, BlobStore};
use crate::content::{self, Contents, Decoder, Scratch, read_error};
use crate::index::{ContentIndex, Entry, IndexOptions};

/// A second look, with indexes read anew.
pub(super) struct SecondLook<'a> {
    pub(super) repository: &'a Repository,
    pub(super) store: &'a Arc<dyn BlobStore>,
    pub(super) options: IndexOptions,
    pub(super) level: Level,
}

impl SecondLook<'_> {
    /// Looks for `suspects`, which `index` named; gives the contents by way of the newest index.
    pub(super) fn look(
        &self,
        contents: Contents,
        suspects: Vec<Entry>,
        index: &ContentIndex,
        outcome: &mut Outcome,
    ) -> Result<Contents, Error> {
        if suspects.is_empty() {
            return Ok(contents);
        }
        let format = Arc::clone(self.repository.format());
        let fresh = Contents::load(Arc::clone(self.store), format, self.options.clone())?;
        let current = fresh.index();
        let mut there: HashMap<BlobId, bool> = HashMap::new();
        for old in suspects {
            // What no index names any more was deleted for good.
            let Some(entry) = current.get(&old.id) else { continue };
            let Some(pack) = current.pack(entry.pack) else { continue };
            outcome.outside += u64::from(!entry.deleted);
            let same = index.pack(old.pack) == Some(pack);
            let exists = *there.entry(pack.clone()).or_insert_with(|| match self.store.size(pack) {
                Ok(_) => true,
                Err(e) => !e.is_not_found(),
            });
            if same && !exists {
                outcome.failures.insert(entry.id, Cause::of(&pack_missing(&entry, pack)));
                continue;
            }
            match self.check_alone(&entry, pack) {
                Ok(()) if entry.deleted => {}
                Ok(()) => {
                    outcome.good += 1;
                    outcome.good_bytes += u64::from(entry.packed_length);
                }
                Err(e) => outcome.failures.insert(entry.id, Cause::of(&e)),
            }
        }
        Ok(fresh)
    }

    fn check_alone(&self, entry: &Entry, pack: &BlobId) -> Result<(), content::Error> {
        let decoder = Decoder::new(self.repository.format()).verify(self.level >= Level::Hash);
        decoder.check(entry, pack)?;
        let mut stored = vec![0; entry.packed_length as usize];
        self.store.read_at(pack, entry.offset.into(), &mut stored).map_err(|e| read_error(entry.id, e))?;
        let mut scratch = Scratch::default();
        decoder.decode(entry, pack, &mut stored, &mut scratch).map(|_| ())
    }
}
