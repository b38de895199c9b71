//! The vectors of `format-spec/vectors` that concern indexes.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::content_index::visible;
use super::{ContentId, Entry, PackNumber, PackedIndex, epochs, legacy};
use crate::blob::{BlobId, BlobMetadata};

#[derive(Deserialize)]
struct Expected {
    #[serde(default)]
    id: String,
    time: u64,
    deleted: bool,
    pack: String,
    #[serde(default)]
    offset: u32,
    #[serde(default)]
    packed_length: u32,
    #[serde(default)]
    original_length: u32,
    #[serde(default)]
    compression: u32,
    #[serde(default)]
    format_version: u8,
    #[serde(default)]
    key_id: u8,
}

#[derive(Deserialize)]
struct Indexes {
    valid: Vec<Valid>,
    invalid: Vec<Invalid>,
    merge: Vec<Merge>,
}

#[derive(Deserialize)]
struct Valid {
    name: String,
    hex: String,
    entries: Vec<Expected>,
}

#[derive(Deserialize)]
struct Invalid {
    name: String,
    base: String,
    #[serde(default)]
    edits: Vec<Edit>,
    truncate: Option<usize>,
}

#[derive(Deserialize)]
struct Edit {
    offset: usize,
    hex: String,
}

#[derive(Deserialize)]
struct Merge {
    name: String,
    candidates: Vec<Expected>,
    watermark: Option<i64>,
    winner: usize,
    found: bool,
}

fn indexes() -> Indexes {
    serde_json::from_str(include_str!("../../format-spec/vectors/index.json")).unwrap()
}

#[test]
fn valid_indexes_have_the_entries_they_should() {
    for case in indexes().valid {
        let index = PackedIndex::parse(hex::decode(&case.hex).unwrap()).unwrap();
        let entries: Vec<Entry> = index.iter().collect();
        assert_eq!(entries.len(), case.entries.len(), "{}", case.name);
        for (entry, expected) in entries.iter().zip(&case.entries) {
            let pack = &index.packs()[entry.pack.0 as usize];
            assert_eq!(entry.id.to_string(), expected.id, "{}", case.name);
            assert_eq!((entry.time, entry.deleted), (expected.time, expected.deleted), "{}", case.name);
            assert_eq!(
                (pack.as_str(), entry.offset),
                (expected.pack.as_str(), expected.offset),
                "{}",
                case.name
            );
            assert_eq!(
                (entry.packed_length, entry.original_length, entry.compression),
                (expected.packed_length, expected.original_length, expected.compression),
                "{}",
                case.name
            );
            assert_eq!((entry.format_version, entry.key_id), (expected.format_version, expected.key_id));
            assert_eq!(index.get(&entry.id), Some(*entry), "{}", case.name);
        }
    }
}

#[test]
fn invalid_indexes_are_refused() {
    let vectors = indexes();
    for case in vectors.invalid {
        let base = vectors.valid.iter().find(|valid| valid.name == case.base).unwrap();
        let mut bytes = hex::decode(&base.hex).unwrap();
        for edit in case.edits {
            let new = hex::decode(edit.hex).unwrap();
            bytes[edit.offset..edit.offset + new.len()].copy_from_slice(&new);
        }
        if let Some(length) = case.truncate {
            bytes.truncate(length);
        }
        if let Ok(index) = PackedIndex::parse(bytes) {
            // A length shorter than an empty content is refused when the content is read.
            assert!(index.iter().any(|entry| entry.packed_length < 28), "{}", case.name);
        }
    }
}

#[test]
fn every_truncation_and_flip_is_refused_or_read_without_harm() {
    for case in indexes().valid {
        let bytes = hex::decode(&case.hex).unwrap();
        for length in 0..bytes.len() {
            if let Ok(index) = PackedIndex::parse(bytes[..length].to_vec()) {
                assert!(index.iter().count() <= case.entries.len());
            }
        }
        for position in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 0xff;
            if let Ok(index) = PackedIndex::parse(flipped) {
                index.iter().for_each(|entry| assert!(index.get(&entry.id).is_some()));
            }
        }
    }
}

