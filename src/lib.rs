//! rokopia opens repositories written by the Kopia backup tool, without Kopia, and never writes to them.

pub mod blob;
pub mod codec;
pub mod content;
pub mod crypto;
mod error;
pub mod format;
#[allow(dead_code, unreachable_pub, unused_macros, unused_imports, reason = "its users land after it")]
pub(crate) mod gojson;
pub mod index;
pub mod manifest;
pub mod object;
pub mod pack;
mod repository;
pub mod snapshot;

pub use error::Error;
pub use repository::{Options, Repository};
