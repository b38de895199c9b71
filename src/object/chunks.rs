//! From an object ID to the contents that hold its bytes.

use super::reader::Reader;
use super::table::Table;
use super::{Error, ObjectId};
use crate::codec::{CompressionId, Size, decompress};
use crate::content::ContentSource;
use crate::index::ContentId;

/// How many index objects may lie one inside the other, counting both the levels of an ID and chunks that are
/// indirect themselves. Three levels address a petabyte at Kopia's smallest chunk size; what goes deeper refers to
/// itself.
pub const MAX_DEPTH: usize = 8;

/// Largest size in bytes to which one content may inflate at the object layer. Kopia's splitters never cut a piece
/// of more than 16 MiB.
pub const MAX_CHUNK: usize = 64 << 20;

/// A stretch of an object and the content that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Where in the object the chunk begins.
    pub offset: u64,
    /// How many bytes it has, which the data must match. `None` for an object of one content: all there is.
    pub length: Option<u64>,
    /// The content.
    pub content: ContentId,
    /// Whether the content is compressed at the object layer as well (`Z`).
    pub compressed: bool,
}

impl Chunk {
    /// The chunk's bytes, with the length checked. `object` is for messages.
    pub fn fetch(&self, source: &dyn ContentSource, object: &ObjectId) -> Result<Vec<u8>, Error> {
        let data = source
            .get(&self.content)
            .map_err(|source| Error::Content { object: *object, source: Box::new(source) })?;
        self.decode(data, object)
    }

    /// The chunk's bytes from those of its content: decompressed where needed, with the length checked.
    pub fn decode(&self, content: Vec<u8>, object: &ObjectId) -> Result<Vec<u8>, Error> {
        let data = if self.compressed { self.decompress(&content, object)? } else { content };
        let found = data.len() as u64;
        match self.length {
            Some(expected) if expected != found => {
                Err(Error::ChunkLength { object: *object, content: self.content, expected, found })
            }
            _ => Ok(data),
        }
    }

    fn decompress(&self, content: &[u8], object: &ObjectId) -> Result<Vec<u8>, Error> {
        let size = match self.length.map(usize::try_from) {
            Some(Ok(length)) if length <= MAX_CHUNK => Size::Exact(length),
            Some(_) => return Err(Error::TooLarge { object: *object, limit: MAX_CHUNK as u64 }),
            None => Size::AtMost(MAX_CHUNK),
        };
        let mut data = Vec::new();
        CompressionId::split(content)
            .and_then(|(id, stream)| decompress(id, stream, size, &mut data))
            .map_err(|source| Error::Decompress { object: *object, content: self.content, source })?;
        Ok(data)
    }

    /// Where the chunk ends, if its length is known.
    pub(super) fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.length?)
    }
}

/// The chunks of an object in order, without gap or overlap. Tables are read as the iteration reaches them, so
/// memory does not grow with the object: take as many at a time as suits.
///
/// An error ends the iteration. Chunks of length 0 may occur; nothing needs to be read for them.
pub struct Chunks<'a> {
    source: &'a dyn ContentSource,
    /// How many index objects surround this one.
    depth: usize,
    /// What an object of one content resolves to.
    direct: Option<Chunk>,
    levels: Vec<Level<'a>>,
}

/// A table that is being read.
struct Level<'a> {
    table: Table<Reader<'a>>,
    /// Where its first chunk lies in the whole object.
    base: u64,
    /// How long the object must be, where another table says so.
    length: Option<u64>,
}

impl<'a> Chunks<'a> {
    /// The chunks of `object`. Nothing is read yet.
    pub fn new(source: &'a dyn ContentSource, object: &ObjectId) -> Self {
        Self::nested(source, object, 0)
    }

    pub(super) fn nested(source: &'a dyn ContentSource, object: &ObjectId, depth: usize) -> Self {
        let mut chunks = Chunks { source, depth, direct: None, levels: Vec::new() };
        match object.index() {
            Some(index) => chunks.descend(*object, index, 0, None),
            None => {
                let compressed = object.is_compressed();
                chunks.direct =
                    Some(Chunk { offset: 0, length: None, content: *object.content(), compressed });
            }
        }
        chunks
    }

    fn descend(&mut self, object: ObjectId, index: ObjectId, base: u64, length: Option<u64>) {
        let index = Reader::nested(self.source, &index, self.depth + self.levels.len() + 1);
        self.levels.push(Level { table: Table::new(object, index), base, length });
    }

    fn step(&mut self) -> Result<Option<Chunk>, Error> {
        if let Some(chunk) = self.direct.take() {
            return Ok(Some(chunk));
        }
        while let Some(level) = self.levels.last_mut() {
            let object = level.table.object();
            if self.depth + self.levels.len() > MAX_DEPTH {
                return Err(Error::TooDeep { object });
            }
            let Some(level) = self.levels.last_mut() else { break };
            let Some(entry) = level.table.next()? else {
                let found = level.table.end();
                if let Some(expected) = level.length
                    && expected != found
                {
                    let reason = format!("it makes {found} bytes where {expected} belong");
                    return Err(Error::Table { object, reason });
                }
                self.levels.pop();
                continue;
            };
            let offset = level.base.checked_add(entry.start);
            let offset = offset.ok_or(Error::TooLarge { object, limit: u64::MAX })?;
            match entry.object.index() {
                None => {
                    let (content, compressed) = (*entry.object.content(), entry.object.is_compressed());
                    return Ok(Some(Chunk { offset, length: Some(entry.length), content, compressed }));
                }
                // An empty stretch needs nothing, and following it could go on without end.
                Some(_) if entry.length == 0 => {}
                Some(index) => self.descend(entry.object, index, offset, Some(entry.length)),
            }
        }
        Ok(None)
    }

    /// Bytes of memory held while tables are being read.
    pub(super) fn held(&self) -> usize {
        self.levels.iter().map(|level| level.table.held() + level.table.source().held()).sum()
    }
}

impl Iterator for Chunks<'_> {
    type Item = Result<Chunk, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.levels.clear();
        }
        step.transpose()
    }
}
