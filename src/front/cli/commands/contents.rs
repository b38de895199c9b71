//! `rokopia contents`: what the index says is in the packs.

use crate::Error;
use crate::front::cli::context::Context;
use crate::front::cli::doubts::Doubts;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::output::Output;
use crate::front::cli::progress::Waiter;
use crate::front::rows::ContentRow;
use crate::index::Entry;

/// List the contents in the index
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rokopia contents --prefix k              directories
  rokopia contents --live --json           without those marked deleted
  rokopia contents --json | jq -s 'map(.length) | add'")]
pub(in crate::front::cli) struct Args {
    /// Only IDs that begin with this
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,

    /// Leave out contents that are marked deleted
    #[arg(long)]
    live: bool,

    /// Accepted for compatibility: deleted contents are always listed
    #[arg(long, hide = true, conflicts_with = "live")]
    deleted: bool,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repository = context.repository()?;
        let contents = Waiter::new(context).during(|| repository.contents())?;
        let index = contents.index();
        let mut doubts = Doubts::new(context.degraded);
        for doubt in index.doubts() {
            doubts.add(doubt.into());
        }
        let mut out = Output::new();
        let mut listed = 0_u64;
        for entry in index.iter().filter(|entry| !(self.live && entry.deleted)) {
            let id = entry.id.to_string();
            if !id.starts_with(&self.prefix) {
                continue;
            }
            listed += 1;
            let pack = index.pack(entry.pack).map_or("", |pack| pack.as_str());
            if context.json {
                out.json(&ContentRow::new(&entry, pack))?;
            } else {
                let Entry { offset, packed_length, original_length, .. } = entry;
                let deleted = if entry.deleted { " deleted" } else { "" };
                out.line(format!("{id} {original_length} {pack} {offset}+{packed_length}{deleted}"))?;
            }
        }
        index.check().map_err(Error::from)?;
        out.finish()?;
        doubts.conclude("contents", listed == 0)
    }
}
