//! The mover, started as VolSync's operator starts it: one test for each case of what the operator and its users expect.
//!
//! Cases are numbered; `docs/volsync.md` says what each group is about. After every run the repository must be as it was, and
//! no secret may be in the log. A case that needs mounts or other users, and meets a kernel that refuses them, says so in a
//! line that begins with `skipped:`.
#![cfg(feature = "testkit")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "tests and their helpers"
)]

mod arguments;
#[path = "../common/mod.rs"]
mod common;
mod damage;
mod data;
mod kopia;
mod location;
mod nfs;
mod operator;
mod sandbox;
mod selection;
mod signals;
mod start;
mod status;
mod storage;
mod world;
