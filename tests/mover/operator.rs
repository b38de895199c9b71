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
    /// Identity → lines, each of which it takes for a snapshot.
    pub(crate) counts: BTreeMap<String, usize>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(rename = "id")]
    _id: String,
    user_name: String,
    host_name: String,
    end_time: String,
    #[serde(rename = "source")]
    _source: Option<String>,
}

impl Discovery {
    fn count(&mut self, identity: String, time: String) {
        *self.counts.entry(identity.clone()).or_default() += 1;
        let newest = self.identities.entry(identity).or_default();
        *newest = time.max(std::mem::take(newest));
    }
}

/// Reads a cut log.
pub(crate) fn discover(text: &str) -> Discovery {
    let listing = Regex::new(r"^([^@]+)@([^:]+):(.+)\s+(\d{4}-\d{2}-\d{2}\s+\d{2}:\d{2}:\d{2})").unwrap();
    let missing = Regex::new(r"No snapshots found for ([^@]+)@([^:]+):(.+)").unwrap();
    let unable = Regex::new(r#"unable to find snapshots for source "([^"]+)""#).unwrap();
    let json = Regex::new(r#"^\{.*"id".*"userName".*"hostName".*\}"#).unwrap();
    let mut found = Discovery::default();
    let mut collects = false;
    for line in text.lines().map(str::trim) {
        if line == "=== Discovery Mode: Available Snapshots ===" {
            collects = true;
        } else if let Some(parts) = missing.captures(line) {
            found.requested = Some(format!("{}@{}", &parts[1], &parts[2]));
        } else if let Some(parts) = unable.captures(line) {
            found.requested = parts[1].split(':').next().map(str::to_owned);
        } else if collects && json.is_match(line) {
            if let Ok(line) = serde_json::from_str::<Line>(line) {
                let seconds = line.end_time[..19].replace('T', " ");
                found.count(format!("{}@{}", line.user_name, line.host_name), seconds);
            }
        } else if let Some(parts) = listing.captures(line) {
            found.count(format!("{}@{}", &parts[1], &parts[2]), parts[4].to_owned());
        }
    }
    found
}

/// What it puts before the log in the status.
pub(crate) fn headline(found: &Discovery) -> Option<String> {
    let requested = found.requested.as_ref().filter(|_| !found.identities.is_empty())?;
    let known: Vec<&str> = found.identities.keys().map(String::as_str).collect();
    Some(format!("No snapshots found for identity '{requested}'. Available identities: {}", known.join(", ")))
}

#[test]
fn the_operators_rules() {
    let log = "Starting\nINFO: x\nERROR: y\na@b:/c 2024-01-02 03:04:05\nNo snapshots found for u@h:/data\n";
    let kept = filtered(log);
    assert_eq!(kept, "ERROR: y\na@b:/c 2024-01-02 03:04:05\nNo snapshots found for u@h:/data");
    let found = discover(&kept);
    assert_eq!(found.requested.as_deref(), Some("u@h"));
    assert_eq!(found.identities["a@b"], "2024-01-02 03:04:05");
    assert_eq!(headline(&found).unwrap(), "No snapshots found for identity 'u@h'. Available identities: a@b");
    assert_eq!(filtered(&format!("error {}\n", "x".repeat(2000))).len(), STATUS);
}

#[test]
fn the_stock_movers_output_is_understood() {
    let json = |id, host, end| {
        format!(r#"{{"id":"{id}","userName":"app","hostName":"{host}","path":"/data","endTime":"{end}"}}"#)
    };
    let first = json("a", "ns", "2024-01-01T00:01:00.5Z");
    let log = [
        first.as_str(),
        "=== Discovery Mode: Available Snapshots ===",
        &first,
        &json("b", "ns", "2024-01-02T00:01:00Z"),
        r#"{"id":"c","source":{},"userName":"app","hostName":"undecodable","endTime":"2024-01-01T00:00:00Z"}"#,
        "app@other:/data - Last snapshot: 2024-01-01T00:01:00Z",
        r#"unable to find snapshots for source "x@y:/data""#,
    ];
    let found = discover(&filtered(&log.join("\n")));
    assert_eq!(found.requested.as_deref(), Some("x@y"));
    assert_eq!(found.identities, [("app@ns".into(), "2024-01-02 00:01:00".into())].into());
    assert_eq!(found.counts["app@ns"], 2);
}
