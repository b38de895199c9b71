//! The fronts: what people and other programs call. Nothing outside this folder names it.

#[allow(dead_code, reason = "more commands land after it")]
pub mod cli;
pub(crate) mod kopia;
mod mover;
pub mod service;
