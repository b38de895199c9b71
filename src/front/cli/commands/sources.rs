//! `rokopia sources`: who was backed up.

use std::cmp::Reverse;

use clap::ValueEnum;
use serde::Serialize;

use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::output::{Output, Table};
use crate::front::cli::session::Session;
use crate::front::cli::units::{human_size, short_age, table_time};
use crate::snapshot::{Source, UtcTimestamp};

/// List the sources: what was backed up, how often and when last
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Count, newest and oldest include incomplete snapshots; the size is that of the newest complete one.

Examples:
  rokopia sources
  rokopia sources --sort age    those without a recent snapshot first
  rokopia sources --json | jq -r '.[] | select(.snapshots < 3) | .path'")]
pub(in crate::front::cli) struct Args {
    /// Order of the sources
    #[arg(long, value_enum, default_value_t, value_name = "BY")]
    sort: Sort,

    /// Only the first N sources in that order
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Sort {
    #[default]
    Name,
    /// The source whose newest snapshot is oldest first
    Age,
    /// The largest first
    Size,
    /// The source with the most snapshots first
    Snapshots,
}

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
        match self.sort {
            Sort::Name => {}
            Sort::Age => lines.sort_by_key(|line| line.latest),
            Sort::Size => lines.sort_by_key(|line| Reverse(line.size)),
            Sort::Snapshots => lines.sort_by_key(|line| Reverse(line.snapshots)),
        }
        lines.truncate(self.limit.unwrap_or(usize::MAX));
        let mut out = Output::new();
        if context.json {
            out.json_array(&lines)?;
        } else {
            let now = UtcTimestamp::now();
            let mut table = Table::new(&["SNAPSHOTS", "NEWEST", "AGE", "SIZE", "SOURCE"], &[0, 2, 3]);
            for line in &lines {
                table.row([
                    line.snapshots.to_string(),
                    table_time(line.latest),
                    short_age(line.latest, now),
                    human_size(u64::try_from(line.size).unwrap_or(0)),
                    Source::new(line.user, line.host, line.path).to_string(),
                ]);
            }
            table.print(&mut out)?;
        }
        out.finish()?;
        Ok(exit)
    }
}
