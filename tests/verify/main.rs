//! `verify` against repositories that real Kopia made, whole and damaged.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "tests and their helpers"
)]

mod damage;
mod healthy;
#[cfg(feature = "testkit")]
mod ledger;
#[cfg(feature = "testkit")]
mod made;
mod support;
#[cfg(feature = "testkit")]
mod trace;
#[cfg(feature = "testkit")]
mod vanished;
