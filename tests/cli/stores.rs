//! One question to several stores of the same data.

use std::path::Path;

use rokopia::snapshot::Source;
use serde_json::Value;

use crate::asking::{PASSWORD, repository};
use crate::common::{json_lines, run};
use crate::support::{assert_exit, assert_failure, files, stdout};

const SOURCE: &str = "data-demo@apps:/data";

fn store(times: &[&str]) -> tempfile::TempDir {
    repository(&[SOURCE.parse().unwrap()], times)
}

/// Asks the first store, and the others beside it.
fn ask(first: &Path, others: &[&str], more: &[&str]) -> std::process::Output {
    let with = others.iter().flat_map(|other| ["--with", other]);
    let arguments: Vec<&str> = ["--json", "exists", SOURCE].into_iter().chain(with).collect();
    run(first, PASSWORD, &[&arguments, more].concat())
}

fn answer(output: &std::process::Output) -> Value {
    json_lines(&output.stdout).first().unwrap().clone()
}

fn path(dir: &tempfile::TempDir) -> &str {
    dir.path().to_str().unwrap()
}

#[test]
fn the_store_with_the_newest_complete_snapshot_is_named() {
    let nas = store(&["2026-01-01T03:00:00Z"]);
    let bucket = store(&["2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"]);
    let output = ask(nas.path(), &[path(&bucket)], &[]);
    assert_exit(&output, 0);
    let answer = answer(&output);
    assert_eq!(
        (&answer["state"], &answer["snapshots"], &answer["latest"]),
        (&"exists".into(), &2.into(), &"2026-01-02T03:00:00Z".into())
    );
    assert!(answer["restore_from"].as_str().unwrap().ends_with(path(&bucket)), "{answer}");
    let stores = answer["stores"].as_array().unwrap();
    let latest: Vec<&Value> = stores.iter().map(|store| &store["latest_complete"]).collect();
    assert_eq!(latest, ["2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"]);
    assert!(stores[0]["age_seconds"].as_i64() > stores[1]["age_seconds"].as_i64(), "{answer}");
    let text = run(nas.path(), PASSWORD, &["exists", SOURCE, "--with", path(&bucket)]);
    assert!(stdout(&text).contains("\nrestore from: ") && stdout(&text).contains("\nSTORE "), "{text:?}");
}

#[test]
fn none_is_said_only_where_every_store_certainly_has_none() {
    let other = repository(&[Source::new("other", "apps", "/data")], &["2026-01-01T03:00:00Z"]);
    let empty = repository(&[], &[]);
    let full = store(&["2026-01-01T03:00:00Z"]);
    let none = ask(other.path(), &[path(&empty)], &[]);
    assert_exit(&none, 1);
    assert_eq!((&answer(&none)["state"], answer(&none).get("restore_from")), (&"absent".into(), None));
    for unreadable in ["/nonexistent/store", "restic:/nonexistent/store"] {
        let output = ask(other.path(), &[unreadable], &[]);
        assert_exit(&output, 3);
        let answer = answer(&output);
        assert_eq!((&answer["state"], &answer["stores"][0]["state"]), (&"unknown".into(), &"absent".into()));
        assert!(answer["stores"][1]["code"].is_string(), "{answer}");
        assert!(answer["reason"].as_str().unwrap().starts_with(&format!("{unreadable}: ")), "{answer}");
        assert_exit(&ask(full.path(), &[unreadable], &[]), 0);
        assert_exit(&ask(other.path(), &[unreadable, path(&full)], &[]), 0);
    }
    // The first one counts no more than the others.
    assert_exit(&ask(Path::new("/nonexistent/store"), &[path(&full)], &[]), 0);
    assert_failure(&ask(Path::new("/nonexistent/store"), &[path(&other)], &[]), 3, "repository-not-found");
}

#[test]
fn a_store_in_doubt_leaves_no_certain_no() {
    let damaged = store(&["2026-01-01T03:00:00Z"]);
    for index in ["x", "n"].iter().flat_map(|prefix| files(damaged.path(), prefix)) {
        std::fs::remove_file(index).unwrap();
    }
    let empty = repository(&[], &[]);
    for (first, second) in [(&damaged, &empty), (&empty, &damaged)] {
        let output = ask(first.path(), &[path(second)], &[]);
        assert_exit(&output, 3);
        assert_eq!(answer(&output)["state"], "unknown");
    }
}

#[test]
fn each_store_has_a_password_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "not the password").unwrap();
    let (first, other) = (store(&["2026-01-01T03:00:00Z"]), store(&["2026-01-02T03:00:00Z"]));
    let wrong = ["--with-password-file", file.to_str().unwrap()];
    let output = ask(first.path(), &[path(&other)], &wrong);
    assert_exit(&output, 0);
    let said = answer(&output);
    assert_eq!(
        (&said["latest"], &said["stores"][1]["code"]),
        (&"2026-01-01T03:00:00Z".into(), &"wrong-password".into())
    );
    std::fs::write(&file, PASSWORD).unwrap();
    assert_eq!(answer(&ask(first.path(), &[path(&other)], &wrong))["latest"], "2026-01-02T03:00:00Z");
}

#[test]
fn the_answer_of_one_store_is_what_it_was() {
    let only = store(&["2026-01-01T03:00:00Z"]);
    let said = answer(&ask(only.path(), &[], &[]));
    let fields: Vec<&str> = said.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected =
        ["state", "source", "snapshots", "incomplete", "latest", "age_seconds", "latest_id", "reason"];
    expected.sort_unstable();
    let mut sorted = fields;
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
}
