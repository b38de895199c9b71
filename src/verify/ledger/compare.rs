//! Snapshots that a former run saw and this one does not: the only trace of a lost index blob, where whole packs went
//! with it.

use crate::verify::findings::Finding;
use crate::verify::ledger::{Seen, SeenSource};
use crate::verify::report::model::rfc3339;
use crate::verify::snapshots::Known;

/// What there is now, for the ledger.
pub(crate) fn seen(known: &Known, time: i64) -> Seen {
    let mut seen = Seen { time, ..Seen::default() };
    // Oldest first, so that the last one of each source stays.
    for snapshot in &known.snapshots {
        let source = seen.sources.entry(snapshot.source.to_string()).or_insert_with(|| SeenSource {
            snapshots: 0,
            newest: String::new(),
            time: 0,
        });
        source.snapshots += 1;
        source.newest = snapshot.id.to_string();
        source.time = snapshot.start_time.to_unix().0;
    }
    seen
}

/// Compares with what was seen before. Retention takes old snapshots; the newest of a source goes only when somebody
/// deletes it, which leaves a mark until manifests are next compacted.
pub(crate) fn compare(before: &Seen, known: &Known, findings: &mut Vec<Finding>, warnings: &mut Vec<String>) {
    let now = seen(known, 0);
    for (name, old) in &before.sources {
        let count = now.sources.get(name).map_or(0, |source| source.snapshots);
        let newer = now.sources.get(name).is_some_and(|source| source.time >= old.time);
        if !newer && !known.deleted.contains(&old.newest) {
            let detail = format!(
                "on {} source {name} had {} snapshots, the newest of them {} of {}; now it has {count} and that one is \
                 not among them: an index blob may be lost, or somebody deleted it (then --accept-missing-snapshots \
                 takes this for right)",
                rfc3339(before.time),
                old.snapshots,
                old.newest,
                rfc3339(old.time),
            );
            findings.push(Finding::new("snapshots-missing", detail));
        } else if count < old.snapshots {
            warnings.push(format!(
                "source {name} has {count} snapshots, {} fewer than on {}: expired or deleted ones, as a rule",
                old.snapshots - count,
                rfc3339(before.time)
            ));
        }
    }
}
