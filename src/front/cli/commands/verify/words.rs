//! What text and HTML say alike.

use std::fmt::Display;

use crate::front::cli::units::{human_duration, human_size, human_time};
use crate::snapshot::UtcTimestamp;
use crate::verify::{Report, Stopped, Verdict};

/// The report in three sentences, without their full stops.
pub(super) struct Words {
    pub(super) verdict: &'static str,
    pub(super) meaning: String,
    pub(super) figures: String,
}

impl Words {
    pub(super) fn of(report: &Report) -> Self {
        let (verdict, meaning) = match report.result {
            Verdict::Clean => ("CLEAN", format!("everything is good that level {} looks at", report.level)),
            Verdict::Damaged => {
                let lost: usize = report.damage.iter().map(|damage| damage.paths.len()).sum();
                let wrong = counted(report.damage.len(), "thing is wrong", "things are wrong");
                ("DAMAGED", format!("{wrong}, {} by it", counted(lost, "path is lost", "paths are lost")))
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

fn figures(report: &Report) -> String {
    let coverage = &report.coverage;
    let whole = report.snapshots.iter().filter(|snapshot| snapshot.whole).count();
    let mut text = format!(
        "{} of {} contents proved ({} of {}), {whole} of {} snapshots whole, {} read in {}",
        coverage.verified,
        coverage.contents,
        human_size(coverage.verified_bytes),
        human_size(coverage.bytes),
        report.snapshots.len(),
        human_size(coverage.read_bytes),
        human_duration(std::time::Duration::from_secs_f64(report.seconds.max(0.0)))
    );
    if let Some(oldest) = coverage.oldest_proof.filter(|oldest| *oldest < report.started) {
        text.push_str(&format!("; the oldest proof is of {}", when(oldest)));
    }
    if let Some(runs) = coverage.runs_to_cover {
        text.push_str(&format!("; {runs} runs of this budget read everything once"));
    }
    text
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
    if has("storage-error") {
        advice.push("The storage refused some reads: check permissions and connection, and run this again.");
    }
    if report.ecc.repaired_blobs > 0 {
        advice.push("`--write-repaired DIR` writes corrected copies of the blobs that could be mended.");
    }
    advice
}

pub(super) fn counted(count: impl Display + PartialEq + From<u8>, one: &str, many: &str) -> String {
    let noun = if count == 1.into() { one } else { many };
    format!("{count} {noun}")
}

pub(super) fn when(unix: i64) -> String {
    human_time(UtcTimestamp(unix.saturating_mul(1_000_000_000)))
}
