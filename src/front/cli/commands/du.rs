//! `rokopia du`: what takes space in a snapshot, and what each snapshot added.

use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;

use crate::content::Contents;
use crate::front::cli::complete;
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::listing::short;
use crate::front::cli::open_repository::{Found, OpenRepository};
use crate::front::cli::output::{Output, Table, short_id};
use crate::front::cli::progress::{Activity, Unit};
use crate::front::cli::tree::{Troubles, locate};
use crate::front::cli::units::{human_size, table_time};
use crate::snapshot::{AskedSource, Aspect, Diff, Difference, DirEntry, EntryType, Tree, UtcTimestamp};

/// Show how large the directories of a snapshot are, or what is new in each snapshot
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Sizes are those of the files, as `ls` shows them; the repository needs less, because it stores equal data once and \
compresses it.

With --new, one line for each complete snapshot of the source, the oldest first: the files that were added, changed and \
removed since the one before, and the bytes of those that were added or changed.

Examples:
  rokopia du data-demo@apps:/data
  rokopia du -d 3 latest/var --json | jq -s 'sort_by(.size) | last'
  rokopia du --new data-demo@apps:/data")]
pub(in crate::front::cli) struct Args {
    /// A snapshot, source or object, and a path in it
    #[arg(value_name = "REF", add = ArgValueCompleter::new(complete::references))]
    reference: String,

    /// Levels of directories to show
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    depth: usize,

    /// Show what is new in each snapshot of the source
    #[arg(long, conflicts_with = "depth")]
    new: bool,
}

/// A directory, or what was given.
#[derive(Serialize)]
struct Size<'a> {
    path: &'a str,
    size: u64,
    files: u64,
}

/// What a snapshot added.
#[derive(Serialize, Default)]
struct New {
    snapshot: String,
    time: UtcTimestamp,
    added: u64,
    changed: u64,
    removed: u64,
    /// Bytes of the files that were added or changed.
    bytes: u64,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut repo = OpenRepository::open_for_contents(context)?;
        let found = repo.find(&self.reference)?;
        let contents = repo.contents()?;
        if self.new {
            return what_is_new(&mut repo, &contents, &found, context);
        }
        let (tree, entry) = locate(&mut repo, &contents, &self.reference, &found)?;
        let mut troubles = Troubles::default();
        let mut sizes = Sizes { found: Vec::new(), depth: self.depth, troubles: &mut troubles };
        sizes.measure(&tree, &found.path, &entry)?;
        let mut out = Output::new();
        for (path, kind, totals) in sizes.found {
            if context.json {
                out.json(&Size { path: &path, size: totals.size, files: totals.files })?;
            } else {
                let shown = if path.is_empty() { "." } else { &path };
                out.line(format!("{:>10}  {}", human_size(totals.size), short(shown, kind)))?;
            }
        }
        out.finish()?;
        Ok(troubles.exit(Exit::Done))
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    size: u64,
    files: u64,
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.size = self.size.saturating_add(other.size);
        self.files = self.files.saturating_add(other.files);
    }
}

/// The directories that are shown, each after those below it.
struct Sizes<'t> {
    found: Vec<(String, EntryType, Totals)>,
    depth: usize,
    troubles: &'t mut Troubles,
}

/// A directory on the way, and what was counted in it.
struct Open {
    path: String,
    depth: usize,
    totals: Totals,
}

impl Sizes<'_> {
    /// Totals that clients wrote are taken for directories that are not shown; all else is counted.
    fn measure(&mut self, tree: &Tree<'_>, path: &str, entry: &DirEntry) -> Result<(), Failure> {
        if !entry.is_directory() {
            self.found.push((path.to_owned(), entry.kind, own(entry)));
            return Ok(());
        }
        let mut open: Vec<Open> = Vec::new();
        let mut walk = tree.walk(path).map_err(crate::front::cli::tree::from)?;
        while let Some(item) = walk.next() {
            let found = match item {
                Ok(found) => found,
                Err(error) => {
                    self.troubles.add(&error);
                    continue;
                }
            };
            while open.last().is_some_and(|open| open.depth >= found.depth) {
                self.close(&mut open);
            }
            if !found.entry.is_directory() {
                if let Some(above) = open.last_mut() {
                    above.totals.add(own(&found.entry));
                }
                continue;
            }
            if found.depth > self.depth
                && let Some(totals) = written(&found.entry)
            {
                walk.skip_directory();
                if let Some(above) = open.last_mut() {
                    above.totals.add(totals);
                }
                continue;
            }
            open.push(Open { path: found.path, depth: found.depth, totals: Totals::default() });
        }
        while !open.is_empty() {
            self.close(&mut open);
        }
        Ok(())
    }

    fn close(&mut self, open: &mut Vec<Open>) {
        let Some(done) = open.pop() else { return };
        if let Some(above) = open.last_mut() {
            above.totals.add(done.totals);
        }
        if done.depth <= self.depth {
            self.found.push((done.path, EntryType::Directory, done.totals));
        }
    }
}

