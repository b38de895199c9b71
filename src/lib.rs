//! rokopia opens repositories written by the Kopia backup tool, without Kopia, and never writes to them.

pub mod blob;
pub mod checker;
#[allow(dead_code, reason = "more commands land after it")]
pub mod cli;
pub mod codec;
pub mod content;
mod crew;
pub mod crypto;
mod error;
mod executable;
pub mod format;
pub(crate) mod gojson;
pub mod index;
mod kopia;
pub mod manifest;
mod mover;
pub mod object;
pub mod pack;
mod parallel;
mod privacy;
mod repository;
pub mod restore;
pub(crate) mod sandbox;
pub mod service;
mod signals;
pub mod snapshot;
#[cfg(feature = "testkit")]
pub mod testkit;
mod text;
pub mod verify;

pub use error::Error;
#[cfg(feature = "testkit")]
pub use kopia::parse_as_anything as parse_as_kopia;
pub use privacy::keep_memory_private;
pub use repository::{Catalog, Options, Problem, Recovered, Repository};
pub use sandbox::{Entered, Given, Sandbox};
