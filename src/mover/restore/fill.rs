//! The restore of a chosen snapshot through the engine.

use super::Plan;
use crate::Repository;
use crate::mover::error::Error;
use crate::snapshot::Snapshot;

pub(super) fn fill(_plan: &Plan, _repository: &Repository, snapshot: &Snapshot) -> Result<(), Error> {
    Err(Error::Restore { snapshot: snapshot.id.clone(), reason: "this build cannot restore yet".into() })
}
