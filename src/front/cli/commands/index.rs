//! `rokopia index`: the index blobs and which of them count.

use std::collections::HashSet;

use serde::Serialize;

use crate::blob::{BlobKind, BlobMetadata, list_kinds};
use crate::front::cli::context::Context;
use crate::front::cli::doubts::Doubts;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::output::{Output, Table};
use crate::front::cli::units::{human_size, human_time};
use crate::index::IndexReader;
use crate::snapshot::UtcTimestamp;
use crate::{Error, Reason};

/// List the index blobs, and which of them are in use
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rokopia index              all index blobs
  rokopia index --entries    with the number of contents and packs in each
  rokopia index --json | jq -r 'select(.state == \"active\").id'")]
pub(in crate::front::cli) struct Args {
    /// Read the index blobs in use and show how many contents and packs each names
    #[arg(long)]
    entries: bool,
}

#[derive(Serialize)]
struct Line {
    id: String,
    length: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<UtcTimestamp>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packs: Option<usize>,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repository = context.repository()?;
        let (store, format) = (repository.store(), repository.format());
        let reader = IndexReader::new(store, format, repository.options().index);
        let set = reader.active().map_err(Error::from)?;
        let mut doubts = Doubts::new(context.degraded);
        for doubt in &set.doubts {
            doubts.add(doubt.into());
        }
        let chosen: HashSet<_> = set.blobs.iter().chain(&set.optional).map(|blob| &blob.id).collect();
        let kinds: &[BlobKind] =
            if format.epochs().enabled { &BlobKind::EPOCH_INDEXES } else { &[BlobKind::Index] };
        let mut lines = Vec::new();
        for blob in &set.blobs {
            let mut line = describe(blob, "active");
            if self.entries {
                match reader.fetch(&blob.id) {
                    Ok(index) => {
                        line.entries = Some(index.len());
                        line.packs = Some(index.packs().len());
                    }
                    Err(e) if context.degraded && e.is_damage() => {
                        doubts.add(Reason::new(e.code(), e.to_string()).of_blob(e.blob()));
                    }
                    Err(e) => return Err(Error::from(e).into()),
                }
            }
            lines.push(line);
        }
        lines.extend(set.optional.iter().map(|blob| describe(blob, "doubtful")));
        let all = list_kinds(store, kinds).map_err(Error::from)?;
        let rest = all.iter().filter(|blob| !chosen.contains(&blob.id));
        lines.extend(rest.map(|blob| describe(blob, "superseded")));
        lines.sort_by(|a, b| a.id.cmp(&b.id));

        let mut out = Output::new();
        let mut table = Table::new(&["NAME", "SIZE", "STATE", "ENTRIES", "MODIFIED"], &[1, 3]);
        for line in &lines {
            if context.json {
                out.json(line)?;
            } else {
                let entries = line.entries.map_or_else(|| "-".into(), |entries| entries.to_string());
                let time = line.timestamp.map_or_else(|| "-".into(), human_time);
                table.row([line.id.clone(), human_size(line.length), line.state.into(), entries, time]);
            }
        }
        if !context.json {
            table.print(&mut out)?;
        }
        out.finish()?;
        doubts.conclude("index blobs", lines.is_empty())
    }
}

fn describe(blob: &BlobMetadata, state: &'static str) -> Line {
    Line {
        id: blob.id.to_string(),
        length: blob.size,
        timestamp: blob.modified.map(UtcTimestamp::from),
        state,
        entries: None,
        packs: None,
    }
}
