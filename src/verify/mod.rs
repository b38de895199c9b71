//! Proof that what a repository holds can be read back, and what is lost where it cannot.
//!
//! [`Verifier`] checks in levels ([`Level`]), each including the former, and gives a [`Report`]. It reads packs in disk
//! order, each byte once, and follows damage from contents to the paths and snapshots that need them.

mod auxiliary;
mod checked;
mod error;
mod failures;
mod fault;
mod forensics;
mod job;
mod ledger;
mod lookup;
mod options;
mod outcome;
mod plan;
mod read;
mod recover;
mod repaired;
mod report;
mod run;
mod snapshots;
mod time;
mod trees;
mod verifier;
mod view;

pub use error::Error;
pub use job::Progress;
pub use ledger::{Ledger, MergedLedgers};
pub use options::{Level, Order, Settings, Shard};
pub use recover::{RecoveredSnapshot, RecoveryReport, recover_index};
pub use repaired::write_repaired;
pub use report::model::{
    Coverage, Damage, DamageGroup, Ecc, ForeignFiles, LostPath, RepairedBlob, Report, SnapshotState, Stopped,
    Unreferenced, Verdict,
};
pub use verifier::Verifier;
