//! Contents that are compared with their names.

use super::{ContentSource, Contents, Decoder, Error, pack_of};
use crate::index::ContentId;

/// Contents of which each is hashed and compared with its name when it is read. Decryption alone does not show that a
/// content is the one that was asked for: anyone with the key can write any under any name.
pub struct Hashed<'a> {
    contents: &'a Contents,
}

impl<'a> Hashed<'a> {
    /// The same contents, hashed.
    pub fn new(contents: &'a Contents) -> Self {
        Self { contents }
    }
}

impl ContentSource for Hashed<'_> {
    fn get(&self, id: &ContentId) -> Result<Vec<u8>, Error> {
        let plaintext = self.contents.get(id)?;
        if Decoder::new(self.contents.format()).is_named(id, &plaintext) {
            return Ok(plaintext);
        }
        let index = self.contents.index();
        let entry = index.get(id)?.ok_or(Error::Missing { content: *id })?;
        let blob = pack_of(&index, &entry)?.clone();
        Err(Error::WrongHash { content: *id, blob, offset: entry.offset })
    }

    fn original_length(&self, id: &ContentId) -> Result<Option<u64>, Error> {
        self.contents.original_length(id)
    }
}
