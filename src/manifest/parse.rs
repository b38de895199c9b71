//! One manifest content: a gzip stream of JSON (`format-spec/11-manifests.md`).

use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Error;
use super::entry::{Manifest, ManifestId};
use crate::codec::gunzip;
use crate::gojson::time::GoTime;
use crate::gojson::{StringMap, go_object};
use crate::index::ContentId;

/// A compacted repository keeps all its manifests in one content, some kilobytes each.
const MAX_PLAIN: usize = 1 << 30;

/// Contents that may inflate to more than so many bytes are read one at a time. Deflate makes at most 1032 bytes of one.
const LARGE: usize = 16 << 20;
static LARGE_ONE: Mutex<()> = Mutex::new(());

#[derive(Default)]
struct Stored<'a> {
    entries: Vec<StoredEntry<'a>>,
}
go_object!(Stored<'a> { "entries" => entries (raw) });

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

/// Reads the payload of a manifest content. Bytes after the JSON value are ignored, as Kopia does.
///
/// # Errors
/// When the payload is not a gzip stream of a list of manifests.
pub fn parse(content: ContentId, payload: &[u8]) -> Result<Vec<Manifest>, Error> {
    let large = payload.len() > LARGE / 1032;
    let _alone = large.then(|| LARGE_ONE.lock().unwrap_or_else(PoisonError::into_inner));
    let plain = gunzip(payload, MAX_PLAIN).map_err(|source| Error::Decompress { content, source })?;
    let malformed = |reason: String| Error::Malformed { content, reason };
    let mut json = serde_json::Deserializer::from_slice(&plain);
    let stored = Stored::deserialize(&mut json).map_err(|e| malformed(e.to_string()))?;
    let manifest = |entry: StoredEntry<'_>| {
        if entry.id.is_empty() {
            return Err(malformed("an entry has no ID".into()));
        }
        Ok(Manifest {
            id: ManifestId::new(&entry.id),
            labels: Arc::new(entry.labels.0),
            modified: entry.modified,
            deleted: entry.deleted,
            data: entry.data.map_or("null", RawValue::get).as_bytes().into(),
        })
    };
    stored.entries.into_iter().map(manifest).collect()
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
        parse(content(), &gzip(json))
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
        assert!(matches!(parse(content(), b"plain"), Err(Error::Decompress { .. })));
        let whole = gzip("{\"entries\":[]}");
        assert!(parse(content(), &whole).unwrap().is_empty());
        assert!(matches!(parse(content(), &whole[..whole.len() - 3]), Err(Error::Decompress { .. })));
    }
}
