//! What could be read back if the packs stood in for lost index blobs.

use std::collections::BTreeSet;

use serde::Serialize;

use super::failures::Failures;
use super::report::model::SnapshotState;
use super::trees::impact::Impact;
use super::trees::walk::Walk;
use crate::index::IndexOptions;
use crate::repository::Recovered;
use crate::repository::{self, Options, Repository};
use crate::snapshot::Snapshot;

/// Threads that read trees: their reads are small and wait for each other.
const THREADS: usize = 8;

/// What the packs of a repository know.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct RecoveryReport {
    /// Packs that told what is in them.
    pub packs: u64,
    /// Why others did not.
    pub unreadable: Vec<String>,
    /// Contents that the index blobs name.
    pub indexed: u64,
    /// Contents that only the packs name.
    pub regained: u64,
    /// All snapshots that can be listed this way, oldest first. Whether they are whole is judged by what is named, not
    /// by reading it.
    pub snapshots: Vec<RecoveredSnapshot>,
}

/// A snapshot as the packs have it.
#[derive(Debug, Clone, Serialize)]
pub struct RecoveredSnapshot {
    /// The snapshot.
    #[serde(flatten)]
    pub state: SnapshotState,
    /// Whether it cannot be listed by the index blobs alone. It may have been deleted long ago.
    pub regained: bool,
}

/// Reads the indexes inside all packs, and reports what can be restored with them. Nothing is written.
///
/// # Errors
/// Failures to list.
pub fn recover_index(repository: &Repository) -> Result<(RecoveryReport, Recovered), repository::Error> {
    let index = IndexOptions { degraded: true, ..repository.options().index };
    let degraded = Repository::with_format(
        std::sync::Arc::clone(repository.store()),
        std::sync::Arc::clone(repository.format()),
        Options { index, ..repository.options() },
    );
    let listed: BTreeSet<String> = match degraded.catalog() {
        Ok(catalog) => catalog.all_snapshots().all().iter().map(|known| known.id.to_string()).collect(),
        Err(e) if e.is_retryable() || e.code() == "memory-budget" => return Err(e),
        Err(_) => BTreeSet::new(),
    };
    let recovered = repository.recover()?;
    let snapshots: Vec<Snapshot> =
        recovered.catalog.all_snapshots().all().iter().map(|snapshot| Snapshot::clone(snapshot)).collect();
    let none = Failures::default();
    let roots: Vec<_> = snapshots.iter().map(|snapshot| snapshot.root.as_ref()).collect();
    let trees = Walk::new(&recovered.contents, &none, false, repository.options().index.memory).run(
        &roots,
        THREADS,
        &|| false,
    );
    let impact = Impact::of(&trees, &snapshots, &recovered.contents);
    let entries = recovered.contents.index().iter().count() as u64;
    let regained = recovered.regained.len() as u64;
    let report = RecoveryReport {
        packs: recovered.packs,
        unreadable: recovered.unreadable.iter().map(ToString::to_string).collect(),
        indexed: entries.saturating_sub(regained),
        regained,
        snapshots: snapshots
            .iter()
            .zip(&impact.damaged)
            .map(|(snapshot, lost)| describe(snapshot, *lost, &listed))
            .collect(),
    };
    Ok((report, recovered))
}

fn describe(snapshot: &Snapshot, lost: u64, listed: &BTreeSet<String>) -> RecoveredSnapshot {
    let state = SnapshotState::of(snapshot, lost);
    RecoveredSnapshot { regained: !listed.contains(&state.id), state }
}
