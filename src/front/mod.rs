//! The fronts: what people and other programs call. Nothing outside this folder names it.

#[allow(dead_code, reason = "more commands land after it")]
pub mod cli;
#[cfg(feature = "kopia-front")]
pub(crate) mod kopia;
pub(crate) mod location;
#[cfg(feature = "mount")]
mod mount;
#[cfg(feature = "mover")]
mod mover;
#[cfg(feature = "nfs")]
mod nfs;
#[cfg(feature = "cli")]
mod rows;
#[cfg(feature = "service")]
pub mod service;
mod waiting;
