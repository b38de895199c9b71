//! What a run of maintenance says of itself, for people.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::front::kopia::text::bytes;
use crate::gojson::go_object;

/// All that any kind of work counts; each leaves some of it.
#[derive(Debug, Default)]
struct Counts {
    current_epoch: u64,
    was_advanced: bool,
    to_delete_blobs: u64,
    to_delete_size: u64,
    deleted_blobs: u64,
    deleted_size: u64,
    retained_blobs: u64,
    retained_size: u64,
    deleted_markers: u64,
    deleted_watermarks: u64,
    max_replacement_time: String,
    deleted_total_size: u64,
    dropped_before: String,
    superseded_blobs: u64,
    superseded_size: u64,
    epoch: u64,
    unreferenced_packs: u64,
    unreferenced_size: u64,
    deleted_packs: u64,
    retained_packs: u64,
    retained_total_size: u64,
    to_extend_blobs: u64,
    extended_blobs: u64,
    retention_period: String,
    range_first: u64,
    range_last: u64,
    to_rewrite: u64,
    to_rewrite_size: u64,
    rewritten: u64,
    rewritten_size: u64,
    retained_contents: u64,
    retained_contents_size: u64,
    unreferenced: u64,
    unreferenced_bytes: u64,
    deleted: u64,
    deleted_bytes: u64,
    recent: u64,
    recent_bytes: u64,
    in_use: u64,
    in_use_bytes: u64,
    system: u64,
    system_bytes: u64,
    recovered: u64,
    recovered_bytes: u64,
}
go_object!(Counts {
    "currentEpoch" => current_epoch,
    "wasAdvanced" => was_advanced,
    "toDeleteBlobCount" => to_delete_blobs,
    "toDeleteBlobSize" => to_delete_size,
    "deletedBlobCount" => deleted_blobs,
    "deletedBlobSize" => deleted_size,
    "retainedBlobCount" => retained_blobs,
    "retainedBlobSize" => retained_size,
    "deletedEpochMarkerBlobCount" => deleted_markers,
    "deletedWatermarkBlobCount" => deleted_watermarks,
    "maxReplacementTime" => max_replacement_time,
    "deletedTotalSize" => deleted_total_size,
    "droppedContentsDeletedBefore" => dropped_before,
    "supersededIndexBlobCount" => superseded_blobs,
    "supersededIndexTotalSize" => superseded_size,
    "epoch" => epoch,
    "unreferencedPackCount" => unreferenced_packs,
    "unreferencedTotalSize" => unreferenced_size,
    "deletedPackCount" => deleted_packs,
    "retainedPackCount" => retained_packs,
    "retainedTotalSize" => retained_total_size,
    "toExtendBlobCount" => to_extend_blobs,
    "extendedBlobCount" => extended_blobs,
    "retentionPeriod" => retention_period,
    "rangeMinEpoch" => range_first,
    "rangeMaxEpoch" => range_last,
    "toRewriteContentCount" => to_rewrite,
    "toRewriteContentSize" => to_rewrite_size,
    "rewrittenContentCount" => rewritten,
    "rewrittenContentSize" => rewritten_size,
    "retainedContentCount" => retained_contents,
    "retainedContentSize" => retained_contents_size,
    "unreferencedContentCount" => unreferenced,
    "unreferencedContentSize" => unreferenced_bytes,
    "deletedContentCount" => deleted,
    "deletedContentSize" => deleted_bytes,
    "unreferencedRecentContentCount" => recent,
    "unreferencedRecentContentSize" => recent_bytes,
    "inUseContentCount" => in_use,
    "inUseContentSize" => in_use_bytes,
    "inUseSystemContentCount" => system,
    "inUseSystemContentSize" => system_bytes,
    "recoveredContentCount" => recovered,
    "recoveredContentSize" => recovered_bytes,
});

/// What a run left about one kind of its work: `kind`, and what it counted as `data`.
type Extra<'a> = BTreeMap<String, &'a RawValue>;

/// The result of a run that succeeded, with what it did as far as that is understood.
pub(super) fn success(extra: Option<&RawValue>) -> String {
    let extras: Vec<Extra<'_>> =
        extra.and_then(|extra| serde_json::from_str(extra.get()).ok()).unwrap_or_default();
    let done: String = extras.iter().filter_map(summary).collect();
    if done.is_empty() { "SUCCESS".to_owned() } else { format!("SUCCESS: {done}") }
}

