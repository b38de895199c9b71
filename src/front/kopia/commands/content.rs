//! `kopia content list` and `kopia content stats`.

use std::collections::BTreeMap;

use super::histogram::Histogram;
use crate::Error;
use crate::codec::CompressionId;
use crate::front::kopia::connection::Connection;
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Command, Flag, Kind, Typed};
use crate::front::kopia::output::{JSON, List, Output};
use crate::front::kopia::text::{self, Times, maybe_bytes};
use crate::front::rows::ContentRow;
use crate::gojson::write;
use crate::index::Entry;
use crate::snapshot::UtcTimestamp;

pub(super) const RANGE: &[Flag] =
    &[Flag::new("prefix", Kind::Text), Flag::switch("prefixed"), Flag::switch("non-prefixed")];
const LIST_FLAGS: &[Flag] = &[
    Flag::switch("long").letter('l'),
    Flag::switch("compression").letter('c'),
    Flag::switch("deleted"),
    Flag::switch("deleted-only"),
    Flag::switch("summary").letter('s'),
    Flag::switch("human").letter('h'),
];
const STATS_FLAGS: &[Flag] = &[Flag::switch("raw").letter('r')];

pub(super) const LIST: Command = Command::new(&["list", "ls"], &[LIST_FLAGS, RANGE, JSON], &[], list);
pub(super) const STATS: Command = Command::new(&["stats"], &[STATS_FLAGS, RANGE], &[], stats);

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Whether a content is in the range that was typed.
pub(super) fn in_range(typed: &Typed, entry: &Entry) -> bool {
    if let Some(prefix) = typed.text("prefix").filter(|prefix| !prefix.is_empty()) {
        return entry.id.to_string().starts_with(prefix);
    }
    if typed.on("non-prefixed") {
        return entry.id.prefix().is_none();
    }
    !typed.on("prefixed") || entry.id.prefix().is_some()
}

fn compressor(header: u32) -> Option<&'static str> {
    CompressionId::from_header(header).ok().map(CompressionId::name)
}

fn compressed(entry: &Entry) -> String {
    if entry.compression == 0 {
        return "-".to_owned();
    }
    let mut shown = compressor(entry.compression)
        .map_or_else(|| format!("compression-{:x}", entry.compression), str::to_owned);
    if entry.original_length > 0 {
        let saved = text::compression(entry.original_length.into(), entry.packed_length.into());
        shown.push_str(&format!(" {saved}"));
    }
    shown
}

fn list(typed: &Typed) -> Result<(), Failure> {
    let contents = Connection::open(typed)?.contents()?;
    let index = contents.index();
    let times = Times::new(typed);
    let human = typed.on("human");
    let with_deleted = typed.on("deleted") || typed.on("deleted-only");
    let mut out = Output::new();
    let mut list = List::begin(typed, &mut out)?;
    let (mut count, mut total) = (0_i64, 0_i64);
    for entry in index.iter().filter(|entry| in_range(typed, entry)) {
        if (entry.deleted && !with_deleted) || (!entry.deleted && typed.on("deleted-only")) {
            continue;
        }
        count += 1;
        total += i64::from(entry.packed_length);
        let pack = index.pack(entry.pack).map_or("", |pack| pack.as_str());
        let [original, packed] =
            [entry.original_length, entry.packed_length].map(|n| maybe_bytes(human, n.into()));
        let deleted = if entry.deleted { " (deleted)" } else { "" };
        if typed.on("json") {
            let item =
                write::to_string(&ContentRow::new(&entry, pack)).map_err(|e| Failure::new(e.to_string()))?;
            list.item(&mut out, &item)?;
        } else if typed.on("compression") {
            let id = entry.id;
            out.line(format!("{id} length {original} packed {packed} {} {deleted}", compressed(&entry)))?;
        } else if typed.on("long") {
            let seconds = i64::try_from(entry.time).unwrap_or(i64::MAX);
            let time = times.show(UtcTimestamp(seconds.saturating_mul(NANOS_PER_SECOND)));
            let Entry { id, original_length, offset, .. } = entry;
            let saved = compressed(&entry);
            out.line(format!("{id} {original_length} {time} {pack} {offset}+{packed}{deleted} {saved}"))?;
        } else {
            out.line(entry.id.to_string())?;
        }
    }
    index.check().map_err(Error::from)?;
    list.end(&mut out)?;
    if typed.on("summary") {
        let shown = if human { text::count(count) } else { count.to_string() };
        out.line(format!("Total: {shown} contents, {} total size", maybe_bytes(human, total)))?;
    }
    out.finish()
}

#[derive(Default, Clone, Copy)]
struct Totals {
    count: i64,
    original: i64,
    packed: i64,
}

impl Totals {
    fn add(&mut self, entry: &Entry) {
        self.count += 1;
        self.original += i64::from(entry.original_length);
        self.packed += i64::from(entry.packed_length);
    }
}

fn stats(typed: &Typed) -> Result<(), Failure> {
    let contents = Connection::open(typed)?.contents()?;
    let raw = typed.on("raw");
    let size = |bytes: i64| maybe_bytes(!raw, bytes);
    let mut all = Totals::default();
    let mut by_method: BTreeMap<u32, Totals> = BTreeMap::new();
    let mut histogram = Histogram::default();
    let index = contents.index();
    for entry in index.iter().filter(|entry| !entry.deleted && in_range(typed, entry)) {
        all.add(&entry);
        by_method.entry(entry.compression).or_default().add(&entry);
        histogram.add(entry.packed_length.into());
    }
    index.check().map_err(Error::from)?;
    let mut out = Output::new();
    out.line(format!("Count: {}", all.count))?;
    out.line(format!("Total Bytes: {}", size(all.original)))?;
    if all.packed < all.original {
        let saved = text::compression(all.original, all.packed);
        out.line(format!("Total Packed: {} (compression {saved})", size(all.packed)))?;
    }
    if by_method.len() > 1 {
        out.line("By Method:")?;
        for (header, Totals { count, original, packed }) in by_method {
            let shown = size(original);
            if header == 0 {
                out.line(format!("  {:<22} count: {count} size: {shown}", "(uncompressed)"))?;
            } else if let Some(name) = compressor(header) {
                let saved = text::compression(original, packed);
                let packed = size(packed);
                out.line(format!(
                    "  {name:<22} count: {count} size: {shown} packed: {packed} compression: {saved}"
                ))?;
            }
        }
    }
    if let Some(average) = all.original.checked_div(all.count) {
        out.line(format!("Average: {}", size(average)))?;
        histogram.print(raw, &mut out)?;
    }
    out.finish()
}
