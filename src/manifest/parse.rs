//! One manifest content: a gzip stream of JSON (`format-spec/11-manifests.md`).

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::entry::{Labels, Manifest, memory_of_labels, share};
use super::{Error, ManifestMemory};
use crate::codec::{self, gunzip};
use crate::gojson::time::GoTime;
use crate::gojson::{Field, StringMap, go_object};
use crate::id::ManifestId;
use crate::index::ContentId;
use crate::os::sync::Mutex;

/// What a content of manifests may inflate to: at least the first, whatever the room is, and never more than the second.
const LEAST_PLAIN: u64 = 256 << 20;
const MOST_PLAIN: u64 = 1 << 30;

/// Contents that may inflate to more than this many bytes are read one at a time. Deflate makes at most 1032 bytes of one.
const LARGE: usize = 2 << 20;

/// What the large one inflates to. Many threads that each let go of such a buffer would leave as many to the allocator, up to
/// the size from which on it gives all of them back.
static LARGE_ONE: Mutex<Vec<u8>> = Mutex::new(Vec::new());
const KEPT: usize = 32 << 20;

/// Labels of one manifest. Kopia writes four, and one for each tag that a user gave.
const MAX_LABELS: usize = 10_000;

#[derive(Default)]
struct StoredEntry<'a> {
    id: String,
    labels: StringMap,
    modified: GoTime,
    deleted: bool,
    data: Option<&'a RawValue>,
}
go_object!(StoredEntry<'a> {
    "id" => id,
    "labels" => labels,
    "modified" => modified,
    "deleted" => deleted,
    "data" => data (raw),
});

impl StoredEntry<'_> {
    fn finish(self) -> Result<Manifest, &'static str> {
        if self.id.is_empty() {
            return Err("an entry has no ID");
        }
        if self.labels.0.len() > MAX_LABELS {
            return Err("an entry has too many labels");
        }
        Ok(Manifest {
            id: ManifestId::new(&self.id),
            labels: Arc::new(self.labels.0),
            modified: self.modified,
            deleted: self.deleted,
            data: self.data.map_or("null", RawValue::get).as_bytes().into(),
        })
    }
}

/// Takes in manifests one after the other, as long as there is room.
struct Reading<'r> {
    room: &'r ManifestMemory,
    manifests: Vec<Manifest>,
    /// Those of all manifests so far: the snapshots of a source all have the same.
    labels: HashSet<Labels>,
    overflowed: bool,
}

impl<'de> DeserializeSeed<'de> for &mut Reading<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(Contents(self))
    }
}

/// The object that a content is.
struct Contents<'a, 'r>(&'a mut Reading<'r>);

impl<'de> Visitor<'de> for Contents<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a list of manifests")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Field(&["entries"]))? {
            match name {
                Some(_) => map.next_value_seed(Entries(self.0))?,
                None => map.next_value::<IgnoredAny>().map(|_| ())?,
            }
        }
        Ok(())
    }
}

/// The list in it; of several the last one counts.
struct Entries<'a, 'r>(&'a mut Reading<'r>);

impl<'de> DeserializeSeed<'de> for Entries<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of manifests")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let reading = self.0;
        reading.manifests.clear();
        while let Some(entry) = seq.next_element::<StoredEntry<'_>>()? {
            let mut manifest = entry.finish().map_err(A::Error::custom)?;
            let new = share(&mut reading.labels, &mut manifest.labels);
            let labels = if new { memory_of_labels(&manifest.labels) } else { 0 };
            if !reading.room.take(manifest.memory() + labels) {
                reading.overflowed = true;
                return Err(A::Error::custom("there is no room for more"));
            }
            reading.manifests.push(manifest);
        }
        Ok(())
    }
}

/// Reads the payload of a manifest content. Bytes after the JSON value are ignored, as Kopia does.
///
/// # Errors
/// When the payload is not a gzip stream of a list of manifests; [`Error::OverBudget`] where there is no `room` for them.
pub fn parse(content: ContentId, payload: &[u8], room: &ManifestMemory) -> Result<Vec<Manifest>, Error> {
    if payload.len() <= LARGE / 1032 {
        return inflate(content, payload, room, &mut Vec::new());
    }
    let mut plain = LARGE_ONE.lock();
    let result = inflate(content, payload, room, &mut plain);
    if plain.capacity() > KEPT {
        *plain = Vec::new();
    }
    result
}

