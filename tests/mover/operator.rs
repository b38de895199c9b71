//! What the operator makes of a log, by its documented behaviour.

use std::collections::BTreeMap;

use regex::Regex;

/// Bytes of the status.
pub(crate) const STATUS: usize = 1024;

fn keeps(line: &str) -> bool {
    let lower = line.to_lowercase();
    let listing = Regex::new(r"^[^@]+@[^:]+:.+\s+\d{4}-\d{2}-\d{2}").unwrap();
    ["error", "failed", "unable to"].iter().any(|word| lower.contains(word))
        || ["=== Discovery Mode", "Available Snapshots", "No snapshots found"]
            .iter()
            .any(|t| line.contains(t))
        || listing.is_match(line)
        || (line.contains("\"userName\"") && line.contains("\"hostName\""))
        || [
            "Snapshot created successfully",
            "Snapshot restore completed",
            "Repository connected",
            "No eligible snapshots",
        ]
        .iter()
        .any(|text| line.contains(text))
}

/// The lines that the operator keeps of a log, cut as it cuts them.
pub(crate) fn filtered(log: &str) -> String {
    assert!(log.lines().all(|line| line.len() < 64 << 10), "a line stops the reading of the log");
    let kept: Vec<&str> = log.lines().filter(|line| keeps(line)).collect();
    let kept = kept.join("\n");
    let bytes = kept.as_bytes();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(STATUS)..]).into_owned()
}

/// What the operator writes into the status of a failed run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Discovery {
    pub(crate) requested: Option<String>,
    /// Identity → newest time.
    pub(crate) identities: BTreeMap<String, String>,
}

/// Reads a cut log.
pub(crate) fn discover(text: &str) -> Discovery {
    let listing = Regex::new(r"^([^@]+)@([^:]+):(.+)\s+(\d{4}-\d{2}-\d{2}\s+\d{2}:\d{2}:\d{2})").unwrap();
    let missing = Regex::new(r"No snapshots found for ([^@]+)@([^:]+):(.+)").unwrap();
    let mut found = Discovery::default();
    for line in text.lines().map(str::trim) {
        if let Some(parts) = missing.captures(line) {
            found.requested = Some(format!("{}@{}", &parts[1], &parts[2]));
        } else if let Some(parts) = listing.captures(line) {
            let newest = found.identities.entry(format!("{}@{}", &parts[1], &parts[2])).or_default();
            if newest.as_str() < &parts[4] {
                parts[4].clone_into(newest);
            }
        }
    }
    found
}

#[test]
fn the_operators_rules() {
    let log = "Starting\nINFO: x\nERROR: y\na@b:/c 2024-01-02 03:04:05\nNo snapshots found for u@h:/data\n";
    let kept = filtered(log);
    assert_eq!(kept, "ERROR: y\na@b:/c 2024-01-02 03:04:05\nNo snapshots found for u@h:/data");
    let found = discover(&kept);
    assert_eq!(found.requested.as_deref(), Some("u@h"));
    assert_eq!(found.identities["a@b"], "2024-01-02 03:04:05");
    assert_eq!(filtered(&format!("error {}\n", "x".repeat(2000))).len(), STATUS);
}
