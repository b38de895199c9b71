//! Signs that a list is not complete: told with a list, and fatal to an empty one.

use super::failure::{Exit, Failure};
use crate::Reason;

/// What was found to be doubtful about an answer.
pub(super) struct Doubts {
    degraded: bool,
    found: Vec<Reason>,
}

impl Doubts {
    pub(super) fn new(degraded: bool) -> Self {
        Self { degraded, found: Vec::new() }
    }

    /// Warns of a doubt and remembers it.
    pub(super) fn add(&mut self, reason: Reason) {
        tracing::warn!("{reason}");
        self.found.push(reason);
    }

    /// The first of them.
    pub(super) fn first(&self) -> Option<&Reason> {
        self.found.first()
    }

    /// How a list ends: an empty one with a doubt is no answer at all, and one that may be too short is done in part.
    pub(super) fn conclude(&self, what: &str, empty: bool) -> Result<Exit, Failure> {
        match self.first() {
            None => Ok(Exit::Done),
            Some(reason) if empty && !self.degraded => Err(refuse(&nothing(what), reason)),
            Some(_) => Ok(Exit::Partial),
        }
    }
}

/// The beginning of the message for an empty list that is not certain.
pub(super) fn nothing(what: &str) -> String {
    format!("no {what} found, but that is not certain")
}

/// The failure in place of a negative answer.
pub(super) fn refuse(what: &str, reason: &Reason) -> Failure {
    Failure::new(Exit::Unknown, reason.code(), format!("{what}: {reason}")).blob(reason.blob())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::BlobId;

    #[test]
    fn a_doubtful_nothing_is_never_an_answer() {
        let blob = BlobId::new("xn3_00").unwrap();
        let mut doubts = Doubts::new(false);
        assert!(matches!(doubts.conclude("snapshots", true), Ok(Exit::Done)));
        doubts.add(Reason::new("index-doubtful", "epoch 2 has no index blobs").of_blob(Some(&blob)));
        assert!(matches!(doubts.conclude("snapshots", false), Ok(Exit::Partial)));
        let failure = doubts.conclude("snapshots", true).unwrap_err();
        assert_eq!((failure.exit, failure.code), (Exit::Unknown, "index-doubtful"));
        assert!(failure.message.ends_with("epoch 2 has no index blobs"));
    }

    #[test]
    fn degraded_lists_are_always_partial() {
        let mut doubts = Doubts::new(true);
        doubts.add(Reason::new("index-doubtful", "x"));
        assert!(matches!(doubts.conclude("snapshots", false), Ok(Exit::Partial)));
        assert!(matches!(doubts.conclude("snapshots", true), Ok(Exit::Partial)));
    }
}
