//! `rokopia history`: when a path appeared, changed and vanished.

use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;

use crate::front::cli::complete;
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::open_repository::OpenRepository;
use crate::front::cli::output::{Output, Table, short_id};
use crate::front::cli::tree::Troubles;
use crate::front::cli::units::{human_size, table_time};
use crate::snapshot::history::{Change, History};
use crate::snapshot::{AskedSource, UtcTimestamp};

/// Show when a file or directory appeared, changed and vanished
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Goes through all complete snapshots of a source, the oldest first, and prints a line for each in which the path differs \
from the one before: appeared, changed (with what changed in brackets: type, content, mode, owner, mtime) or vanished. \
Sizes of \
directories are those of all files below.

The path is the same in all snapshots; a file that was renamed vanishes and appears under its new name. Exit codes: 0 it \
is or was there, 1 it was in no snapshot, 4 some snapshots could not be read.

Examples:
  rokopia history data-demo@apps:/data/etc/app.conf
  rokopia history latest/db --json | jq -r .time")]
pub(in crate::front::cli) struct Args {
    /// A snapshot or source, and a path in it
    #[arg(value_name = "REF/PATH", add = ArgValueCompleter::new(complete::references))]
    reference: String,
}

/// What became of the path in a snapshot.
#[derive(Serialize)]
struct Line<'a> {
    change: &'static str,
    snapshot: &'a str,
    time: UtcTimestamp,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aspects: Vec<&'static str>,
    /// Of what is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtime: Option<UtcTimestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
}

impl<'a> Line<'a> {
    fn new(Change { snapshot, kind, entry }: &'a Change) -> Self {
        let entry = entry.as_ref();
        Self {
            change: kind.as_str(),
            snapshot: snapshot.id.as_str(),
            time: snapshot.start_time,
            aspects: kind.aspects().iter().map(|aspect| aspect.as_str()).collect(),
            size: entry.map(|entry| entry.kopia_size_and_mtime().0),
            mtime: entry.map(|entry| entry.mtime),
            object: entry.and_then(|entry| Some(entry.object?.to_string())),
        }
    }
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut repo = OpenRepository::open_for_contents(context)?;
        let found = repo.find(&self.reference)?;
        let Some(named) = found.snapshot() else {
            return Err(Failure::wrong_usage("history takes a snapshot or source, not an object"));
        };
        let asked = AskedSource::from(named.found_as.clone());
        let snapshots = repo.snapshots.of(&named.found_as).complete();
        let contents = repo.contents()?;
        let mut troubles = Troubles::default();
        let mut changes = Vec::new();
        for change in History::new(&contents, snapshots.iter().cloned(), &found.path) {
            match change {
                Ok(change) => changes.push(change),
                Err(error) => troubles.add(&error),
            }
        }
        let lines: Vec<_> = changes.iter().map(Line::new).collect();
        let exit = repo.conclude("versions", false, std::slice::from_ref(&asked), |suspect| {
            suspect.scope.may_be(&asked)
        })?;
        if lines.is_empty() && exit == Exit::Done && troubles.exit(exit) == Exit::Done {
            let what = format!("no snapshot of {} has the path {:?}", named.found_as, found.path);
            return Err(Failure::new(Exit::Negative, "path-not-found", what).path(found.path.clone()));
        }
        print(&lines, repo.snapshots.unique_digits(), context)?;
        Ok(troubles.exit(exit))
    }
}

fn print(lines: &[Line<'_>], digits: usize, context: &Context) -> Result<(), Failure> {
    let mut out = Output::new();
    if context.json {
        for line in lines {
            out.json(line)?;
        }
        return out.finish();
    }
    let mut table = Table::new(&["SNAPSHOT", "TIME", "SIZE", "MODIFIED", "CHANGE"], &[2]);
    for line in lines {
        let changed = match line.aspects.as_slice() {
            [] => line.change.to_owned(),
            aspects => format!("{} ({})", line.change, aspects.join(", ")),
        };
        table.row([
            short_id(line.snapshot, digits).to_owned(),
            table_time(line.time),
            line.size.and_then(|size| u64::try_from(size).ok()).map_or_else(|| "-".to_owned(), human_size),
            line.mtime.map_or_else(|| "-".to_owned(), table_time),
            changed,
        ]);
    }
    table.print(&mut out)?;
    out.finish()
}