fn summary(extra: &Extra<'_>) -> Option<String> {
    let kind: String = serde_json::from_str(extra.get("kind")?.get()).ok()?;
    // Where all counts are zero, Kopia may write `null`.
    let c: Option<Counts> = serde_json::from_str(extra.get("data")?.get()).ok()?;
    let c = c.unwrap_or_default();
    // A count with the size of what was counted.
    let sized =
        |count: u64, size: u64| format!("{count}({})", bytes(i64::try_from(size).unwrap_or(i64::MAX)));
    Some(match kind.as_str() {
        "advanceEpochStats" if c.was_advanced => format!("Advanced epoch to {}", c.current_epoch),
        "advanceEpochStats" => format!("Stayed at epoch {}", c.current_epoch),
        "cleanupLogsStats" => format!(
            "Found {} logs blobs for deletion and deleted {} of them. Retained {} log blobs.",
            sized(c.to_delete_blobs, c.to_delete_size),
            sized(c.deleted_blobs, c.deleted_size),
            sized(c.retained_blobs, c.retained_size)
        ),
        "cleanupMarkersStats" => format!(
            "Cleaned up {} epoch markers and {} deletion watermarks",
            c.deleted_markers, c.deleted_watermarks
        ),
        "cleanupSupersededIndexesStats" => format!(
            "Cleaned up {} superseded index blobs, max replacement time {}",
            sized(c.deleted_blobs, c.deleted_total_size),
            shown(&c.max_replacement_time)
        ),
        "compactIndexesStats" => format!("Dropped contents deleted before {}", shown(&c.dropped_before)),
        "compactSingleEpochStats" => format!(
            "Compacted {} index blobs for epoch {}",
            sized(c.superseded_blobs, c.superseded_size),
            c.epoch
        ),
        "deleteUnreferencedPacksStats" => format!(
            "Found {} unreferenced pack blobs to delete and deleted {}. Retained {} unreferenced pack blobs.",
            sized(c.unreferenced_packs, c.unreferenced_size),
            sized(c.deleted_packs, c.deleted_total_size),
            sized(c.retained_packs, c.retained_total_size)
        ),
        "extendBlobRetentionStats" => format!(
            "Blob retention extension found {} blobs and extended for {} blobs, retention period {}",
            c.to_extend_blobs, c.extended_blobs, c.retention_period
        ),
        "generateRangeCheckpointStats" => {
            format!("Generated a range checkpoint from epoch {} to {} inclusive", c.range_first, c.range_last)
        }
        "rewriteContentsStats" => format!(
            "Found {} contents to rewrite and rewrote {}. Retained {} contents from rewrite",
            sized(c.to_rewrite, c.to_rewrite_size),
            sized(c.rewritten, c.rewritten_size),
            sized(c.retained_contents, c.retained_contents_size)
        ),
        "snapshotGCStats" => format!(
            "Found {}({}) unreferenced contents and marked {}({}) for deletion. Found {}({}) in-use contents and \
             {}({}) in-use system contents. Retained {}({}) recent contents. Recovered {}({}) contents",
            c.unreferenced,
            c.unreferenced_bytes,
            c.deleted,
            c.deleted_bytes,
            c.in_use,
            c.in_use_bytes,
            c.system,
            c.system_bytes,
            c.recent,
            c.recent_bytes,
            c.recovered,
            c.recovered_bytes
        ),
        _ => return None,
    })
}

/// A time of JSON as Go prints times: `2026-01-01 04:00:00.5 +0100 +0100`.
fn shown(time: &str) -> String {
    let time = if time.is_empty() { "0001-01-01T00:00:00Z" } else { time };
    let (day, rest) = time.split_once('T').unwrap_or((time, ""));
    match rest.find(['Z', '+', '-']).and_then(|at| rest.split_at_checked(at)) {
        Some((clock, "Z" | "+00:00")) => format!("{day} {clock} +0000 UTC"),
        Some((clock, zone)) => {
            let zone = zone.replace(':', "");
            format!("{day} {clock} {zone} {zone}")
        }
        None => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_understood_is_told() {
        let told = |json: &str| success(Some(&RawValue::from_string(json.to_owned()).unwrap()));
        assert_eq!(success(None), "SUCCESS");
        assert_eq!(
            told(
                r#"[{"kind":"news","data":{"x":1}},{"kind":"advanceEpochStats","data":{"currentEpoch":3}},
                {"kind":"advanceEpochStats"},{"kind":"compactSingleEpochStats","data":null},{"kind":"compactIndexesStats","data":{"droppedContentsDeletedBefore":"x"}}]"#
            ),
            "SUCCESS: Stayed at epoch 3Compacted 0(0 B) index blobs for epoch 0Dropped contents deleted before x"
        );
        for nonsense in ["{}", "null", "[1]", r#"[{"kind":"advanceEpochStats","data":{"currentEpoch":-1}}]"#]
        {
            assert_eq!(told(nonsense), "SUCCESS");
        }
        assert_eq!(shown("2026-01-01T04:00:00.5+01:00"), "2026-01-01 04:00:00.5 +0100 +0100");
        assert_eq!(shown("2026-01-01T04:00:00Z"), "2026-01-01 04:00:00 +0000 UTC");
    }
}
