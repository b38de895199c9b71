//! Why something that was asked for by name was not given.

use crate::blob::Trouble;

/// Why an object or a file was not given.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The storage itself says that it has no such thing.
    NotFound,
    /// It ends before the range that was asked for.
    BehindEnd,
    /// Everything else.
    Trouble(Trouble),
}

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// The value of a `Range` header.
pub(crate) fn range_header((offset, length): (u64, usize)) -> String {
    let last = offset.saturating_add(length as u64).saturating_sub(1);
    format!("bytes={offset}-{last}")
}
