//! Snapshots on a line: one SVG for each source, made of as few bytes as will do.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::checker::SourceState;
use crate::snapshot::UtcTimestamp;

/// The line shows this many days before now.
pub(super) const DAYS: i64 = 60;

/// Width in units; snapshots that fall on the same unit share a mark.
const WIDTH: i64 = 240;
const SECONDS: i64 = DAYS * 86_400;

/// The timeline of a source. Complete snapshots are full marks, incomplete ones short ones.
pub(super) fn svg(state: &SourceState, now: UtcTimestamp) -> String {
    let marks = marks(state.snapshots().iter().map(|s| (now.seconds_since(s.start), s.is_complete())));
    let path = |complete: bool| {
        let top = if complete { 2 } else { 9 };
        marks.iter().filter(|(_, c)| **c == complete).fold(String::new(), |mut path, (at, _)| {
            let _ = write!(path, "M{at} {top}V16");
            path
        })
    };
    format!(
        "<svg viewBox=\"0 0 {} 18\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"snapshots of the last {DAYS} days\"><path class=\"axis\" \
         d=\"M0 17H{WIDTH}\"/><path d=\"{}\"/><path class=\"part\" d=\"{}\"/></svg>",
        WIDTH + 1,
        path(true),
        path(false)
    )
}

/// Where to put marks, and whether one of the snapshots there is complete.
fn marks(ages: impl Iterator<Item = (i64, bool)>) -> BTreeMap<i64, bool> {
    let mut marks = BTreeMap::new();
    for (age, complete) in ages {
        // Clocks of clients may be ahead of ours.
        let age = age.max(0);
        if age <= SECONDS {
            *marks.entry(WIDTH - age * WIDTH / SECONDS).or_default() |= complete;
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_share_a_place() {
        let marks =
            marks([(0, false), (10, true), (-5, false), (SECONDS, false), (SECONDS + 1, true)].into_iter());
        assert_eq!(marks, BTreeMap::from([(0, false), (WIDTH, true)]));
    }
}
