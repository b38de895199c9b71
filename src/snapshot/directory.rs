//! Directory objects (`format-spec/14-directories-and-entries.md`), read entry by entry.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io::Read;

use super::{DirEntry, Error, Summary};
use crate::content::ContentSource;
use crate::gojson::stream::EntryStream;
use crate::gojson::{Text, go_object};
use crate::object::{self, ObjectId, Reader};

/// What the member `stream` of a directory must say.
const STREAM: &[u8] = b"\"kopia:directory\"";

/// The longest entry or summary accepted, in bytes of JSON. Clients cap neither names nor lists of errors, but the
/// latter come to some hundred bytes for each.
const MAX_ENTRY: usize = 16 << 20;

/// Directories of more entries are refused: finding out which names occur twice takes 8 bytes for each.
const MAX_ENTRIES: usize = 1 << 24;

/// So many bytes of names may occur twice in a directory. No client writes any, and every directory that a walk is in
/// holds its own.
const MAX_REPEATED: usize = 64 << 10;

/// The entries of a directory in stored order, directories usually first. Memory is bounded by one chunk of the
/// object and one entry.
///
/// An entry that is not valid is an error for which [`Error::is_entry`] holds, and the iteration goes on. Any other
/// error ends it: the rest of the directory is unknown. Two entries may have the same name, see [`EffectiveEntries`].
pub struct Entries<R> {
    directory: ObjectId,
    stream: EntryStream<R>,
    /// How many entries were read.
    count: u64,
    /// How many entries are still to be passed over after reading from the start again.
    skip: u64,
    done: bool,
}

impl<'a> Entries<Reader<'a>> {
    /// The entries of the directory in `object`. Nothing is read yet.
    pub fn open(source: &'a dyn ContentSource, object: &ObjectId) -> Self {
        Entries::new(*object, Reader::new(source, object))
    }

    /// Goes back to the first entry. A directory of one chunk is not fetched again.
    fn rewind(&mut self) {
        self.stream.source_mut().seek_to(0);
        self.stream.restart();
        (self.count, self.skip, self.done) = (0, 0, false);
    }

    /// Gives up the memory held; the next entry reads the directory again up to where it was.
    fn suspend(&mut self) {
        self.stream.source_mut().release();
        self.stream.restart();
        (self.skip, self.count) = (self.count.max(self.skip), 0);
    }

    /// Bytes of memory held.
    fn held(&self) -> usize {
        self.stream.held() + self.stream.source().held()
    }
}

impl<R: Read> Entries<R> {
    /// The entries of a directory whose object's bytes come from `data`; `directory` is for messages.
    pub fn new(directory: ObjectId, data: R) -> Self {
        Entries {
            directory,
            stream: EntryStream::new(data, &["stream", "summary"], MAX_ENTRY),
            count: 0,
            skip: 0,
            done: false,
        }
    }

    /// The object.
    pub fn directory(&self) -> &ObjectId {
        &self.directory
    }

    /// The totals of the directory. Known when the iteration has ended; `None` before, and where the directory has
    /// none.
    pub fn summary(&self) -> Option<Summary> {
        serde_json::from_slice(self.stream.member("summary")?).ok()
    }

    /// The JSON of the next entry and its position, with the directory's form checked.
    fn next_json(&mut self) -> Result<Option<(u64, &[u8])>, Error> {
        if self.done {
            return Ok(None);
        }
        // Set first: every way out but the last one ends the iteration.
        self.done = true;
        let directory = self.directory;
        let damaged = |reason: String| Error::Directory { directory, reason };
        let mut advance = self.stream.advance();
        while self.skip > 0 && matches!(advance, Ok(true)) {
            (self.skip, self.count) = (self.skip - 1, self.count + 1);
            advance = self.stream.advance();
        }
        let at_end = match advance {
            Ok(found) => !found,
            Err(e) => return Err(object::Error::from_stream(e).map_or_else(damaged, Error::Object)),
        };
        // Writers put the marker first. Where it comes late, entries were passed on before it could be checked.
        match self.stream.member("stream") {
            Some(STREAM) => {}
            None if !at_end => {}
            Some(other) => {
                let other = String::from_utf8_lossy(other.get(..80).unwrap_or(other)).into_owned();
                return Err(damaged(format!("it says it is {other}")));
            }
            None => return Err(damaged("it does not say what it is".to_owned())),
        }
        if at_end {
            return Ok(None);
        }
        self.done = false;
        let index = self.count;
        self.count += 1;
        Ok(Some((index, self.stream.entry())))
    }

    fn damaged(&self, reason: String) -> Error {
        Error::Directory { directory: self.directory, reason }
    }

