//! `kopia list`: the entries of a directory.

use super::resolve;
use crate::front::kopia::connection::Connection;
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Argument, Command, Flag, Kind, Typed};
use crate::front::kopia::output::Output;
use crate::front::kopia::say;
use crate::front::kopia::text::{Times, maybe_bytes, mode};
use crate::snapshot::{DirEntry, Summary};

const FLAGS: &[Flag] = &[
    Flag::switch("long").letter('l'),
    Flag::switch("human-readable").letter('h'),
    Flag::switch("recursive").letter('r'),
    Flag::switch("show-object-id").letter('o'),
    Flag::new("error-summary", Kind::Switch(true)),
];
const OBJECT: &[Argument] = &[Argument { name: "object-path", required: true, many: false }];

pub(super) const COMMAND: Command = Command::new(&["list", "ls"], &[FLAGS], OBJECT, run);

fn run(typed: &Typed) -> Result<(), Failure> {
    let text = typed.arguments.first().map(String::as_str).unwrap_or_default();
    let failed = |failure: Failure| failure.during("unable to get filesystem directory entry");
    let connection = Connection::open(typed)?;
    let (catalog, contents) = connection.catalog_and_contents()?;
    let found = resolve::find(&catalog, &contents, text).map_err(failed)?;
    let root = found.tree.entry(&found.path).map_err(|e| failed(resolve::lost(e)))?;
    if !root.is_directory() {
        return Err(failed(Failure::new(format!("{text} is not a directory object"))));
    }
    let mut prefix = String::new();
    if !typed.on("long") {
        prefix.push_str(text.strip_suffix('/').unwrap_or(text));
        prefix.push('/');
    }
    let listing = Listing { typed, times: Times::new(typed), prefix };
    let mut out = Output::new();
    let mut walk = found.tree.walk(&found.path).map_err(|e| failed(resolve::lost(e)))?;
    let mut base = None;
    while let Some(item) = walk.next() {
        let item = item.map_err(crate::Error::from)?;
        let Some(base) = base else {
            base = Some(item.path.len());
            continue;
        };
        let relative = item.path.get(base..).unwrap_or(&item.path).trim_start_matches('/');
        out.line(listing.line(relative, &item.entry))?;
        if item.entry.is_directory() {
            if typed.on("recursive") {
                listing.errors(item.entry.summary.as_deref());
            } else {
                walk.skip_directory();
            }
        }
    }
    out.finish()?;
    listing.errors(root.summary.as_deref());
    Ok(())
}

struct Listing<'a> {
    typed: &'a Typed,
    times: Times,
    prefix: String,
}

impl Listing<'_> {
    fn line(&self, path: &str, entry: &DirEntry) -> String {
        let Self { typed, times, prefix } = self;
        let slash = if entry.is_directory() { "/" } else { "" };
        let mut name = match typed.on("long") || typed.on("recursive") {
            true => format!("{prefix}{path}{slash}"),
            false => entry.raw_name.clone(),
        };
        if let Some(summary) = self.failures(entry.summary.as_deref()).filter(|_| entry.is_directory()) {
            name.push_str(&format!(" ({} errors)", summary.failed));
        }
        let object = entry.object.map(|object| object.to_string()).unwrap_or_default();
        if typed.on("long") {
            let (size, time) = entry.kopia_size_and_mtime();
            let size = maybe_bytes(typed.on("human-readable"), size);
            return format!("{} {size:>12} {} {object:<34} {name}", mode(entry), times.show(time));
        }
        if typed.on("show-object-id") { format!("{object:<34} {name}") } else { name }
    }

    fn failures<'s>(&self, summary: Option<&'s Summary>) -> Option<&'s Summary> {
        summary.filter(|summary| summary.failed > 0 && self.typed.on("error-summary"))
    }

    /// Says what could not be saved.
    fn errors(&self, summary: Option<&Summary>) {
        let Some(summary) = self.failures(summary) else { return };
        say(&format!("\nNOTE: Encountered {} errors while snapshotting this directory:\n", summary.failed));
        for failed in &summary.errors {
            say(&format!("- Error in \"{}\": {}", failed.path, failed.error));
        }
    }
}
