//! `rokopia diff`: what differs between two snapshots.

use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;

use crate::front::cli::complete;
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::listing::{Attributes, short};
use crate::front::cli::output::Output;
use crate::front::cli::progress::Activity;
use crate::front::cli::session::Session;
use crate::front::cli::tree::{Troubles, locate};
use crate::snapshot::{Aspect, Diff, Difference};

/// Show what differs between two snapshots, directories or files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Lines begin with + (added), - (removed) or M (changed); what changed follows in brackets: type, content, mode, owner, \
mtime. A file counts as changed in content only if its bytes differ. Exit codes: 0 no difference; 1 differences.

Examples:
  rokopia diff latest~1 latest
  rokopia diff data-demo@apps:/data@2026-11-01 data-demo@apps:/data
  rokopia diff 3ef20a/etc c0bc0a/etc --json | jq -r .path")]
pub(in crate::front::cli) struct Args {
    /// Snapshot, source or object, and a path in it
    #[arg(value_name = "OLD", add = ArgValueCompleter::new(complete::references))]
    old: String,

    /// The same for what to compare it with
    #[arg(value_name = "NEW", add = ArgValueCompleter::new(complete::references))]
    new: String,
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

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut session = Session::open_for_contents(context)?;
        let (old, new) = (session.find(&self.old)?, session.find(&self.new)?);
        let contents = session.contents()?;
        let (old_tree, old_entry) = locate(&mut session, &contents, &self.old, &old)?;
        let (new_tree, new_entry) = locate(&mut session, &contents, &self.new, &new)?;
        let mut troubles = Troubles::default();
        let mut out = Output::new();
        let mut exit = Exit::Done;
        let mut activity = Activity::new(context, "differences");
        for item in Diff::new((&old_tree, old_entry), (&new_tree, new_entry)) {
            let found = match item {
                Ok(found) => found,
                Err(error) => {
                    troubles.add(&error);
                    continue;
                }
            };
            exit = Exit::Negative;
            activity.step();
            let Difference { path, old, new, aspects } = &found;
            if context.json {
                let mut shown = |tree, entry| Attributes::new(tree, path, entry, true, &mut troubles);
                let old = old.as_ref().map(|entry| shown(&old_tree, entry));
                let new = new.as_ref().map(|entry| shown(&new_tree, entry));
                let aspects = aspects.iter().copied().map(Aspect::as_str).collect();
                out.json(&Line { change: change(&found), path, aspects, old, new })?;
            } else {
                out.line(text(&found))?;
            }
        }
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
