//! Snapshots, sources and contents as programs read them: the same fields in every front.

use serde::Serialize;

use crate::Suspect;
use crate::checker::SourceState;
use crate::index::Entry;
use crate::manifest::ManifestSet;
use crate::snapshot::{Listed, Policies, Snapshot, Snapshots, Source, UtcTimestamp};

/// A snapshot: what Kopia has of it, and what a lost index blob hides.
#[derive(Serialize)]
pub(in crate::front) struct SnapshotRow<'a> {
    #[serde(flatten)]
    snapshot: Listed<'a>,
    /// Snapshots of the same source that are not listed, because an index blob is lost.
    #[serde(skip_serializing_if = "is_zero")]
    unlisted: usize,
}

impl<'a> SnapshotRow<'a> {
    pub(in crate::front) fn new(snapshot: &'a Snapshot, reasons: &'a [String], unlisted: &[Suspect]) -> Self {
        Self { snapshot: snapshot.listed(reasons), unlisted: hidden(&snapshot.found_as, unlisted) }
    }
}

/// A source in figures.
#[derive(Serialize)]
pub(in crate::front) struct SourceRow<'a> {
    pub(in crate::front) source: String,
    user: &'a str,
    host: &'a str,
    path: &'a str,
    /// Incomplete ones included.
    pub(in crate::front) snapshots: usize,
    incomplete: usize,
    /// When the newest snapshot began, complete or not.
    pub(in crate::front) latest: Option<UtcTimestamp>,
    /// The same, as the service has called it from the beginning.
    newest: Option<UtcTimestamp>,
    newest_complete: Option<UtcTimestamp>,
    oldest: Option<UtcTimestamp>,
    /// Of the newest complete snapshot, or of the newest one where none is complete.
    pub(in crate::front) size: i64,
    files: i64,
    /// As of a snapshot.
    #[serde(skip_serializing_if = "is_zero")]
    unlisted: usize,
}

impl<'a> SourceRow<'a> {
    pub(in crate::front) fn new(state: &'a SourceState, unlisted: &[Suspect]) -> Self {
        let source = state.source();
        let shown = state.newest_complete().or(state.newest());
        Self {
            source: source.to_string(),
            user: &source.user,
            host: &source.host,
            path: &source.path,
            snapshots: state.snapshots().len(),
            incomplete: state.snapshots().len() - state.complete(),
            latest: state.newest().map(|snapshot| snapshot.start),
            newest: state.newest().map(|snapshot| snapshot.start),
            newest_complete: state.newest_complete().map(|snapshot| snapshot.start),
            oldest: state.snapshots().first().map(|snapshot| snapshot.start),
            size: shown.map_or(0, |snapshot| snapshot.size),
            files: shown.map_or(0, |snapshot| snapshot.files),
            unlisted: hidden(source, unlisted),
        }
    }
}

fn hidden(source: &Source, unlisted: &[Suspect]) -> usize {
    unlisted.iter().filter(|suspect| suspect.scope.concerns(source)).count()
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// An entry of the index as `kopia content list --json` shows it: its keys in its order, of which some are left out when they
/// are zero.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::front) struct ContentRow<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
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

impl<'a> ContentRow<'a> {
    pub(in crate::front) fn new(entry: &Entry, pack: &'a str) -> Self {
        Self {
            pack_file: pack,
            time: entry.time,
            original_length: entry.original_length,
            length: entry.packed_length,
            pack_offset: entry.offset,
            compression: entry.compression,
            content_id: entry.id.to_string(),
            deleted: entry.deleted,
            format_version: entry.format_version,
            encryption_key_id: entry.key_id,
        }
    }
}

/// Every snapshot that these manifests tell of, as the elements of a JSON array in the order of Kopia.
#[cfg(feature = "service")]
pub(in crate::front) fn all_snapshots(
    manifests: &ManifestSet,
    unlisted: &[Suspect],
) -> serde_json::Result<Box<serde_json::value::RawValue>> {
    let snapshots = Snapshots::new(manifests);
    let policies = Policies::new(manifests);
    let zone = jiff::tz::TimeZone::system();
    let mut json = Vec::from(*b"[");
    for (source, group) in snapshots.groups() {
        let reasons = policies.retention(source).reasons(&group, &zone);
        for (snapshot, reasons) in group.iter().zip(&reasons) {
            if json.len() > 1 {
                json.push(b',');
            }
            serde_json::to_writer(&mut json, &SnapshotRow::new(snapshot, reasons, unlisted))?;
        }
    }
    json.push(b']');
    let json = String::from_utf8(json).map_err(serde::ser::Error::custom)?;
    serde_json::value::RawValue::from_string(json)
}
