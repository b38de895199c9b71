//! The table inside an index object (`format-spec/12-objects.md`).

use std::io::Read;

use super::{Error, ObjectId};
use crate::gojson::go_object;
use crate::gojson::stream::EntryStream;

/// No entry of a table comes near this many bytes.
const MAX_ENTRY: usize = 64 << 10;

/// One line of a table.
#[derive(Default)]
struct Line {
    start: i64,
    length: i64,
    object: String,
}
go_object!(Line { "s" => start, "l" => length, "o" => object });

/// One chunk of an object: a stretch of it and the object that holds those bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where the chunk begins in the object of the table.
    pub(super) start: u64,
    /// How many bytes it has.
    pub(super) length: u64,
    pub(super) object: ObjectId,
}

/// A table that is being read. Every entry begins where the one before it ended, and there is at least one.
pub(super) struct Table<R> {
    object: ObjectId,
    stream: EntryStream<R>,
    end: u64,
    entries: u64,
}

impl<R: Read> Table<R> {
    /// Reads the table of `object` from the data of its index object. The `stream` member is not looked at: Kopia
    /// never did.
    pub(super) fn new(object: ObjectId, index: R) -> Self {
        Table { object, stream: EntryStream::new(index, &[], MAX_ENTRY), end: 0, entries: 0 }
    }

    /// The object whose table this is.
    pub(super) fn object(&self) -> ObjectId {
        self.object
    }

    /// The next chunk in the order of the object; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Error> {
        let object = self.object;
        let damaged = |reason: String| Error::Table { object, reason };
        let json = match self.stream.next_entry() {
            Ok(Some(json)) => json,
            Ok(None) if self.entries == 0 => return Err(damaged("it has no entries".to_owned())),
            Ok(None) => return Ok(None),
            Err(error) => return Err(Error::from_stream(error).unwrap_or_else(damaged)),
        };
        let number = self.entries;
        let line: Line = serde_json::from_slice(json).map_err(|e| damaged(format!("entry {number}: {e}")))?;
        let id = line.object.parse().map_err(|e| damaged(format!("entry {number}: {e}")))?;
        let length = u64::try_from(line.length)
            .map_err(|_| damaged(format!("entry {number} has a length of {}", line.length)))?;
        if u64::try_from(line.start) != Ok(self.end) {
            return Err(damaged(format!("entry {number} begins at {} instead of {}", line.start, self.end)));
        }
        // Offsets are signed in the format, so that an object has at most 2⁶³ − 1 bytes.
        self.end = (self.end.checked_add(length))
            .filter(|end| i64::try_from(*end).is_ok())
            .ok_or_else(|| damaged(format!("entry {number} ends beyond what an offset can tell")))?;
        self.entries += 1;
        Ok(Some(Entry { start: self.end - length, length, object: id }))
    }

    /// Where the last chunk read ends: after the last of all, the length of the object.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The reader beneath.
    pub(super) fn source(&self) -> &R {
        self.stream.source()
    }

    /// Bytes of memory held, beside those of the reader beneath.
    pub(super) fn held(&self) -> usize {
        self.stream.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<(Vec<Entry>, u64), Error> {
        let mut table = Table::new("Ix00".parse().unwrap(), json.as_bytes());
        let mut entries = Vec::new();
        while let Some(entry) = table.next()? {
            entries.push(entry);
        }
        Ok((entries, table.end()))
    }

    fn vectors() -> serde_json::Value {
        let all: serde_json::Value =
            serde_json::from_str(include_str!("../../format-spec/vectors/object-ids.json")).unwrap();
        all["indirect"].clone()
    }

    #[test]
    fn valid_vectors() {
        let vectors = vectors();
        assert!(vectors["valid"].as_array().unwrap().len() >= 5);
        for vector in vectors["valid"].as_array().unwrap() {
            let (entries, length) = read(vector["json"].as_str().unwrap()).unwrap();
            assert_eq!(length, vector["length"].as_u64().unwrap());
            let expected = vector["chunks"].as_array().unwrap();
            assert_eq!(entries.len(), expected.len());
            for (entry, chunk) in entries.iter().zip(expected) {
                assert_eq!(entry.start, chunk[0].as_u64().unwrap());
                assert_eq!(entry.length, chunk[1].as_u64().unwrap());
                assert_eq!(entry.object.to_string(), chunk[2].as_str().unwrap());
            }
        }
    }

    #[test]
    fn invalid_vectors() {
        let vectors = vectors();
        assert!(vectors["invalid"].as_array().unwrap().len() >= 10);
        for vector in vectors["invalid"].as_array().unwrap() {
            let error = read(vector["json"].as_str().unwrap()).unwrap_err();
            assert_eq!(error.code(), "object-index-damaged", "{}", vector["name"]);
            assert_eq!(error.object().to_string(), "Ix00");
        }
    }
}
