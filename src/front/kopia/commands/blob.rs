//! `kopia blob list` and `kopia blob stats`.

use serde::Serialize;

use super::histogram::Histogram;
use crate::Error;
use crate::blob::BlobMetadata;
use crate::front::kopia::connection::Connection;
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Command, Flag, Kind, Typed};
use crate::front::kopia::output::{JSON, List, Output};
use crate::front::kopia::text::{Times, local_json, maybe_bytes};
use crate::gojson::write;
use crate::snapshot::UtcTimestamp;

const LIST_FLAGS: &[Flag] = &[
    Flag::new("prefix", Kind::Text),
    Flag::new("exclude-prefix", Kind::Texts),
    Flag::new("min-size", Kind::Int),
    Flag::new("max-size", Kind::Int),
    Flag::switch("data-only"),
];
const STATS_FLAGS: &[Flag] = &[Flag::switch("raw").letter('r'), Flag::new("prefix", Kind::Text)];

pub(super) const LIST: Command = Command::new(&["list", "ls"], &[LIST_FLAGS, JSON], &[], list);
pub(super) const STATS: Command = Command::new(&["stats"], &[STATS_FLAGS], &[], stats);

/// What `--data-only` leaves out: indexes, logs and what describes the repository.
const NOT_DATA: [&str; 4] = ["n", "x", "_log_", "kopia."];

/// A blob in JSON.
#[derive(Serialize)]
pub(super) struct Item<'a> {
    id: &'a str,
    length: u64,
    timestamp: String,
}

impl<'a> Item<'a> {
    pub(super) fn new(blob: &'a BlobMetadata) -> Self {
        Self { id: blob.id.as_str(), length: blob.size, timestamp: local_json(time(blob)) }
    }
}

/// When a blob was written, as far as the storage says.
pub(super) fn time(blob: &BlobMetadata) -> UtcTimestamp {
    blob.modified.map(UtcTimestamp::from).unwrap_or_default()
}

fn blobs(typed: &Typed) -> Result<Vec<BlobMetadata>, Failure> {
    let connection = Connection::open(typed)?;
    let prefix = typed.text("prefix").unwrap_or_default();
    Ok(connection.repository.store().list(prefix).map_err(Error::from)?)
}

fn list(typed: &Typed) -> Result<(), Failure> {
    let times = Times::new(typed);
    let size = |flag| typed.int(flag).filter(|size| *size != 0).and_then(|size| u64::try_from(size).ok());
    let (least, most) = (size("min-size"), size("max-size"));
    let mut excluded: Vec<&str> = typed.texts("exclude-prefix").iter().map(String::as_str).collect();
    if typed.on("data-only") {
        excluded.extend(NOT_DATA);
    }
    let mut out = Output::new();
    let mut list = List::begin(typed, &mut out)?;
    for blob in blobs(typed)? {
        let id = blob.id.as_str();
        if least.is_some_and(|least| blob.size < least)
            || most.is_some_and(|most| blob.size > most)
            || excluded.iter().any(|prefix| id.starts_with(prefix))
        {
            continue;
        }
        if typed.on("json") {
            let item = write::to_string(&Item::new(&blob)).map_err(|e| Failure::new(e.to_string()))?;
            list.item(&mut out, &item)?;
        } else {
            out.line(format!("{id:<70} {:>10} {}", blob.size, times.show(time(&blob))))?;
        }
    }
    list.end(&mut out)?;
    out.finish()
}

fn stats(typed: &Typed) -> Result<(), Failure> {
    let raw = typed.on("raw");
    let mut histogram = Histogram::default();
    let (mut count, mut total) = (0_i64, 0_i64);
    for blob in blobs(typed)? {
        let size = i64::try_from(blob.size).unwrap_or(i64::MAX);
        count += 1;
        total = total.saturating_add(size);
        histogram.add(size);
    }
    let mut out = Output::new();
    out.line(format!("Count: {count}"))?;
    out.line(format!("Total: {}", maybe_bytes(!raw, total)))?;
    if let Some(average) = total.checked_div(count) {
        out.line(format!("Average: {}", maybe_bytes(!raw, average)))?;
        histogram.print(raw, &mut out)?;
    }
    out.finish()
}