    fn next_entry(&mut self) -> Result<Option<DirEntry>, Error> {
        let directory = self.directory;
        let Some((index, json)) = self.next_json()? else { return Ok(None) };
        match serde_json::from_slice(json) {
            Ok(entry) => Ok(Some(entry)),
            Err(e) => {
                let name = name_of(json).map(Cow::into_owned);
                Err(Error::Entry { directory, index, name, reason: e.to_string() })
            }
        }
    }
}

impl<R: Read> Iterator for Entries<R> {
    type Item = Result<DirEntry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().transpose()
    }
}

/// The name of an entry, and nothing else of it.
#[derive(Default)]
struct Name<'a> {
    name: Text<'a>,
}
go_object!(Name<'a> { "name" => name });

/// The name in the JSON of an entry, where that much can be told.
fn name_of(json: &[u8]) -> Option<Cow<'_, str>> {
    Some(serde_json::from_slice::<Name<'_>>(json).ok()?.name.0)
}

/// Names that occur more than once in a directory, and how often they are still to come.
#[derive(Default)]
struct Repeated(HashMap<String, u64>);

impl Repeated {
    /// Reads all names, keeping 8 bytes for each.
    fn find(entries: &mut Entries<Reader<'_>>) -> Result<Repeated, Error> {
        let key = RandomState::new();
        let mut hashes = Vec::new();
        while let Some((_, json)) = entries.next_json()? {
            hashes.extend(name_of(json).map(|name| key.hash_one(&*name)));
            if hashes.len() > MAX_ENTRIES {
                return Err(entries.damaged(format!("it has more than {MAX_ENTRIES} entries")));
            }
        }
        hashes.sort_unstable();
        let repeated: HashSet<u64> = hashes
            .windows(2)
            .filter_map(|pair| <[u64; 2]>::try_from(pair).ok())
            .filter(|[a, b]| a == b)
            .map(|[a, _]| a)
            .collect();
        drop(hashes);
        let mut counts = HashMap::new();
        if !repeated.is_empty() {
            // Equal hashes are not yet equal names.
            entries.rewind();
            let mut held = 0;
            while let Some((_, json)) = entries.next_json()? {
                let Some(name) = name_of(json).filter(|name| repeated.contains(&key.hash_one(&**name)))
                else {
                    continue;
                };
                match counts.get_mut(&*name) {
                    Some(count) => *count += 1,
                    None => {
                        held += name.len() + size_of::<(String, u64)>();
                        if held > MAX_REPEATED {
                            return Err(entries.damaged("too many of its names occur twice".to_owned()));
                        }
                        counts.insert(name.into_owned(), 1_u64);
                    }
                }
            }
        }
        Ok(Repeated(counts))
    }

    /// Notes that an entry of this name was passed, and tells whether another one follows.
    fn pass(&mut self, name: &str) -> bool {
        let Some(count) = self.0.get_mut(name) else { return false };
        *count = count.saturating_sub(1);
        *count > 0
    }
}

/// The entries of a directory as Kopia sees them: of several with one name, the last. The earlier ones come as
/// [`Error::Shadowed`]. Apart from that, as [`Entries`].
///
/// Reads the directory twice, and keeps 8 bytes for each entry in between.
pub struct EffectiveEntries<'a> {
    entries: Entries<Reader<'a>>,
    repeated: Repeated,
}

impl<'a> EffectiveEntries<'a> {
    /// The entries of the directory in `object`. Reads it once to find out which names occur twice.
    pub fn open(source: &'a dyn ContentSource, object: &ObjectId) -> Result<Self, Error> {
        let mut entries = Entries::open(source, object);
        let repeated = Repeated::find(&mut entries)?;
        entries.rewind();
        Ok(EffectiveEntries { entries, repeated })
    }

    /// The object.
    pub fn directory(&self) -> &ObjectId {
        &self.entries.directory
    }

    /// Gives up the memory held for reading; the next entry then reads the directory again up to where it was.
    pub(crate) fn suspend(&mut self) {
        self.entries.suspend();
    }

    /// Bytes of memory held for reading.
    pub(crate) fn held(&self) -> usize {
        self.entries.held()
    }
}

impl Iterator for EffectiveEntries<'_> {
    type Item = Result<DirEntry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.entries.next()?;
        match next {
            Ok(entry) if self.repeated.pass(&entry.raw_name) => {
                Some(Err(Error::Shadowed { directory: self.entries.directory, name: entry.raw_name }))
            }
            Err(Error::Entry { name: Some(ref name), .. }) => {
                self.repeated.pass(name);
                Some(next)
            }
            next => Some(next),
        }
    }
}

#[cfg(test)]
mod tests;
