//! What the layers above read contents from.

use super::Error;
use crate::index::ContentId;

/// Plaintexts by content ID.
pub trait ContentSource: Send + Sync {
    /// The plaintext of a content.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is no such content, and every failure to read or decode it.
    fn get(&self, id: &ContentId) -> Result<Vec<u8>, Error>;

    /// The length of a content without reading it; `None` when there is no such content.
    ///
    /// # Errors
    /// A failure of the index.
    fn original_length(&self, id: &ContentId) -> Result<Option<u64>, Error>;
}

impl<S: ContentSource + ?Sized> ContentSource for &S {
    fn get(&self, id: &ContentId) -> Result<Vec<u8>, Error> {
        (**self).get(id)
    }

    fn original_length(&self, id: &ContentId) -> Result<Option<u64>, Error> {
        (**self).original_length(id)
    }
}

impl<S: ContentSource + ?Sized> ContentSource for std::sync::Arc<S> {
    fn get(&self, id: &ContentId) -> Result<Vec<u8>, Error> {
        (**self).get(id)
    }

    fn original_length(&self, id: &ContentId) -> Result<Option<u64>, Error> {
        (**self).original_length(id)
    }
}

/// Contents from memory, for tests of the layers above.
impl ContentSource for std::collections::BTreeMap<ContentId, Vec<u8>> {
    fn get(&self, id: &ContentId) -> Result<Vec<u8>, Error> {
        std::collections::BTreeMap::get(self, id).cloned().ok_or(Error::Missing { content: *id })
    }

    fn original_length(&self, id: &ContentId) -> Result<Option<u64>, Error> {
        Ok(std::collections::BTreeMap::get(self, id).map(|plaintext| plaintext.len() as u64))
    }
}
