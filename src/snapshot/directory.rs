//! Directory objects (`format-spec/14-directories-and-entries.md`), read entry by entry.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;

use super::name::distinct_name;
use super::{DirEntry, EntryName, Error, Summary};
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

/// So many names may occur more than once in a directory. Every directory that a walk is in holds its own.
const MAX_REPEATED: usize = 1 << 18;

/// Tildes in a made name. A directory that uses all of these for other entries gets two of one name, of which the last counts.
const MAX_TILDES: u8 = 16;

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
    #[cfg_attr(not(feature = "testkit"), allow(dead_code, reason = "only tests ask for it"))]
    pub fn directory(&self) -> &ObjectId {
        &self.directory
    }

    /// The totals of the directory. Known when the iteration has ended; `None` before, and where the directory has
    /// none.
    #[cfg_attr(not(feature = "testkit"), allow(dead_code, reason = "only tests ask for it"))]
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

/// A name that occurs more than once in a directory.
struct Occurrences {
    total: u32,
    passed: u32,
    /// How many tildes set a name that was made apart from all others.
    tildes: u8,
}

/// Names that occur more than once in a directory, by their hashes.
#[derive(Default)]
struct Repeated {
    key: RandomState,
    names: HashMap<u64, Occurrences>,
}

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
        let mut names = HashMap::new();
        for equal in hashes.chunk_by(|a, b| a == b) {
            let (Some(hash), Ok(total)) = (equal.first(), u32::try_from(equal.len())) else { continue };
            if total > 1 {
                names.insert(*hash, Occurrences { total, passed: 0, tildes: 1 });
            }
            if names.len() > MAX_REPEATED {
                return Err(entries.damaged("too many of its names occur twice".to_owned()));
            }
        }
        let mut repeated = Repeated { key, names };
        if !repeated.names.is_empty() {
            repeated.set_apart(entries, &hashes)?;
        }
        Ok(repeated)
    }

    /// Finds out which made names other entries have already.
    fn set_apart(&mut self, entries: &mut Entries<Reader<'_>>, hashes: &[u64]) -> Result<(), Error> {
        entries.rewind();
        while let Some((_, json)) = entries.next_json()? {
            let Some(name) = name_of(json) else { continue };
            let Some(found) = self.names.get_mut(&self.key.hash_one(&*name)) else { continue };
            found.passed += 1;
            let taken = |tildes: u8| {
                let made = distinct_name(&name, found.passed, tildes);
                hashes.binary_search(&self.key.hash_one(&*made)).is_ok()
            };
            while found.passed < found.total && found.tildes < MAX_TILDES && taken(found.tildes) {
                found.tildes += 1;
            }
        }
        self.names.values_mut().for_each(|found| found.passed = 0);
        Ok(())
    }

    /// Notes that an entry of this name was passed, and gives it another name if one follows that has the same.
    fn pass(&mut self, name: &str) -> Option<String> {
        if self.names.is_empty() {
            return None;
        }
        let found = self.names.get_mut(&self.key.hash_one(name))?;
        found.passed += 1;
        // What cannot be a file name does not become one by being there twice.
        let possible = found.passed < found.total && EntryName::check(name).is_ok();
        possible.then(|| distinct_name(name, found.passed, found.tildes))
    }

    /// Bytes of memory held.
    fn held(&self) -> usize {
        self.names.capacity() * (size_of::<(u64, Occurrences)>() + 1)
    }
}

/// The entries of a directory, each under a name of its own. Of several with one name the last keeps it, as it is the
/// one that Kopia sees; the earlier ones get made names and keep the one they had in [`DirEntry::stored_name`]. Kopia
/// writes each byte of a name that is not UTF-8 as U+FFFD, so that different files come to have one name.
///
/// Apart from that, as [`Entries`]. Reads the directory twice, and keeps 8 bytes for each entry in between.
pub struct EffectiveEntries<'a> {
    entries: Entries<Reader<'a>>,
    /// `None` after [`EffectiveEntries::suspend`].
    repeated: Option<Repeated>,
    /// Entries that were passed.
    passed: u64,
}

debug_of!(EffectiveEntries<'_>, "EffectiveEntries");

impl<'a> EffectiveEntries<'a> {
    /// The entries of the directory in `object`. Reads it once to find out which names occur twice.
    pub fn open(source: &'a dyn ContentSource, object: &ObjectId) -> Result<Self, Error> {
        let mut entries = Entries::open(source, object);
        let repeated = Repeated::find(&mut entries)?;
        entries.rewind();
        Ok(EffectiveEntries { entries, repeated: Some(repeated), passed: 0 })
    }

    /// The object.
    pub fn directory(&self) -> &ObjectId {
        &self.entries.directory
    }

    /// Gives up the memory held for reading; the next entry then reads the directory again up to where it was.
    pub(crate) fn suspend(&mut self) {
        // Without repeated names there is nothing to find out again.
        self.repeated.take_if(|repeated| !repeated.names.is_empty());
        self.entries.suspend();
    }

    /// Bytes of memory held for reading.
    pub(crate) fn held(&self) -> usize {
        self.entries.held() + self.repeated.as_ref().map_or(0, Repeated::held)
    }

    /// The repeated names, found again after they were given up.
    fn repeated(&mut self) -> Result<&mut Repeated, Error> {
        if self.repeated.is_none() && !self.entries.done {
            self.entries.rewind();
            let mut repeated = Repeated::find(&mut self.entries)?;
            self.entries.rewind();
            for _ in 0..self.passed {
                let Some((_, json)) = self.entries.next_json()? else { break };
                if let Some(name) = name_of(json) {
                    repeated.pass(&name);
                }
            }
            self.repeated = Some(repeated);
        }
        Ok(self.repeated.get_or_insert_default())
    }
}

impl Iterator for EffectiveEntries<'_> {
    type Item = Result<DirEntry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.repeated() {
            self.entries.done = true;
            return Some(Err(error));
        }
        let mut next = self.entries.next()?;
        self.passed += 1;
        let Some(repeated) = &mut self.repeated else { return Some(next) };
        match &mut next {
            Ok(entry) => {
                if let Some(made) = repeated.pass(&entry.raw_name) {
                    let stored = std::mem::replace(&mut entry.raw_name, made);
                    entry.stored_name = Some(stored.into());
                }
            }
            Err(Error::Entry { name: Some(name), .. }) => {
                if let Some(made) = repeated.pass(name) {
                    *name = made;
                }
            }
            Err(_) => {}
        }
        Some(next)
    }
}

#[cfg(test)]
mod tests;
