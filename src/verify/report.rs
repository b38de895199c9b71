//! The result of a verification, with a stable form in JSON (`docs/verify-report.schema.json`).

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

pub use super::impact::LostPath;
use crate::snapshot::Snapshot;

/// What it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything asked for was checked and is good.
    Clean,
    /// Something that is needed is damaged or missing.
    Damaged,
    /// Nothing needed is known to be damaged, but not everything was checked.
    Incomplete,
}

/// How much was proved.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Coverage {
    /// Contents that were to be checked.
    pub contents: u64,
    /// Contents that were checked and are good.
    pub verified: u64,
    /// Stored bytes of the contents that were to be checked.
    pub bytes: u64,
    /// Stored bytes of those that are good.
    pub verified_bytes: u64,
    /// When the oldest of these proofs was made.
    #[serde(serialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub oldest_proof: Option<i64>,
    /// Packs that were to be checked.
    pub packs: u64,
    /// Packs proved.
    pub verified_packs: u64,
    /// Stored bytes of contents that this run read; the others are proved by former runs.
    pub read_bytes: u64,
    /// In how many runs of this budget everything is read once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs_to_cover: Option<u64>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Stable code, as listed in `docs/errors.md`.
    pub code: String,
    /// The blob concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
    /// The content concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The object concerned, where it is more than one content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// One sentence for people.
    pub detail: String,
    /// What is lost by it.
    pub paths: Vec<LostPath>,
    /// Whether more paths are lost than are listed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more_paths: bool,
    /// Whether the storage refused to answer, so that the data may be good.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unchecked: bool,
}

/// One snapshot and what is left of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotState {
    /// ID of its manifest.
    pub id: String,
    /// Its source.
    pub source: String,
    /// When it was begun.
    #[serde(serialize_with = "seconds")]
    pub time: i64,
    /// Whether nothing of it is known to be lost.
    pub whole: bool,
    /// Whether its client reached the end.
    pub complete: bool,
    /// How many paths of it are lost.
    pub damaged_paths: u64,
}

/// What error correction did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Ecc {
    /// Blobs with places that were mended.
    pub repaired_blobs: u64,
    /// Blobs with damage beyond repair.
    pub unrepairable_blobs: u64,
    /// Every mended blob.
    pub repairs: Vec<RepairedBlob>,
}

/// A blob with places that error correction mended on the way to us. On the storage they are still wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepairedBlob {
    /// The blob.
    pub blob: String,
    /// How many places.
    pub places: u64,
    /// Where the first of them begin.
    pub offsets: Vec<u64>,
}

/// Packs that no index names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Unreferenced {
    /// How many.
    pub blobs: u64,
    /// Their size.
    pub bytes: u64,
}

/// The result of a verification.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What it comes to.
    pub result: Verdict,
    /// How far it went.
    pub level: &'static str,
    /// How much was proved.
    pub coverage: Coverage,
    /// What is wrong with what is needed.
    pub damage: Vec<Damage>,
    /// What is wrong with bytes that no snapshot needs.
    pub unneeded: Vec<Damage>,
    /// The snapshots that could be listed.
    pub snapshots: Vec<SnapshotState>,
    /// For each source, the newest complete snapshot of which nothing is known to be lost.
    pub newest_whole: BTreeMap<String, String>,
    /// What error correction did.
    pub ecc: Ecc,
    /// Packs that no index names.
    pub unreferenced: Unreferenced,
    /// What is odd, but keeps nothing from being brought back.
    pub warnings: Vec<String>,
    /// Which part of the packs was checked, where not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// Where the repository is.
    pub repository: String,
    /// When the verification began.
    #[serde(serialize_with = "seconds")]
    pub started: i64,
    /// How long it took.
    pub seconds: f64,
    /// Why it ended before everything was read, where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

/// Why a verification ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stopped {
    /// The time was up.
    Duration,
    /// The budget was used up.
    Budget,
    /// Somebody wanted it to end.
    Interrupted,
}

impl SnapshotState {
    /// A snapshot of which so many paths are lost.
    pub(super) fn of(snapshot: &Snapshot, lost: u64) -> Self {
        Self {
            id: snapshot.id.to_string(),
            source: snapshot.source.to_string(),
            time: snapshot.start_time.to_unix().0,
            whole: lost == 0,
            complete: snapshot.is_complete(),
            damaged_paths: lost,
        }
    }
}

impl Report {
    /// The exit code of the command: 0 nothing is wrong (also where the time allowed ended it early), 1 damage, 3 something
    /// could not be checked.
    pub fn exit_code(&self) -> u8 {
        match (self.result, self.stopped) {
            (Verdict::Clean, _) => 0,
            (Verdict::Damaged, _) => 1,
            (Verdict::Incomplete, Some(Stopped::Duration | Stopped::Budget))
                if !self.damage.iter().any(|damage| damage.unchecked) =>
            {
                0
            }
            (Verdict::Incomplete, None) if self.shard.is_some() && self.damage.is_empty() => 0,
            (Verdict::Incomplete, _) => 3,
        }
    }
}

pub(super) fn rfc3339(unix: i64) -> String {
    jiff::Timestamp::from_second(unix).map_or_else(|_| "1970-01-01T00:00:00Z".into(), |time| time.to_string())
}

fn seconds<S: Serializer>(unix: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*unix))
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn time<S: Serializer>(unix: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match unix {
        Some(unix) => seconds(unix, serializer),
        None => serializer.serialize_none(),
    }
}
