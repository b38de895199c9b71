//! `rokopia contents`: what the index says is in the packs.

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::doubts::Doubts;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::index::Entry;

/// List the contents that the index names, those marked deleted included
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rokopia contents --prefix k              directories
  rokopia contents --live --json           without those marked deleted
  rokopia contents --json | jq -s 'map(.length) | add'")]
pub(in crate::cli) struct Args {
    /// Only IDs that begin with this
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,

    /// Leave out contents that are marked deleted
    #[arg(long)]
    live: bool,

    /// What Kopia's option of this name does is what is always done
    #[arg(long, hide = true, conflicts_with = "live")]
    deleted: bool,
}

/// Fields and names of `kopia content list --json`, which leaves out zeros here and there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    pack_file: &'a str,
    time: u64,
    original_length: u32,
    length: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pack_offset: u32,
    #[serde(skip_serializing_if = "is_zero")]
    compression: u32,
    #[serde(rename = "contentID")]
    content_id: String,
    deleted: bool,
    format_version: u8,
    #[serde(rename = "encryptionKeyID", skip_serializing_if = "is_zero")]
    encryption_key_id: u8,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Args {
    pub(in crate::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let contents = context.repository()?.contents()?;
        let index = contents.index();
        let mut doubts = Doubts::new(context.degraded);
        for doubt in index.doubts() {
            doubts.add(doubt, doubt.blob());
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
                out.json(&line(&entry, id, pack))?;
            } else {
                let Entry { offset, packed_length, original_length, .. } = entry;
                let deleted = if entry.deleted { " deleted" } else { "" };
                out.line(format!("{id} {original_length} {pack} {offset}+{packed_length}{deleted}"))?;
            }
        }
        out.finish()?;
        doubts.conclude("contents", listed == 0)
    }
}

fn line<'a>(entry: &Entry, id: String, pack: &'a str) -> Line<'a> {
    Line {
        pack_file: pack,
        time: entry.time,
        original_length: entry.original_length,
        length: entry.packed_length,
        pack_offset: entry.offset,
        compression: entry.compression,
        content_id: id,
        deleted: entry.deleted,
        format_version: entry.format_version,
        encryption_key_id: entry.key_id,
    }
}
