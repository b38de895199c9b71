//! `rokopia diff`: what differs between two snapshots, or a directory and a snapshot.

mod comparison;
mod directory;

use clap::ValueEnum;
use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;

use crate::front::cli::complete;
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::filter::{Filter, FilterArgs};
use crate::front::cli::listing::{Attributes, short};
use crate::front::cli::open_repository::OpenRepository;
use crate::front::cli::output::Output;
use crate::front::cli::progress::{Activity, Unit};
use crate::front::cli::tree::{Troubles, locate};
use crate::snapshot::{Aspect, Diff, Difference};

/// Show what differs between two snapshots, or between a directory of this machine and a snapshot
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Lines begin with + (added), - (removed) or M (changed); what changed follows in brackets: type, content, mode, owner, \
mtime. A file counts as changed in content only if its bytes differ. Exit codes: 0 no difference; 1 differences; 4 no \
difference, but something could not be compared.

A path that begins with /, ./ or ../ and is a directory of this machine is compared with the snapshot: all bytes, owners, \
modes and times. If nothing differs, the command prints `identical`. If a source has the same path, write DIR/. for the \
directory. \
Sockets, pipes and devices, and lost+found at the top, are left out.

With filters, a difference counts if the old or the new entry passes all of them; the others change neither the output nor \
the exit code.

Examples:
  rokopia diff latest~1 latest
  rokopia diff data-demo@apps:/data@2026-11-01 data-demo@apps:/data
  rokopia diff 3ef20a/etc c0bc0a/etc --json | jq -r .path
  rokopia diff /mnt/restored data-demo@apps:/data
  rokopia diff --ignore owner ./restored latest
  rokopia diff latest~7 latest --type f --name '*.conf'")]
pub(in crate::front::cli) struct Args {
    /// Snapshot, source or object, and a path in it
    #[arg(value_name = "OLD", add = ArgValueCompleter::new(complete::references))]
    old: String,

    /// What to compare it with, named in the same way
    #[arg(value_name = "NEW", add = ArgValueCompleter::new(complete::references))]
    new: String,

    /// What may differ: mode, owner or mtime. May be given several times
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',')]
    ignore: Vec<Ignored>,

    #[command(flatten)]
    filters: FilterArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ignored {
    /// Permissions
    Mode,
    /// Numeric owner and group
    Owner,
    /// Modification times
    Mtime,
}

/// Which differences count.
struct Counted {
    /// What may differ.
    ignored: Vec<Aspect>,
    filter: Filter,
}

impl Counted {
    fn new(ignored: &[Ignored], filter: Filter) -> Self {
        let aspect = |ignored: &Ignored| match ignored {
            Ignored::Mode => Aspect::Mode,
            Ignored::Owner => Aspect::Owner,
            Ignored::Mtime => Aspect::Mtime,
        };
        Self { ignored: ignored.iter().map(aspect).collect(), filter }
    }

    /// The difference without what may differ; `None` where nothing else does, or the filters take neither side.
    fn leave_out(&self, mut found: Difference) -> Option<Difference> {
        if ![&found.old, &found.new].into_iter().flatten().any(|side| self.filter.takes(&found.path, side)) {
            return None;
        }
        let had = !found.aspects.is_empty();
        found.aspects.retain(|aspect| !self.ignored.contains(aspect));
        (!had || !found.aspects.is_empty()).then_some(found)
    }
}

#[derive(Serialize)]
struct Line<'a> {
    change: &'static str,
    path: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aspects: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<Attributes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<Attributes>,
}

impl<'a> Line<'a> {
    fn new(found: &'a Difference, old: Option<Attributes>, new: Option<Attributes>) -> Self {
        let aspects = found.aspects.iter().copied().map(Aspect::as_str).collect();
        Self { change: change(found), path: &found.path, aspects, old, new }
    }
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let paths = [&self.old, &self.new].map(Into::into);
        let mut repo = OpenRepository::open_for_contents(&context.reading(&paths))?;
        let counted = Counted::new(&self.ignore, self.filters.filter()?);
        let directories =
            (directory::named(&self.old, &repo.snapshots)?, directory::named(&self.new, &repo.snapshots)?);
        match directories {
            (Some(here), None) => return directory::run(&here, &self.new, false, &counted, repo, context),
            (None, Some(here)) => return directory::run(&here, &self.old, true, &counted, repo, context),
            (Some(_), Some(_)) => {
                return Err(Failure::wrong_usage(
                    "both are directories of this machine: one must be a snapshot",
                ));
            }
            (None, None) => {}
        }
        let old = repo.find(&self.old).map_err(|failure| directory::meant(&self.old, failure))?;
        let new = repo.find(&self.new).map_err(|failure| directory::meant(&self.new, failure))?;
        let contents = repo.contents()?;
        let (old_tree, old_entry) = locate(&mut repo, &contents, &self.old, &old)?;
        let (new_tree, new_entry) = locate(&mut repo, &contents, &self.new, &new)?;
        let mut troubles = Troubles::default();
        let mut out = Output::new();
        let mut exit = Exit::Done;
        let mut activity = Activity::new(context, Unit::Things("difference"), None);
        for item in Diff::new((&old_tree, old_entry), (&new_tree, new_entry)) {
            let found = match item {
                Ok(found) => found,
                Err(error) => {
                    troubles.add(&error);
                    continue;
                }
            };
            let Some(found) = counted.leave_out(found) else { continue };
            exit = Exit::Negative;
            activity.step();
            let Difference { path, old, new, .. } = &found;
            if context.json {
                let mut shown = |tree, entry| Attributes::new(tree, path, entry, true, &mut troubles);
                let old = old.as_ref().map(|entry| shown(&old_tree, entry));
                let new = new.as_ref().map(|entry| shown(&new_tree, entry));
                activity.aside(|| out.json(&Line::new(&found, old, new)))?;
            } else {
                activity.aside(|| out.line(text(&found)))?;
            }
        }
        drop(activity);
        out.finish()?;
        Ok(troubles.exit(exit))
    }
}

fn change(found: &Difference) -> &'static str {
    match found {
        Difference { old: None, .. } => "added",
        Difference { new: None, .. } => "removed",
        Difference { .. } => "changed",
    }
}

fn text(found: &Difference) -> String {
    let sign = match change(found) {
        "added" => '+',
        "removed" => '-',
        _ => 'M',
    };
    let kind = found.new.as_ref().or(found.old.as_ref()).map_or_else(Default::default, |entry| entry.kind);
    let path = if found.path.is_empty() { "." } else { &found.path };
    let aspects: Vec<_> = found.aspects.iter().copied().map(Aspect::as_str).collect();
    let changed = if aspects.is_empty() { String::new() } else { format!(" ({})", aspects.join(", ")) };
    format!("{sign} {}{changed}", short(path, kind))
}
