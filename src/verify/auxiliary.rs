//! Blobs beside packs and indexes. Nothing is restored from them, but rot in them is rot of the same disk.

use super::findings::{Finding, is_refusal};
use crate::blob::{self, BlobMetadata, BlobStore};
use crate::crypto::MaintenanceCipher;
use crate::format::RepositoryFormat;
use crate::index::{POISON, open_sealed};

/// None of these blobs is large; logs of a busy client reach some megabytes.
const LIMIT: u64 = 64 << 20;

/// Bodies of the markers of epochs and of deletions (`format-spec/09-index-sets.md`).
const EPOCH_MARKER: &[u8] = b"epoch-marker";
const WATERMARK: &[u8] = b"deletion-watermark";

/// Whether a blob is encrypted as a whole, under a key from its own name.
pub(super) fn is_sealed(name: &str) -> bool {
    ["xn", "xs", "xr", "n", "m", "l", "_log_"].iter().any(|prefix| name.starts_with(prefix))
        || is_session(name)
}

fn is_session(name: &str) -> bool {
    name.starts_with('s') && name.len() > 32
}

/// What is wrong with a blob that is neither a pack nor an index, and whether Kopia cannot do without it.
pub(super) fn check(
    store: &dyn BlobStore,
    format: &RepositoryFormat,
    blob: &BlobMetadata,
) -> Option<(Finding, bool)> {
    let name = blob.id.as_str();
    let read = || store.read(&blob.id, LIMIT);
    let (kind, problem) = if name.starts_with("xe") {
        (Kind { code: "marker-damaged", vital: false }, same(read(), EPOCH_MARKER))
    } else if name.starts_with("xw") {
        (Kind { code: "marker-damaged", vital: false }, same(read(), WATERMARK))
    } else if name.starts_with("_log_")
        || name.starts_with('l')
        // Which merges of indexes took place counts only without epochs, and then it is read with the indexes.
        || format.epochs().enabled && name.starts_with('m')
    {
        (Kind { code: "log-damaged", vital: false }, sealed(format, blob, read()))
    } else if format.epochs().enabled && name.starts_with('n') && name != POISON {
        (Kind { code: "index-superseded-damaged", vital: false }, sealed(format, blob, read()))
    } else if name == "kopia.maintenance" {
        (Kind { code: "maintenance-damaged", vital: false }, maintenance(format, read()))
    } else if name == "kopia.blobcfg" {
        (Kind { code: "blobcfg-damaged", vital: true }, blob_config(format, read()))
    } else if is_session(name) {
        (Kind { code: "session-damaged", vital: false }, sealed(format, blob, read()))
    } else {
        return None;
    };
    let (detail, unchecked) = match problem {
        Problem::None => return None,
        Problem::Wrong(detail) => (format!("{name} {detail}"), false),
        // Logs and sessions come and go.
        Problem::Unread(e) if e.is_not_found() => return None,
        Problem::Unread(e) => (e.to_string(), is_refusal(&e)),
    };
    Some((Finding { code: kind.code, blob: Some(blob.id.clone()), detail, unchecked }, kind.vital))
}

struct Kind {
    code: &'static str,
    /// Whether Kopia cannot do without it.
    vital: bool,
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
    let opens = |bytes: &[u8]| {
        let cipher = MaintenanceCipher::new(format.derivation_secret(), format.unique_id());
        cipher.is_ok_and(|cipher| cipher.open(bytes).is_ok())
    };
    match read {
        Ok(bytes) if opens(&bytes) => Problem::None,
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
