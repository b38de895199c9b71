//! Whether what was drilled is what a backup of today should be.

use std::time::Duration;

use super::Problem;
use super::log::Record;
use crate::audit::{Expectations, Finding, audit};
use crate::checker::SourceState;
use crate::snapshot::{Snapshot, Snapshots, Tree, UtcTimestamp};

/// Judges the newest snapshot of a source by a limit for its age, by the history of the source, and by the last drill.
pub(super) fn judge(
    snapshots: &Snapshots,
    snapshot: &Snapshot,
    max_age: Option<Duration>,
    last: Option<&Record>,
    now: UtcTimestamp,
) -> Vec<Problem> {
    let expectations = Expectations::default().with_default_limit(max_age);
    let states = SourceState::of_all(snapshots);
    let own: Vec<SourceState> =
        states.into_iter().filter(|state| *state.source() == snapshot.found_as).collect();
    let audited = audit(&own, true, &expectations, now);
    let source = audited.sources.first();
    let mut problems: Vec<Problem> = source
        .into_iter()
        .flat_map(|source| &source.findings)
        .filter(|finding| {
            matches!(
                finding,
                Finding::Stale { .. } | Finding::FromTheFuture { .. } | Finding::Unchanging { .. }
            )
        })
        .map(|finding| Problem::new(finding.code(), finding.to_string()))
        .collect();
    let usual = source.and_then(|source| source.limit).map(|limit| limit.age);
    let roots: Vec<_> =
        own.iter().flat_map(SourceState::snapshots).filter(|s| s.is_complete()).map(|s| s.root).collect();
    if let Some(last) = last
        && snapshot.root.as_ref().and_then(|root| root.object).is_some_and(|root| root.to_string() == last.root)
        && usually_changes(&roots)
        // A drill soon after another one meets the same data.
        && usual.is_none_or(|usual| now.seconds_since(last.at()) > i64::try_from(usual.as_secs()).unwrap_or(i64::MAX))
        && problems.is_empty()
    {
        let what = format!(
            "the content is that of the last drill, {}, although the source usually changes",
            last.time
        );
        problems.push(Problem::new("drill-unchanged", what));
    }
    problems
}

/// Whether most snapshots differ from the one before.
fn usually_changes<T: PartialEq>(roots: &[T]) -> bool {
    let pairs = roots.windows(2);
    let all = pairs.len();
    let changed = pairs.filter(|pair| pair.first() != pair.last()).count();
    all > 0 && changed * 2 > all
}

/// Whether the file that shows that the backup is alive is there, and new enough at the time of the snapshot.
pub(super) fn sentinel(
    tree: &Tree<'_>,
    path: &str,
    max_age: Option<Duration>,
    time: UtcTimestamp,
) -> Option<Problem> {
    let problem = |what: String| Some(Problem::new("drill-sentinel", format!("{path}: {what}")));
    let entry = match tree.entry(path) {
        Ok(entry) => entry,
        Err(error) => return problem(error.to_string()),
    };
    let limit = i64::try_from(max_age?.as_secs()).unwrap_or(i64::MAX);
    let age = time.seconds_since(entry.mtime);
    if age > limit {
        return problem(format!(
            "it was {age} seconds old when the snapshot began; at most {limit} are allowed"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_changes_where_most_snapshots_differ_from_the_one_before() {
        assert!(usually_changes(&[1, 2, 3, 3]));
        assert!(!usually_changes(&[1, 2, 2, 2]));
        assert!(!usually_changes(&[1]));
    }
}
