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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Clean,
    Damaged,
    Incomplete,
}

#[derive(Debug, Deserialize)]
struct Coverage {
    bytes: u64,
    verified_bytes: u64,
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

    /// Damages of what snapshots need.
    pub(super) fn damages(&self) -> u64 {
        self.damage.len() as u64
    }

    /// How much of the repository is proved to be good, in percent, rounded down.
    pub(super) fn percent(&self) -> u64 {
        let Coverage { bytes, verified_bytes } = self.coverage;
        (u128::from(verified_bytes) * 100)
            .checked_div(u128::from(bytes))
            .map_or(100, |percent| percent as u64)
    }
}
