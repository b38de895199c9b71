//! What is wrong with a blob or a content, before it is known who needs it.

use super::time::rfc3339;
use crate::blob::{self, BlobId};
use crate::content;
use crate::index::ContentId;
use crate::object::ObjectId;

/// Details are kept for this many contents; of the rest only the code. A lost disk shelf must not exhaust the memory.
const MAX_DETAILS: usize = 10_000;

/// What is wrong, and with which blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Stable code, as listed in `docs/errors.md`.
    pub(super) code: &'static str,
    /// The blob concerned, if there is one.
    pub(super) blob: Option<BlobId>,
    /// One sentence for people; empty when there are very many faults.
    pub(super) detail: Box<str>,
    /// Whether the storage refused to answer, so that the data may be good.
    pub(super) unchecked: bool,
    /// Whether it is more damage than error correction can repair.
    pub(super) unrepairable: bool,
}

/// A fault as it is reported: with the content or object that cannot be read because of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) fault: Fault,
    /// The content concerned, if it is a single one.
    pub(super) content: Option<ContentId>,
    /// The object concerned, if it is not a single content.
    pub(super) object: Option<ObjectId>,
}

impl From<Fault> for Finding {
    /// A fault that concerns neither one content nor one object.
    fn from(fault: Fault) -> Self {
        Self { fault, content: None, object: None }
    }
}

impl Fault {
    /// A fault that concerns no single blob.
    pub(super) fn new(code: &'static str, detail: impl Into<Box<str>>) -> Self {
        Self { code, blob: None, detail: detail.into(), unchecked: false, unrepairable: false }
    }

    /// A fault of one blob.
    pub(super) fn of_blob(code: &'static str, blob: &BlobId, detail: impl Into<Box<str>>) -> Self {
        Self { blob: Some(blob.clone()), ..Self::new(code, detail) }
    }

    /// What an error of the content layer means.
    pub(super) fn of_content(error: &content::Error) -> Self {
        Self {
            blob: error.blob().cloned(),
            unchecked: matches!(error, content::Error::Read { source, .. } if is_refusal(source)),
            unrepairable: matches!(error, content::Error::Unrepairable { .. }),
            ..Self::new(error.code(), error.to_string())
        }
    }

    /// The same fault; without its detail when `others` faults are held already and use up the room for details.
    pub(super) fn beside(self, others: usize) -> Self {
        if others < MAX_DETAILS { self } else { Self { detail: Box::default(), ..self } }
    }

    /// What a former run found at `time`.
    pub(super) fn recalled(code: &str, blob: &BlobId, detail: &str, time: i64) -> Self {
        let when = rfc3339(time);
        let detail = if detail.is_empty() { code } else { detail };
        let code = known_code(code);
        let unrepairable = code == UNREPAIRABLE;
        Self { unrepairable, ..Self::of_blob(code, blob, format!("{detail} (found {when})")) }
    }
}

/// The code of a content with more damage than error correction can repair.
const UNREPAIRABLE: &str = "content-unrepairable";

/// The codes of damaged contents, for those that come from a ledger.
fn known_code(code: &str) -> &'static str {
    const CODES: [&str; 9] = [
        "content-damaged",
        UNREPAIRABLE,
        "content-wrong-hash",
        "content-undecodable",
        "content-length",
        "content-entry-invalid",
        "pack-missing",
        "pack-truncated",
        "storage-error",
    ];
    CODES.into_iter().find(|known| *known == code).unwrap_or("content-damaged")
}

/// Whether a failed read says nothing about the data: no permission, no answer.
pub(super) fn is_refusal(error: &blob::Error) -> bool {
    use nix::libc::{EBADMSG, EIO, EISDIR, ENODATA, EREMOTEIO, EUCLEAN};
    match error {
        blob::Error::Read { source, .. } | blob::Error::List { source, .. } => {
            let media = [EIO, EISDIR, EUCLEAN, EBADMSG, EREMOTEIO, ENODATA];
            // Something else stands where the blob was.
            let replaced =
                matches!(source.kind(), std::io::ErrorKind::IsADirectory | std::io::ErrorKind::InvalidData);
            let damaged = replaced || source.raw_os_error().is_some_and(|code| media.contains(&code));
            !damaged
        }
        _ => false,
    }
}
