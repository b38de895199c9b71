//! All snapshots of a repository, and those of one source.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::manifest::{HOST_LABEL, PATH_LABEL, USER_LABEL};
use super::{AskedSource, Snapshot, Source, UtcTimestamp};
use crate::manifest::{Manifest, ManifestId, ManifestSet, TYPE_LABEL};
use crate::object::ObjectId;

/// Digits of an ID that people see, unless more are needed to tell snapshots apart.
const LEAST_DIGITS: usize = 8;

/// A snapshot whose manifest exists but cannot be parsed. As long as there is one, nothing can be said for certain
/// about its source: neither that there is no snapshot nor which one is the latest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The manifest.
    pub id: ManifestId,
    /// Which snapshots it is among, as far as its labels tell; a part that they do not tell is `None`.
    pub user: Option<String>,
    /// As [`Problem::user`], for the host.
    pub host: Option<String>,
    /// As [`Problem::user`], for the path.
    pub path: Option<String>,
    /// What is wrong with it.
    pub reason: String,
    /// The stable code of that.
    pub code: &'static str,
}

impl Problem {
    /// Something that is wrong with a manifest of a snapshot.
    pub(crate) fn new(manifest: &Manifest, code: &'static str, reason: String) -> Problem {
        let label = |key| manifest.label(key).map(str::to_owned);
        let (user, host, path) = (label(USER_LABEL), label(HOST_LABEL), label(PATH_LABEL));
        Problem { id: manifest.id().clone(), user, host, path, reason, code }
    }

    /// Whether the snapshot may be one of those asked for.
    pub fn may_be(&self, asked: &AskedSource) -> bool {
        asked.readings().iter().any(|source| self.concerns(source))
    }

    /// Whether the snapshot may be one of `source`.
    pub fn concerns(&self, source: &Source) -> bool {
        let may_be = |label: &Option<String>, part: &str| label.as_deref().is_none_or(|label| label == part);
        let path = self.path.as_deref().is_none_or(|path| Source::new("", "", path).same_path(source));
        may_be(&self.user, &source.user) && may_be(&self.host, &source.host) && path
    }
}

/// The snapshots of a repository.
#[derive(Debug, Clone, Default)]
pub struct Snapshots {
    /// Sorted by time.
    pub(crate) all: Vec<Arc<Snapshot>>,
    pub(crate) problems: Vec<Problem>,
}

impl Snapshots {
    /// Reads the snapshots among the manifests.
    pub fn new(manifests: &ManifestSet) -> Snapshots {
        Self::among(manifests, |_| true)
    }

    /// The snapshots of exactly this source, as [`Snapshots::of`] picks them; no others are parsed.
    pub fn of_source(manifests: &ManifestSet, source: &Source) -> Selection {
        Self::among(manifests, |manifest| Problem::new(manifest, "", String::new()).concerns(source))
            .of(source)
    }

    fn among(manifests: &ManifestSet, wanted: impl Fn(&Manifest) -> bool) -> Snapshots {
        let mut snapshots = Snapshots::default();
        let found = manifests.find(&[(TYPE_LABEL, super::manifest::SNAPSHOT_TYPE)]);
        for manifest in found.into_iter().filter(|manifest| wanted(manifest)) {
            match Snapshot::parse(manifest) {
                Ok(snapshot) => snapshots.all.push(Arc::new(snapshot)),
                Err(error) => {
                    snapshots.problems.push(Problem::new(manifest, error.code(), error.to_string()))
                }
            }
        }
        sort(&mut snapshots.all);
        snapshots
    }

    /// All snapshots, oldest first.
    pub fn all(&self) -> Selection {
        Selection { snapshots: self.all.clone(), problems: self.problems.clone() }
    }

    /// The snapshots of exactly this source, however its path is written, oldest first.
    pub fn of(&self, source: &Source) -> Selection {
        let snapshots = self.all.iter().filter(|snapshot| snapshot.found_as.is(source)).cloned().collect();
        let problems = self.problems.iter().filter(|problem| problem.concerns(source)).cloned().collect();
        Selection { snapshots, problems }
    }

    /// The snapshots of every source that is meant, oldest first.
    pub fn asked(&self, asked: &AskedSource) -> Selection {
        let snapshots = self.all.iter().filter(|snapshot| asked.means(&snapshot.found_as)).cloned().collect();
        let problems = self.problems.iter().filter(|problem| problem.may_be(asked)).cloned().collect();
        Selection { snapshots, problems }
    }

