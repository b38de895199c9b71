//! What text and HTML say alike.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::front::cli::units::{human_size, human_span, human_time};
use crate::snapshot::{FailedEntry, UtcTimestamp};
use crate::text::counted;
use crate::verify::{Damage, Level, Report, SnapshotState, Stopped, Verdict};

/// Entries that Kopia could not save and that are named for each source.
const UNSAVED_NAMED: usize = 3;

/// The report in three sentences, without their full stops.
pub(super) struct Words {
    pub(super) verdict: &'static str,
    pub(super) meaning: String,
    pub(super) figures: String,
}

impl Words {
    pub(super) fn of(report: &Report) -> Self {
        let (verdict, meaning) = match report.result {
            Verdict::Clean => ("OK", format!("no damage found (level: {})", report.level)),
            Verdict::Damaged => {
                let lost = counted(report.lost_paths(), "path");
                ("DAMAGED", format!("{}; {lost} cannot be restored", wrong(&report.damage)))
            }
            Verdict::Incomplete => {
                let why = match report.stopped {
                    Some(Stopped::Duration) => "the time allowed was up",
                    Some(Stopped::Budget) => "the budget was used up",
                    Some(Stopped::Interrupted) => "it was interrupted",
                    None if report.shard.is_some() => "this is one part of several",
                    None => "the storage did not give everything, or nobody has read it yet",
                };
                let meaning = format!("nothing is known to be damaged, but not all was checked: {why}");
                ("INCOMPLETE", meaning)
            }
        };
        Self { verdict, meaning, figures: figures(report) }
    }
}

/// How much is wrong: the blobs that are the cause, where each cause is one.
fn wrong(damage: &[Damage]) -> String {
    let blobs: BTreeSet<&str> = damage.iter().filter_map(|item| item.blob.as_deref()).collect();
    match damage.iter().all(|item| item.blob.is_some()) {
        true => counted(blobs.len() as u64, "damaged or missing blob"),
        false => counted(Damage::grouped(damage).len() as u64, "problem"),
    }
}

fn figures(report: &Report) -> String {
    let coverage = &report.coverage;
    let checked = if report.level == Level::Index.as_str() { "in place" } else { "proved" };
    let mut text = format!(
        "{} of {} contents {checked} ({} of {}){}, {} read in {}",
        coverage.verified,
        coverage.contents,
        human_size(coverage.verified_bytes),
        human_size(coverage.bytes),
        snapshots(report),
        human_size(coverage.read_bytes),
        human_span(std::time::Duration::from_secs_f64(report.seconds.max(0.0)))
    );
    if let Some(oldest) = coverage.oldest_proof.filter(|oldest| *oldest < report.started) {
        text.push_str(&format!("; the oldest proof is of {}", when(oldest)));
    }
    if let Some(runs) = coverage.runs_to_cover {
        text.push_str(&format!("; everything is read once in {} of this budget", counted(runs, "run")));
    }
    text
}

/// What is known of the snapshots, as far as this run can tell.
fn snapshots(report: &Report) -> String {
    let (all, whole) = (report.snapshots.len(), report.snapshots.iter().filter(|s| s.whole).count());
    if report.proves_snapshots() {
        return format!(", {whole} of {all} snapshots whole");
    }
    if report.walks_trees() {
        let percent = report.percent_proved();
        return format!(", no damage known in {whole} of {all} snapshots ({percent} % of the bytes proved)");
    }
    match all - whole {
        0 => String::new(),
        damaged => format!(", {damaged} of {all} snapshots damaged"),
    }
}

/// What lies between the blobs and is none.
pub(super) fn foreign(report: &Report) -> Option<String> {
    let count = report.foreign.count;
    let files = counted(count, "file or directory is/files or directories are");
    let example = report.foreign.examples.first()?;
    Some(format!("{files} no part of the repository and ignored, for example {example}"))
}

