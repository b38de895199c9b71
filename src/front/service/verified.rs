//! What the last verification came to, from the report that `rokopia verify --report` wrote.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::snapshot::UtcTimestamp;

/// A report names every lost path; what is larger is not read.
const MAX_REPORT: u64 = 64 << 20;

/// The page does not wait longer for the report: it may be on storage that hangs.
const PATIENCE: Duration = Duration::from_secs(1);

/// The parts of a report that the page shows.
#[derive(Debug, Deserialize)]
pub(super) struct Verified {
    pub(super) result: Verdict,
    pub(super) level: String,
    pub(super) started: UtcTimestamp,
    damage: Vec<IgnoredAny>,
    coverage: Coverage,
    /// Which part of the packs was checked, where not all.
    #[cfg(feature = "browse")]
    shard: Option<IgnoredAny>,
    #[cfg(feature = "browse")]
    #[serde(default)]
    snapshots: Vec<SnapshotState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Clean,
    Damaged,
    Incomplete,
}

/// What a verification says of a snapshot.
#[cfg(feature = "browse")]
#[derive(Debug, Deserialize)]
struct SnapshotState {
    id: String,
    whole: bool,
    damaged_paths: u64,
}

/// What is known of a snapshot.
#[cfg(feature = "browse")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SnapshotVerdict {
    /// This many of its paths are lost.
    Damaged(u64),
    /// All of it was read and is good.
    Verified,
    /// Nothing is known to be lost, and not all was looked at.
    NoDamageKnown,
}

#[derive(Debug, Deserialize)]
struct Coverage {
    bytes: u64,
    verified_bytes: u64,
    #[cfg(feature = "browse")]
    packs: u64,
    #[cfg(feature = "browse")]
    verified_packs: u64,
}

impl Verified {
    /// Reads the report; the error is for people.
    pub(super) async fn read(path: PathBuf) -> Result<Self, String> {
        let shown = path.display().to_string();
        let reading = tokio::task::spawn_blocking(move || {
            let mut json = Vec::new();
            File::open(path)?.take(MAX_REPORT).read_to_end(&mut json)?;
            serde_json::from_slice(&json).map_err(std::io::Error::from)
        });
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(Ok(Ok(verified))) => Ok(verified),
            Ok(Ok(Err(error))) => Err(format!("{shown}: {error}")),
            _ => Err(format!("{shown} cannot be read in time")),
        }
    }

    /// What is known of a snapshot; `None` where it was not there yet.
    #[cfg(feature = "browse")]
    pub(super) fn snapshot(&self, id: &str) -> Option<SnapshotVerdict> {
        let state = self.snapshots.iter().find(|state| state.id == id)?;
        let Coverage { packs, verified_packs, .. } = self.coverage;
        let proved = self.level == "files" && self.shard.is_none() && packs == verified_packs;
        Some(match state {
            SnapshotState { damaged_paths, .. } if *damaged_paths > 0 => {
                SnapshotVerdict::Damaged(*damaged_paths)
            }
            SnapshotState { whole: true, .. } if proved => SnapshotVerdict::Verified,
            _ => SnapshotVerdict::NoDamageKnown,
        })
    }

    /// Damages of what snapshots need.
    pub(super) fn damages(&self) -> u64 {
        self.damage.len() as u64
    }

    /// How much of the repository is proved to be good, in percent, rounded down.
    pub(super) fn percent(&self) -> u64 {
        let Coverage { bytes, verified_bytes, .. } = self.coverage;
        (u128::from(verified_bytes) * 100)
            .checked_div(u128::from(bytes))
            .map_or(100, |percent| percent as u64)
    }
}
