use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::content;
use crate::index::ContentId;
use crate::object::MAX_DEPTH;

/// Contents in memory that count how often they are asked for.
#[derive(Default)]
struct Contents {
    all: BTreeMap<ContentId, Vec<u8>>,
    gets: AtomicUsize,
}

impl ContentSource for Contents {
    fn get(&self, id: &ContentId) -> Result<Vec<u8>, content::Error> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.all.get(id).cloned().ok_or(content::Error::Missing { content: *id })
    }

    fn original_length(&self, id: &ContentId) -> Result<Option<u64>, content::Error> {
        Ok(self.all.get(id).map(|data| data.len() as u64))
    }
}

impl Contents {
    fn put(&mut self, id: &str, data: impl Into<Vec<u8>>) -> ObjectId {
        self.all.insert(id.parse().unwrap(), data.into());
        id.parse().unwrap()
    }

    /// Stores a table of the given chunks under `id`.
    fn table(&mut self, id: &str, chunks: &[(u64, &str)]) {
        let mut start = 0;
        let lines: Vec<String> = chunks
            .iter()
            .map(|(length, object)| {
                start += length;
                format!(r#"{{"s":{},"l":{length},"o":"{object}"}}"#, start - length)
            })
            .collect();
        self.put(id, format!(r#"{{"stream":"kopia:indirect","entries":[{}]}}"#, lines.join(",")));
    }

    fn read(&self, id: &str) -> Result<Vec<u8>, Error> {
        let object = id.parse().unwrap();
        let streamed = {
            let mut all = Vec::new();
            let mut reader = Reader::new(self, &object);
            let mut buffer = [0; 3];
            loop {
                match reader.read_some(&mut buffer) {
                    Ok(0) => break Ok(all),
                    Ok(n) => all.extend_from_slice(&buffer[..n]),
                    Err(e) => break Err(e.to_string()),
                }
            }
        };
        let whole = read_all(self, &object, 1 << 20);
        assert_eq!(streamed, whole.as_ref().map_err(ToString::to_string).cloned());
        whole
    }

    fn gets(&self) -> usize {
        self.gets.swap(0, Ordering::Relaxed)
    }
}

/// "abcdefghij" in four chunks, one of them empty, one compressed, one indirect.
fn sample() -> Contents {
    let mut contents = Contents::default();
    contents.put("01", "abc");
    contents.put("02", "");
    // gzip of "def": header ID 0x1000, then a stored block.
    let mut gzip = vec![0, 0, 0x10, 0, 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1, 3, 0, 0xfc, 0xff];
    gzip.extend_from_slice(b"def");
    gzip.extend_from_slice(&crc32fast::hash(b"def").to_le_bytes());
    gzip.extend_from_slice(&3_u32.to_le_bytes());
    contents.put("03", gzip);
    contents.put("04", "gh");
    contents.put("05", "ij");
    contents.table("x02", &[(2, "04"), (2, "05")]);
    contents.table("x01", &[(3, "01"), (0, "02"), (3, "Z03"), (4, "Ix02")]);
    contents
}

#[test]
fn reads_direct_compressed_and_nested_objects() {
    let contents = sample();
    assert_eq!(contents.read("01").unwrap(), b"abc");
    assert_eq!(contents.read("02").unwrap(), b"");
    assert_eq!(contents.read("Z03").unwrap(), b"def");
    assert_eq!(contents.read("Ix01").unwrap(), b"abcdefghij");
}

#[test]
fn an_index_object_may_be_split_itself() {
    let mut contents = sample();
    let index = contents.all[&"x01".parse().unwrap()].clone();
    let (first, second) = index.split_at(70);
    contents.put("x11", first);
    contents.put("x12", second);
    contents.table("x10", &[(70, "x11"), (second.len() as u64, "x12")]);
    assert_eq!(contents.read("IIx10").unwrap(), b"abcdefghij");
    let chunks: Vec<Chunk> =
        Chunks::new(&contents, &"IIx10".parse().unwrap()).collect::<Result<_, _>>().unwrap();
    let lengths: Vec<_> = chunks.iter().map(|c| (c.offset, c.length.unwrap(), c.compressed)).collect();
    assert_eq!(lengths, [(0, 3, false), (3, 0, false), (3, 3, true), (6, 2, false), (8, 2, false)]);
}

#[test]
fn seeks_anywhere() {
    let contents = sample();
    let expected = b"abcdefghij";
    for id in ["Ix01", "01", "Z03"] {
        let object: ObjectId = id.parse().unwrap();
        let whole: &[u8] = match id {
            "01" => b"abc",
            "Z03" => b"def",
            _ => expected,
        };
        let mut reader = Reader::new(&contents, &object);
        for from in (0..=12_usize).rev().chain(0..=12) {
            assert_eq!(reader.seek(SeekFrom::Start(from as u64)).unwrap(), from as u64);
            let mut rest = Vec::new();
            reader.read_to_end(&mut rest).unwrap();
            assert_eq!(rest, whole.get(from..).unwrap_or_default(), "{id} from {from}");
        }
        assert_eq!(reader.seek(SeekFrom::End(-2)).unwrap(), whole.len() as u64 - 2);
        assert_eq!(reader.seek(SeekFrom::Current(1)).unwrap(), whole.len() as u64 - 1);
        assert_eq!(reader.seek(SeekFrom::End(-20)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(Reader::new(&contents, &object).length().unwrap(), whole.len() as u64);
    }
}

#[test]
fn fetches_no_more_than_needed() {
    let contents = sample();
    let object = "Ix01".parse().unwrap();
    let mut reader = Reader::new(&contents, &object);
    assert_eq!(contents.gets(), 0, "opening reads nothing");
    reader.seek_to(7);
    let mut one = [0];
    reader.read_exact(&mut one).unwrap();
    assert_eq!((one, contents.gets()), (*b"h", 3), "two tables and one chunk");
    reader.seek_to(6);
    reader.read_exact(&mut one).unwrap();
    assert_eq!((one, contents.gets()), (*b"g", 0), "the current chunk is kept");
    assert_eq!(Reader::new(&contents, &"01".parse().unwrap()).length().unwrap(), 3);
    assert_eq!(contents.gets(), 0, "the index knows the length of a content");
}

#[test]
fn missing_contents_are_named() {
    let mut contents = sample();
    contents.all.remove(&"05".parse().unwrap());
    let error = contents.read("Ix01").unwrap_err();
    assert_eq!(error.content().unwrap().to_string(), "05");
    assert_eq!(error.object().to_string(), "Ix01");
    contents.all.remove(&"x02".parse().unwrap());
    let error = contents.read("Ix01").unwrap_err();
    assert_eq!(error.content().unwrap().to_string(), "x02");
    assert_eq!(Reader::new(&contents, &"05".parse().unwrap()).length().unwrap_err().code(), error.code());
}

#[test]
fn an_error_stays_an_error() {
    let mut contents = sample();
    contents.all.remove(&"x02".parse().unwrap());
    let object = "Ix01".parse().unwrap();
    let mut reader = Reader::new(&contents, &object);
    let mut all = Vec::new();
    for _ in 0..3 {
        assert!(reader.read_to_end(&mut all).is_err());
        assert_eq!(all, b"abcdef");
    }
}

#[test]
fn lengths_must_match() {
    let mut contents = sample();
    contents.table("x03", &[(3, "01"), (3, "04")]);
    assert_eq!(contents.read("Ix03").unwrap_err().code(), "object-wrong-length");
    contents.table("x03", &[(2, "Z03")]);
    assert_eq!(contents.read("Ix03").unwrap_err().code(), "object-undecodable");
    contents.table("x03", &[(3, "Ix02"), (3, "01")]);
    assert_eq!(contents.read("Ix03").unwrap_err().code(), "object-index-damaged");
    contents.table("x03", &[(1 << 40, "Z03")]);
    let error = Reader::new(&contents, &"Ix03".parse().unwrap()).read_some(&mut [0]).unwrap_err();
    assert_eq!(error.code(), "object-too-large");
    assert_eq!(contents.read("Z01").unwrap_err().code(), "object-undecodable");
}

#[test]
fn loops_end() {
    let mut contents = sample();
    contents.table("x03", &[(4, "Ix03")]);
    assert_eq!(contents.read("Ix03").unwrap_err().code(), "object-too-deep");
    contents.table("x04", &[(0, "Ix04"), (3, "01"), (0, "Ix04")]);
    assert_eq!(contents.read("Ix04").unwrap(), b"abc");
    let deep = format!("{}x02", "I".repeat(255));
    assert!(contents.read(&deep).is_err());
    let mut id = "01".to_owned();
    for level in 0..MAX_DEPTH {
        let table = format!("x2{level}");
        contents.table(&table, &[(3, &id)]);
        id = format!("I{table}");
    }
    assert_eq!(contents.read(&id).unwrap(), b"abc");
    contents.table("x30", &[(3, &id)]);
    assert_eq!(contents.read("Ix30").unwrap_err().code(), "object-too-deep");
}

#[test]
fn read_all_is_bounded() {
    let contents = sample();
    for (id, length) in [("Ix01", 10), ("01", 3), ("Z03", 3)] {
        let object = id.parse().unwrap();
        assert_eq!(read_all(&contents, &object, length).unwrap().len() as u64, length);
        assert_eq!(read_all(&contents, &object, length - 1).unwrap_err().code(), "object-too-large");
    }
}
