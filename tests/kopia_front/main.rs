//! The front against what a real Kopia printed, and, with one at hand, against what it prints now.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests and their helpers")]

#[path = "../common/mod.rs"]
mod common;
mod compare;
mod connection;
mod damages;
mod passing;
mod recordings;
mod sorted;
mod support;
