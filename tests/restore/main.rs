//! The restore engine against repositories that the testkit writes.
#![cfg(feature = "testkit")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests and their helpers")]

mod basics;
mod common;
mod failures;
mod hostile;
