//! Reading an object as a stream.

use std::io::{self, Read, Seek, SeekFrom};

use super::{Chunk, Chunks, Error, ObjectId};
use crate::content::ContentSource;

/// Up to this many chunks are remembered for seeking (about 60 MB). Objects of more are read again from the start of
/// their table when a seek goes backwards.
const MAX_REMEMBERED: usize = 1 << 20;

/// The bytes of an object, for reading and seeking. Holds one chunk in memory.
///
/// I/O errors carry an [`enum@Error`]; the methods of this type return it directly.
pub struct Reader<'a> {
    source: &'a dyn ContentSource,
    object: ObjectId,
    depth: usize,
    position: u64,
    /// The chunk read last, and where it begins.
    current: Option<(u64, Vec<u8>)>,
    /// Chunks not yet passed.
    ahead: Chunks<'a>,
    /// Where those passed end.
    passed: u64,
    /// All chunks, once a seek needed them.
    remembered: Option<Vec<Chunk>>,
    length: Option<u64>,
}

debug_of!(Reader<'_>, "Reader", "object" = |reader| reader.object);

impl<'a> Reader<'a> {
    /// Reads `object`. Nothing is fetched yet.
    pub fn new(source: &'a dyn ContentSource, object: &ObjectId) -> Self {
        Self::nested(source, object, 0)
    }

    pub(super) fn nested(source: &'a dyn ContentSource, object: &ObjectId, depth: usize) -> Self {
        Reader {
            source,
            object: *object,
            depth,
            position: 0,
            current: None,
            ahead: Chunks::nested(source, object, depth),
            passed: 0,
            remembered: None,
            length: None,
        }
    }

    /// The object.
    pub fn object(&self) -> &ObjectId {
        &self.object
    }

    /// The length of the object in bytes. Reads its tables, but of the data at most one chunk.
    pub fn length(&mut self) -> Result<u64, Error> {
        if let Some(length) = self.length {
            return Ok(length);
        }
        let length = if self.object.indirections() > 0 {
            self.remember()?
        } else if self.object.is_compressed() {
            self.load(0)?;
            self.length.unwrap_or_default()
        } else {
            let known = self.source.original_length(self.object.content());
            match known.map_err(|source| Error::Content { object: self.object, source: Box::new(source) })? {
                Some(length) => length,
                None => {
                    // Reading reports what is missing in the same words as anywhere else.
                    self.load(0)?;
                    self.length.unwrap_or_default()
                }
            }
        };
        self.length = Some(length);
        Ok(length)
    }

    /// Reads up to `buffer.len()` bytes; 0 at the end of the object.
    pub fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        if buffer.is_empty() || !self.load(self.position)? {
            return Ok(0);
        }
        let rest = match &self.current {
            Some((start, data)) => usize::try_from(self.position - start).ok().and_then(|at| data.get(at..)),
            None => None,
        };
        let rest = rest.unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.position += count as u64;
        Ok(count)
    }

    /// Goes to an absolute position, which may lie beyond the end.
    pub fn seek_to(&mut self, position: u64) {
        self.position = position;
    }

    /// Goes back to the start and gives up the memory held.
    pub(crate) fn release(&mut self) {
        self.position = 0;
        self.current = None;
        self.remembered = None;
        self.rewind();
    }

    /// Makes the chunk at `position` the current one. Returns false when the object ends before.
    fn load(&mut self, position: u64) -> Result<bool, Error> {
        if let Some((start, data)) = &self.current
            && position >= *start
            && position - start < data.len() as u64
        {
            return Ok(true);
        }
        if self.length.is_some_and(|length| position >= length) {
            return Ok(false);
        }
        while let Some(chunk) = self.find(position)? {
            let data = chunk.fetch(self.source, &self.object)?;
            let end = chunk.offset.saturating_add(data.len() as u64);
            if chunk.length.is_none() {
                self.passed = end;
                self.length = Some(end);
            }
            self.current = Some((chunk.offset, data));
            if position < end {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The chunk that holds `position`, looked up where all are known, else searched for from where reading stands.
    fn find(&mut self, position: u64) -> Result<Option<Chunk>, Error> {
        if position < self.passed && self.remembered.is_none() {
            self.remember()?;
        }
        if let Some(chunks) = &self.remembered {
            let at = chunks.partition_point(|chunk| chunk.end().is_some_and(|end| end <= position));
            return Ok(chunks.get(at).copied());
        }
        if position < self.passed {
            self.rewind();
        }
        while let Some(chunk) = self.ahead.next() {
            // After an error the iteration is over; a caller that tries again must not take that for the end.
            let chunk = chunk.inspect_err(|_| self.rewind())?;
            match chunk.end() {
                Some(end) => {
                    self.passed = end;
                    if position < end {
                        return Ok(Some(chunk));
                    }
                }
                None => return Ok(Some(chunk)),
            }
        }
        self.length = Some(self.passed);
        Ok(None)
    }

    fn rewind(&mut self) {
        self.ahead = Chunks::nested(self.source, &self.object, self.depth);
        self.passed = 0;
    }

    /// Reads all tables for the length of the object, and keeps them if they are not too large.
    fn remember(&mut self) -> Result<u64, Error> {
        let mut kept = Some(Vec::new());
        let mut length = 0;
        for chunk in Chunks::nested(self.source, &self.object, self.depth) {
            let chunk = chunk?;
            length = chunk.end().unwrap_or(length);
            if chunk.length != Some(0) {
                kept = kept.filter(|chunks| chunks.len() < MAX_REMEMBERED);
                kept.iter_mut().for_each(|chunks| chunks.push(chunk));
            }
        }
        self.remembered = kept;
        self.length = Some(length);
        Ok(length)
    }

    /// Reads until the buffer is full or the object ends.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read_some(rest)? {
                0 => break,
                got => filled += got,
            }
        }
        Ok(filled)
    }

    /// Bytes of memory held.
    pub(crate) fn held(&self) -> usize {
        let current = self.current.as_ref().map_or(0, |(_, data)| data.capacity());
        let remembered = self.remembered.as_ref().map_or(0, |chunks| chunks.capacity() * size_of::<Chunk>());
        current + remembered + self.ahead.held()
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.read_some(buffer)?)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.length()?.checked_add_signed(by),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

/// All bytes of an object, which may be at most `limit`.
pub fn read_all(source: &dyn ContentSource, object: &ObjectId, limit: u64) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    for chunk in Chunks::new(source, object) {
        let chunk = chunk?;
        let too_large = |length: u64| all.len() as u64 + length > limit;
        if chunk.length == Some(0) {
            continue;
        }
        if chunk.length.is_some_and(|length| length > limit || too_large(length)) {
            return Err(Error::TooLarge { object: *object, limit });
        }
        let data = chunk.fetch(source, object)?;
        if data.len() as u64 > limit {
            return Err(Error::TooLarge { object: *object, limit });
        }
        if all.is_empty() {
            all = data;
        } else {
            all.extend_from_slice(&data);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
