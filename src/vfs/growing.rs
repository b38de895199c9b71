//! The contents of a repository that grows while it is shown.

use arc_swap::ArcSwap;

use crate::content::{self, ContentSource, Contents};
use crate::index::ContentId;

/// The contents of the index that was read last.
pub(crate) struct Growing(ArcSwap<Contents>);

impl Growing {
    pub(crate) fn new(contents: Contents) -> Self {
        Self(ArcSwap::from_pointee(contents))
    }

    /// Takes the contents of a newer index instead. Reads under way end with the older one.
    pub(crate) fn replace(&self, contents: Contents) {
        self.0.store(std::sync::Arc::new(contents));
    }
}

impl ContentSource for Growing {
    fn get(&self, id: &ContentId) -> Result<Vec<u8>, content::Error> {
        self.0.load_full().get(id)
    }

    fn original_length(&self, id: &ContentId) -> Result<Option<u64>, content::Error> {
        self.0.load_full().original_length(id)
    }
}
