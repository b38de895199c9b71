//! `rokopia blobs`: what the storage holds.

use serde::Serialize;

use crate::Error;
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::output::{Output, Table};
use crate::front::cli::units::{human_size, human_time};
use crate::snapshot::UtcTimestamp;

/// List the blobs in the storage; needs no password
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rokopia blobs                    every blob, by name
  rokopia blobs --prefix q         packs of metadata
  rokopia blobs --json | jq .id")]
pub(in crate::front::cli) struct Args {
    /// Only names that begin with this
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    length: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<UtcTimestamp>,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut blobs = context.store()?.list(&self.prefix).map_err(Error::from)?;
        blobs.sort_by(|a, b| a.id.cmp(&b.id));
        let mut out = Output::new();
        let mut table = Table::new(&["NAME", "SIZE", "MODIFIED"], &[1]);
        for blob in &blobs {
            let timestamp = blob.modified.map(UtcTimestamp::from);
            if context.json {
                out.json(&Line { id: blob.id.as_str(), length: blob.size, timestamp })?;
            } else {
                let time = timestamp.map_or_else(|| "-".into(), human_time);
                table.row([blob.id.to_string(), human_size(blob.size), time]);
            }
        }
        if !context.json {
            table.print(&mut out)?;
        }
        out.finish()?;
        Ok(Exit::Done)
    }
}
