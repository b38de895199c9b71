//! `rokopia ls`: entries of a snapshot.

use clap_complete::engine::ArgValueCompleter;

use crate::front::cli::complete;
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::filter::FilterArgs;
use crate::front::cli::listing::Line;
use crate::front::cli::output::Output;
use crate::front::cli::tree::{Place, Troubles, at, each};
use crate::front::cli::usage;

/// List a directory of a snapshot
#[derive(Debug, clap::Args)]
#[command(
    disable_help_flag = true,
    after_help = "\
Examples:
  rokopia ls latest
  rokopia ls -l data-demo@apps:/data/etc
  rokopia ls -R latest --type f --larger 1GB
  rokopia ls -R latest --name '*.conf' --newer 7d"
)]
pub(in crate::front::cli) struct Args {
    /// Snapshot, source or object, and a path in it
    #[arg(value_name = "REF", add = ArgValueCompleter::new(complete::references))]
    reference: Option<String>,

    /// Show mode, owner, size and time
    #[arg(short, long)]
    long: bool,

    /// Accepted as in `ls`: names that begin with a dot are always listed
    #[arg(short, long)]
    all: bool,

    /// Accepted as in `ls`: sizes always have units. Without a snapshot, print help
    #[arg(short = 'h', long)]
    human_readable: bool,

    /// Print help
    #[arg(long, action = clap::ArgAction::HelpLong)]
    help: Option<bool>,

    /// Go into directories
    #[arg(short = 'R', long)]
    recursive: bool,

    #[command(flatten)]
    filters: FilterArgs,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match &self.reference {
            Some(reference) => at(context, reference, |place| self.list(context, place)),
            None if self.human_readable => usage::print_help("ls"),
            None => Err(Failure::wrong_usage("missing: <REF>")),
        }
    }

    fn list(&self, context: &Context, Place { tree, found, .. }: &Place<'_>) -> Result<Exit, Failure> {
        let filter = self.filters.filter()?;
        let mut out = Output::new();
        let mut troubles = Troubles::default();
        let with_target = context.json || self.long;
        each(tree, &found.path, self.recursive, &mut troubles, |path, entry, troubles| {
            if !filter.takes(path, entry) {
                return Ok(());
            }
            let line = Line::new(tree, path, entry, with_target, troubles);
            if context.json {
                out.json(&line)
            } else if self.long {
                out.line(line.long())
            } else {
                out.line(line.short())
            }
        })?;
        out.finish()?;
        Ok(troubles.exit(Exit::Done))
    }
}
