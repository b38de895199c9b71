//! The existence question: the checker against what real Kopia wrote, and the service as a process over HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

#[cfg(feature = "testkit")]
mod admission;
#[cfg(feature = "testkit")]
mod browse;
#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "testkit")]
mod confined;
#[cfg(feature = "testkit")]
mod failure;
mod fixtures;
#[cfg(feature = "testkit")]
mod hung;
#[cfg(feature = "testkit")]
mod lifecycle;
#[cfg(feature = "testkit")]
mod lookup;
#[cfg(feature = "testkit")]
mod motion;
#[cfg(feature = "testkit")]
mod pages;
#[cfg(feature = "testkit")]
mod process;
#[cfg(feature = "testkit")]
mod stores;
#[cfg(feature = "testkit")]
mod world;
