//! `rokopia sources`: who was backed up.

use serde::Serialize;

use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::output::{Output, Table};
use crate::front::cli::session::Session;
use crate::front::cli::units::{human_size, human_time};
use crate::snapshot::UtcTimestamp;

/// List the sources: one line each, with count, newest, oldest and size
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Count, newest and oldest include incomplete snapshots; the size is that of the newest complete one.

Examples:
  rokopia sources
  rokopia sources --json | jq -r '.[] | select(.snapshots < 3) | .path'")]
pub(in crate::front::cli) struct Args {}

#[derive(Serialize)]
struct Line<'a> {
    user: &'a str,
    host: &'a str,
    path: &'a str,
    snapshots: usize,
    latest: UtcTimestamp,
    oldest: UtcTimestamp,
    size: i64,
    /// Snapshots that are not among these, because an index blob is lost.
    #[serde(skip_serializing_if = "is_zero")]
    unlisted: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut session = Session::open(context)?;
        let lacking = session.unlisted().snapshots().to_vec();
        let empty = session.snapshots.all().is_empty();
        let exit = session.conclude("sources", empty, &[], |_| true)?;
        let mut lines = Vec::new();
        for (source, snapshots) in session.snapshots.groups() {
            let (Some(oldest), Some(latest)) = (snapshots.first(), snapshots.last()) else { continue };
            let sized = snapshots.iter().rev().find(|s| s.is_complete()).unwrap_or(latest);
            let size = sized.root.as_ref().map_or(0, |root| root.kopia_size_and_mtime().0);
            lines.push(Line {
                user: &source.user,
                host: &source.host,
                path: &source.path,
                snapshots: snapshots.len(),
                latest: latest.start_time,
                oldest: oldest.start_time,
                size,
                unlisted: lacking.iter().filter(|suspect| suspect.scope.concerns(source)).count(),
            });
        }
        let mut out = Output::new();
        if context.json {
            out.json_array(&lines)?;
        } else {
            let mut table = Table::new(&["SOURCE", "SNAPSHOTS", "NEWEST", "OLDEST", "SIZE"], &[1, 4]);
            for line in &lines {
                table.row([
                    format!("{}@{}:{}", line.user, line.host, line.path),
                    line.snapshots.to_string(),
                    human_time(line.latest),
                    human_time(line.oldest),
                    human_size(u64::try_from(line.size).unwrap_or(0)),
                ]);
            }
            table.print(&mut out)?;
        }
        out.finish()?;
        Ok(exit)
    }
}