    /// Every source that has a snapshot, in the order of their display form.
    pub fn sources(&self) -> Vec<&Source> {
        let sources: BTreeSet<&Source> = self.all.iter().map(|snapshot| &snapshot.found_as).collect();
        sources.into_iter().collect()
    }

    /// The snapshots grouped and ordered as `kopia snapshot list --json` does: by the source that each snapshot
    /// itself names, in the order of display forms, oldest first; of those with equal times the one written last is
    /// first.
    pub fn groups(&self) -> Vec<(&Source, Vec<Arc<Snapshot>>)> {
        let mut groups: BTreeMap<&Source, Vec<Arc<Snapshot>>> = BTreeMap::new();
        for snapshot in &self.all {
            groups.entry(&snapshot.source).or_default().push(Arc::clone(snapshot));
        }
        for group in groups.values_mut() {
            group.reverse();
            group.sort_by_key(|snapshot| (snapshot.start_time, snapshot.end_time));
        }
        groups.into_iter().collect()
    }

    /// The snapshot with this manifest ID.
    pub fn get(&self, id: &str) -> Option<&Arc<Snapshot>> {
        self.all.iter().find(|snapshot| snapshot.id.as_str() == id)
    }

    /// The snapshots whose root is this very object, in the order in which their manifests were written.
    pub fn with_root(&self, object: &ObjectId) -> Vec<&Arc<Snapshot>> {
        let mut found: Vec<_> = self.all.iter().filter(|s| s.root_object() == Some(object)).collect();
        found.sort_by_key(|snapshot| snapshot.modified);
        found
    }

    /// The snapshot from which Kopia takes the attributes of a root that is named by its object: the first written if
    /// all entries are equal, else the one that began last, whatever its source. The flag tells whether they differ.
    pub fn root_attributes(&self, object: &ObjectId) -> Option<(&Arc<Snapshot>, bool)> {
        let found = self.with_root(object);
        let first = *found.first()?;
        if found.iter().all(|snapshot| snapshot.root == first.root) {
            return Some((first, false));
        }
        let latest = found.into_iter().rev().max_by_key(|snapshot| snapshot.start_time)?;
        Some((latest, true))
    }

    /// How many digits of an ID tell every snapshot from all others: at least eight.
    pub fn unique_digits(&self) -> usize {
        let mut ids: Vec<&str> = self.all.iter().map(|snapshot| snapshot.id.as_str()).collect();
        ids.sort_unstable();
        let common = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
        let longest = ids.iter().zip(ids.iter().skip(1)).map(|(a, b)| common(a, b)).max();
        longest.map_or(0, |common| common.saturating_add(1)).max(LEAST_DIGITS)
    }

    /// Snapshots that exist but cannot be read.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// Whether a snapshot counts as a backup of its source, for every question and every restore alike: a complete one does;
/// an incomplete one does where the source has no complete one, if a file could be saved before it ended.
pub(crate) fn is_backup(complete: bool, has_files: bool, any_complete: bool) -> bool {
    complete || (!any_complete && has_files)
}

fn sort(snapshots: &mut [Arc<Snapshot>]) {
    snapshots.sort_by(|a, b| a.time_key().cmp(&b.time_key()));
}

/// Some snapshots, oldest first, and the doubts about them.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    snapshots: Vec<Arc<Snapshot>>,
    problems: Vec<Problem>,
}

impl Selection {
    /// Those that are complete.
    #[must_use]
    pub fn complete(mut self) -> Selection {
        self.snapshots.retain(|snapshot| snapshot.is_complete());
        self
    }

    /// Those that count as backups: the complete ones, or where there are none, the incomplete ones that have a file.
    #[must_use]
    pub fn backups(mut self) -> Selection {
        let any = self.snapshots.iter().any(|snapshot| snapshot.is_complete());
        self.snapshots.retain(|snapshot| is_backup(snapshot.is_complete(), snapshot.has_files(), any));
        self
    }

    /// Those that began at `time` or before.
    #[must_use]
    pub fn as_of(mut self, time: UtcTimestamp) -> Selection {
        self.snapshots.retain(|snapshot| snapshot.start_time <= time);
        self
    }

    /// Those for which `keep` is true.
    #[must_use]
    pub fn filter(mut self, keep: impl Fn(&Snapshot) -> bool) -> Selection {
        self.snapshots.retain(|snapshot| keep(snapshot));
        self
    }

    /// The one that began last.
    pub fn latest(&self) -> Option<Arc<Snapshot>> {
        self.snapshots.last().cloned()
    }

