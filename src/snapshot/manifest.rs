//! The payload of a snapshot's manifest (`format-spec/13-snapshots.md`).

use std::collections::BTreeMap;

use serde::Serialize;

use super::{DirEntry, Error, Source, Summary, UtcTimestamp};
use crate::gojson::go_object;
use crate::gojson::time::GoTime;
use crate::gojson::write;
use crate::manifest::{Manifest, ManifestId, TYPE_LABEL};
use crate::object::ObjectId;

/// The `type` label of snapshots.
pub(super) const SNAPSHOT_TYPE: &str = "snapshot";
/// The label with the host of a snapshot or policy.
pub(super) const HOST_LABEL: &str = "hostname";
/// The label with the user of a snapshot or policy.
pub(super) const USER_LABEL: &str = "username";
/// The label with the path of a snapshot or policy.
pub(super) const PATH_LABEL: &str = "path";

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Snapshot {
    /// The ID of its manifest. It changes when the snapshot is pinned or edited.
    pub id: ManifestId,
    /// When the manifest was written.
    pub modified: GoTime,
    /// The source by which the snapshot is found: that of the manifest's labels. In everything Kopia writes it
    /// equals `source`.
    pub found_as: Source,
    /// The source according to the snapshot itself.
    pub source: Source,
    /// Free text.
    pub description: String,
    /// When the client began, by its own clock or by its command line.
    pub start_time: UtcTimestamp,
    /// When the client ended; not necessarily later.
    pub end_time: UtcTimestamp,
    /// Counters of the client.
    pub stats: Stats,
    /// Why the snapshot is incomplete; empty when it is complete.
    pub incomplete: String,
    /// The root of the tree.
    pub root: Option<DirEntry>,
    /// The user's tags; keys carry the prefix `tag:`.
    pub tags: BTreeMap<String, String>,
    /// Names of pins, which keep the snapshot from expiring.
    pub pins: Vec<String>,
}

/// What the client counted while it made a snapshot. For totals see the summary of the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Stats {
    /// Bytes in files, unchanged ones included.
    pub total_size: i64,
    /// Bytes in files that rules excluded.
    pub excluded_total_size: i64,
    /// Files read.
    pub file_count: i64,
    /// Files taken over from an earlier snapshot.
    pub cached_files: i64,
    /// Files not taken over.
    pub non_cached_files: i64,
    /// Directories.
    pub dir_count: i64,
    /// Files that rules excluded.
    pub excluded_file_count: i64,
    /// Directories that rules excluded.
    pub excluded_dir_count: i64,
    /// Errors that a policy said to ignore.
    pub ignored_error_count: i64,
    /// Errors.
    pub error_count: i64,
}
go_object!(Stats {
    "totalSize" => total_size,
    "excludedTotalSize" => excluded_total_size,
    "fileCount" => file_count,
    "cachedFiles" => cached_files,
    "nonCachedFiles" => non_cached_files,
    "dirCount" => dir_count,
    "excludedFileCount" => excluded_file_count,
    "excludedDirCount" => excluded_dir_count,
    "ignoredErrorCount" => ignored_error_count,
    "errorCount" => error_count,
});

/// The payload as it is read.
#[derive(Default)]
struct Payload {
    source: Source,
    description: String,
    start_time: UtcTimestamp,
    end_time: UtcTimestamp,
    stats: Stats,
    incomplete: String,
    root: Option<DirEntry>,
    tags: BTreeMap<String, String>,
    pins: Vec<String>,
}
go_object!(Payload {
    "source" => source,
    "description" => description,
    "startTime" => start_time (raw),
    "endTime" => end_time (raw),
    "stats" => stats,
    "incomplete" => incomplete,
    "rootEntry" => root (raw),
    "tags" => tags (map),
    "pins" => pins (list),
});

impl Snapshot {
    /// Whether a manifest is one of a snapshot.
    pub fn is_in(manifest: &Manifest) -> bool {
        manifest.label(TYPE_LABEL) == Some(SNAPSHOT_TYPE)
    }

