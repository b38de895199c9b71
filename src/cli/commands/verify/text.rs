//! The report as text, for somebody who is tired.

use std::fmt::Write as _;

use crate::cli::output::escape;
use crate::cli::units::human_time;
use crate::snapshot::UtcTimestamp;
use crate::verify::{Damage, Report, SnapshotState, Stopped, Verdict};

/// Lost paths and damages spelled out; JSON has all.
const PATHS: usize = 20;
const ITEMS: usize = 20;

/// What is damaged, what is lost, what can still be restored, and what to do.
pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = Text { report }.write(&mut text);
    text
}

struct Text<'a> {
    report: &'a Report,
}

impl Text<'_> {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        let whole = self.report.snapshots.iter().filter(|snapshot| snapshot.whole).count();
        let coverage = &self.report.coverage;
        match self.report.result {
            Verdict::Clean => {
                writeln!(out, "CLEAN: everything that was checked (level {}) is good.", self.report.level)?
            }
            Verdict::Damaged => writeln!(out, "DAMAGED: {} things are wrong.", self.report.damage.len())?,
            Verdict::Incomplete => {
                let why = match self.report.stopped {
                    Some(Stopped::Duration) => "the time allowed was up",
                    Some(Stopped::Budget) => "the budget was used up",
                    Some(Stopped::Interrupted) => "it was interrupted",
                    None if self.report.shard.is_some() => "this is one part of several",
                    None => "the storage did not give everything",
                };
                writeln!(out, "INCOMPLETE: nothing is known to be damaged, but not all was checked: {why}.")?;
            }
        }
        writeln!(
            out,
            "{} of {} contents proved ({} of {} MiB), {} of {} snapshots whole, in {:.1} s.",
            coverage.verified,
            coverage.contents,
            coverage.verified_bytes >> 20,
            coverage.bytes >> 20,
            whole,
            self.report.snapshots.len(),
            self.report.seconds
        )?;
        self.write_damage(out)?;
        self.write_snapshots(out)?;
        if self.report.ecc.repaired_blobs > 0 {
            let blobs = self.report.ecc.repaired_blobs;
            writeln!(
                out,
                "\nError correction mended {blobs} blobs on the way to us; on the disk they are still wrong."
            )?;
        }
        if !self.report.unneeded.is_empty() {
            writeln!(out, "\nWrong, but no snapshot needs it ({}):", self.report.unneeded.len())?;
            write_items(out, &self.report.unneeded)?;
        }
        for warning in &self.report.warnings {
            writeln!(out, "Note: {warning}.")?;
        }
        self.write_advice(out)
    }

    fn write_damage(&self, out: &mut String) -> std::fmt::Result {
        if self.report.damage.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nWhat is damaged:")?;
        write_items(out, &self.report.damage)?;
        let lost: Vec<_> = self.report.damage.iter().flat_map(|damage| &damage.paths).collect();
        if !lost.is_empty() {
            writeln!(out, "\nWhat is lost ({} paths):", lost.len())?;
            for path in lost.iter().take(PATHS) {
                let presumed =
                    path.named_by.as_ref().map(|by| format!(" (named by {by})")).unwrap_or_default();
                writeln!(out, "  {} {}{presumed}", path.snapshot, escape(&path.path))?;
            }
            if lost.len() > PATHS {
                writeln!(out, "  … and {} more; --json lists them", lost.len() - PATHS)?;
            }
        }
        Ok(())
    }

    fn write_snapshots(&self, out: &mut String) -> std::fmt::Result {
        let damaged: Vec<&SnapshotState> =
            self.report.snapshots.iter().filter(|snapshot| !snapshot.whole).collect();
        if damaged.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nWhat can still be restored:")?;
        let mut sources: Vec<&str> = damaged.iter().map(|snapshot| snapshot.source.as_str()).collect();
        sources.sort_unstable();
        sources.dedup();
        for source in sources {
            match self.report.newest_whole.get(source) {
                Some(id) => {
                    let time = self.report.snapshots.iter().find(|snapshot| &snapshot.id == id);
                    let time = time.map(|snapshot| when(snapshot.time)).unwrap_or_default();
                    writeln!(out, "  {}: newest whole snapshot {id} of {time}", escape(source))?;
                }
                None => writeln!(out, "  {}: no whole snapshot; parts can be restored", escape(source))?,
            }
        }
        for snapshot in damaged.iter().rev().take(PATHS) {
            let (id, time, lost) = (&snapshot.id, when(snapshot.time), snapshot.damaged_paths);
            writeln!(out, "  {id} of {time}: everything but {lost} paths")?;
        }
        Ok(())
    }

    fn write_advice(&self, out: &mut String) -> std::fmt::Result {
        let has = |code: &str| self.report.damage.iter().any(|damage| damage.code.starts_with(code));
        let mut advice = Vec::new();
        if self.report.result == Verdict::Damaged {
            advice.push("Do not run maintenance or delete snapshots until this is understood.");
        }
        if has("index-") {
            advice.push(
                "Look for the missing index blobs in an older copy of the repository (directory x or n).",
            );
        }
        if has("pack-missing") || has("content-missing") {
            advice.push("Look for the missing packs: another copy, a replica, a shard directory that was not mounted.");
        }
        if has("content-") || has("pack-truncated") {
            advice
                .push("Check the disk, its cables and the memory; then back the affected sources up again.");
        }
        if has("storage-error") {
            advice.push(
                "The storage refused some reads: check permissions and connection, and run this again.",
            );
        }
        if !advice.is_empty() {
            writeln!(out, "\nWhat to do:")?;
            for line in advice {
                writeln!(out, "  {line}")?;
            }
        }
        Ok(())
    }
}

fn write_items(out: &mut String, items: &[Damage]) -> std::fmt::Result {
    for item in items.iter().take(ITEMS) {
        let lost =
            if item.paths.is_empty() { String::new() } else { format!(" ({} paths)", item.paths.len()) };
        writeln!(out, "  {}: {}{lost}", item.code, escape(&item.detail))?;
    }
    if items.len() > ITEMS {
        writeln!(out, "  … and {} more; --json lists them", items.len() - ITEMS)?;
    }
    Ok(())
}

fn when(unix: i64) -> String {
    human_time(UtcTimestamp(unix.saturating_mul(1_000_000_000)))
}
