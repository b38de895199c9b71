//! `kopia index list`: the index blobs that count, or all of them.

use serde::Serialize;

use super::blob::{Item, time};
use crate::Error;
use crate::blob::{BlobKind, list_kinds};
use crate::front::kopia::connection::Connection;
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Command, Flag, Kind, Typed};
use crate::front::kopia::output::{JSON, List, Output};
use crate::front::kopia::text::Times;
use crate::gojson::write;
use crate::index::IndexReader;

const FLAGS: &[Flag] = &[
    Flag::switch("summary"),
    Flag::switch("superseded"),
    Flag::new("sort", Kind::OneOf(&["time", "size", "name"])),
];

pub(super) const LIST: Command = Command::new(&["list", "ls"], &[FLAGS, JSON], &[], list);

#[derive(Serialize)]
struct Index<'a> {
    #[serde(flatten)]
    blob: Item<'a>,
    #[serde(rename = "Superseded")]
    superseded: Option<()>,
}

fn list(typed: &Typed) -> Result<(), Failure> {
    let connection = Connection::open(typed)?;
    let repository = &connection.repository;
    let mut blobs = if typed.on("superseded") {
        let kinds = [&[BlobKind::Index, BlobKind::UpgradeNotice], &BlobKind::EPOCH_INDEXES[..]].concat();
        list_kinds(repository.store(), &kinds).map_err(Error::from)?
    } else {
        let reader = IndexReader::new(repository.store(), repository.format(), repository.options().index);
        reader.active().map_err(Error::from)?.blobs
    };
    match typed.text("sort").unwrap_or("time") {
        "size" => blobs.sort_by_key(|blob| blob.size),
        "name" => blobs.sort_by(|a, b| a.id.cmp(&b.id)),
        _ => blobs.sort_by_key(time),
    }
    let times = Times::new(typed);
    let mut out = Output::new();
    let mut list = List::begin(typed, &mut out)?;
    for blob in &blobs {
        if typed.on("json") {
            let index = Index { blob: Item::new(blob), superseded: None };
            let item = write::to_string(&index).map_err(|e| Failure::new(e.to_string()))?;
            list.item(&mut out, &item)?;
        } else {
            out.line(format!("{:<60} {:>10} {} []", blob.id.as_str(), blob.size, times.precise(time(blob))))?;
        }
    }
    list.end(&mut out)?;
    if typed.on("summary") && !typed.on("json") {
        out.line(format!("total {} indexes", blobs.len()))?;
    }
    out.finish()
}