#[test]
fn the_right_entry_wins() {
    let id: ContentId = "0011".parse().unwrap();
    for case in indexes().merge {
        let candidates: Vec<(Entry, BlobId)> = case
            .candidates
            .iter()
            .map(|candidate| {
                let entry = Entry {
                    id,
                    time: candidate.time,
                    deleted: candidate.deleted,
                    pack: PackNumber(0),
                    offset: 0,
                    packed_length: 28,
                    original_length: 0,
                    compression: 0,
                    format_version: 3,
                    key_id: 0,
                };
                (entry, BlobId::new(&candidate.pack).unwrap())
            })
            .collect();
        let winner =
            candidates.iter().reduce(|a, b| if b.0.precedence(&b.1, &a.0, &a.1).is_gt() { b } else { a });
        let winner = winner.unwrap();
        let expected = &candidates[case.winner];
        assert_eq!(
            (winner.0.time, winner.0.deleted, &winner.1),
            (expected.0.time, expected.0.deleted, &expected.1)
        );
        assert_eq!(visible(&winner.0, case.watermark), case.found, "{}", case.name);
    }
}

#[derive(Deserialize)]
struct Epochs {
    active_sets: Vec<ActiveCase>,
}

#[derive(Deserialize)]
struct ActiveCase {
    name: String,
    listing: Vec<String>,
    watermark: Option<i64>,
    active: Vec<String>,
    #[serde(default)]
    also_valid: Vec<Vec<String>>,
    #[serde(default)]
    suspect: Vec<String>,
}

fn blobs(names: &[String]) -> Vec<BlobMetadata> {
    names
        .iter()
        .filter_map(|name| BlobId::new(name).ok())
        .map(|id| BlobMetadata { id, size: 0, modified: None })
        .collect()
}

#[test]
fn active_sets_with_epochs() {
    let vectors: Epochs =
        serde_json::from_str(include_str!("../../format-spec/vectors/epochs.json")).unwrap();
    for case in vectors.active_sets {
        let set = epochs::select(&blobs(&case.listing));
        let mut active: Vec<String> = set.blobs.iter().map(|blob| blob.id.to_string()).collect();
        active.sort();
        assert!(
            active == case.active || case.also_valid.contains(&active),
            "{}: {active:?} instead of {:?}",
            case.name,
            case.active
        );
        assert_eq!(set.watermark, case.watermark, "{}", case.name);
        assert!(case.suspect.is_empty() || !set.doubts.is_empty(), "{} raises no doubt", case.name);
    }
}

#[derive(Deserialize)]
struct Legacy {
    cases: Vec<LegacyCase>,
}

#[derive(Deserialize)]
struct LegacyCase {
    name: String,
    n: Vec<String>,
    logs: Vec<LogNames>,
    active: Vec<String>,
}

#[derive(Deserialize)]
struct LogNames {
    inputs: Option<Vec<String>>,
    outputs: Option<Vec<String>>,
}

#[test]
fn active_sets_without_epochs() {
    let vectors: Legacy =
        serde_json::from_str(include_str!("../../format-spec/vectors/legacy-sets.json")).unwrap();
    let named = |ids: Option<Vec<String>>| {
        ids.unwrap_or_default().into_iter().map(|id| legacy::Named { id }).collect::<Vec<_>>()
    };
    for case in vectors.cases {
        let logs: Vec<legacy::Log> = case
            .logs
            .into_iter()
            .map(|log| legacy::Log { inputs: named(log.inputs), outputs: named(log.outputs) })
            .collect();
        let active = legacy::without_superseded(blobs(&case.n), &logs);
        let active: BTreeSet<String> = active.iter().map(|blob| blob.id.to_string()).collect();
        assert_eq!(active, case.active.into_iter().collect(), "{}", case.name);
    }
}
