//! Labelled JSON entries: snapshots, policies and the rest.

mod entry;
mod error;
mod memory;
mod parse;
mod set;

pub use crate::gojson::time::GoTime;
pub use crate::id::ManifestId;
pub use entry::{Labels, Manifest, Metadata};
pub use error::Error;
pub use memory::ManifestMemory;
pub use parse::parse;
pub use set::ManifestSet;

/// The label that says what a manifest is: `snapshot`, `policy` or another.
pub const TYPE_LABEL: &str = "type";
