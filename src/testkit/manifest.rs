//! Manifests and snapshots.

use super::compress::gzip;
use super::directory::{DirectoryEntry, WrittenDirectory, rfc3339};
use super::error::Result;
use super::writer::RepositoryWriter;
use crate::index::ContentId;
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

/// What a snapshot manifest says.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// User of the source.
    pub user: String,
    /// Host of the source.
    pub host: String,
    /// Path of the source.
    pub path: String,
    /// Free text.
    pub description: String,
    /// Beginning and end, in nanoseconds since 1970.
    pub start_ns: i64,
    /// See `start_ns`.
    pub end_ns: i64,
    /// Why it is not complete.
    pub incomplete: Option<String>,
    /// Tags; the `tag:` in front of the keys is added.
    pub tags: BTreeMap<String, String>,
    /// Pins.
    pub pins: Vec<String>,
    /// The root.
    pub root: Option<DirectoryEntry>,
}

impl Snapshot {
    /// A complete snapshot of `user@host:path` that took a minute from `start` (seconds since 1970).
    pub fn new(user: &str, host: &str, path: &str, start: u64, root: &WrittenDirectory) -> Result<Snapshot> {
        let name = match path.rsplit('/').next() {
            None | Some("") => "/",
            Some(name) => name,
        };
        let root = DirectoryEntry::directory(name, &root.attributes, root)?;
        Ok(Snapshot::of_entry(user, host, path, start, Some(root)))
    }

    /// A snapshot with any root entry, or none.
    pub fn of_entry(
        user: &str,
        host: &str,
        path: &str,
        start: u64,
        root: Option<DirectoryEntry>,
    ) -> Snapshot {
        let start_ns = (start as i64).saturating_mul(1_000_000_000);
        Snapshot {
            user: user.into(),
            host: host.into(),
            path: path.into(),
            description: String::new(),
            start_ns,
            end_ns: start_ns.saturating_add(60_000_000_000),
            incomplete: None,
            tags: BTreeMap::new(),
            pins: Vec::new(),
            root,
        }
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let own =
            [("type", "snapshot"), ("hostname", &self.host), ("username", &self.user), ("path", &self.path)];
        let tags = self.tags.iter().map(|(key, value)| (format!("tag:{key}"), value.clone()));
        own.into_iter().map(|(key, value)| (key.into(), value.into())).chain(tags).collect()
    }

    fn json(&self) -> Result<Value> {
        let summary = self.root.as_ref().and_then(|root| root.summary.clone()).unwrap_or_default();
        let mut json = json!({
            "id": "",
            "source": { "host": self.host, "userName": self.user, "path": self.path },
            "description": self.description,
            "startTime": rfc3339(self.start_ns)?,
            "endTime": rfc3339(self.end_ns)?,
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
        Ok(json)
    }
}

impl RepositoryWriter {
    /// Adds a manifest; its ID. The next flush stores it.
    pub fn put_manifest(&mut self, labels: BTreeMap<String, String>, data: Value) -> Result<String> {
        let id = hex::encode(self.rng.bytes::<16>());
        let modified = self.modified()?;
        self.put_manifest_entry(PendingManifest {
            id: id.clone(),
            labels: Some(labels),
            modified,
            deleted: false,
            data: Some(data),
        });
        Ok(id)
    }

    /// Deletes a manifest: a tombstone that the next flush stores.
    pub fn delete_manifest(&mut self, id: &str) -> Result<()> {
        let modified = self.modified()?;
        self.put_manifest_entry(PendingManifest {
            id: id.into(),
            labels: None,
            modified,
            deleted: true,
            data: None,
        });
        Ok(())
    }

    /// Adds a manifest entry as it stands.
    pub fn put_manifest_entry(&mut self, entry: PendingManifest) {
        self.manifests.push(entry);
    }

    /// The clock with a fraction that grows, so that of two entries in one second the later one wins.
    fn modified(&mut self) -> Result<String> {
        let second = i64::try_from(self.now).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
        rfc3339(second.saturating_add(1 + self.manifests.len() as i64))
    }

    /// Adds a complete snapshot that began at the writer's time; its manifest ID.
    pub fn snapshot(
        &mut self,
        user: &str,
        host: &str,
        path: &str,
        root: &WrittenDirectory,
    ) -> Result<String> {
        self.put_snapshot(&Snapshot::new(user, host, path, self.now, root)?)
    }

    /// Adds a snapshot; its manifest ID.
    pub fn put_snapshot(&mut self, snapshot: &Snapshot) -> Result<String> {
        self.put_manifest(snapshot.labels(), snapshot.json()?)
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
