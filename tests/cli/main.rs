//! The command line as its users see it: options, exit codes, messages, and what README and `docs/` say about them.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests and their helpers"
)]

#[path = "../common/mod.rs"]
mod common;

mod asking;
mod auditing;
mod caching;
mod certainty;
mod commands;
mod doctor;
mod documents;
mod doubts;
mod foreign;
mod histories;
mod looking;
mod opening;
mod outputs;
mod passwords;
mod restic;
mod restoring;
mod signals;
mod stores;
mod support;