    /// Reads a snapshot from its manifest.
    pub fn parse(manifest: &Manifest) -> Result<Snapshot, Error> {
        let id = manifest.id().clone();
        let payload: Payload = serde_json::from_slice(manifest.data())
            .map_err(|e| Error::Manifest { id: id.clone(), reason: e.to_string() })?;
        let Payload { source, description, start_time, end_time, stats, incomplete, root, tags, pins } =
            payload;
        let label = |key| manifest.label(key).unwrap_or_default();
        let found_as = Source::new(label(USER_LABEL), label(HOST_LABEL), label(PATH_LABEL));
        let modified = manifest.modified();
        Ok(Snapshot {
            id,
            modified,
            found_as,
            source,
            description,
            start_time,
            end_time,
            stats,
            incomplete,
            root,
            tags,
            pins,
        })
    }

    /// Whether the client reached the end.
    pub fn is_complete(&self) -> bool {
        self.incomplete.is_empty()
    }

    /// Whether there is a file in it.
    pub(crate) fn has_files(&self) -> bool {
        self.files() > 0
    }

    /// The number of its files.
    pub(crate) fn files(&self) -> i64 {
        self.summary().map_or(self.stats.file_count, |summary| summary.files)
    }

    /// Number of entries of the source that Kopia could not save, so that the snapshot does not have them.
    pub fn unsaved(&self) -> u64 {
        let summary = self.root.as_ref().and_then(|root| root.summary.as_deref());
        let counted = self.stats.error_count.saturating_add(self.stats.ignored_error_count);
        summary.map_or(u64::try_from(counted).unwrap_or(0), |summary| summary.unsaved())
    }

    /// What the root says of everything below it.
    pub fn summary(&self) -> Option<&Summary> {
        self.root.as_ref()?.summary.as_deref()
    }

    /// The object of the root.
    pub fn root_object(&self) -> Option<&ObjectId> {
        self.root.as_ref()?.object.as_ref()
    }

    /// A key that sorts snapshots by time as Kopia does: start, then end. What Kopia leaves to chance is decided by
    /// the manifest.
    pub fn time_key(&self) -> (UtcTimestamp, UtcTimestamp, GoTime, &ManifestId) {
        (self.start_time, self.end_time, self.modified, &self.id)
    }

    /// The snapshot with the keys, and in the order, of `kopia snapshot list --json`, for any serialiser.
    /// `retention_reasons` are left out when empty.
    pub fn listed<'a>(&'a self, retention_reasons: &'a [String]) -> Listed<'a> {
        Listed {
            id: self.id.as_str(),
            source: &self.source,
            description: &self.description,
            start_time: self.start_time,
            end_time: self.end_time,
            stats: &self.stats,
            incomplete: &self.incomplete,
            root_entry: self.root.as_ref(),
            tags: &self.tags,
            storage_stats: None,
            pins: &self.pins,
            retention_reason: retention_reasons,
        }
    }
}

/// A snapshot as an item of `kopia snapshot list --json`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed<'a> {
    id: &'a str,
    source: &'a Source,
    description: &'a str,
    start_time: UtcTimestamp,
    end_time: UtcTimestamp,
    stats: &'a Stats,
    #[serde(skip_serializing_if = "str::is_empty")]
    incomplete: &'a str,
    root_entry: Option<&'a DirEntry>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_stats: Option<StorageStats>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pins: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    retention_reason: &'a [String],
}

impl Listed<'_> {
    /// Adds what `--storage-stats` adds.
    pub fn with_storage_stats(self, stats: StorageStats) -> Self {
        Self { storage_stats: Some(stats), ..self }
    }

    /// The item byte for byte as Kopia prints it.
    pub fn to_kopia_json(&self) -> Result<String, serde_json::Error> {
        write::to_string(self)
    }
}

/// What a snapshot adds to those listed before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageStats {
    /// By this snapshot alone.
    pub new_data: StorageUsage,
    /// With all before it.
    pub running_total: StorageUsage,
}

