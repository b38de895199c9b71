//! How healthy the backups of each source are, as the repository itself tells.
//!
//! The audit looks at lists of snapshots alone and depends on no operator: ages against limits, gaps in the schedule
//! that a source's own history shows, sizes and roots against its own past, entries that could not be saved, clocks that
//! are wrong, and sources that should be there and are not.
//!
//! ```
//! use rokopia::audit::{Expectations, audit};
//! use rokopia::snapshot::UtcTimestamp;
//! let expectations: Expectations = "data-demo@apps:/data 26h".parse().unwrap();
//! let audit = audit(&[], true, &expectations, UtcTimestamp::now());
//! assert_eq!(audit.sources[0].findings[0].code(), "backup-missing");
//! ```

mod expectations;
mod finding;
#[cfg(feature = "cli")]
pub(crate) mod health;
mod history;
mod stores;

pub use expectations::{Expectations, InvalidExpectations};
pub use finding::{Finding, Severity};
pub use stores::{SourceStores, Store, StoreFinding, compare};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::checker::{SnapshotInfo, SourceState};
use crate::manifest::ManifestId;
use crate::snapshot::{CLOCK_TOLERANCE, Source, UtcTimestamp};

/// What an audit found: one element for each source of the repository and each expected source that it lacks, in the
/// order of their display form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audit {
    /// The sources.
    pub sources: Vec<SourceAudit>,
}

/// One source and what was found about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceAudit {
    /// The source.
    pub source: Source,
    /// Its snapshots, incomplete ones included.
    pub snapshots: usize,
    /// The newest complete one.
    pub newest: Option<Newest>,
    /// The limit for the age of the newest complete snapshot: the one that was given, else the one that the history of the
    /// source shows.
    pub limit: Option<Limit>,
    /// What is wrong, worst first.
    pub findings: Vec<Finding>,
}

/// The newest complete snapshot of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// The ID of its manifest.
    pub id: ManifestId,
    /// When it began.
    pub time: UtcTimestamp,
    /// Seconds since it began; negative where it lies in the future.
    pub age_seconds: i64,
    /// Bytes in its files.
    pub size: i64,
    /// Number of its files.
    pub files: i64,
}

/// How old the newest complete snapshot may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The age.
    pub age: Duration,
    /// Whether it was given, not learned.
    pub given: bool,
}

impl Audit {
    /// Whether nothing is wrong; notices do not count.
    pub fn is_good(&self) -> bool {
        self.worst().is_none_or(|severity| severity < Severity::Warning)
    }

    /// The worst finding's severity.
    pub fn worst(&self) -> Option<Severity> {
        self.sources.iter().filter_map(SourceAudit::worst).max()
    }
}

impl SourceAudit {
    /// The worst finding's severity.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(Finding::severity).max()
    }

    /// Whether nothing says how old the newest complete snapshot may be: no limit was given, and the history is too short to
    /// show one. That nothing is wrong then says nothing of its age.
    pub fn is_age_unjudged(&self) -> bool {
        self.limit.is_none() && self.newest.is_some() && !self.is_stale()
    }

    /// Whether there is no complete snapshot that is certainly young enough. The age of one from the future is not known.
    pub fn is_stale(&self) -> bool {
        self.findings.iter().any(|finding| {
            matches!(
                finding,
                Finding::Missing
                    | Finding::Unknown
                    | Finding::NeverCompleted { .. }
                    | Finding::Stale { .. }
                    | Finding::FromTheFuture { .. }
            )
        })
    }
}

/// Audits sources. `certain` says whether a source that is not in the list is certainly not in the repository; otherwise an
/// expected source that is missing is [`Finding::Unknown`].
///
/// Reads nothing; the cost grows with the number of snapshots.
pub fn audit(
    sources: &[SourceState],
    certain: bool,
    expectations: &Expectations,
    now: UtcTimestamp,
) -> Audit {
    let mut audited = BTreeMap::new();
    for state in sources {
        audited.insert(state.source().clone(), examine(state, expectations, now));
    }
    let known: BTreeSet<Source> = audited.keys().cloned().collect();
    for source in expectations.sources().filter(|source| !known.contains(source)) {
        let finding = if certain { Finding::Missing } else { Finding::Unknown };
        let limit = expectations.limit(source).map(|age| Limit { age, given: true });
        audited.entry(source.clone()).or_insert_with(|| SourceAudit {
            source: source.clone(),
            snapshots: 0,
            newest: None,
            limit,
            findings: vec![finding],
        });
    }
    Audit { sources: audited.into_values().collect() }
}

fn examine(state: &SourceState, expectations: &Expectations, now: UtcTimestamp) -> SourceAudit {
    let complete: Vec<&SnapshotInfo> =
        state.snapshots().iter().map(AsRef::as_ref).filter(|snapshot| snapshot.is_complete()).collect();
    let newest = complete.last().map(|snapshot| Newest {
        id: snapshot.id.clone(),
        time: snapshot.start,
        age_seconds: now.seconds_since(snapshot.start),
        size: snapshot.size,
        files: snapshot.files,
    });
    let given = expectations.limit(state.source()).map(|age| Limit { age, given: true });
    let learned = || history::usual_limit(&complete).map(|age| Limit { age, given: false });
    let limit = given.or_else(learned);
    let mut findings = Vec::new();
    match &newest {
        None => findings.push(Finding::NeverCompleted { attempts: state.snapshots().len() }),
        Some(newest) => {
            findings.extend(age(newest, limit));
            findings.extend(history::shrunk(&complete));
            findings.extend(history::unchanging(&complete));
            findings.extend(history::gap(&complete));
            findings.extend(failed_entries(&complete));
            findings.extend(attempts_since(state, newest));
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity()));
    SourceAudit {
        source: state.source().clone(),
        snapshots: state.snapshots().len(),
        newest,
        limit,
        findings,
    }
}

/// Whether the newest snapshot is too old, or from the future, where its age says nothing.
fn age(newest: &Newest, limit: Option<Limit>) -> Option<Finding> {
    let ahead = newest.age_seconds.checked_neg().and_then(|ahead| u64::try_from(ahead).ok());
    if let Some(ahead) = ahead.filter(|ahead| *ahead > CLOCK_TOLERANCE.as_secs()) {
        return Some(Finding::FromTheFuture { ahead: Duration::from_secs(ahead) });
    }
    let age = Duration::from_secs(u64::try_from(newest.age_seconds).unwrap_or_default());
    limit.filter(|limit| age > limit.age).map(|limit| Finding::Stale { age, limit })
}

fn failed_entries(complete: &[&SnapshotInfo]) -> Option<Finding> {
    let errors = u64::try_from(complete.last()?.errors).ok().filter(|errors| *errors > 0)?;
    Some(Finding::FailedEntries { entries: errors })
}

/// Attempts after the newest complete snapshot that did not end.
fn attempts_since(state: &SourceState, newest: &Newest) -> Option<Finding> {
    let later =
        state.snapshots().iter().filter(|snapshot| !snapshot.is_complete() && snapshot.start > newest.time);
    let attempts = later.count();
    (attempts > 0).then_some(Finding::Incomplete { attempts })
}

#[cfg(test)]
mod tests;
