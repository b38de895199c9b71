//! The report as metrics, for the textfile collector of the node exporter.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::verify::Report;

type Value = Gauge<f64, AtomicU64>;
type Labelled = Family<Vec<(String, String)>, Value>;

/// All metrics, as of the end of the run.
pub(super) fn metrics(report: &Report) -> String {
    let mut registry = Registry::with_prefix("rokopia_verify");
    let mut put = |name: &str, help: &str, value: f64| {
        let gauge = Value::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    let coverage = &report.coverage;
    let whole = report.snapshots.iter().filter(|snapshot| snapshot.whole).count();
    put(
        "exit_code",
        "0 nothing needed is damaged, 1 damage, 3 not all could be checked",
        f64::from(report.exit_code()),
    );
    put("end_timestamp_seconds", "When the last run ended", report.started as f64 + report.seconds);
    put("duration_seconds", "How long the last run took", report.seconds);
    put("damage", "Things that are wrong and needed", report.damage.len() as f64);
    put("damage_unneeded", "Things that are wrong and that no snapshot needs", report.unneeded.len() as f64);
    put("lost_paths", "Paths of snapshots that cannot be brought back", report.lost_paths() as f64);
    put("contents", "Contents of the repository", coverage.contents as f64);
    put("contents_proved", "Contents of which a proof counts", coverage.verified as f64);
    put("bytes", "Stored bytes of contents", coverage.bytes as f64);
    put("bytes_proved", "Stored bytes of contents of which a proof counts", coverage.verified_bytes as f64);
    put("bytes_read", "Stored bytes of contents that the last run read", coverage.read_bytes as f64);
    if let Some(oldest) = coverage.oldest_proof {
        put("oldest_proof_timestamp_seconds", "When the oldest proof was made", oldest as f64);
    }
    put("snapshots", "Snapshots that can be listed", report.snapshots.len() as f64);
    if report.walks_trees() {
        put("snapshots_whole", "Snapshots of which nothing is known to be lost", whole as f64);
    }
    put(
        "foreign_files",
        "Files and directories that are no part of the repository",
        report.foreign.count as f64,
    );
    put(
        "ecc_repaired_blobs",
        "Blobs that error correction mends on each read",
        report.ecc.repaired_blobs as f64,
    );
    put("ecc_unrepairable_blobs", "Blobs beyond repair", report.ecc.unrepairable_blobs as f64);
    put("unreferenced_bytes", "Size of packs that no index names", report.unreferenced.bytes as f64);
    by_source(report, &mut registry);
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &registry);
    text
}

/// How old backups are, and how old those that can be restored as a whole.
fn by_source(report: &Report, registry: &mut Registry) {
    let (newest, newest_whole, unsaved) = (Labelled::default(), Labelled::default(), Labelled::default());
    let set = |family: &Labelled, source: &str, value: i64| {
        family.get_or_create(&vec![("source".to_owned(), source.to_owned())]).set(value as f64);
    };
    let times: BTreeMap<&str, i64> =
        report.snapshots.iter().map(|snapshot| (snapshot.id.as_str(), snapshot.time)).collect();
    // Oldest first, so that the newest stays.
    for snapshot in report.snapshots.iter().filter(|snapshot| snapshot.complete) {
        set(&newest, &snapshot.source, snapshot.time);
        set(&unsaved, &snapshot.source, i64::try_from(snapshot.unsaved).unwrap_or(i64::MAX));
    }
    for (source, id) in &report.newest_whole {
        set(&newest_whole, source, times.get(id.as_str()).copied().unwrap_or(0));
    }
    registry.register(
        "unsaved_entries",
        "Entries that Kopia could not save in the newest complete snapshot",
        unsaved,
    );
    registry.register("newest_timestamp_seconds", "Start of the newest complete snapshot", newest);
    let help = "Start of the newest complete snapshot of which nothing is lost";
    registry.register("newest_whole_timestamp_seconds", help, newest_whole);
}
