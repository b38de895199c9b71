//! `verify` against repositories that real Kopia made, whole and damaged.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "tests and their helpers"
)]

#[cfg(feature = "testkit")]
mod cli;
#[path = "../common/mod.rs"]
mod common;
mod damage;
#[cfg(feature = "testkit")]
mod directories;
#[cfg(feature = "testkit")]
mod disk;
#[cfg(feature = "testkit")]
mod drills;
#[cfg(feature = "testkit")]
mod flips;
mod healthy;
#[cfg(feature = "testkit")]
mod ledger;
#[cfg(feature = "testkit")]
mod made;
#[cfg(feature = "testkit")]
mod memory;
#[cfg(feature = "testkit")]
mod random;
mod recover;
mod repair;
#[cfg(feature = "testkit")]
mod schema;
mod support;
#[cfg(feature = "testkit")]
mod trace;
#[cfg(feature = "testkit")]
mod unlisted;
#[cfg(feature = "testkit")]
mod vanished;
