//! Blobs beside packs and indexes. Nothing is restored from them, but rot in them is rot of the same disk.

use super::fault::{Fault, is_refusal};
use crate::blob::{self, BlobKind, BlobMetadata, BlobStore};
use crate::format::RepositoryFormat;
use crate::index::open_sealed;

/// None of these blobs is large; logs of a busy client reach some megabytes.
const LIMIT: u64 = 64 << 20;

/// Bodies of the markers of epochs and of deletions (`format-spec/09-index-sets.md`).
const EPOCH_MARKER: &[u8] = b"epoch-marker";
const WATERMARK: &[u8] = b"deletion-watermark";

/// What is wrong with a blob that is neither a pack nor an index, and whether Kopia cannot do without it.
pub(super) fn check(
    store: &dyn BlobStore,
    format: &RepositoryFormat,
    blob: &BlobMetadata,
) -> Option<(Fault, bool)> {
    let name = blob.id.as_str();
    let read = || store.read(&blob.id, LIMIT);
    let (code, problem) = match blob.id.kind() {
        BlobKind::EpochMarker => ("marker-damaged", same(read(), EPOCH_MARKER)),
        BlobKind::DeletionWatermark => ("marker-damaged", same(read(), WATERMARK)),
        BlobKind::Log | BlobKind::CleanupSchedule => ("log-damaged", sealed(format, blob, read())),
        // Without epochs it is read with the indexes.
        BlobKind::CompactionLog if format.epochs().enabled => ("log-damaged", sealed(format, blob, read())),
        BlobKind::Index if format.epochs().enabled => {
            ("index-superseded-damaged", sealed(format, blob, read()))
        }
        BlobKind::Maintenance => ("maintenance-damaged", maintenance(format, read())),
        BlobKind::BlobConfig => ("blobcfg-damaged", blob_config(format, read())),
        BlobKind::Session => ("session-damaged", sealed(format, blob, read())),
        _ => return None,
    };
    let is_vital = blob.id.kind() == BlobKind::BlobConfig;
    let (code, detail, unchecked) = match problem {
        Problem::None => return None,
        Problem::Wrong(detail) => (code, format!("{name} {detail}"), false),
        // Logs and sessions come and go.
        Problem::Unread(e) if e.is_not_found() => return None,
        Problem::Unread(e) if is_refusal(&e) => (e.code(), e.to_string(), true),
        Problem::Unread(e) => (code, e.to_string(), false),
    };
    Some((Fault { unchecked, ..Fault::of_blob(code, &blob.id, detail) }, is_vital))
}

enum Problem {
    None,
    Wrong(&'static str),
    Unread(blob::Error),
}

fn same(read: Result<Vec<u8>, blob::Error>, expected: &[u8]) -> Problem {
    match read {
        Ok(bytes) if bytes == expected => Problem::None,
        Ok(_) => Problem::Wrong("does not hold what such a marker holds"),
        Err(e) => Problem::Unread(e),
    }
}

fn sealed(format: &RepositoryFormat, blob: &BlobMetadata, read: Result<Vec<u8>, blob::Error>) -> Problem {
    match read.map(|bytes| open_sealed(format, &blob.id, bytes)) {
        Ok(Ok(_)) => Problem::None,
        Ok(Err(_)) => Problem::Wrong("does not decrypt to what its name says"),
        Err(e) => Problem::Unread(e),
    }
}

fn maintenance(format: &RepositoryFormat, read: Result<Vec<u8>, blob::Error>) -> Problem {
    match read {
        Ok(bytes) if format.open_maintenance(&bytes).is_ok() => Problem::None,
        Ok(_) => Problem::Wrong("(the schedule of maintenance) does not decrypt"),
        Err(e) => Problem::Unread(e),
    }
}

fn blob_config(format: &RepositoryFormat, read: Result<Vec<u8>, blob::Error>) -> Problem {
    match read {
        Ok(bytes) if format.opens_blob_config(&bytes) => Problem::None,
        Ok(_) => {
            Problem::Wrong("does not decrypt: Kopia will refuse the repository; restoring does not need it")
        }
        Err(e) => Problem::Unread(e),
    }
}