/// Reads the payload by way of a buffer.
fn inflate(
    content: ContentId,
    payload: &[u8],
    room: &ManifestMemory,
    plain: &mut Vec<u8>,
) -> Result<Vec<Manifest>, Error> {
    let over_budget = || Error::OverBudget { content, limit: room.limit() };
    let most = room.limit().clamp(LEAST_PLAIN, MOST_PLAIN);
    gunzip(payload, most as usize, plain).map_err(|source| match source {
        codec::Error::TooLarge { .. } if most < MOST_PLAIN => over_budget(),
        source => Error::Decompress { content, source },
    })?;
    let mut reading = Reading { room, manifests: Vec::new(), labels: HashSet::new(), overflowed: false };
    match reading.deserialize(&mut serde_json::Deserializer::from_slice(plain)) {
        Err(_) if reading.overflowed => Err(over_budget()),
        Err(e) => Err(Error::Malformed { content, reason: e.to_string() }),
        Ok(()) => Ok(reading.manifests),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn content() -> ContentId {
        "m0011".parse().unwrap()
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn parsed(json: &str) -> Result<Vec<Manifest>, Error> {
        parse(content(), &gzip(json), &ManifestMemory::default())
    }

    #[test]
    fn live_entries_and_tombstones() {
        let manifests = parsed(
            r#"{"Entries":[{"id":"a","labels":{"type":"snapshot"},"modified":"2026-01-02T03:04:05.5Z","data":{"x": 1}},
               {"id":"b","labels":null,"modified":"2026-01-02T03:04:05Z","deleted":true,"data":null}]} trailing"#,
        )
        .unwrap();
        let [live, tombstone] = manifests.as_slice() else { panic!("{manifests:?}") };
        assert_eq!(live.label("type"), Some("snapshot"));
        assert_eq!(live.data(), br#"{"x": 1}"#);
        assert!(!live.deleted && tombstone.deleted && tombstone.labels().is_empty());
        assert!(tombstone.modified() < live.modified());
    }

    #[test]
    fn what_is_no_manifest_content_is_an_error() {
        for json in
            ["", "[]", "{\"entries\":null}", "{\"entries\":{}}", "{\"entries\":[1]}", "{\"entries\":[{}]}"]
        {
            assert!(matches!(parsed(json), Err(Error::Malformed { .. })), "{json}");
        }
        assert!(matches!(
            parse(content(), b"plain", &ManifestMemory::default()),
            Err(Error::Decompress { .. })
        ));
        let whole = gzip("{\"entries\":[]}");
        assert!(parse(content(), &whole, &ManifestMemory::default()).unwrap().is_empty());
        assert!(matches!(
            parse(content(), &whole[..whole.len() - 3], &ManifestMemory::default()),
            Err(Error::Decompress { .. })
        ));
    }

    #[test]
    fn no_more_than_there_is_room_for() {
        let entry = |data: &str| format!(r#"{{"id":"a","labels":{{"k":"v"}},"data":{data}}}"#);
        let within = |room: &ManifestMemory, json: &str| {
            parse(content(), &gzip(json), room).map(|manifests| manifests.len())
        };
        let over = |result| matches!(result, Err(Error::OverBudget { .. }));
        let plain = format!(r#"{{"entries":[{}]}}"#, entry(&format!("{:?}", "x".repeat(10_000))));
        let room = ManifestMemory::new(25_000, 0);
        assert_eq!(within(&room, &plain).unwrap(), 1);
        assert_eq!(within(&room, &plain).unwrap(), 1);
        assert!(over(within(&room, &plain)), "the third time");
        // Short strings take more than their letters when a snapshot is made of them.
        let pins = format!(r#"{{"entries":[{}]}}"#, entry(&format!("[{}\"\"]", "\"\",".repeat(2_000))));
        assert!(pins.len() < 10_000 && over(within(&ManifestMemory::new(100_000, 0), &pins)));
        // Of a list that is there twice, the last one counts, and both need room.
        let twice = format!(r#"{{"entries":[{0},{0}],"Entries":[{0}]}}"#, entry("1"));
        assert_eq!(within(&ManifestMemory::default(), &twice).unwrap(), 1);
        // Blanks are not held.
        let blanks = format!("{}{}", " ".repeat(30_000), plain);
        assert_eq!(within(&ManifestMemory::new(25_000, 0), &blanks).unwrap(), 1);
    }

    #[test]
    fn too_many_labels_are_no_manifest() {
        let labels = |count: usize| (0..count).map(|n| format!(r#""{n}":"""#)).collect::<Vec<_>>().join(",");
        let json = |count| format!(r#"{{"entries":[{{"id":"a","labels":{{{}}}}}]}}"#, labels(count));
        assert!(parsed(&json(MAX_LABELS)).is_ok());
        assert!(matches!(parsed(&json(MAX_LABELS + 1)), Err(Error::Malformed { .. })));
    }
}
