//! `rokopia sources`: who was backed up.

use std::cmp::Reverse;

use clap::ValueEnum;

use crate::Suspect;
use crate::checker::SourceState;
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::open_repository::OpenRepository;
use crate::front::cli::output::{Output, Table};
use crate::front::cli::restic::Listed;
use crate::front::cli::units::{human_size, short_age, table_time};
use crate::front::rows::SourceRow;
use crate::snapshot::UtcTimestamp;

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

/// The sources, the snapshots that the lists lack, and how the list ends.
fn states(context: &Context) -> Result<(Vec<SourceState>, Vec<Suspect>, Exit), Failure> {
    if let Some(directory) = context.restic()? {
        let listed = Listed::open(&directory, context)?;
        let exit = listed.conclude("sources", listed.snapshots.is_empty())?;
        return Ok((listed.sources(), Vec::new(), exit));
    }
    let mut repo = OpenRepository::open(context)?;
    let lacking = repo.unlisted().snapshots().to_vec();
    let empty = repo.snapshots.all().is_empty();
    let exit = repo.conclude("sources", empty, &[], |_| true)?;
    Ok((SourceState::of_all(&repo.snapshots), lacking, exit))
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Sort {
    #[default]
    Name,
    /// The source without a new snapshot for the longest time first
    Age,
    /// The largest first
    Size,
    /// The source with the most snapshots first
    Snapshots,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let (states, lacking, exit) = states(context)?;
        let mut lines: Vec<_> = states.iter().map(|state| SourceRow::new(state, &lacking)).collect();
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
                    line.latest.map_or_else(|| "-".to_owned(), table_time),
                    line.latest.map_or_else(|| "-".to_owned(), |latest| short_age(latest, now)),
                    human_size(u64::try_from(line.size).unwrap_or(0)),
                    line.source.clone(),
                ]);
            }
            table.print(&mut out)?;
        }
        out.finish()?;
        Ok(exit)
    }
}
