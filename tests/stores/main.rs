//! Storage over a network: one suite for every store, and a server that lies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

#[cfg(feature = "s3")]
mod command;
#[path = "../common/mod.rs"]
mod common;
#[cfg(all(feature = "s3", feature = "service"))]
mod connections;
#[cfg(feature = "s3")]
mod keys;
#[cfg(feature = "s3")]
mod lies;
#[cfg(all(feature = "s3", feature = "webdav", feature = "sftp"))]
mod moto;
#[cfg(feature = "s3")]
mod past;
#[cfg(all(feature = "s3", feature = "rclone", feature = "sftp", feature = "service"))]
mod rclone;
#[cfg(all(feature = "s3", feature = "webdav", feature = "sftp"))]
mod real;
#[cfg(feature = "s3")]
mod server;
#[cfg(feature = "s3")]
mod suite;
#[cfg(all(feature = "s3", feature = "webdav"))]
mod webdav;