/// Storage used by objects and contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageUsage {
    /// Bytes in objects.
    pub object_bytes: i64,
    /// Bytes in contents before compression.
    pub original_content_bytes: i64,
    /// Bytes in contents as stored.
    pub packed_content_bytes: i64,
    /// Number of files.
    pub file_objects: i32,
    /// Number of directories.
    pub dir_objects: i32,
    /// Number of contents.
    pub contents: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(data: &str) -> Manifest {
        Manifest::for_tests(
            "5f0c",
            &[("type", "snapshot"), ("hostname", "h"), ("username", "u"), ("path", "/p")],
            data,
        )
    }

    const FULL: &str = r#"{"id":"5f0c","source":{"host":"nas1","userName":"ops","path":"/a\u0026b"},"description":"\u003cb\u003e","startTime":"2025-03-09T01:00:02.118204Z","endTime":"2025-03-09T01:00:41.5Z","stats":{"totalSize":734003,"excludedTotalSize":1,"fileCount":2,"cachedFiles":40,"nonCachedFiles":2,"dirCount":7,"excludedFileCount":3,"excludedDirCount":4,"ignoredErrorCount":5,"errorCount":6},"incomplete":"checkpoint","rootEntry":{"name":"data","type":"d","mode":"0755","mtime":"2025-03-08T22:14:09.25Z","uid":1000,"gid":1000,"obj":"k7b1d","summ":{"size":734003,"files":42,"symlinks":1,"dirs":7,"maxTime":"2025-03-08T23:59:59Z","numFailed":0}},"tags":{"tag:a":"x:y","tag:job":"nightly"},"pins":["audit"]"#;

    #[test]
    fn lists_as_kopia_does() {
        let snapshot = Snapshot::parse(&manifest(&format!("{FULL}}}"))).unwrap();
        assert_eq!(snapshot.found_as.to_string(), "u@h:/p");
        assert_eq!(snapshot.source.to_string(), "ops@nas1:/a&b");
        assert_eq!(snapshot.listed(&[]).to_kopia_json().unwrap(), format!("{FULL}}}"));
        let reasons = ["latest-1".to_owned()];
        let listed = snapshot.listed(&reasons).to_kopia_json().unwrap();
        assert_eq!(listed, format!("{FULL},\"retentionReason\":[\"latest-1\"]}}"));
        let with_stats =
            snapshot.listed(&[]).with_storage_stats(StorageStats::default()).to_kopia_json().unwrap();
        let usage = r#"{"objectBytes":0,"originalContentBytes":0,"packedContentBytes":0,"fileObjects":0,"dirObjects":0,"contents":0}"#;
        assert!(
            with_stats
                .contains(&format!(r#""storageStats":{{"newData":{usage},"runningTotal":{usage}}},"pins""#))
        );
    }

    #[test]
    fn what_is_missing_is_zero() {
        for data in ["{}", r#"{"rootEntry":null,"stats":null,"tags":null,"pins":null,"source":null,"x":1}"#] {
            let snapshot = Snapshot::parse(&manifest(data)).unwrap();
            assert_eq!(
                snapshot.listed(&[]).to_kopia_json().unwrap(),
                r#"{"id":"5f0c","source":{"host":"","userName":"","path":""},"description":"","startTime":"1970-01-01T00:00:00Z","endTime":"1970-01-01T00:00:00Z","stats":{"totalSize":0,"excludedTotalSize":0,"fileCount":0,"cachedFiles":0,"nonCachedFiles":0,"dirCount":0,"excludedFileCount":0,"excludedDirCount":0,"ignoredErrorCount":0,"errorCount":0},"rootEntry":null}"#
            );
            assert_eq!(snapshot.root_object(), None);
            assert!(snapshot.is_complete());
        }
    }

    #[test]
    fn what_cannot_be_parsed_is_named() {
        for data in ["", "null", "[]", "{", r#"{"startTime":"now"}"#, r#"{"rootEntry":{"obj":"nope"}}"#] {
            let error = Snapshot::parse(&manifest(data)).unwrap_err();
            assert_eq!(
                (error.code(), error.snapshot().unwrap().as_str()),
                ("manifest-invalid", "5f0c"),
                "{data}"
            );
        }
    }
}