    /// The one that `steps` others follow: 0 for the latest.
    pub fn previous(&self, steps: usize) -> Option<Arc<Snapshot>> {
        self.snapshots.iter().nth_back(steps).cloned()
    }

    /// The one that began first.
    pub fn oldest(&self) -> Option<Arc<Snapshot>> {
        self.snapshots.first().cloned()
    }

    /// The snapshots, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Snapshot>> + ExactSizeIterator {
        self.snapshots.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.snapshots.len()
    }

    /// Whether there are none, as far as is known: see [`Selection::problems`].
    pub fn is_empty(&self) -> bool {
        self.snapshots.is_empty()
    }

    /// Snapshots that might belong here but cannot be read. While there are any, "none" and "latest" are guesses.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl IntoIterator for Selection {
    type Item = Arc<Snapshot>;
    type IntoIter = std::vec::IntoIter<Arc<Snapshot>>;

    fn into_iter(self) -> Self::IntoIter {
        self.snapshots.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::testing::manifests_from;

    /// One snapshot: manifest ID, source, start and end in minutes, why incomplete, root object.
    struct Sample<'a>(&'a str, &'a str, u32, u32, &'a str, &'a str);

    fn time(minute: u32) -> UtcTimestamp {
        UtcTimestamp(i64::from(minute) * 60_000_000_000)
    }

    /// The manifests of snapshots, and raw entries.
    fn manifests(samples: &[Sample<'_>], raw: &[&str]) -> ManifestSet {
        let mut entries: Vec<String> = raw.iter().map(|entry| (*entry).to_owned()).collect();
        for Sample(id, source, start, end, incomplete, root) in samples {
            let Source { host, user, path } = source.parse().unwrap();
            entries.push(format!(
                r#"{{"id":"{id}","labels":{{"type":"snapshot","hostname":"{host}","username":"{user}","path":"{path}"}},
                    "modified":"{}","data":{{"source":{{"host":"{host}","userName":"{user}","path":"{path}"}},
                    "startTime":"{}","endTime":"{}","incomplete":"{incomplete}",
                    "rootEntry":{{"name":"{path}","type":"d","obj":"{root}"}}}}}}"#,
                time(*end),
                time(*start),
                time(*end),
            ));
        }
        manifests_from(&entries)
    }

    fn ids<'a>(snapshots: impl IntoIterator<Item = &'a Arc<Snapshot>>) -> Vec<&'a str> {
        snapshots.into_iter().map(|snapshot| snapshot.id.as_str()).collect()
    }

    fn sample() -> Snapshots {
        Snapshots::new(&manifests(
            &[
                Sample("c", "u@h:/data", 30, 31, "", "k01"),
                Sample("a", "u@h:/data", 10, 11, "", "k01"),
                Sample("b", "u@h:/data", 20, 21, "", "k02"),
                Sample("d", "u@h:/data", 40, 41, "checkpoint", "k03"),
                Sample("e", "u@h:/data", 30, 30, "", "k04"),
                Sample("f", "u@h:/", 50, 51, "", "k01"),
                Sample("g", "v@h:/data", 60, 61, "canceled", "k05"),
            ],
            &[],
        ))
    }

    #[test]
    fn an_incomplete_snapshot_is_a_backup_where_no_complete_one_is() {
        assert!(is_backup(true, false, true), "of an empty directory");
        assert!(is_backup(false, true, false));
        assert!(!is_backup(false, true, true) && !is_backup(false, false, false));
        let snapshots = sample();
        let data: Source = "u@h:/data".parse().unwrap();
        assert_eq!(ids(snapshots.of(&data).backups().iter()), ["a", "b", "e", "c"]);
    }

    #[test]
    fn selects_by_source_time_and_position() {
        let snapshots = sample();
        let data: Source = "u@h:/data".parse().unwrap();
        assert_eq!(ids(snapshots.of(&data).iter()), ["a", "b", "e", "c", "d"], "by start, then by end");
        let complete = snapshots.of(&data).complete();
        assert_eq!(ids(complete.iter()), ["a", "b", "e", "c"]);
        let id = |snapshot: Option<Arc<Snapshot>>| snapshot.map(|s| s.id.to_string()).unwrap_or_default();
        assert_eq!(id(complete.latest()), "c");
        assert_eq!(id(complete.oldest()), "a");
        assert_eq!(id(complete.previous(0)), "c");
        assert_eq!(id(complete.previous(3)), "a");
        assert_eq!(id(complete.previous(4)), "");
        let at = |nanos: i64| id(snapshots.of(&data).complete().as_of(UtcTimestamp(nanos)).latest());
        let b = time(20).as_nanos();
        assert_eq!(
            [at(b), at(b - 1), at(time(10).as_nanos() - 1)],
            ["b", "a", ""],
            "the instant itself counts"
        );
        assert!(snapshots.of(&"v@h:/data".parse().unwrap()).complete().is_empty());
        assert!(snapshots.of(&"u@h".parse().unwrap()).is_empty(), "only exactly this source");
    }

    #[test]
    fn lists_sources_and_groups() {
        let snapshots = sample();
        let sources: Vec<String> = snapshots.sources().iter().map(ToString::to_string).collect();
        assert_eq!(sources, ["u@h:/", "u@h:/data", "v@h:/data"]);
        let groups = snapshots.groups();
        assert_eq!(groups.iter().map(|(_, all)| all.len()).collect::<Vec<_>>(), [1, 5, 1]);
        assert_eq!(ids(&groups[1].1), ["a", "b", "e", "c", "d"]);
        assert_eq!(snapshots.all().len(), 7);
        assert_eq!(snapshots.get("g").unwrap().incomplete, "canceled");
        assert!(snapshots.get("x").is_none());
    }

    #[test]
    fn of_equal_times_the_last_written_is_listed_first_and_is_the_latest() {
        let samples = ["a", "b", "c"].map(|id| Sample(id, "u@h:/data", 1, 2, "", "k01"));
        let snapshots = Snapshots::new(&manifests(&samples, &[]));
        assert_eq!(ids(&snapshots.groups()[0].1), ["c", "b", "a"]);
        assert_eq!(snapshots.all().latest().unwrap().id.as_str(), "c");
    }

    #[test]
    fn shown_digits_tell_snapshots_apart() {
        let digits = |ids: &[&str]| {
            let samples: Vec<_> = ids.iter().map(|id| Sample(id, "u@h:/data", 1, 2, "", "k01")).collect();
            Snapshots::new(&manifests(&samples, &[])).unique_digits()
        };
        assert_eq!(digits(&["0123456789ab"]), 8);
        assert_eq!(digits(&["0123456789ab", "1123456789ab"]), 8);
        assert_eq!(digits(&["0123456789ab", "0123456789cd", "f"]), 11);
    }

    #[test]
    fn finds_roots() {
        let snapshots = sample();
        let object = |text: &str| text.parse::<ObjectId>().unwrap();
        assert_eq!(ids(snapshots.with_root(&object("k01"))), ["a", "c", "f"]);
        assert!(snapshots.with_root(&object("k99")).is_empty());
        let (root, differ) = snapshots.root_attributes(&object("k01")).unwrap();
        assert_eq!((root.id.as_str(), differ), ("f", true), "the names differ");
        let (root, differ) = snapshots.root_attributes(&object("k02")).unwrap();
        assert_eq!((root.id.as_str(), differ), ("b", false));
        assert!(snapshots.root_attributes(&object("k99")).is_none());
    }

    #[test]
    fn what_cannot_be_parsed_is_kept_as_a_problem() {
        let bad = |id: &str, labels: &str| {
            format!(
                r#"{{"id":"{id}","labels":{{"type":"snapshot"{labels}}},"modified":"2025-01-01T00:00:00Z","data":[]}}"#
            )
        };
        let raw = [
            bad("x", r#","hostname":"h","username":"u","path":"/data""#),
            bad("y", r#","hostname":"h""#),
            r#"{"id":"p","labels":{"type":"policy"},"modified":"2025-01-01T00:00:00Z","data":[]}"#.to_owned(),
        ];
        let raw: Vec<&str> = raw.iter().map(String::as_str).collect();
        let snapshots = Snapshots::new(&manifests(&[Sample("a", "u@h:/data", 1, 2, "", "k01")], &raw));
        let problems = |source: &str| -> Vec<String> {
            let source = source.parse().unwrap();
            snapshots.of(&source).complete().problems().iter().map(|p| p.id.to_string()).collect()
        };
        assert_eq!(problems("u@h:/data"), ["x", "y"]);
        assert_eq!(problems("u@h:/other"), ["y"], "its labels do not say whose it is");
        assert!(problems("u@g:/data").is_empty());
        assert_eq!((snapshots.problems().len(), snapshots.all().problems().len()), (2, 2));
        assert!(snapshots.problems()[0].reason.contains('x'));
    }
}
