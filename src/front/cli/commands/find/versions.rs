//! `find --all`: since when and until when each version of a file is in the snapshots of its source.

use std::collections::HashMap;

use serde::Serialize;

use super::{MAX_REMEMBERED, Versioned};
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::listing::Attributes;
use crate::front::cli::output::{Output, escape, shell_word, short_id};
use crate::front::cli::units::{human_size, table_time};
use crate::snapshot::{DirEntry, Snapshot, Source, UtcTimestamp};

/// The versions that were found in the snapshots of a source, in the order of the newest snapshot that has them.
#[derive(Default)]
pub(super) struct Versions {
    key: Versioned,
    places: HashMap<(u64, u64), usize>,
    found: Vec<Version>,
}

struct Version {
    path: String,
    /// The newest snapshot that has it.
    snapshot: String,
    since: UtcTimestamp,
    until: UtcTimestamp,
    snapshots: u64,
    size: Option<u64>,
    attributes: Option<Attributes>,
}

/// A version as JSON.
#[derive(Serialize)]
struct Line<'a> {
    source: &'a str,
    path: &'a str,
    snapshot: &'a str,
    since: UtcTimestamp,
    until: UtcTimestamp,
    snapshots: u64,
    /// Whether the newest snapshot of the source has it.
    present: bool,
    #[serde(flatten)]
    attributes: Option<&'a Attributes>,
}

impl Versions {
    /// Takes a match in a snapshot; snapshots come newest first. Tells whether the version was not there before.
    pub(super) fn add(
        &mut self,
        path: &str,
        entry: &DirEntry,
        snapshot: &Snapshot,
        attributes: impl FnOnce() -> Option<Attributes>,
    ) -> Result<bool, Failure> {
        let key = self.key.of(path, entry);
        if let Some(known) = self.places.get(&key).and_then(|place| self.found.get_mut(*place)) {
            known.since = known.since.min(snapshot.start_time);
            known.snapshots += 1;
            return Ok(false);
        }
        if self.found.len() >= MAX_REMEMBERED {
            let what = format!("more than {MAX_REMEMBERED} versions match");
            let failure = Failure::new(Exit::Unknown, "memory-budget", what);
            return Err(failure.with_help("give a narrower pattern, or the newer or larger ones alone"));
        }
        self.places.insert(key, self.found.len());
        self.found.push(Version {
            path: path.to_owned(),
            snapshot: snapshot.id.to_string(),
            since: snapshot.start_time,
            until: snapshot.start_time,
            snapshots: 1,
            size: (!entry.is_directory()).then_some(entry.size),
            attributes: attributes(),
        });
        Ok(true)
    }

    /// Prints the versions of a source and forgets them.
    pub(super) fn print(
        &mut self,
        source: &Source,
        newest: UtcTimestamp,
        digits: usize,
        json: bool,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let found = std::mem::take(self).found;
        let source = source.to_string();
        if !json && !found.is_empty() {
            out.line(escape(&source))?;
        }
        for Version { path, snapshot, since, until, snapshots, size, attributes } in &found {
            let (since, until, present) = (*since, *until, *until == newest);
            if json {
                let (source, attributes) = (source.as_str(), attributes.as_ref());
                let snapshots = *snapshots;
                out.json(&Line { source, path, snapshot, since, until, snapshots, present, attributes })?;
                continue;
            }
            let reference = shell_word(&format!("{}/{path}", short_id(snapshot, digits)));
            let size = size.map_or_else(|| "-".to_owned(), human_size);
            let when = match (present, since == until) {
                (true, _) => format!("{} to now", table_time(since)),
                (false, true) => format!("only {}", table_time(since)),
                (false, false) => format!("{} to {}", table_time(since), table_time(until)),
            };
            out.line(format!("{reference}  {size}  {when}"))?;
        }
        Ok(())
    }
}
