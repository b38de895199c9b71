//! Reads `{"entries":[…], …}` entry by entry: manifests, index tables and directories all have this shape, and any
//! of them may be larger than memory.

use std::io::{self, Read};
use std::ops::Range;

use super::key_matches;
use crate::os::zeros;

/// How many bytes are asked of the source at a time.
const READ_SIZE: usize = 64 << 10;

/// This many blanks in a row only keep the reader busy: a table can name a chunk of blanks a million times.
const MAX_BLANKS: usize = 1 << 20;

/// Why a document could not be read further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    /// The source failed.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// Not JSON, or not of the expected shape.
    #[error("{what} at byte {offset}")]
    Syntax {
        /// Where in the document.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// One member or entry is longer than allowed.
    #[error("a value at byte {offset} is longer than {limit} bytes")]
    TooLong {
        /// Where in the document it begins.
        offset: u64,
        /// The limit in bytes.
        limit: usize,
    },
}

/// The entries of a document, read one at a time. Memory is bounded by one read and one value.
pub(crate) struct EntryStream<R> {
    source: R,
    buffer: Vec<u8>,
    /// Where in `buffer` the unread bytes begin.
    position: usize,
    /// Where in `buffer` the entry read last is.
    entry: Range<usize>,
    /// Where in the document `buffer` begins.
    base: u64,
    at_end: bool,
    limit: usize,
    state: State,
    seen_entries: bool,
    kept: &'static [&'static str],
    members: Vec<(&'static str, Vec<u8>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was read yet.
    Start,
    /// Between members of the document; the flag tells whether one was read.
    Members(bool),
    /// Inside the entry array; the flag tells whether an entry was read.
    Entries(bool),
    /// The document has ended; what follows is ignored, as Go's decoder does.
    End,
}

