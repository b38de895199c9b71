//! The result of a verification, with a stable form in JSON (`docs/verify-report.schema.json`).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Serialize, Serializer};

use crate::blob::Foreign;
use crate::snapshot::{FailedEntry, Snapshot};
use crate::verify::options::Level;
use crate::verify::time::rfc3339;
pub use crate::verify::trees::impact::LostPath;

/// The overall result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything requested was checked and is good.
    Clean,
    /// Something that is needed is damaged or missing.
    Damaged,
    /// Nothing needed is known to be damaged, but not everything was checked.
    Incomplete,
}

/// How much was proved.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
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
    #[serde(serialize_with = "optional_seconds", skip_serializing_if = "Option::is_none")]
    pub oldest_proof: Option<i64>,
    /// Packs that were to be checked.
    pub packs: u64,
    /// Packs proved.
    pub verified_packs: u64,
    /// Stored bytes of contents that this run read; the others are proved by former runs.
    pub read_bytes: u64,
    /// Number of runs with this budget that read everything once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs_to_cover: Option<u64>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
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
    /// The paths that are lost because of it.
    pub paths: Vec<LostPath>,
    /// Whether more paths are lost than are listed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more_paths: bool,
    /// Whether the storage refused to answer, so that the data may be good.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unchecked: bool,
    /// Whether the damage is more than error correction can repair.
    #[serde(skip)]
    pub unrepairable: bool,
}

/// One snapshot and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct SnapshotState {
    /// ID of its manifest.
    pub id: String,
    /// Its source.
    pub source: String,
    /// When it was begun.
    #[serde(serialize_with = "seconds")]
    pub time: i64,
    /// Whether nothing of it is known to be lost. [`Report::proves_snapshots`] says whether that is proved.
    pub whole: bool,
    /// Whether its client reached the end.
    pub complete: bool,
    /// How many paths of it are lost.
    pub damaged_paths: u64,
    /// How many entries Kopia could not save when it made the snapshot: they were never in it.
    #[serde(skip_serializing_if = "is_zero")]
    pub unsaved: u64,
    /// Those of them that the snapshot names. Kopia names the first ten of each directory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unsaved_entries: Vec<FailedEntry>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What error correction did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Ecc {
    /// Blobs with places that were mended.
    pub repaired_blobs: u64,
    /// Blobs with damage beyond repair.
    pub unrepairable_blobs: u64,
    /// Every mended blob.
    pub repairs: Vec<RepairedBlob>,
}

/// A blob with damage that error correction repaired while reading. In the storage it is still damaged.
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
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Unreferenced {
    /// How many.
    pub blobs: u64,
    /// Their size.
    pub bytes: u64,
}

/// Files beside the blobs that are not blobs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct ForeignFiles {
    /// How many; a directory with all that is in it counts once.
    pub count: u64,
    /// Some of them, as paths below the repository.
    pub examples: Vec<String>,
}

impl From<Foreign> for ForeignFiles {
    fn from(foreign: Foreign) -> Self {
        let examples = foreign.examples.iter().map(|path| path.display().to_string());
        Self { count: foreign.count, examples: examples.collect() }
    }
}

/// The result of a verification.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Report {
    /// The overall result.
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
    /// Files and directories that are no part of the repository, and are ignored.
    pub foreign: ForeignFiles,
    /// Oddities that do not prevent any restore.
    pub warnings: Vec<String>,
    /// Which part of the packs was checked, if not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// Where the repository is.
    pub repository: String,
    /// When the verification began.
    #[serde(serialize_with = "seconds")]
    pub started: i64,
    /// How long it took.
    pub seconds: f64,
    /// Why the verification ended early, if it did.
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
    /// It was interrupted.
    Interrupted,
}

impl SnapshotState {
    /// A snapshot of which this many paths are lost.
    pub(crate) fn of(snapshot: &Snapshot, lost: u64) -> Self {
        Self {
            id: snapshot.id.to_string(),
            source: snapshot.source.to_string(),
            time: snapshot.start_time.to_unix().0,
            whole: lost == 0,
            complete: snapshot.is_complete(),
            damaged_paths: lost,
            unsaved: snapshot.unsaved(),
            unsaved_entries: snapshot.summary().map(|summary| summary.errors.clone()).unwrap_or_default(),
        }
    }
}

/// Damages that are the same thing: one blob that is bad in one way, and all that is lost by it.
#[derive(Debug)]
pub struct DamageGroup<'r> {
    /// The first of them.
    pub first: &'r Damage,
    /// How many there are.
    pub count: usize,
    /// What is lost by any of them, each path once.
    pub paths: Vec<&'r LostPath>,
    /// Whether more paths are lost than are listed.
    pub more_paths: bool,
}

impl Damage {
    /// Puts together what one blob is the cause of.
    pub fn grouped(items: &[Self]) -> Vec<DamageGroup<'_>> {
        let mut groups: Vec<DamageGroup<'_>> = Vec::new();
        let mut known: HashMap<(&str, &str), usize> = HashMap::new();
        for item in items {
            let key = item.blob.as_deref().map(|blob| (item.code.as_str(), blob));
            let at = key.and_then(|key| known.get(&key)).copied();
            if let Some(group) = at.and_then(|at| groups.get_mut(at)) {
                group.count += 1;
                group.paths.extend(&item.paths);
                group.more_paths |= item.more_paths;
                continue;
            }
            known.extend(key.map(|key| (key, groups.len())));
            let (paths, more_paths) = (item.paths.iter().collect(), item.more_paths);
            groups.push(DamageGroup { first: item, count: 1, paths, more_paths });
        }
        for group in &mut groups {
            group.paths.sort();
            group.paths.dedup();
        }
        groups
    }
}

impl Report {
    /// How many paths of snapshots cannot be brought back, each counted once.
    pub fn lost_paths(&self) -> u64 {
        self.snapshots.iter().map(|snapshot| snapshot.damaged_paths).sum()
    }

    /// Lost paths that are listed, each once.
    pub fn listed_paths(&self) -> BTreeSet<&LostPath> {
        self.damage.iter().flat_map(|damage| &damage.paths).collect()
    }

    /// Whether a snapshot that is called whole is proved to be: its trees were walked, and all that they need was read, now
    /// or by a former run.
    pub fn proves_snapshots(&self) -> bool {
        self.walks_trees() && self.coverage.verified_packs == self.coverage.packs
    }

    /// Whether the trees of all snapshots were walked.
    pub fn walks_trees(&self) -> bool {
        self.level == Level::Files.as_str() && self.shard.is_none()
    }

    /// The share of the stored bytes that is proved, in percent; rounded down, so that 100 is everything.
    pub fn percent_proved(&self) -> u64 {
        let Coverage { bytes, verified_bytes, .. } = self.coverage;
        (verified_bytes.min(bytes) as u128 * 100).checked_div(bytes.into()).unwrap_or(100) as u64
    }

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

fn seconds<S: Serializer>(unix: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*unix))
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn optional_seconds<S: Serializer>(unix: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match unix {
        Some(unix) => seconds(unix, serializer),
        None => serializer.serialize_none(),
    }
}
