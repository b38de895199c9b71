//! Signs that a list is not complete: told with a list, and fatal to an empty one.

use std::fmt::Display;

use super::failure::{Exit, Failure};
use crate::blob::BlobId;

/// What was found to be doubtful about an answer.
pub(super) struct Doubts {
    degraded: bool,
    found: Vec<Found>,
}

struct Found {
    message: String,
    blob: Option<String>,
}

impl Doubts {
    pub(super) fn new(degraded: bool) -> Self {
        Self { degraded, found: Vec::new() }
    }

    /// Warns of a doubt and remembers it.
    pub(super) fn add(&mut self, doubt: &impl Display, blob: Option<&BlobId>) {
        let message = doubt.to_string();
        tracing::warn!("{message}");
        self.found.push(Found { message, blob: blob.map(ToString::to_string) });
    }

    /// Whether nothing is doubtful.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// How a list ends: an empty one with a doubt is no answer at all, and what `--degraded` read is never all.
    pub(super) fn conclude(&self, what: &str, empty: bool) -> Result<Exit, Failure> {
        match self.found.first() {
            None => Ok(Exit::Done),
            Some(_) if self.degraded => Ok(Exit::Partial),
            Some(_) if empty => Err(self.refuse(&format!("no {what} found, but that is not certain"))),
            Some(_) => Ok(Exit::Done),
        }
    }

    /// The failure in place of a negative answer.
    pub(super) fn refuse(&self, what: &str) -> Failure {
        let first = self.found.first();
        let reason = first.map_or("", |found| found.message.as_str());
        Failure::new(Exit::Unknown, "index-doubtful", format!("{what}: {reason}"))
            .blob(first.and_then(|found| found.blob.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubtful_nothing_is_never_an_answer() {
        let blob = BlobId::new("xn3_00").unwrap();
        let mut doubts = Doubts::new(false);
        assert!(matches!(doubts.conclude("snapshots", true), Ok(Exit::Done)));
        doubts.add(&"epoch 2 has no index blobs", Some(&blob));
        assert!(matches!(doubts.conclude("snapshots", false), Ok(Exit::Done)));
        let failure = doubts.conclude("snapshots", true).unwrap_err();
        assert_eq!((failure.exit, failure.code), (Exit::Unknown, "index-doubtful"));
        assert!(failure.message.ends_with("epoch 2 has no index blobs"));
    }

    #[test]
    fn degraded_lists_are_always_partial() {
        let mut doubts = Doubts::new(true);
        doubts.add(&"x", None);
        assert!(matches!(doubts.conclude("snapshots", false), Ok(Exit::Partial)));
        assert!(matches!(doubts.conclude("snapshots", true), Ok(Exit::Partial)));
    }
}
