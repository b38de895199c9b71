//! `rokopia find`: files that match a pattern, in one or all snapshots.

mod versions;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use serde::Serialize;

use crate::content::Contents;
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::filter::{AttributeArgs, Pattern, Wanted};
use crate::front::cli::listing::{Attributes, Line};
use crate::front::cli::open_repository::OpenRepository;
use crate::front::cli::output::{Output, escape, shell_word, short_id};
use crate::front::cli::progress::{Activity, Unit};
use crate::front::cli::tree::{Troubles, each, locate};
use crate::front::cli::units::{human_size, table_time};
use crate::snapshot::{DirEntry, Snapshot, Source, Tree, UtcTimestamp};
use versions::Versions;

/// Versions remembered so that the same one is not printed again: some 32 MiB.
const MAX_REMEMBERED: usize = 1 << 20;

/// Find files by name, in one snapshot or in all
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "rokopia find [OPTIONS] [REF] [PATTERN]",
    after_help = "\
A pattern without a slash matches names anywhere. One with a slash matches whole paths: `*` within one name, `**` across \
directories. A pattern that begins with the path of a source, such as /srv/data/etc/*, matches in that source.

Each line begins with a reference that `rokopia cat` and `rokopia restore` take. A file that is the same in several \
snapshots of a source is shown once, in the newest; --every and --json show all. With --all, each version of a file has \
one line, with the times of the oldest and the newest complete snapshot that has it.

Examples:
  rokopia find '*.conf'                          in all snapshots
  rokopia find latest 'etc/**/*.conf'
  rokopia find --all 'invoice*.pdf'
  rokopia find -i --type f --newer 7d '*report*'
  rokopia find -0 --larger 1GB '*' | xargs -0 -n1 rokopia ls -l"
)]
pub(in crate::front::cli) struct Args {
    /// The snapshot to search (without REF, all snapshots), and the pattern
    #[arg(value_names = ["REF> <PATTERN"], num_args = 1..=2, required = true)]
    arguments: Vec<String>,

    /// Ignore the case of letters
    #[arg(short, long)]
    ignore_case: bool,

    /// Show a file in every snapshot that has it
    #[arg(long)]
    every: bool,

    /// Show each version of a file, with the times of the first and the last complete snapshot that has it
    #[arg(long, conflicts_with_all = ["every", "null"])]
    all: bool,

    /// Print only references, each followed by a NUL byte, for `xargs -0`
    #[arg(short = '0', long, conflicts_with = "json")]
    null: bool,

    #[command(flatten)]
    attributes: AttributeArgs,
}

#[derive(Serialize)]
struct Match<'a> {
    snapshot: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<UtcTimestamp>,
    #[serde(flatten)]
    line: Line<'a>,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let (reference, asked) = match self.arguments.as_slice() {
            [pattern] => (None, pattern),
            [reference, pattern] => (Some(reference), pattern),
            _ => return Err(Failure::wrong_usage("find takes a pattern, and a reference before it")),
        };
        let pattern = Pattern::parse("PATTERN", asked, self.ignore_case)?;
        let wanted = self.attributes.wanted()?;
        let mut repo = OpenRepository::open_for_contents(context)?;
        let found = reference.map(|reference| repo.find(reference)).transpose()?;
        let contents = repo.contents()?;
        let form = match (context.json, self.null) {
            (true, _) => Form::Json,
            (_, true) => Form::Null,
            _ => Form::Text,
        };
        let total = match &found {
            Some(found) if !found.path.is_empty() => None,
            Some(found) => found.snapshot().and_then(entries),
            // Of a snapshot without a summary nothing is known, so neither of all.
            None => repo.snapshots.all().iter().map(|snapshot| entries(snapshot)).sum(),
        };
        let mut search = Search {
            pattern,
            wanted,
            form,
            digits: repo.snapshots.unique_digits(),
            out: Output::new(),
            troubles: Troubles::default(),
            activity: Activity::new(context, Unit::Things("entry/entries"), total),
            matches: 0,
            seen: (!self.every && !self.all && !context.json && reference.is_none()).then(Seen::default),
            versions: self.all.then(Versions::default),
        };
        if self.all && reference.is_some() {
            return Err(Failure::wrong_usage("--all looks into all snapshots: leave REF out"));
        }
        let exit = match (reference, found) {
            (Some(reference), Some(found)) => {
                let (tree, _) = locate(&mut repo, &contents, reference, &found)?;
                search.through(&tree, &found.path, &found.root.to_string(), found.snapshot())?;
                Exit::Done
            }
            _ if self.all => {
                for (source, group) in repo.snapshots.groups() {
                    let complete = group.iter().rev().filter(|snapshot| snapshot.is_complete());
                    let mut newest = None;
                    for snapshot in complete {
                        newest.get_or_insert(snapshot.start_time);
                        search.snapshot(&contents, snapshot)?;
                    }
                    if let (Some(versions), Some(newest)) = (&mut search.versions, newest) {
                        versions.print(source, newest, search.digits, context.json, &mut search.out)?;
                    }
                }
                repo.conclude("matches", search.matches == 0, &[], |_| true)?
            }
            _ => {
                let snapshots = match context.json {
                    true => repo.snapshots.all().into_iter().collect(),
                    false => by_source(&repo),
                };
                let mut source: Option<&Source> = None;
                for snapshot in &snapshots {
                    if source != Some(&snapshot.source) {
                        // What was seen in another source says nothing.
                        search.seen.iter_mut().for_each(|seen| seen.versions.clear());
                        source = Some(&snapshot.source);
                    }
                    search.snapshot(&contents, snapshot)?;
                }
                repo.conclude("matches", search.matches == 0, &[], |_| true)?
            }
        };
        drop(search.activity);
        search.out.finish()?;
        if search.matches == 0 && !context.json {
            match asked.contains(['*', '?', '[', '{', '/']) {
                true => tracing::info!("no matches"),
                false => tracing::info!("no matches; '*{asked}*' matches a part of a name as well"),
            }
        }
        Ok(search.troubles.exit(exit))
    }
}