/// What an entry that is no directory counts.
fn own(entry: &DirEntry) -> Totals {
    match entry.kind {
        EntryType::File => Totals { size: entry.size, files: 1 },
        _ => Totals::default(),
    }
}

/// The totals that the client wrote into a directory's entry.
fn written(entry: &DirEntry) -> Option<Totals> {
    let summary = entry.summary.as_ref()?;
    Some(Totals { size: u64::try_from(summary.size).ok()?, files: u64::try_from(summary.files).ok()? })
}

fn what_is_new(
    repo: &mut OpenRepository,
    contents: &Contents,
    found: &Found,
    context: &Context,
) -> Result<Exit, Failure> {
    let Some(named) = found.snapshot() else {
        return Err(Failure::wrong_usage("--new takes a source or a snapshot of it, not an object"));
    };
    let asked = AskedSource::from(named.found_as.clone());
    let snapshots = repo.snapshots.of(&named.found_as).complete();
    let mut troubles = Troubles::default();
    let mut activity = Activity::new(context, Unit::Things("difference"), None);
    let mut lines = Vec::new();
    let mut before: Option<Tree<'_>> = None;
    for snapshot in snapshots.iter() {
        let tree = match Tree::of_snapshot(contents, snapshot) {
            Ok(tree) => tree,
            Err(error) => {
                troubles.add(&error);
                continue;
            }
        };
        let (snapshot, time) = (snapshot.id.to_string(), snapshot.start_time);
        let mut new = New { snapshot, time, ..New::default() };
        match &before {
            None => new.count_all(&tree, &mut troubles)?,
            Some(old) => {
                for item in Diff::new((old, old.root().clone()), (&tree, tree.root().clone())) {
                    activity.step();
                    match item {
                        Ok(difference) => new.count(&difference),
                        Err(error) => troubles.add(&error),
                    }
                }
            }
        }
        lines.push(new);
        before = Some(tree);
    }
    drop(activity);
    let exit = repo.conclude("snapshots", lines.is_empty(), std::slice::from_ref(&asked), |suspect| {
        suspect.scope.may_be(&asked)
    })?;
    print_new(&lines, repo.snapshots.unique_digits(), context)?;
    Ok(troubles.exit(exit))
}

impl New {
    fn count_all(&mut self, tree: &Tree<'_>, troubles: &mut Troubles) -> Result<(), Failure> {
        let mut sizes = Sizes { found: Vec::new(), depth: 0, troubles };
        sizes.measure(tree, "", tree.root())?;
        for (_, _, totals) in sizes.found {
            self.added += totals.files;
            self.bytes += totals.size;
        }
        Ok(())
    }

    fn count(&mut self, difference: &Difference) {
        let is_file = |entry: &&DirEntry| entry.kind == EntryType::File;
        let old = difference.old.as_ref().filter(is_file);
        let new = difference.new.as_ref().filter(is_file);
        match (old, new) {
            (None, Some(new)) => {
                self.added += 1;
                self.bytes += new.size;
            }
            (Some(_), None) => self.removed += 1,
            (Some(_), Some(new)) if difference.aspects.contains(&Aspect::Content) => {
                self.changed += 1;
                self.bytes += new.size;
            }
            _ => {}
        }
    }
}

fn print_new(lines: &[New], digits: usize, context: &Context) -> Result<(), Failure> {
    let mut out = Output::new();
    if context.json {
        for line in lines {
            out.json(line)?;
        }
        return out.finish();
    }
    let heading = ["SNAPSHOT", "TIME", "ADDED", "CHANGED", "REMOVED", "NEW"];
    let mut table = Table::new(&heading, &[2, 3, 4, 5]);
    for line in lines {
        table.row([
            short_id(&line.snapshot, digits).to_owned(),
            table_time(line.time),
            line.added.to_string(),
            line.changed.to_string(),
            line.removed.to_string(),
            human_size(line.bytes),
        ]);
    }
    table.print(&mut out)?;
    out.finish()
}
