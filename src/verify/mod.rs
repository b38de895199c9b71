//! Proof that what a repository holds can be read back, and what is lost where it cannot.
//!
//! [`Verifier`] checks in levels ([`Level`]), each including the former, and gives a [`Report`]. It reads packs in disk
//! order, each byte once, and follows damage from contents to the paths and snapshots that need them.

mod again;
mod assemble;
mod auxiliary;
mod batch;
mod error;
mod findings;
mod forensics;
mod graph;
mod impact;
mod lanes;
mod ledger;
mod lookup;
mod options;
mod outcome;
mod places;
mod plan;
mod recover;
mod repaired;
mod report;
mod run;
mod scan;
mod seen;
mod select;
mod snapshots;
mod trees;
mod walk;
mod workers;

pub use error::Error;
pub use findings::{Cause, Finding};
pub use ledger::{Ledger, MergedLedgers};
pub use options::{Level, Shard};
pub use recover::{RecoveredSnapshot, RecoveryReport, recover_index};
pub use repaired::write_repaired;
pub use report::{
    Coverage, Damage, DamageGroup, Ecc, ForeignFiles, LostPath, RepairedBlob, Report, SnapshotState, Stopped,
    Unreferenced, Verdict,
};
pub use run::{Progress, Settings, Verifier};
pub use select::Order;
