//! The snapshots of a repository, and what they need and have lost.

use std::collections::HashSet;
use std::sync::Arc;

use super::failures::Failures;
use super::job::Job;
use super::options::Level;
use super::snapshots::ListedSnapshots;
use super::trees::graph::Trees;
use super::trees::impact::Impact;
use super::trees::walk::Walk;
use crate::content::Contents;
use crate::index::Position;
use crate::snapshot::Snapshot;

/// The snapshots as one index shows them.
pub(super) struct SnapshotView {
    /// All of them.
    pub(super) listed: ListedSnapshots,
    /// Those that were asked for.
    pub(super) shown: Vec<Snapshot>,
    /// Their trees and losses, if the trees were walked.
    pub(super) impact: Option<(Trees, Impact)>,
}

impl SnapshotView {
    /// Lists the snapshots and walks their trees. When maintenance changes the index meanwhile, an apparent loss may
    /// belong to snapshots that are gone as well; then everything is looked at again.
    pub(super) fn of(job: &Job<'_>, contents: &Contents, failures: &Failures) -> Self {
        const ATTEMPTS: usize = 4;
        let settings = job.asked.settings;
        // A shard leaves the trees to the run that merges the ledgers.
        let thorough = settings.level == Level::Files && settings.shard.count() == 1;
        let mut attempt = 1;
        loop {
            let index = contents.index();
            let listed = ListedSnapshots::load(contents, &job.room_for_manifests());
            let mut shown = listed.snapshots.clone();
            if let Some(ids) = &settings.snapshots {
                shown.retain(|snapshot| ids.iter().any(|id| *id == snapshot.id.as_str()));
            }
            let impact = (thorough || !failures.is_empty()).then(|| {
                let walk = Walk::new(contents, failures, thorough, job.memory_beside(contents));
                let roots: Vec<_> = shown.iter().map(|snapshot| snapshot.root.as_ref()).collect();
                let trees = walk.run(&roots, job.walkers(), &|| job.is_interrupted());
                let impact = Impact::of(&trees, &shown, contents);
                (trees, impact)
            });
            let sound = listed.findings.is_empty()
                && impact.as_ref().is_none_or(|(trees, _)| trees.findings.is_empty());
            if sound || attempt == ATTEMPTS || Arc::ptr_eq(&index, &contents.index()) {
                return Self { listed, shown, impact };
            }
            attempt += 1;
        }
    }
}

/// The contents that the snapshots with these IDs need. `None` if the memory is too small to find out.
pub(super) fn needs(job: &Job<'_>, contents: &Contents, ids: &[String]) -> Option<HashSet<Position>> {
    let listed = ListedSnapshots::load(contents, &job.room_for_manifests());
    let chosen = listed.snapshots.iter().filter(|snapshot| ids.iter().any(|id| *id == snapshot.id.as_str()));
    let roots: Vec<_> = chosen.map(|snapshot| snapshot.root.as_ref()).collect();
    let none = Failures::default();
    let mut walk = Walk::new(contents, &none, false, job.memory_beside(contents));
    let used = walk.record_used();
    let trees = walk.run(&roots, job.walkers(), &|| job.is_interrupted());
    if trees.unseen.is_some() {
        tracing::warn!(
            "the memory budget is too small to find out what the snapshots need: everything is read"
        );
        return None;
    }
    Some(std::mem::take(&mut *used.lock()))
}
