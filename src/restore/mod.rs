//! Restoring a tree: walk → plan → fetch → write → finish.
//!
//! A [`Restore`] walks the directories of a snapshot in batches, reads what the files of a batch need pack by pack,
//! decodes on all cores and writes each file so that it appears under its name only when it is complete.
//!
//! ```no_run
//! use rokopia::{FileSystem, Password, Repository, Restore, Snapshot};
//! # fn restore(password: Password, snapshot: Snapshot) -> Result<(), Box<dyn std::error::Error>> {
//! let repository = Repository::open(FileSystem::open("/mnt/kopia")?, &password)?;
//! let contents = repository.contents()?;
//! let summary = Restore::new(&contents, &snapshot).memory(256 << 20).run("/srv/data", &())?;
//! println!("{} files", summary.files);
//! # Ok(())
//! # }
//! ```

mod ahead;
mod buffers;
mod delta;
mod displace;
mod engine;
mod error;
mod existing;
mod fetch;
mod filter;
mod job;
mod options;
mod owners;
mod place;
mod plan;
mod prune;
mod refused;
mod report;
mod spelling;
mod target;
mod walk;

pub use error::Error;
pub use filter::Filter;
#[cfg(feature = "glob")]
pub use filter::{FilterBuilder, InvalidPattern};
pub use options::{Origin, Overwrite, Restore};
pub use owners::OwnerMap;
pub(crate) use place::may_delete_in;
pub use refused::{RefusedAttributes, RefusedEntry};
pub use report::{Change, EntryError, Progress, Status, Summary};
