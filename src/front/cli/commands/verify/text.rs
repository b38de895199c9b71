//! The report as text, for somebody who is tired.

use std::fmt::Write as _;

use super::words::{self, Words};
use crate::front::cli::output::escape;
use crate::text::counted;
use crate::verify::{Damage, Report, SnapshotState};

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
                "\nError correction mended {blobs} on the way to us; what is on the disk is still wrong."
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
            more.push(counted(group.paths.len(), "path"));
        }
        let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
        writeln!(out, "  {}: {}{more}", group.first.code, escape(&group.first.detail))?;
    }
    if groups.len() > ITEMS {
        writeln!(out, "  … and {} more; --json lists them", groups.len() - ITEMS)?;
    }
    Ok(())
}
