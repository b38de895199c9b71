//! The audit as metrics, for the textfile collector of the node exporter.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::stores::Comparison;
use crate::audit::{Audit, Severity};
use crate::snapshot::UtcTimestamp;

type Value = Gauge<f64, AtomicU64>;
type Labelled = Family<Vec<(String, String)>, Value>;

/// All metrics.
pub(super) fn metrics(audit: &Audit, complete: bool, compared: &Comparison, now: UtcTimestamp) -> String {
    let mut registry = Registry::with_prefix("rokopia_audit");
    let seconds = |time: UtcTimestamp| time.as_nanos() as f64 / 1e9;
    let good = audit.is_good() && compared.is_good();
    for (name, help, value) in [
        ("end_timestamp_seconds", "When the audit was made", seconds(now)),
        ("good", "1 where there is no warning and nothing critical, else 0", f64::from(u8::from(good))),
        (
            "complete",
            "1 where the list of snapshots is certainly complete, else 0",
            f64::from(u8::from(complete)),
        ),
    ] {
        let gauge = Value::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    }
    if let Some(health) = compared.health() {
        let gauges = [
            ("index_blobs", "Index blobs that opening the repository reads", Some(health.index_blobs as f64)),
            (
                "next_full_maintenance_timestamp_seconds",
                "When full maintenance is due",
                health.next_full().map(seconds),
            ),
            (
                "last_maintenance_timestamp_seconds",
                "When maintenance last did something",
                health.last_success().map(seconds),
            ),
            (
                "repository_findings",
                "Findings about how the repository is looked after",
                Some(health.findings(now).len() as f64),
            ),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = Value::default();
            gauge.set(value);
            registry.register(name, help, gauge);
        }
    }
    let families: [Labelled; 6] = Default::default();
    let [newest, size, files, snapshots, findings, in_store] = &families;
    for source in &audit.sources {
        let name = source.source.to_string();
        let set = |family: &Labelled, value: f64| {
            family.get_or_create(&vec![("source".to_owned(), name.clone())]).set(value);
        };
        set(snapshots, source.snapshots as f64);
        if let Some(found) = &source.newest {
            set(newest, seconds(found.time));
            set(size, found.size as f64);
            set(files, found.files as f64);
        }
        for severity in [Severity::Notice, Severity::Warning, Severity::Critical] {
            let count = source.findings.iter().filter(|finding| finding.severity() == severity).count();
            let labels = [("source", name.as_str()), ("severity", severity.as_str())];
            findings.get_or_create(&owned(&labels)).set(count as f64);
        }
    }
    for source in &compared.sources {
        let name = source.source.to_string();
        for (store, time) in compared.stores.iter().zip(&source.newest) {
            if let Some(time) = time {
                let labels = [("source", name.as_str()), ("store", store.location.as_str())];
                in_store.get_or_create(&owned(&labels)).set(seconds(*time));
            }
        }
    }
    for (name, help, family) in [
        ("newest_timestamp_seconds", "Start of the newest complete snapshot", newest),
        ("newest_size_bytes", "Bytes in the files of the newest complete snapshot", size),
        ("newest_files", "Files of the newest complete snapshot", files),
        ("snapshots", "Snapshots of the source, incomplete ones included", snapshots),
        ("findings", "Findings about the source by their severity", findings),
        ("store_newest_timestamp_seconds", "Start of the newest complete snapshot in each store", in_store),
    ] {
        registry.register(name, help, family.clone());
    }
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &registry);
    text
}

fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
