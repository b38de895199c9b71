//! The report as text, for somebody who is tired.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use super::words::{self, Words};
use crate::front::cli::output::escape;
use crate::text::counted;
use crate::verify::{Damage, LostPath, Report, SnapshotState};

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
        let Words { verdict, meaning, figures } = Words::of(self.report);
        writeln!(out, "{verdict}: {meaning}.\n{figures}.")?;
        self.write_damage(out)?;
        self.write_snapshots(out)?;
        if self.report.ecc.repaired_blobs > 0 {
            let blobs = counted(self.report.ecc.repaired_blobs, "blob");
            writeln!(
                out,
                "\nError correction mended {blobs} while reading; on the disk they are still wrong."
            )?;
        }
        if !self.report.unneeded.is_empty() {
            writeln!(out, "\nWrong, but no snapshot needs it ({}):", self.report.unneeded.len())?;
            write_items(out, &self.report.unneeded)?;
        }
        if let Some(foreign) = words::foreign(self.report) {
            writeln!(out, "Note: {}.", escape(&foreign))?;
        }
        for note in words::unsaved(self.report) {
            writeln!(out, "Note: {}.", escape(&note))?;
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
        let lost = self.report.listed_paths();
        if !lost.is_empty() {
            writeln!(out, "\nWhat is lost ({}):", counted(self.report.lost_paths(), "path"))?;
            let folded = self.folded(lost.iter().copied());
            for (path, others) in folded.iter().take(PATHS) {
                let presumed =
                    path.named_by.as_ref().map(|by| format!(" (named by {by})")).unwrap_or_default();
                let also = match others {
                    0 => String::new(),
                    others => format!(" (and in {} before it)", counted(*others, "snapshot")),
                };
                writeln!(out, "  {} {}{presumed}{also}", path.snapshot, escape(&path.path))?;
            }
            if folded.len() > PATHS {
                writeln!(out, "  … and {} more; --json lists them", folded.len() - PATHS)?;
            }
        }
        Ok(())
    }

    /// The same path in several snapshots of a source is one loss: it is shown in the newest of them, with the number of
    /// the others.
    fn folded<'a>(&self, lost: impl Iterator<Item = &'a LostPath>) -> Vec<(&'a LostPath, u64)> {
        // Oldest first.
        let snapshots = self.report.snapshots.iter().enumerate();
        let known: HashMap<&str, (usize, &str)> =
            snapshots.map(|(at, found)| (found.id.as_str(), (at, found.source.as_str()))).collect();
        let of = |path: &LostPath| known.get(path.snapshot.as_str()).copied().unwrap_or_default();
        let mut folded: BTreeMap<(&str, &str), (&LostPath, u64)> = BTreeMap::new();
        for path in lost {
            folded
                .entry((of(path).1, &path.path))
                .and_modify(|(newest, others)| {
                    *others += 1;
                    if of(path).0 > of(newest).0 {
                        *newest = path;
                    }
                })
                .or_insert((path, 0));
        }
        folded.into_values().collect()
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
                    let time = time.map(|snapshot| words::when(snapshot.time)).unwrap_or_default();
                    let known = if self.report.proves_snapshots() {
                        "whole snapshot"
                    } else {
                        "snapshot without known damage"
                    };
                    writeln!(out, "  {}: newest {known} {id} of {time}", escape(source))?;
                }
                None => writeln!(out, "  {}: no whole snapshot; parts can be restored", escape(source))?,
            }
        }
        for snapshot in damaged.iter().rev().take(PATHS) {
            let (id, time, lost) = (&snapshot.id, words::when(snapshot.time), snapshot.damaged_paths);
            let lost = counted(lost, "path");
            writeln!(out, "  {id} of {time}: everything but {lost}")?;
        }
        Ok(())
    }

    fn write_advice(&self, out: &mut String) -> std::fmt::Result {
        let advice = words::advice(self.report);
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
    let groups = Damage::grouped(items);
    for group in groups.iter().take(ITEMS) {
        let mut more = Vec::new();
        if group.count > 1 {
            more.push(format!("{} more of this blob", group.count - 1));
        }
        if !group.paths.is_empty() {
            more.push(counted(group.paths.len() as u64, "path"));
        }
        let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
        writeln!(out, "  {}: {}{more}", group.first.code, escape(&group.first.detail))?;
    }
    if groups.len() > ITEMS {
        writeln!(out, "  … and {} more; --json lists them", groups.len() - ITEMS)?;
    }
    Ok(())
}
