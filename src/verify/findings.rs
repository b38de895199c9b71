//! What is wrong with contents and blobs, before it is known who needs them.

use std::collections::{BTreeMap, HashSet};

use super::report::model::rfc3339;
use crate::blob::{self, BlobId};
use crate::content;
use crate::index::ContentId;

/// Details are kept for this many contents; of the rest only the code. A lost disk shelf must not exhaust the memory.
const MAX_DETAILS: usize = 10_000;

/// What a content without details takes.
const FAILURE_BYTES: u64 = 128;

/// Why a content cannot be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Stable code, as of [`content::Error::code`].
    pub code: &'static str,
    /// The pack that should hold it.
    pub blob: Option<BlobId>,
    /// One sentence for people; empty where there are very many.
    pub detail: Box<str>,
    /// Whether the storage refused to answer, so that the data may be good.
    pub unchecked: bool,
}

impl Cause {
    /// What an error of the content layer means.
    pub fn of(error: &content::Error) -> Self {
        let unchecked = match error {
            content::Error::Read { source, .. } => is_refusal(source),
            _ => false,
        };
        Self {
            code: error.code(),
            blob: error.blob().cloned(),
            detail: error.to_string().into_boxed_str(),
            unchecked,
        }
    }

    /// The same, without its sentence where so many others are held that there is no room for it.
    pub(super) fn beside(self, others: usize) -> Self {
        if others < MAX_DETAILS { self } else { Self { detail: Box::default(), ..self } }
    }

    /// What a former run found at `time`.
    pub(super) fn recalled(code: &str, blob: &BlobId, detail: &str, time: i64) -> Self {
        let when = rfc3339(time);
        let detail = if detail.is_empty() { code } else { detail };
        Self {
            code: known_code(code),
            blob: Some(blob.clone()),
            detail: format!("{detail} (found {when})").into(),
            unchecked: false,
        }
    }
}

/// The codes of damaged contents, for those that come from a ledger.
fn known_code(code: &str) -> &'static str {
    const CODES: [&str; 9] = [
        "content-damaged",
        "content-unrepairable",
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

/// Something wrong with a blob as a whole: an index, a marker, the end of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable code.
    pub code: &'static str,
    /// The blob, where one is concerned.
    pub blob: Option<BlobId>,
    /// The content, where one alone is concerned.
    pub content: Option<ContentId>,
    /// One sentence for people.
    pub detail: String,
    /// Whether the storage refused to answer, so that the data may be good.
    pub unchecked: bool,
    /// Whether it is more damage than error correction can repair.
    pub unrepairable: bool,
}

impl Finding {
    /// Something wrong that concerns the repository as a whole.
    pub(super) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, blob: None, content: None, detail: detail.into(), unchecked: false, unrepairable: false }
    }

    /// Something wrong with a blob.
    pub(super) fn of_blob(code: &'static str, blob: &BlobId, detail: impl Into<String>) -> Self {
        Self { blob: Some(blob.clone()), ..Self::new(code, detail) }
    }
}

/// Contents that cannot be given back. Of packs that are not there only the names are held: there may be millions of contents
/// in them.
#[derive(Debug)]
pub(super) struct Failures {
    causes: BTreeMap<ContentId, Cause>,
    missing: HashSet<BlobId>,
    most: usize,
    overflowed: bool,
}

impl Default for Failures {
    /// Without a limit.
    fn default() -> Self {
        Self::within(u64::MAX)
    }
}

impl Failures {
    /// None yet, and no more than take some `memory` bytes.
    pub(super) fn within(memory: u64) -> Self {
        let most = usize::try_from(memory / FAILURE_BYTES).unwrap_or(usize::MAX);
        Self { causes: BTreeMap::new(), missing: HashSet::new(), most, overflowed: false }
    }

    pub(super) fn insert(&mut self, content: ContentId, cause: Cause) {
        if self.causes.len() >= self.most && !self.causes.contains_key(&content) {
            self.overflowed = true;
            return;
        }
        let cause = cause.beside(self.causes.len());
        self.causes.entry(content).or_insert(cause);
    }

    /// Takes in that a pack is not there, and with it nothing that the newest index has in it.
    pub(super) fn insert_missing(&mut self, pack: BlobId) {
        self.missing.insert(pack);
    }

    pub(super) fn is_missing(&self, pack: &BlobId) -> bool {
        self.missing.contains(pack)
    }

    /// Whether packs are not there.
    pub(super) fn has_missing_packs(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Takes in that there are more than could be held.
    pub(super) fn overflow(&mut self) {
        self.overflowed = true;
    }

    /// Whether there are more than could be held, so that contents that are not among these may be bad as well.
    pub(super) fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Whether a content is held by itself.
    pub(super) fn holds(&self, content: &ContentId) -> bool {
        self.causes.contains_key(content)
    }

    /// Why a content cannot be given back that the newest index has in this pack.
    pub(super) fn cause(&self, content: &ContentId, pack: Option<&BlobId>) -> Option<Cause> {
        let missing = || {
            let blob = pack.filter(|pack| self.is_missing(pack))?.clone();
            Some(Cause::of(&content::Error::PackMissing { content: *content, blob }))
        };
        self.causes.get(content).cloned().or_else(missing)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.causes.is_empty() && self.missing.is_empty() && !self.overflowed
    }

    /// Those that are held one by one.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ContentId, &Cause)> {
        self.causes.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(last: u8) -> ContentId {
        ContentId::new(None, &[[0; 15].as_slice(), &[last]].concat()).unwrap()
    }

    #[test]
    fn what_there_is_no_room_for_is_known_to_be_there() {
        let damaged = |last| Cause::of(&content::Error::Missing { content: content(last) });
        let mut failures = Failures::within(2 * FAILURE_BYTES);
        for last in [1, 2, 1] {
            failures.insert(content(last), damaged(last));
        }
        assert!(!failures.overflowed());
        failures.insert(content(3), damaged(3));
        assert!(failures.overflowed() && failures.holds(&content(1)) && !failures.holds(&content(3)));
    }

    #[test]
    fn a_pack_that_is_gone_takes_its_contents_along() {
        let pack = BlobId::new("p00").unwrap();
        let mut failures = Failures::default();
        assert!(failures.is_empty() && failures.cause(&content(1), Some(&pack)).is_none());
        failures.insert_missing(pack.clone());
        assert!(!failures.is_empty() && !failures.holds(&content(1)));
        let cause = failures.cause(&content(1), Some(&pack)).unwrap();
        assert_eq!((cause.code, cause.blob.as_ref()), ("pack-missing", Some(&pack)));
        assert!(cause.detail.contains("p00") && !cause.unchecked);
        assert!(failures.cause(&content(1), BlobId::new("p01").ok().as_ref()).is_none());
        // What was found in it before it went keeps its own cause, and is held once.
        failures.insert(content(2), Cause { code: "content-damaged", ..cause });
        assert_eq!(failures.cause(&content(2), Some(&pack)).unwrap().code, "content-damaged");
        assert!(failures.holds(&content(2)));
    }
}
