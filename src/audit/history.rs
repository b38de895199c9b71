//! What the past of a source says about its newest snapshot.
//!
//! Retention thins old snapshots out, so that pauses between them grow towards the past: only the newest ones show the
//! schedule.

use std::time::Duration;

use super::Finding;
use crate::checker::SnapshotInfo;

/// Pauses that show a schedule.
const RECENT: usize = 10;

/// With fewer pauses there is no schedule to speak of.
const LEAST_PAUSES: usize = 4;

/// A learned limit is never below this: a job that runs every minute may rest for an hour.
const LEAST_LIMIT: Duration = Duration::from_secs(3600);

/// A source below a quarter of its usual size is suspicious.
const SHRUNK: i64 = 4;

/// Sources of fewer bytes and files may do what they want.
const SMALL_SIZE: i64 = 1 << 20;
const SMALL_FILES: i64 = 8;

/// So many snapshots of the same content are suspicious where the content used to change.
const LEAST_UNCHANGED: usize = 4;

/// Pauses between neighbours, oldest first. Clocks that went back make pauses of nothing.
fn pauses(complete: &[&SnapshotInfo]) -> Vec<Duration> {
    let pause = |pair: &[&SnapshotInfo]| match pair {
        [a, b] => Duration::from_secs(u64::try_from(b.start.seconds_since(a.start)).unwrap_or_default()),
        _ => Duration::ZERO,
    };
    complete.windows(2).map(pause).collect()
}

fn median<T: Ord + Copy>(values: impl IntoIterator<Item = T>) -> Option<T> {
    let mut sorted: Vec<T> = values.into_iter().collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

/// The longest pause that is still usual after these: three times the median, or half as long again as the longest.
fn usual(recent: &[Duration]) -> Option<Duration> {
    let longest = recent.iter().max()?;
    Some((median(recent.iter().copied())? * 3).max(*longest * 3 / 2).max(LEAST_LIMIT))
}

fn last(pauses: &[Duration]) -> Option<&[Duration]> {
    let recent = pauses.get(pauses.len().saturating_sub(RECENT)..)?;
    (recent.len() >= LEAST_PAUSES).then_some(recent)
}

/// The age that the newest snapshot may have, judged by the pauses before it; `None` with too little history.
pub(super) fn usual_limit(complete: &[&SnapshotInfo]) -> Option<Duration> {
    usual(last(&pauses(complete))?)
}

/// The latest pause among the recent ones that was not usual.
pub(super) fn gap(complete: &[&SnapshotInfo]) -> Option<Finding> {
    let pauses = pauses(complete);
    let first = pauses.len().saturating_sub(RECENT);
    let unusual = |at: &usize| {
        let (before, length) = (pauses.get(..*at).and_then(last), pauses.get(*at));
        before.and_then(usual).zip(length).is_some_and(|(usual, length)| *length > usual)
    };
    let at = (first..pauses.len()).rev().find(unusual)?;
    let usual = median(last(pauses.get(..at)?)?.iter().copied())?;
    Some(Finding::Gap { after: complete.get(at)?.start, length: *pauses.get(at)?, usual })
}

/// Whether the newest snapshot is far below the size or number of files of those before it.
pub(super) fn shrunk(complete: &[&SnapshotInfo]) -> Option<Finding> {
    let (newest, before) = complete.split_last()?;
    let before = before.get(before.len().saturating_sub(RECENT)..)?;
    let usual_size = median(before.iter().map(|snapshot| snapshot.size))?;
    let usual_files = median(before.iter().map(|snapshot| snapshot.files))?;
    let (size, files) = (newest.size, newest.files);
    let below = |now: i64, usual: i64, small: i64| usual >= small && now.saturating_mul(SHRUNK) < usual;
    let emptied = files == 0 && usual_files > 0;
    (emptied || below(size, usual_size, SMALL_SIZE) || below(files, usual_files, SMALL_FILES))
        .then_some(Finding::Shrunk { size, usual_size, files, usual_files })
}

/// Whether the content stopped changing: the newest snapshots share one root, and for longer than ever before.
pub(super) fn unchanging(complete: &[&SnapshotInfo]) -> Option<Finding> {
    let mut runs: Vec<usize> = Vec::new();
    let mut previous = None;
    for snapshot in complete {
        let root = snapshot.root?;
        match runs.last_mut() {
            Some(run) if previous == Some(root) => *run += 1,
            _ => runs.push(1),
        }
        previous = Some(root);
    }
    let (&run, before) = runs.split_last()?;
    let longest = before.iter().max().copied()?;
    // Many runs of few snapshots each: the content used to change.
    let changed = before.len() >= 2 * LEAST_UNCHANGED && longest < LEAST_UNCHANGED;
    let since = complete.get(complete.len() - run)?.start;
    (changed && run >= LEAST_UNCHANGED.max(3 * longest))
        .then_some(Finding::Unchanging { snapshots: run, since })
}
