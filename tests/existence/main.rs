//! The existence question: the checker against what real Kopia wrote, and the service as a process over HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod fixtures;
mod support;
