//! The fronts: what people and other programs call. Nothing outside this folder names it.

#[cfg(feature = "cli")]
mod archived;
mod cli;
#[cfg(feature = "kopia-front")]
pub(crate) mod kopia;
#[cfg(feature = "cli")]
mod limits;
pub(crate) mod location;
#[cfg(feature = "mount")]
mod mount;
#[cfg(feature = "mover")]
mod mover;
#[cfg(any(feature = "nfs", feature = "browse"))]
mod network;
#[cfg(feature = "nfs")]
mod nfs;
#[cfg(feature = "cli")]
mod pax;
#[cfg(feature = "cli")]
mod rows;
#[cfg(feature = "service")]
pub mod service;
#[cfg(feature = "cli")]
mod together;
mod waiting;

pub use cli::main;
#[cfg(feature = "testkit")]
pub use cli::parse_as_anything as parse_as_rokopia;
#[cfg(all(feature = "testkit", feature = "kopia-front"))]
pub use kopia::parse_as_anything as parse_as_kopia;
