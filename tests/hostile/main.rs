//! Repositories, storages and targets that mean harm, and what every command makes of them.
//!
//! `cargo test --all-features --test hostile -- --ignored --nocapture` runs what takes minutes or gigabytes;
//! with `ROKOPIA_HOSTILE_ALL=1` all commands run over every hostile tree.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests and their helpers"
)]

#[path = "../common/mod.rs"]
mod common;

mod cases;
mod documents;
mod faults;
mod kills;
mod large;
mod mutants;
mod race;
mod run;
mod sandbox;
mod secrets;
mod targets;
mod trees;
