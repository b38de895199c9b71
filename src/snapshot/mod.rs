//! Snapshots, their sources, directories and retention.

mod directory;
mod entry;
mod error;
mod list;
mod manifest;
mod name;
mod retention;
mod source;
mod time;
mod tree;
mod walk;

pub use directory::{Entries, Winners};
pub use entry::{DirEntry, EntryType, FailedEntry, GoMode, Summary};
pub use error::Error;
pub use list::{Problem, Selection, Snapshots};
pub use manifest::{Listed, Snapshot, Stats, StorageStats, StorageUsage};
pub use name::{EntryName, InvalidName};
pub use retention::{Retention, compact_pins, compact_reasons};
pub use source::{InvalidSource, Source};
pub use time::{InvalidTime, UtcTimestamp};
pub use tree::Tree;
pub use walk::{Walk, WalkEntry};
