//! rokopia opens repositories written by the Kopia backup tool, without Kopia, and never writes to them.

#![cfg_attr(
    not(all(
        feature = "cli",
        feature = "kopia-front",
        feature = "mover",
        feature = "service",
        feature = "verify",
        feature = "sandbox"
    )),
    allow(dead_code, unused_imports, reason = "some things are called from one feature alone")
)]

pub mod audit;
pub mod blob;
pub mod checker;
pub mod codec;
pub mod content;
pub mod crypto;
mod error;
mod failure;
pub mod format;
#[cfg(feature = "cli")]
pub mod front;
pub(crate) mod gojson;
pub(crate) mod id;
pub mod index;
pub mod manifest;
pub mod object;
mod os;
pub mod pack;
pub mod repository;
pub mod restore;
pub mod snapshot;
#[cfg(feature = "testkit")]
pub mod testkit;
mod text;
#[cfg(feature = "verify")]
pub mod verify;

pub use error::Error;
#[cfg(all(feature = "testkit", feature = "kopia-front"))]
pub use front::kopia::parse_as_anything as parse_as_kopia;
pub use os::privacy::keep_memory_private;
pub use os::sandbox::{Entered, Given, Sandbox};
pub use repository::{
    Absence, Access, Budget, Catalog, Opening, Options, Problem, Reason, Recovered, Repository, Suspect,
    Unlisted,
};
