//! Repositories of restic, as much of them as questions about existence and age need: configuration, keys and snapshots. No
//! index and no packs are read, so nothing can be restored from them here.
//!
//! The hash that a file is named by is checked before anything in it is believed. Locks are ignored, and none is made: files
//! are never changed, and a snapshot that is deleted meanwhile is looked for again.

mod directory;
mod error;
mod sealed;
mod snapshot;

pub use directory::Repository;
pub use error::Error;
pub use snapshot::Snapshot;
