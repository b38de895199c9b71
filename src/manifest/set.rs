//! All manifests of a repository: the merge of all manifest contents.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::entry::{Labels, Manifest, memory_of_labels, share};
use crate::id::ManifestId;
use crate::index::ContentId;

/// The live manifests. It remembers which content each came from, so that an update reads only contents not seen
/// before.
#[derive(Debug, Default)]
pub struct ManifestSet {
    contents: HashMap<ContentId, Vec<Arc<Manifest>>>,
    live: BTreeMap<ManifestId, Arc<Manifest>>,
    /// Those of all contents, each held once.
    labels: HashSet<Labels>,
}

impl ManifestSet {
    /// Whether a manifest content was read already.
    pub fn has(&self, content: &ContentId) -> bool {
        self.contents.contains_key(content)
    }

    /// Some bytes of memory that they take.
    pub fn memory(&self) -> u64 {
        let manifests = self.versions().map(Manifest::memory).sum::<u64>();
        manifests + self.labels.iter().map(memory_of_labels).sum::<u64>()
    }

    /// Takes in newly read contents, forgets those that are not in `current`, and merges. Tells whether there were any of
    /// these.
    ///
    /// Of several versions of a manifest the one with the latest `modified` counts; only then do deletions take effect,
    /// because the deletion and what it deletes may be in different contents.
    pub fn update(
        &mut self,
        current: &BTreeSet<ContentId>,
        read: impl IntoIterator<Item = (ContentId, Vec<Manifest>)>,
    ) -> bool {
        let before = self.contents.len();
        self.contents.retain(|content, _| current.contains(content));
        let mut changed = self.contents.len() != before;
        for (content, manifests) in read {
            let once = |mut manifest: Manifest| {
                share(&mut self.labels, &mut manifest.labels);
                Arc::new(manifest)
            };
            let manifests = manifests.into_iter().map(once).collect();
            self.contents.insert(content, manifests);
            changed = true;
        }
        if !changed {
            return false;
        }
        let mut newest: BTreeMap<ManifestId, Arc<Manifest>> = BTreeMap::new();
        for manifest in self.contents.values().flatten() {
            match newest.get_mut(&manifest.id) {
                Some(known) if supersedes(manifest, known) => *known = Arc::clone(manifest),
                Some(_) => {}
                None => {
                    newest.insert(manifest.id.clone(), Arc::clone(manifest));
                }
            }
        }
        newest.retain(|_, manifest| !manifest.deleted);
        self.live = newest;
        self.labels.retain(|labels| Arc::strong_count(labels) > 1);
        true
    }

    /// The live manifests alone, shared with these. Contents are not remembered, so it cannot be updated.
    pub(crate) fn live(&self) -> Self {
        Self { live: self.live.clone(), ..Self::default() }
    }

    /// A live manifest.
    pub fn get(&self, id: &ManifestId) -> Option<&Manifest> {
        self.live.get(id).map(Arc::as_ref)
    }

    /// All live manifests, ordered by ID.
    pub fn iter(&self) -> impl Iterator<Item = &Manifest> {
        self.live.values().map(Arc::as_ref)
    }

    /// What all contents say: every version of every manifest, deletions included.
    pub fn versions(&self) -> impl Iterator<Item = &Manifest> {
        self.contents.values().flatten().map(Arc::as_ref)
    }

    /// The live manifests that have all these labels, oldest first.
    pub fn find(&self, labels: &[(&str, &str)]) -> Vec<&Manifest> {
        let has_all =
            |manifest: &&Manifest| labels.iter().all(|(name, value)| manifest.label(name) == Some(value));
        let mut found: Vec<&Manifest> = self.iter().filter(has_all).collect();
        found.sort_by_key(|manifest| manifest.modified);
        found
    }

    /// The live manifest that has all these labels and was written last; of several, the one with the greatest ID.
    pub fn latest(&self, labels: &[(&str, &str)]) -> Option<&Manifest> {
        self.find(labels).pop()
    }

    /// Number of live manifests.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }
}

/// At equal times both are copies made by a compaction; should they differ all the same, the one that exists is safer.
fn supersedes(manifest: &Manifest, known: &Manifest) -> bool {
    manifest.modified > known.modified
        || (manifest.modified == known.modified && known.deleted && !manifest.deleted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gojson::time::GoTime;

    fn content(n: u8) -> ContentId {
        ContentId::new(Some(b'm'), &[n]).unwrap()
    }

    fn version(id: &str, seconds: i64, deleted: bool) -> Manifest {
        let labels = [("type", if deleted { "" } else { "snapshot" })];
        Manifest {
            modified: GoTime::from_unix(seconds, 0),
            deleted,
            ..Manifest::for_tests(id, &labels, "{}")
        }
    }

    fn set(contents: Vec<Vec<Manifest>>) -> ManifestSet {
        let read: Vec<_> = contents.into_iter().enumerate().map(|(n, m)| (content(n as u8), m)).collect();
        let mut set = ManifestSet::default();
        set.update(&read.iter().map(|(id, _)| *id).collect(), read);
        set
    }

    fn ids(set: &ManifestSet) -> Vec<&str> {
        set.iter().map(|m| m.id().as_str()).collect()
    }

    #[test]
    fn deletions_work_across_contents_and_only_if_younger() {
        let set = set(vec![
            vec![version("a", 1, false), version("b", 5, false), version("c", 7, false)],
            vec![version("a", 2, true), version("b", 4, true), version("c", 7, true)],
        ]);
        assert_eq!(ids(&set), ["b", "c"]);
    }

    #[test]
    fn an_update_forgets_contents_that_are_gone() {
        let mut set = set(vec![vec![version("a", 1, false)], vec![version("b", 2, false)]]);
        assert!(set.has(&content(1)));
        set.update(&BTreeSet::from([content(0), content(2)]), [(content(2), vec![version("a", 3, true)])]);
        assert!(ids(&set).is_empty());
        assert!(!set.has(&content(1)));
    }

    #[test]
    fn finding_by_labels_gives_the_oldest_first() {
        let set = set(vec![vec![version("a", 9, false), version("b", 2, false)]]);
        let found: Vec<_> = set.find(&[("type", "snapshot")]).iter().map(|m| m.id().to_string()).collect();
        assert_eq!(found, ["b", "a"]);
        assert_eq!(set.latest(&[("type", "snapshot")]).unwrap().id().as_str(), "a");
        assert!(set.latest(&[("type", "policy")]).is_none());
        assert!(set.find(&[("type", "policy")]).is_empty());
        assert!(set.find(&[("other", "snapshot")]).is_empty());
    }
}
