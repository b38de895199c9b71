//! The restore engine against repositories that the testkit writes.
#![cfg(feature = "testkit")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests and their helpers"
)]

mod basics;
mod common;
mod dry_run;
mod failures;
mod hostile;
mod names;
mod owner;
mod processes;
mod requests;
mod side_by_side;
