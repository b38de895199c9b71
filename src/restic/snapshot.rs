//! Snapshots of restic, and the sources that they are of.

use serde::{Deserialize, Serialize};

use crate::checker::{SnapshotInfo, SourceState};
use crate::manifest::ManifestId;
use crate::snapshot::{Source, UtcTimestamp};

/// A snapshot, with the names that `restic snapshots --json` has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When it was made: RFC 3339, with the zone of the machine.
    pub time: String,
    /// The tree of its files.
    pub tree: String,
    /// What was backed up.
    pub paths: Vec<String>,
    /// The machine.
    #[serde(default)]
    pub hostname: String,
    /// The user.
    #[serde(default)]
    pub username: String,
    /// Words that were given with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What was counted, from restic 0.17 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// The SHA-256 of its file.
    #[serde(default)]
    pub id: String,
}

/// What restic counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Files seen.
    pub total_files_processed: u64,
    /// Bytes in them.
    pub total_bytes_processed: u64,
}

impl Snapshot {
    /// Reads a snapshot; the ID is that of its file.
    pub(super) fn parse(id: &str, json: &[u8]) -> Result<Self, String> {
        let snapshot: Self = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        snapshot.time.parse::<UtcTimestamp>().map_err(|e| e.to_string())?;
        Ok(Self { id: id.to_owned(), ..snapshot })
    }

    /// When it was made.
    pub fn started(&self) -> UtcTimestamp {
        // It was parsed before.
        self.time.parse().unwrap_or_default()
    }

    /// The source: user, machine and path; several paths are joined by commas.
    pub fn source(&self) -> Source {
        Source::new(&self.username, &self.hostname, self.paths.join(","))
    }

    fn info(&self) -> SnapshotInfo {
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let summary = self.summary.unwrap_or_default();
        SnapshotInfo {
            id: ManifestId::new(&self.id),
            start: self.started(),
            end: self.started(),
            // A snapshot of restic is written when it is complete.
            incomplete: "".into(),
            size: count(summary.total_bytes_processed),
            files: count(summary.total_files_processed),
            errors: 0,
            root: self.tree.parse().ok(),
        }
    }

    /// All sources of these snapshots, for questions and audits.
    pub fn sources(snapshots: &[Self]) -> Vec<SourceState> {
        SourceState::of(snapshots.iter().map(|snapshot| (snapshot.source(), snapshot.info())))
    }
}
