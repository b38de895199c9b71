//! Labelled JSON entries: snapshots, policies and the rest.

mod entry;
mod error;
mod parse;
mod set;

pub use entry::{Labels, Manifest, ManifestId};
pub use error::Error;
pub use parse::parse;
pub use set::ManifestSet;
