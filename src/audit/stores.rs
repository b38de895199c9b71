//! The same data in several stores: how old it is in each, and which store is behind.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Severity;
use crate::checker::SourceState;
use crate::snapshot::{Source, UtcTimestamp};
use crate::text::human_span;

/// A store may be behind the newest one by this much where nothing else is known: copies are made once a day.
const USUAL: Duration = Duration::from_secs(26 * 3600);

/// What one store has.
#[derive(Debug, Clone, Copy)]
pub struct Store<'a> {
    /// Its sources.
    pub sources: &'a [SourceState],
    /// Whether what is not among them is certainly not there.
    pub complete: bool,
}

/// A source in all stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStores {
    /// The source.
    pub source: Source,
    /// The newest complete snapshot in each store, in the order of the stores.
    pub newest: Vec<Option<UtcTimestamp>>,
    /// What is wrong, each with the number of the store.
    pub findings: Vec<(usize, StoreFinding)>,
}

impl SourceStores {
    /// The store to restore from: the first of those with the newest snapshot.
    pub fn best(&self) -> Option<usize> {
        let newest = self.newest.iter().flatten().max()?;
        self.newest.iter().position(|time| time.as_ref() == Some(newest))
    }
}

/// Something that is wrong with a store, compared with the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreFinding {
    /// Its newest snapshot is older than that of another store.
    Behind {
        /// By how much.
        by: Duration,
    },
    /// It has no complete snapshot of a source that another store has.
    Lacks,
    /// The same, in a list that may be incomplete.
    Unknown,
}

impl StoreFinding {
    /// The stable code, as listed in `docs/audit.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Behind { .. } => "store-behind",
            Self::Lacks => "store-lacks-source",
            Self::Unknown => "store-unknown",
        }
    }

    /// How bad it is: the data is still in another store.
    pub fn severity(&self) -> Severity {
        Severity::Warning
    }

    /// What to do about it.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::Behind { .. } => "look at the job that copies to this store, or backs up to it",
            Self::Lacks => "check that this source is copied to this store, or backed up to it",
            Self::Unknown => {
                "run `rokopia verify --level index` on this store: it names what makes lists uncertain"
            }
        }
    }
}

impl fmt::Display for StoreFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind { by } => {
                write!(f, "its newest snapshot is {} older than in another store", human_span(*by))
            }
            Self::Lacks => f.write_str("it has no complete snapshot, and another store has"),
            Self::Unknown => f.write_str("no snapshot was found, but its list may be incomplete"),
        }
    }
}

/// Compares stores that should hold the same sources. `limit` is how old the newest snapshot of a source may be: a store may
/// be behind another one by as much.
pub fn compare(stores: &[Store<'_>], limit: impl Fn(&Source) -> Option<Duration>) -> Vec<SourceStores> {
    let mut sources: BTreeMap<&Source, Vec<Option<UtcTimestamp>>> = BTreeMap::new();
    for (at, store) in stores.iter().enumerate() {
        for state in store.sources {
            let newest = sources.entry(state.source()).or_insert_with(|| vec![None; stores.len()]);
            if let Some(newest) = newest.get_mut(at) {
                *newest = state.newest_complete().map(|snapshot| snapshot.start);
            }
        }
    }
    let compared = |(source, newest)| compare_one(stores, source, newest, limit(source).unwrap_or(USUAL));
    sources.into_iter().map(compared).collect()
}

fn compare_one(
    stores: &[Store<'_>],
    source: &Source,
    newest: Vec<Option<UtcTimestamp>>,
    tolerance: Duration,
) -> SourceStores {
    let best = newest.iter().flatten().max().copied();
    let finding = |(number, (time, store)): (usize, (&Option<UtcTimestamp>, &Store<'_>))| {
        let best = best?;
        let finding = match time {
            None if store.complete => StoreFinding::Lacks,
            None => StoreFinding::Unknown,
            Some(time) => {
                let by = Duration::from_secs(u64::try_from(best.seconds_since(*time)).unwrap_or(0));
                (by > tolerance).then_some(StoreFinding::Behind { by })?
            }
        };
        Some((number, finding))
    };
    let findings = newest.iter().zip(stores).enumerate().filter_map(finding).collect();
    SourceStores { source: source.clone(), newest, findings }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::SnapshotInfo;
    use crate::manifest::ManifestId;

    fn hours(hours: i64) -> UtcTimestamp {
        UtcTimestamp(hours * 3_600_000_000_000)
    }

    /// Sources by one letter, each with a snapshot at this hour.
    fn sources(snapshots: &[(&str, i64)]) -> Vec<SourceState> {
        SourceState::of(snapshots.iter().map(|(name, hour)| {
            let info = SnapshotInfo {
                id: ManifestId::new(name),
                start: hours(*hour),
                end: hours(*hour),
                incomplete: "".into(),
                size: 1,
                files: 1,
                errors: 0,
                root: None,
            };
            (Source::new(*name, "h", "/"), info)
        }))
    }

    #[test]
    fn a_store_that_is_behind_or_lacks_a_source_is_named_once() {
        let (nas, bucket) =
            (sources(&[("a", 100), ("b", 100), ("c", 100)]), sources(&[("a", 90), ("b", 50)]));
        let stores = [Store { sources: &nas, complete: true }, Store { sources: &bucket, complete: true }];
        let found = compare(&stores, |_| None);
        let codes: Vec<_> = found
            .iter()
            .map(|s| s.findings.iter().map(|(at, f)| (*at, f.code())).collect::<Vec<_>>())
            .collect();
        assert_eq!(codes, [vec![], vec![(1, "store-behind")], vec![(1, "store-lacks-source")]]);
        assert_eq!(found[1].findings[0].1, StoreFinding::Behind { by: Duration::from_secs(50 * 3600) });
        let strict = compare(&stores, |_| Some(Duration::from_secs(3600)));
        assert_eq!(strict[0].findings.len(), 1, "by the limit of the source");
        assert_eq!((found[0].best(), found[2].best()), (Some(0), Some(0)));
    }

    #[test]
    fn what_may_be_there_is_unknown_and_not_lacking() {
        let (nas, bucket) = (sources(&[("a", 100)]), sources(&[]));
        let stores = [Store { sources: &bucket, complete: false }, Store { sources: &nas, complete: true }];
        let found = compare(&stores, |_| None);
        assert_eq!(found[0].findings, [(0, StoreFinding::Unknown)]);
        assert_eq!(found[0].best(), Some(1));
    }
}