/// What Kopia could not save in the newest complete snapshot of each source, where there is any.
pub(super) fn unsaved(report: &Report) -> Vec<String> {
    let complete = report.snapshots.iter().filter(|snapshot| snapshot.complete);
    // Oldest first, so that the newest stays.
    let newest: BTreeMap<&str, &SnapshotState> =
        complete.map(|snapshot| (snapshot.source.as_str(), snapshot)).collect();
    let lacking = newest.into_iter().filter(|(_, snapshot)| snapshot.unsaved > 0);
    lacking.map(|(_, snapshot)| unsaved_in(snapshot)).collect()
}

/// What Kopia could not save in a snapshot: how many entries, and the first of those that it names.
fn unsaved_in(snapshot: &SnapshotState) -> String {
    let SnapshotState { id, source, unsaved, unsaved_entries: named, .. } = snapshot;
    let entries = counted(*unsaved, "entry/entries");
    let mut note = format!("{source}: {entries} could not be saved when Kopia made the newest snapshot {id}");
    for (at, FailedEntry { path, error }) in named.iter().take(UNSAVED_NAMED).enumerate() {
        let _ = write!(note, "{} {path:?} ({error})", if at == 0 { ":" } else { "," });
    }
    let shown = named.len().min(UNSAVED_NAMED) as u64;
    if shown > 0 && *unsaved > shown {
        let _ = write!(note, " and {} more", unsaved - shown);
    }
    note
}

/// What somebody should do now.
pub(super) fn advice(report: &Report) -> Vec<&'static str> {
    let has = |code: &str| report.damage.iter().any(|damage| damage.code.starts_with(code));
    let mut advice = Vec::new();
    if report.result == Verdict::Damaged {
        advice.push("Do not run maintenance or delete snapshots until this is understood.");
    }
    if has("index-") || has("snapshots-missing") || has("content-missing") {
        advice.push("Look for lost index blobs in an older copy of the repository (directories x and n).");
        advice.push("`rokopia verify --recover-index` says what the packs can tell instead.");
    }
    if has("pack-missing") {
        advice.push(
            "Look for the missing packs: another copy, a replica, a shard directory that was not mounted.",
        );
    }
    if has("content-") || has("pack-truncated") {
        advice.push("Check the disk, its cables and the memory; then back the affected sources up again.");
    }
    if report.damage.iter().any(|damage| damage.code == "permission-denied") {
        advice.push("Not readable is not damaged: give the user that runs rokopia the right to read, and run this again.");
    }
    if has("storage-error") {
        advice.push("The storage refused some reads: check permissions and connection, and run this again.");
    }
    if report.ecc.repaired_blobs > 0 {
        advice.push("`--write-repaired DIR` writes corrected copies of the blobs that could be mended.");
    }
    advice
}

pub(super) fn when(unix: i64) -> String {
    human_time(UtcTimestamp(unix.saturating_mul(1_000_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_what_was_not_saved_are_named() {
        let unsaved = |unsaved, named: &[&str]| {
            let named = named.iter().map(|path| FailedEntry { path: (*path).into(), error: "denied".into() });
            unsaved_in(&SnapshotState {
                id: "k1".into(),
                source: "me@host:/data".into(),
                time: 0,
                whole: true,
                complete: true,
                damaged_paths: 0,
                unsaved,
                unsaved_entries: named.collect(),
            })
        };
        let start = "me@host:/data: 1 entry could not be saved when Kopia made the newest snapshot k1";
        assert_eq!(unsaved(1, &[]), start);
        assert_eq!(unsaved(1, &["a/b"]), format!("{start}: \"a/b\" (denied)"));
        assert!(unsaved(2, &["a", "b"]).ends_with(": \"a\" (denied), \"b\" (denied)"));
        assert!(unsaved(7, &["a", "b", "c", "d"]).ends_with(", \"c\" (denied) and 4 more"));
    }
}
