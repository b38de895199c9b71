//! `rokopia history`: when a path appeared, changed and vanished.

use std::sync::Arc;

use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;

use crate::front::cli::complete;
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::output::{Output, Table, short_id};
use crate::front::cli::session::Session;
use crate::front::cli::tree::Troubles;
use crate::front::cli::units::{human_size, table_time};
use crate::snapshot;
use crate::snapshot::{AskedSource, Aspect, Diff, DirEntry, Snapshot, Tree, UtcTimestamp};

/// Show when a file or directory appeared, changed and vanished
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Goes through all complete snapshots of a source, the oldest first, and prints a line where the path is not as in the one \
before: appeared, changed (with what changed in brackets: type, content, mode, owner, mtime) or vanished. Sizes of \
directories are those of all files below.

The path is the same in all snapshots; a file that was renamed vanishes and appears under its new name. Exit codes: 0 it \
is or was there, 1 it was in no snapshot, 4 some snapshots could not be looked into.

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

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut session = Session::open_for_contents(context)?;
        let found = session.find(&self.reference)?;
        let Some(named) = found.snapshot() else {
            return Err(Failure::wrong_usage("history takes a snapshot or source, not an object"));
        };
        let asked = AskedSource::from(named.found_as.clone());
        let snapshots = session.snapshots.of(&named.found_as).complete();
        let contents = session.contents()?;
        let mut troubles = Troubles::default();
        let mut lines = Vec::new();
        let mut before: Option<(Tree<'_>, DirEntry)> = None;
        for snapshot in snapshots.iter() {
            match state(&contents, snapshot, &found.path) {
                Ok(now) => {
                    lines.extend(change(snapshot, before.as_ref(), now.as_ref(), &mut troubles));
                    before = now;
                }
                // What was there before and is there after may be the same.
                Err(error) => troubles.add(&error),
            }
        }
        let exit = session.conclude("versions", false, std::slice::from_ref(&asked), |suspect| {
            suspect.scope.may_be(&asked)
        })?;
        if lines.is_empty() && exit == Exit::Done && troubles.exit(exit) == Exit::Done {
            let what = format!("no snapshot of {} has the path {:?}", named.found_as, found.path);
            return Err(Failure::new(Exit::Negative, "path-not-found", what).path(found.path.clone()));
        }
        print(&lines, session.snapshots.unique_digits(), context)?;
        Ok(troubles.exit(exit))
    }
}

/// What a snapshot has at the path. `None` where it certainly has nothing.
fn state<'a>(
    contents: &'a crate::content::Contents,
    snapshot: &Arc<Snapshot>,
    path: &str,
) -> Result<Option<(Tree<'a>, DirEntry)>, snapshot::Error> {
    let tree = Tree::of_snapshot(contents, snapshot)?;
    match tree.entry(path) {
        Ok(entry) => Ok(Some((tree, entry))),
        // A file in place of a directory above it: the path is not there either.
        Err(error) if error.is_not_found() || error.code() == "not-a-directory" => Ok(None),
        Err(error) => Err(error),
    }
}

fn change<'s>(
    snapshot: &'s Arc<Snapshot>,
    before: Option<&(Tree<'_>, DirEntry)>,
    now: Option<&(Tree<'_>, DirEntry)>,
    troubles: &mut Troubles,
) -> Option<Line<'s>> {
    let (change, aspects) = match (before, now) {
        (None, None) => return None,
        (None, Some(_)) => ("appeared", Vec::new()),
        (Some(_), None) => ("vanished", Vec::new()),
        (Some(old), Some(new)) => {
            let aspects = aspects(old, new).unwrap_or_else(|error| {
                troubles.add(&error);
                vec![Aspect::Content]
            });
            if aspects.is_empty() {
                return None;
            }
            ("changed", aspects)
        }
    };
    let entry = now.map(|(_, entry)| entry);
    Some(Line {
        change,
        snapshot: snapshot.id.as_str(),
        time: snapshot.start_time,
        aspects: aspects.into_iter().map(Aspect::as_str).collect(),
        size: entry.map(|entry| entry.kopia_size_and_mtime().0),
        mtime: entry.map(|entry| entry.mtime),
        object: entry.and_then(|entry| Some(entry.object?.to_string())),
    })
}

/// The differences of the path itself. A directory has other content where anything below it is not the same.
fn aspects(old: &(Tree<'_>, DirEntry), new: &(Tree<'_>, DirEntry)) -> Result<Vec<Aspect>, snapshot::Error> {
    let mut aspects = Vec::new();
    for difference in Diff::new((&old.0, old.1.clone()), (&new.0, new.1.clone())) {
        let difference = difference?;
        if difference.path.is_empty() {
            aspects = difference.aspects;
        } else {
            aspects.push(Aspect::Content);
            break;
        }
    }
    Ok(aspects)
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
