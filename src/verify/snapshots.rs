//! The snapshots that can be listed, and what keeps others from it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::fault::{Fault, Finding, is_refusal};
use crate::content::{self, ContentSource, Contents};
use crate::index::ContentId;
use crate::manifest::{self, ManifestMemory, ManifestSet};
use crate::snapshot::{Snapshot, Snapshots};

/// Snapshots whose manifests can be read, oldest first.
#[derive(Default)]
pub(super) struct ListedSnapshots {
    pub(super) snapshots: Vec<Snapshot>,
    /// Manifests that cannot be read: each may have held snapshots.
    pub(super) findings: Vec<Finding>,
    /// IDs of manifests that are marked deleted.
    pub(super) deleted: HashSet<String>,
}

impl ListedSnapshots {
    /// Reads all live manifests.
    pub(super) fn load(contents: &Contents, room: &ManifestMemory) -> Self {
        let index = contents.index();
        let live: BTreeSet<ContentId> = index
            .positions()
            .filter(|(_, entry)| entry.id.is_manifest() && !entry.deleted)
            .map(|(_, entry)| entry.id)
            .collect();
        Self::read(contents, &live, room)
    }

    /// Reads the manifests in these contents.
    pub(super) fn read(
        contents: &dyn ContentSource,
        live: &BTreeSet<ContentId>,
        room: &ManifestMemory,
    ) -> Self {
        let mut known = Self::default();
        let mut read = Vec::new();
        for id in live {
            let parsed = contents.get(id).map_err(manifest::Error::from);
            match parsed.and_then(|payload| manifest::parse(*id, &payload, room)) {
                Ok(manifests) => read.push((*id, manifests)),
                Err(e) => {
                    let fault = Fault {
                        blob: e.blob().cloned(),
                        unchecked: unchecked(&e),
                        unrepairable: matches!(
                            e,
                            manifest::Error::Content { source: content::Error::Unrepairable { .. } }
                        ),
                        ..Fault::new(e.code(), format!("{e}; snapshots may be listed nowhere else"))
                    };
                    known.findings.push(Finding { content: Some(*id), ..fault.into() });
                }
            }
        }
        let mut set = ManifestSet::default();
        set.update(live, read);
        let deleted = set.versions().filter(|manifest| manifest.is_deleted());
        known.deleted = deleted.map(|manifest| manifest.id().to_string()).collect();
        let snapshots = Snapshots::new(&set);
        let problems = snapshots.problems().iter();
        known
            .findings
            .extend(problems.map(|problem| Fault::new(problem.code, problem.reason.clone()).into()));
        known.snapshots = snapshots.all.into_iter().map(Arc::unwrap_or_clone).collect();
        known
    }
}

fn unchecked(error: &manifest::Error) -> bool {
    match error {
        manifest::Error::Content { source: content::Error::Read { source, .. } } => is_refusal(source),
        manifest::Error::OverBudget { .. } => true,
        _ => false,
    }
}
