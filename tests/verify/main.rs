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
mod support;