/// How many entries a snapshot has by its summary.
fn entries(snapshot: &Snapshot) -> Option<u64> {
    let summary = snapshot.summary()?;
    let count = summary.files.checked_add(summary.dirs)?.checked_add(summary.symlinks)?;
    u64::try_from(count).ok()
}

/// All snapshots, grouped by source, the newest of each first.
fn by_source(repo: &OpenRepository) -> Vec<std::sync::Arc<Snapshot>> {
    repo.snapshots.groups().into_iter().flat_map(|(_, group)| group.into_iter().rev()).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Null,
}

/// Names versions of files by hashes, with keys that nobody else knows.
#[derive(Default)]
struct Versioned(RandomState, RandomState);

impl Versioned {
    fn of(&self, path: &str, entry: &DirEntry) -> (u64, u64) {
        let version = (path, entry.object, entry.mtime.as_nanos(), entry.kind, entry.mode);
        (self.0.hash_one(version), self.1.hash_one(version))
    }
}

/// The versions of files that were printed.
#[derive(Default)]
struct Seen {
    key: Versioned,
    versions: HashSet<(u64, u64)>,
}

impl Seen {
    /// Whether this version was not there before.
    fn is_new(&mut self, path: &str, entry: &DirEntry) -> bool {
        let hashes = self.key.of(path, entry);
        if self.versions.contains(&hashes) {
            return false;
        }
        if self.versions.len() < MAX_REMEMBERED {
            self.versions.insert(hashes);
        }
        true
    }
}

struct Search {
    pattern: Pattern,
    wanted: Wanted,
    form: Form,
    /// Digits of an ID that tell snapshots apart.
    digits: usize,
    out: Output,
    troubles: Troubles,
    activity: Activity,
    matches: u64,
    /// The versions shown of the source at hand; `None` where all are shown.
    seen: Option<Seen>,
    /// Those of the source at hand, over time; `None` where that was not asked for.
    versions: Option<Versions>,
}

impl Search {
    fn snapshot(&mut self, contents: &Contents, snapshot: &Snapshot) -> Result<(), Failure> {
        match Tree::of_snapshot(contents, snapshot) {
            Ok(tree) => return self.through(&tree, "", snapshot.id.as_str(), Some(snapshot)),
            Err(error) => self.troubles.add(&error),
        }
        Ok(())
    }

    /// Prints what matches below `base`.
    fn through(
        &mut self,
        tree: &Tree<'_>,
        base: &str,
        id: &str,
        snapshot: Option<&Snapshot>,
    ) -> Result<(), Failure> {
        let Self { pattern, wanted, form, digits, out, troubles, activity, matches, seen, versions } = self;
        let top = snapshot.map_or("", |snapshot| snapshot.source.path.as_str());
        let time = snapshot.map(|snapshot| snapshot.start_time);
        let mut named = false;
        each(tree, base, true, troubles, |path, entry, troubles| {
            activity.step();
            if !pattern.matches(path, top) || !wanted.takes(entry) {
                return Ok(());
            }
            if seen.as_mut().is_some_and(|seen| !seen.is_new(path, entry)) {
                return Ok(());
            }
            if let (Some(versions), Some(snapshot)) = (versions.as_mut(), snapshot) {
                let json = *form == Form::Json;
                let attributes = || json.then(|| Attributes::new(tree, path, entry, true, troubles));
                *matches += u64::from(versions.add(path, entry, snapshot, attributes)?);
                return Ok(());
            }
            *matches += 1;
            let line = Line::new(tree, path, entry, *form == Form::Json, troubles);
            let joined = [base, path].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>();
            let reference = format!("{}/{}", short_id(id, *digits), joined.join("/"));
            activity.aside(|| match form {
                Form::Json => out.json(&Match { snapshot: id, time, line }),
                Form::Null => out.bytes(reference.as_bytes()).and_then(|()| out.bytes(b"\0")),
                Form::Text => {
                    if !std::mem::replace(&mut named, true)
                        && let Some(snapshot) = snapshot
                    {
                        let blank = if *matches > 1 { "\n" } else { "" };
                        let (source, time) = (snapshot.source.to_string(), table_time(snapshot.start_time));
                        out.line(format!("{blank}{}, snapshot of {time}", escape(&source)))?;
                    }
                    let size = if entry.is_directory() { "-".into() } else { human_size(entry.size) };
                    let mtime = table_time(entry.mtime);
                    out.line(format!("{}  {size}  {mtime}", shell_word(&reference)))
                }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_seen_once() {
        let mut seen = Seen::default();
        let entry = |nanos| DirEntry { mtime: UtcTimestamp(nanos), ..DirEntry::default() };
        assert!(seen.is_new("a", &entry(1)) && seen.is_new("a", &entry(2)) && seen.is_new("b", &entry(1)));
        assert!(!seen.is_new("a", &entry(1)));
    }
}
