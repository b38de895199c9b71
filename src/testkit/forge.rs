//! Things that no honest writer stores, for tests of a reader's defences.

use super::compress::compress;
use super::directory::{DirectoryBuilder, Summary, WrittenDirectory};
use super::error::Result;
use super::tree::Attributes;
use super::writer::RepositoryWriter;
use crate::codec::CompressionId;
use crate::index::ContentId;

impl RepositoryWriter {
    /// Stores `data` under an ID that is not its hash. It decrypts like any other: the cipher is bound to the ID, not
    /// to the data.
    pub fn forge_content(&mut self, id: ContentId, data: &[u8]) -> Result<()> {
        let sealed = self.keys.seal_as(id, data)?;
        self.store(sealed).map(drop)
    }

    /// Stores these bytes, encrypted but otherwise untouched, and has the index claim any length and compression.
    pub fn forge_stored(
        &mut self,
        id: ContentId,
        plain: &[u8],
        original_length: u32,
        compression: u32,
    ) -> Result<()> {
        let sealed = self.keys.seal_stored(id, plain, original_length, compression)?;
        self.store(sealed).map(drop)
    }

    /// Stores `size` zeros compressed, and has the index say that they are `claimed` bytes: a decompression bomb.
    pub fn forge_bomb(
        &mut self,
        prefix: Option<u8>,
        compression: CompressionId,
        size: usize,
        claimed: u32,
    ) -> Result<ContentId> {
        let zeros = vec![0; size];
        let id = self.keys.content_id(prefix, &zeros)?;
        self.forge_stored(id, &compress(compression, &zeros)?, claimed, compression.header())?;
        Ok(id)
    }

    /// Stores a directory that is its own child, by the name `again`: an endless path.
    pub fn forge_endless_directory(&mut self, attributes: Attributes) -> Result<WrittenDirectory> {
        let mut directory = DirectoryBuilder::new();
        let id = self.keys.content_id(Some(b'k'), b"endless")?;
        let summary = Summary { files: 0, dirs: 1, ..Summary::default() };
        let itself = WrittenDirectory { object: id.to_string(), summary, attributes };
        directory.directory("again", &itself);
        let json = directory.json(&itself.summary)?;
        self.forge_content(id, &json)?;
        Ok(itself)
    }

    /// Stores a table of parts that names itself: an object without end.
    pub fn forge_endless_object(&mut self) -> Result<String> {
        let id = self.keys.content_id(Some(b'x'), b"endless")?;
        let json = format!(
            "{{\"stream\":\"kopia:indirect\",\"entries\":[{{\"l\":100,\"o\":\"I{id}\"}},{{\"s\":100,\"l\":100,\"o\":\"I{id}\"}}]}}\n"
        );
        self.forge_content(id, json.as_bytes())?;
        Ok(format!("I{id}"))
    }
}
