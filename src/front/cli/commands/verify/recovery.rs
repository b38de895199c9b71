//! `verify --recover-index`: what the packs know without their index blobs.

use super::words::when;
use crate::Repository;
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::output::{Output, Table, escape};
use crate::verify::{RecoveryReport, recover_index};

pub(super) fn run(repository: &Repository, context: &Context) -> Result<Exit, Failure> {
    let (report, _) =
        recover_index(repository).map_err(|e| Failure::from(e).during("reading what packs say"))?;
    let mut out = Output::new();
    if context.json {
        out.json(&report)?;
    } else {
        print(&report, &mut out)?;
    }
    out.finish()?;
    Ok(if report.regained > 0 { Exit::Negative } else { Exit::Done })
}

fn print(report: &RecoveryReport, out: &mut Output) -> Result<(), Failure> {
    let RecoveryReport { packs, indexed, regained, unreadable, snapshots } = report;
    out.line(format!(
        "{packs} packs were asked. The index blobs name {indexed} contents; the packs know {regained} more."
    ))?;
    for why in unreadable {
        out.line(format!("Not asked: {}", escape(why)))?;
    }
    let mut table = Table::new(&["snapshot", "source", "time", "state"], &[]);
    for snapshot in snapshots {
        let state = &snapshot.state;
        let lost =
            if state.whole { "whole".to_owned() } else { format!("{} paths lost", state.damaged_paths) };
        let regained =
            if snapshot.regained { ", only the packs know it (it may have been deleted)" } else { "" };
        table.row([state.id.clone(), state.source.clone(), when(state.time), lost + regained]);
    }
    table.print(out)?;
    if *regained > 0 {
        out.line("`rokopia restore --use-recovered-index` restores with what the packs know.")?;
    }
    Ok(())
}