impl<R: Read> EntryStream<R> {
    /// Reads from `source`. Members whose key is in `kept` can be asked for with [`EntryStream::member`]. No
    /// member or entry may be longer than `limit` bytes.
    pub(crate) fn new(source: R, kept: &'static [&'static str], limit: usize) -> Self {
        EntryStream {
            source,
            buffer: Vec::new(),
            position: 0,
            entry: 0..0,
            base: 0,
            at_end: false,
            limit,
            state: State::Start,
            seen_entries: false,
            kept,
            members: Vec::new(),
        }
    }

    /// The JSON of the next entry, or `None` after the last one, when the document was read to its end. After an
    /// error, nothing more can be read.
    pub(crate) fn next_entry(&mut self) -> Result<Option<&[u8]>, StreamError> {
        Ok(if self.advance()? { Some(self.entry()) } else { None })
    }

    /// Goes to the next entry, whose JSON is then [`EntryStream::entry`]. Returns false after the last one.
    pub(crate) fn advance(&mut self) -> Result<bool, StreamError> {
        if matches!(self.state, State::Start | State::Members(_)) {
            self.read_members()?;
        }
        if let State::Entries(after_one) = self.state {
            if self.at_element(after_one)? {
                self.state = State::Entries(true);
                self.entry = self.value()?;
                self.position = self.entry.end;
                return Ok(true);
            }
            self.state = State::Members(true);
            self.read_members()?;
        }
        Ok(false)
    }

    /// The JSON of the entry that [`EntryStream::advance`] went to.
    pub(crate) fn entry(&self) -> &[u8] {
        self.buffer.get(self.entry.clone()).unwrap_or_default()
    }

    /// The JSON of a kept member among those read so far. All are known once [`EntryStream::next_entry`] returned
    /// `None`.
    pub(crate) fn member(&self, key: &str) -> Option<&[u8]> {
        self.members.iter().rev().find(|(name, _)| *name == key).map(|(_, json)| json.as_slice())
    }

    /// The source, wherever it was read to.
    pub(crate) fn source(&self) -> &R {
        &self.source
    }

    /// The source, which may only be moved if [`EntryStream::restart`] follows.
    pub(crate) fn source_mut(&mut self) -> &mut R {
        &mut self.source
    }

    /// Begins again with a document that starts where the source now stands.
    pub(crate) fn restart(&mut self) {
        self.buffer = Vec::new();
        self.position = 0;
        self.entry = 0..0;
        self.base = 0;
        self.at_end = false;
        self.state = State::Start;
        self.seen_entries = false;
        self.members.clear();
    }

    /// Bytes of memory held by the buffer.
    pub(crate) fn held(&self) -> usize {
        self.buffer.capacity()
    }

    /// Reads members up to the entry array or the end of the document.
    fn read_members(&mut self) -> Result<(), StreamError> {
        if self.state == State::Start {
            self.expect(b'{', "expected an object")?;
            self.state = State::Members(false);
        }
        while let State::Members(after_one) = self.state {
            match self.peek()? {
                Some(b'}') => {
                    self.position += 1;
                    self.state = State::End;
                    return Ok(());
                }
                Some(b',') if after_one => self.position += 1,
                _ if after_one => return Err(self.syntax("expected a comma or the end of the object")),
                _ => {}
            }
            let key = self.key()?;
            self.expect(b':', "expected a colon")?;
            self.state = State::Members(true);
            let first = self.peek()?;
            if key_matches("entries", &key) {
                if self.seen_entries {
                    return Err(self.syntax("a second list of entries"));
                }
                self.seen_entries = true;
                if first == Some(b'[') {
                    self.position += 1;
                    self.state = State::Entries(false);
                    return Ok(());
                }
                if first != Some(b'n') {
                    return Err(self.syntax("the entries are not a list"));
                }
            }
            let value = self.value()?;
            let json = self.buffer.get(value.clone()).unwrap_or_default();
            if json.is_empty() {
                return Err(self.syntax("expected a value"));
            }
            if first == Some(b'n') && json != b"null" {
                return Err(self.syntax("expected a value"));
            }
            if let Some(name) = self.kept.iter().find(|name| key_matches(name, &key)) {
                let json = json.to_vec();
                self.members.retain(|(known, _)| known != name);
                self.members.push((name, json));
            }
            self.position = value.end;
        }
        Ok(())
    }

    fn key(&mut self) -> Result<String, StreamError> {
        if self.peek()? != Some(b'"') {
            return Err(self.syntax("expected a key"));
        }
        let value = self.value()?;
        let json = self.buffer.get(value.clone()).unwrap_or_default();
        let key = serde_json::from_slice(json).map_err(|_| self.syntax("a malformed key"))?;
        self.position = value.end;
        Ok(key)
    }

    /// Goes to the next element of the array. Returns false, behind the array, at its end.
    fn at_element(&mut self, after_one: bool) -> Result<bool, StreamError> {
        match self.peek()? {
            Some(b']') => {
                self.position += 1;
                return Ok(false);
            }
            Some(b',') if after_one => self.position += 1,
            _ if after_one => return Err(self.syntax("expected a comma or the end of the list")),
            _ => {}
        }
        match self.peek()? {
            Some(b',' | b']' | b'}' | b':') | None => Err(self.syntax("expected an entry")),
            Some(_) => Ok(true),
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), StreamError> {
        if self.peek()? != Some(byte) {
            return Err(self.syntax(what));
        }
        self.position += 1;
        Ok(())
    }

    fn syntax(&self, what: &'static str) -> StreamError {
        let what = if self.at_end && self.position >= self.buffer.len() {
            "unexpected end of the data"
        } else {
            what
        };
        StreamError::Syntax { offset: self.base + self.position as u64, what }
    }

    /// The next byte that is not a blank; `None` at the end of the data. Afterwards `position` points at it.
    fn peek(&mut self) -> Result<Option<u8>, StreamError> {
        let mut passed = 0;
        loop {
            if passed > MAX_BLANKS {
                return Err(self.syntax("too many blanks"));
            }
            let rest = self.buffer.get(self.position..).unwrap_or_default();
            match rest.iter().position(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r')) {
                Some(blanks) => {
                    self.position += blanks;
                    return Ok(self.buffer.get(self.position).copied());
                }
                None => {
                    passed += rest.len();
                    self.position = self.buffer.len();
                    if !self.fill()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Makes sure that the value beginning at `position` is in the buffer as a whole, and returns where it is. Only
    /// the nesting is looked at: the value may still be malformed inside.
    fn value(&mut self) -> Result<Range<usize>, StreamError> {
        let mut nesting = Nesting::default();
        let mut scanned = 0;
        loop {
            let value = self.buffer.get(self.position..).unwrap_or_default();
            if let Some(length) = nesting.advance(value.get(scanned..).unwrap_or_default()) {
                return Ok(self.position..self.position + scanned + length);
            }
            scanned = value.len();
            if scanned > self.limit {
                let offset = self.base + self.position as u64;
                return Err(StreamError::TooLong { offset, limit: self.limit });
            }
            if !self.fill()? {
                if nesting.outside() && scanned > 0 {
                    return Ok(self.position..self.position + scanned);
                }
                self.position = self.buffer.len();
                return Err(self.syntax("unexpected end of the data"));
            }
        }
    }

    /// Reads more, after dropping what lies before `position`. Returns false at the end of the data.
    fn fill(&mut self) -> Result<bool, StreamError> {
        if self.at_end {
            return Ok(false);
        }
        self.base += self.position as u64;
        self.buffer.drain(..self.position);
        self.position = 0;
        let length = self.buffer.len();
        zeros::resize(&mut self.buffer, length + READ_SIZE);
        let read = loop {
            match self.source.read(self.buffer.get_mut(length..).unwrap_or_default()) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.buffer.truncate(length + *read.as_ref().unwrap_or(&0));
        self.at_end = matches!(read, Ok(0));
        Ok(read? > 0)
    }
}

/// Where in the nesting of a value its bytes were read to.
#[derive(Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Nesting {
    fn outside(&self) -> bool {
        self.depth == 0 && !self.in_string
    }

    /// How many of `bytes` belong to the value, once its end is among them.
    fn advance(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => {
                        self.in_string = false;
                        if self.depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    if self.depth <= 1 {
                        return Some(at + self.depth);
                    }
                    self.depth -= 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if self.depth == 0 => return Some(at),
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte per read, the worst a source may do.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0.take(1).read(buf).inspect(|read| self.0 = &self.0[*read..])
        }
    }

    fn entries<R: Read>(source: R, limit: usize) -> Result<Vec<String>, String> {
        let mut stream = EntryStream::new(source, &["stream"], limit);
        let mut all = Vec::new();
        while let Some(json) = stream.next_entry().map_err(|e| e.to_string())? {
            all.push(String::from_utf8(json.to_vec()).unwrap());
        }
        all.extend(stream.member("stream").map(|json| String::from_utf8(json.to_vec()).unwrap()));
        Ok(all)
    }

    fn both(text: &str) -> Result<Vec<String>, String> {
        let whole = entries(text.as_bytes(), 1 << 20);
        assert_eq!(whole, entries(Drip(text.as_bytes()), 1 << 20), "{text}");
        whole
    }

    #[test]
    fn yields_entries_and_kept_members() {
        for (text, expected) in [
            (
                r#"{"stream":"x","entries":[{"a":[1,"]"]},2 , "s\"]" ,null]}"#,
                vec![r#"{"a":[1,"]"]}"#, "2", r#""s\"]""#, "null", "\"x\""],
            ),
            (" { \"ENTRIES\" : [ ] , \"Stream\" : \"y\" } trailing", vec!["\"y\""]),
            (r#"{"entries":null}"#, vec![]),
            (r#"{"other":{"entries":[1]},"entries":[[[]]],"summary":{}}"#, vec!["[[]]"]),
            (r#"{"stream":1,"STREAM":2}"#, vec!["2"]),
            ("{}", vec![]),
        ] {
            assert_eq!(both(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_other_shapes() {
        for text in [
            "",
            " ",
            "[]",
            "null",
            "{",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\":1,",
            "{\"a\":1 \"b\":2}",
            "{a:1}",
            "{\"entries\":[}",
            "{\"entries\":[1",
            "{\"entries\":[1}",
            "{\"entries\":[1,]}",
            "{\"entries\":[,1]}",
            "{\"entries\":[1 2]}",
            "{\"entries\":[{\"a\":\"]}",
            "{\"entries\":{}}",
            "{\"entries\":nothing}",
            "{\"entries\":[],\"entries\":[]}",
            "{\"entries\":[]",
        ] {
            assert!(both(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_are_bounded() {
        let long = format!("{{\"entries\":[\"{}\"]}}", "x".repeat(200_000));
        assert_eq!(entries(long.as_bytes(), 300_000).unwrap().len(), 1);
        let error = entries(long.as_bytes(), 100_000).unwrap_err();
        assert_eq!(error, "a value at byte 12 is longer than 100000 bytes");
    }

    #[test]
    fn every_cut_is_an_error() {
        let text =
            r#"{"stream":"kopia:directory","entries":[{"name":"a"},{"name":"b"}],"summary":{"size":1}}"#;
        for end in 0..text.len() {
            assert!(both(&text[..end]).is_err(), "{end}");
        }
        assert_eq!(both(text).unwrap().len(), 3);
    }

    #[test]
    fn a_failing_source_is_told_apart() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        let mut stream = EntryStream::new(br#"{"entries":[1,"#.chain(Broken), &[], 100);
        assert_eq!(stream.next_entry().unwrap(), Some(&b"1"[..]));
        assert!(matches!(stream.next_entry(), Err(StreamError::Read(e)) if e.to_string() == "gone"));
    }
}
