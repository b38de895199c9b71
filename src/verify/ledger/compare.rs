//! Snapshots that a former run saw and this one does not: the only trace of a lost index blob, where whole packs went
//! with it.

use crate::verify::fault::Fault;
use crate::verify::ledger::{SnapshotRecord, SourceRecord};
use crate::verify::snapshots::ListedSnapshots;
use crate::verify::time::rfc3339;

/// What there is now, for the ledger.
pub(crate) fn record(known: &ListedSnapshots, time: i64) -> SnapshotRecord {
    let mut record = SnapshotRecord { time, ..SnapshotRecord::default() };
    // Oldest first, so that the last one of each source stays.
    for snapshot in &known.snapshots {
        let source = record.sources.entry(snapshot.source.to_string()).or_insert_with(|| SourceRecord {
            snapshots: 0,
            newest: String::new(),
            time: 0,
        });
        source.snapshots += 1;
        source.newest = snapshot.id.to_string();
        source.time = snapshot.start_time.to_unix().0;
    }
    record
}

/// Compares with what was seen before. Retention takes old snapshots; the newest of a source goes only when somebody
/// deletes it, which leaves a mark until manifests are next compacted.
pub(crate) fn compare(
    before: &SnapshotRecord,
    known: &ListedSnapshots,
    findings: &mut Vec<Fault>,
    warnings: &mut Vec<String>,
) {
    let now = record(known, 0);
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
            findings.push(Fault::new("snapshots-missing", detail));
        } else if count < old.snapshots {
            warnings.push(format!(
                "source {name} has {count} snapshots, {} fewer than on {}: expired or deleted ones, as a rule",
                old.snapshots - count,
                rfc3339(before.time)
            ));
        }
    }
}
