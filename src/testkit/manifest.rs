//! Manifests and snapshots.

use super::compress::gzip;
use super::directory::{DirectoryEntry, WrittenDirectory};
use super::error::Result;
use super::writer::RepositoryWriter;
use crate::index::ContentId;
use crate::snapshot::{Source, UtcTimestamp};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A manifest entry that the next flush stores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PendingManifest {
    /// Manifest ID: 32 hexadecimal digits.
    pub id: String,
    /// Labels; none in a deletion.
    pub labels: Option<BTreeMap<String, String>>,
    /// When it was written, RFC 3339; decides which entry of an ID wins.
    pub modified: String,
    /// Whether it is a deletion.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// What the manifest says.
    pub data: Option<Value>,
}

/// What a snapshot manifest will say.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSnapshot {
    /// What was saved.
    pub source: Source,
    /// Free text.
    pub description: String,
    /// When it began.
    pub start: UtcTimestamp,
    /// When it ended.
    pub end: UtcTimestamp,
    /// Why it is not complete.
    pub incomplete: Option<String>,
    /// Tags; the `tag:` in front of the keys is added.
    pub tags: BTreeMap<String, String>,
    /// Pins.
    pub pins: Vec<String>,
    /// The root.
    pub root: Option<DirectoryEntry>,
}

impl NewSnapshot {
    /// A complete snapshot that took a minute from `start` (seconds since 1970).
    pub fn new(source: &Source, start: u64, root: &WrittenDirectory) -> NewSnapshot {
        let name = match source.path.rsplit('/').next() {
            None | Some("") => "/",
            Some(name) => name,
        };
        NewSnapshot::of_entry(source, start, Some(DirectoryEntry::directory(name, root)))
    }

    /// A snapshot with any root entry, or none.
    pub fn of_entry(source: &Source, start: u64, root: Option<DirectoryEntry>) -> NewSnapshot {
        let start = at_second(start);
        NewSnapshot {
            source: source.clone(),
            description: String::new(),
            start,
            end: UtcTimestamp(start.as_nanos().saturating_add(60_000_000_000)),
            incomplete: None,
            tags: BTreeMap::new(),
            pins: Vec::new(),
            root,
        }
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let Source { host, user, path } = &self.source;
        let own = [("type", "snapshot"), ("hostname", host), ("username", user), ("path", path)];
        let tags = self.tags.iter().map(|(key, value)| (format!("tag:{key}"), value.clone()));
        own.into_iter().map(|(key, value)| (key.into(), value.into())).chain(tags).collect()
    }

    fn json(&self) -> Value {
        let summary = self.root.as_ref().and_then(|root| root.summary.clone()).unwrap_or_default();
        let mut json = json!({
            "id": "",
            "source": self.source,
            "description": self.description,
            "startTime": self.start,
            "endTime": self.end,
            "stats": {
                "totalSize": summary.size, "excludedTotalSize": 0, "fileCount": summary.files, "cachedFiles": 0,
                "nonCachedFiles": summary.files, "dirCount": summary.dirs, "excludedFileCount": 0,
                "excludedDirCount": 0, "ignoredErrorCount": 0, "errorCount": 0,
            },
            "rootEntry": self.root,
        });
        if let Some(object) = json.as_object_mut() {
            if let Some(reason) = &self.incomplete {
                object.insert("incomplete".into(), reason.as_str().into());
            }
            if !self.tags.is_empty() {
                let tags = self.tags.iter().map(|(key, value)| (format!("tag:{key}"), value.as_str().into()));
                object.insert("tags".into(), Value::Object(tags.collect()));
            }
            if !self.pins.is_empty() {
                object.insert("pins".into(), self.pins.clone().into());
            }
        }
        json
    }
}

fn at_second(seconds: u64) -> UtcTimestamp {
    UtcTimestamp(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000_000))
}

impl RepositoryWriter {
    /// Adds a manifest; its ID. The next flush stores it.
    pub fn put_manifest(&mut self, labels: BTreeMap<String, String>, data: Value) -> String {
        let id = hex::encode(self.rng.bytes::<16>());
        let (labels, data) = (Some(labels), Some(data));
        let modified = self.modified();
        self.put_manifest_entry(PendingManifest { id: id.clone(), labels, modified, deleted: false, data });
        id
    }

    /// Deletes a manifest: a tombstone that the next flush stores.
    pub fn delete_manifest(&mut self, id: &str) {
        let modified = self.modified();
        self.put_manifest_entry(PendingManifest {
            id: id.into(),
            labels: None,
            modified,
            deleted: true,
            data: None,
        });
    }

    /// Adds a manifest entry as it stands.
    pub fn put_manifest_entry(&mut self, entry: PendingManifest) {
        self.manifests.push(entry);
    }

    /// The clock with a fraction that grows, so that of two entries in one second the later one wins.
    fn modified(&self) -> String {
        UtcTimestamp(at_second(self.now).as_nanos().saturating_add(1 + self.manifests.len() as i64))
            .to_string()
    }

    /// Adds a complete snapshot that began at the writer's time; its manifest ID.
    pub fn snapshot(&mut self, source: &Source, root: &WrittenDirectory) -> String {
        self.put_snapshot(&NewSnapshot::new(source, self.now, root))
    }

    /// Adds a snapshot; its manifest ID.
    pub fn put_snapshot(&mut self, snapshot: &NewSnapshot) -> String {
        self.put_manifest(snapshot.labels(), snapshot.json())
    }

    /// Stores any bytes, gzipped, as a manifest content.
    pub fn write_manifest_content(&mut self, plain: &[u8]) -> Result<ContentId> {
        self.write_content(Some(b'm'), &gzip(plain)?)
    }

    pub(super) fn write_manifests(&mut self) -> Result<()> {
        if self.manifests.is_empty() {
            return Ok(());
        }
        #[derive(Serialize)]
        struct Manifests<'a> {
            entries: &'a [PendingManifest],
        }
        let entries = std::mem::take(&mut self.manifests);
        let mut json = serde_json::to_vec(&Manifests { entries: &entries })?;
        json.push(b'\n');
        self.write_manifest_content(&json)?;
        Ok(())
    }
}
