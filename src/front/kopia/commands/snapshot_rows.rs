//! The rows of `kopia snapshot list` for people: one a snapshot, neighbours with the same content made one.

use std::sync::Arc;

use crate::content::Contents;
use crate::front::kopia::connection::Connection;
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::Typed;
use crate::front::kopia::output::Output;
use crate::front::kopia::text::{Times, bytes, compression, maybe_bytes, mode};
use crate::object::ObjectId;
use crate::snapshot::{
    AskedSource, DirEntry, Snapshot, StorageStats, Tree, UtcTimestamp, compact_pins, compact_reasons,
};

/// Prints groups of snapshots.
pub(super) struct Rows<'a> {
    typed: &'a Typed,
    times: Times,
    connection: &'a Connection,
    /// The source that was asked for: what is shown of a snapshot of a directory above it.
    asked: Option<&'a AskedSource>,
    /// The full index, loaded when a path has to be followed.
    contents: Option<Contents>,
    /// Snapshots in which the path cannot be read.
    unreadable: u64,
}

struct Row {
    first: UtcTimestamp,
    last: UtcTimestamp,
    count: u64,
    object: Option<ObjectId>,
    bits: Vec<String>,
    reasons: Vec<String>,
    pins: Vec<String>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(typed: &'a Typed, connection: &'a Connection, asked: Option<&'a AskedSource>) -> Self {
        Self { typed, times: Times::new(typed), connection, asked, contents: None, unreadable: 0 }
    }

    /// Fails if there was anything that could not be read.
    pub(super) fn conclude(self) -> Result<(), Failure> {
        match self.unreadable {
            0 => Ok(()),
            count => Err(Failure::new(format!("{count} snapshots could not be read"))),
        }
    }

    pub(super) fn print(
        &mut self,
        group: Vec<(Arc<Snapshot>, Vec<String>)>,
        stats: Vec<StorageStats>,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let mut rows: Vec<Row> = Vec::new();
        let mut last_size = 0;
        for (i, (snapshot, reasons)) in group.into_iter().enumerate() {
            let entry = match self.entry(&snapshot)? {
                Ok(entry) => entry,
                Err(reason) => {
                    out.line(format!("  {} <ERROR> {reason}", self.times.show(snapshot.start_time)))?;
                    continue;
                }
            };
            if !snapshot.is_complete() && !self.typed.on("incomplete") {
                continue;
            }
            let mut bits = self.bits(&snapshot, &entry, last_size);
            bits.extend(stats.get(i).into_iter().flat_map(storage));
            if snapshot.is_complete() {
                last_size = snapshot.stats.total_size;
            }
            let time = snapshot.start_time;
            let pins = snapshot.pins.clone();
            let row = Row { first: time, last: time, count: 1, object: entry.object, bits, reasons, pins };
            match rows.last_mut() {
                Some(above) if above.object == row.object && !self.typed.on("show-identical") => {
                    above.count += 1;
                    above.last = row.last;
                    above.reasons.extend(row.reasons);
                    above.pins.extend(row.pins);
                }
                _ => rows.push(row),
            }
        }
        rows.into_iter().try_for_each(|row| self.print_row(row, out))
    }

    fn print_row(&self, row: Row, out: &mut Output) -> Result<(), Failure> {
        let Row { first, last, count, object, mut bits, mut reasons, mut pins } = row;
        if !self.typed.on("show-identical") {
            reasons = compact_reasons(reasons.iter().map(String::as_str));
            pins = compact_pins(pins.iter().map(String::as_str));
        }
        if self.typed.on("retention") && !reasons.is_empty() {
            bits.push(format!("({})", reasons.join(",")));
        }
        if !pins.is_empty() {
            bits.push(format!("pins:{}", pins.join(",")));
        }
        let object = object.map(|object| object.to_string()).unwrap_or_default();
        out.line(format!("  {} {object} {}", self.times.show(first), bits.join(" ")))?;
        if count > 1 {
            out.line(format!("  + {} identical snapshots until {}", count - 1, self.times.show(last)))?;
        }
        Ok(())
    }

    /// What is shown of a snapshot: its root, or the entry at the path; or why there is nothing to show.
    fn entry(&mut self, snapshot: &Snapshot) -> Result<Result<DirEntry, String>, Failure> {
        let Some(root) = snapshot.root.clone().filter(|root| root.object.is_some()) else {
            self.unreadable += 1;
            return Ok(Err("missing root entry".to_owned()));
        };
        let inside = self.inside(snapshot);
        if inside.is_empty() {
            return Ok(Ok(root));
        }
        let contents = match self.contents.take() {
            Some(contents) => contents,
            None => self.connection.contents()?,
        };
        let found = Tree::of_snapshot(&contents, snapshot).and_then(|tree| tree.entry(&inside));
        self.contents = Some(contents);
        Ok(found.map_err(|error| {
            if error.is_not_found() {
                return "error reading directory: entry not found".to_owned();
            }
            self.unreadable += 1;
            error.to_string()
        }))
    }

    /// The way from the root of a snapshot to what is shown of it.
    fn inside(&self, snapshot: &Snapshot) -> String {
        self.asked.and_then(|asked| asked.path_inside(&snapshot.source)).unwrap_or_default()
    }

    fn bits(&self, snapshot: &Snapshot, entry: &DirEntry, last_size: i64) -> Vec<String> {
        let mut bits = Vec::new();
        if !snapshot.is_complete() {
            bits.push(format!("incomplete:{}", snapshot.incomplete));
        }
        let (total, newest) = entry.kopia_size_and_mtime();
        // What is below a root is shown as its parent's listing shows it, the root itself as it is stored.
        let (size, time) = match self.inside(snapshot).is_empty() {
            true => (i64::try_from(entry.size).unwrap_or(i64::MAX), entry.mtime),
            false => (total, newest),
        };
        bits.push(maybe_bytes(self.typed.on("human-readable"), total));
        bits.push(mode(entry));
        if self.typed.on("owner") {
            bits.push(format!("uid:{}", entry.uid));
            bits.push(format!("gid:{}", entry.gid));
        }
        if self.typed.on("mtime") {
            bits.push(format!("modified:{}", self.times.show(time)));
        }
        if self.typed.on("manifest-id") {
            bits.push(format!("manifest:{}", snapshot.id));
        }
        if self.typed.on("delta") {
            let more = size.saturating_sub(last_size);
            bits.push(if more > 0 { format!("(+{})", bytes(more)) } else { String::new() });
        }
        if let Some(summary) = entry.summary.as_ref().filter(|_| entry.is_directory()) {
            bits.push(format!("files:{}", summary.files));
            bits.push(format!("dirs:{}", summary.dirs));
            if summary.failed > 0 {
                bits.push(format!("errors:{}", summary.failed));
            }
        }
        bits
    }
}

fn storage(stats: &StorageStats) -> [String; 4] {
    let new = &stats.new_data;
    [
        format!("new-data:{}", bytes(new.packed_content_bytes)),
        format!("new-files:{}", new.file_objects),
        format!("new-dirs:{}", new.dir_objects),
        format!("compression:{}", compression(new.original_content_bytes, new.packed_content_bytes)),
    ]
}
