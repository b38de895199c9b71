//! `verify --drill` beyond the restore itself: is it the backup of today, does a command say so, and whose turn is it?

use std::path::Path;
use std::process::Output;

use rokopia::snapshot::{Source, UtcTimestamp};
use rokopia::testkit::{Data, DataKind, NewSnapshot, RepositoryWriter, Tree};
use serde_json::Value;

use super::cli::run;
use super::made::writer;

const DAY: i64 = 86_400;

/// Snapshots of a source, each with data of its own for each text in its files `data` and `etc/heartbeat`, so many seconds ago.
fn add(writer: &mut RepositoryWriter, source: &str, snapshots: &[(&str, i64)]) {
    let source: Source = source.parse().unwrap();
    for (text, ago) in snapshots {
        let start = UtcTimestamp(UtcTimestamp::now().as_nanos() - ago * 1_000_000_000);
        let mut tree = Tree::owned_by(0, 0);
        tree.add_directory("etc").unwrap();
        for path in ["data", "etc/heartbeat"] {
            tree.add_file(path, Data { kind: DataKind::Text, seed: seed(text), size: 100 }).unwrap();
        }
        let root = writer.write_tree(&tree).unwrap();
        let mut snapshot = NewSnapshot::new(&source, 0, &root);
        (snapshot.start, snapshot.end) = (start, UtcTimestamp(start.as_nanos() + 1_000_000_000));
        writer.put_snapshot(&snapshot);
    }
}

fn seed(text: &str) -> u64 {
    text.bytes().map(u64::from).sum()
}

fn repository(at: &Path, sources: &[(&str, &[(&str, i64)])]) {
    let mut writer = writer(at, 300_000);
    for (source, snapshots) in sources {
        add(&mut writer, source, snapshots);
    }
    writer.finish().unwrap();
}

fn reports(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn codes(report: &Value) -> Vec<&str> {
    report["problems"].as_array().unwrap().iter().map(|problem| problem["code"].as_str().unwrap()).collect()
}

const SOURCE: &str = "data@apps:/data";

#[test]
fn a_snapshot_that_is_too_old_is_no_passed_drill() {
    let dir = tempfile::tempdir().unwrap();
    repository(dir.path(), &[(SOURCE, &[("a", 3 * DAY), ("b", 2 * DAY)])]);
    let output = run(dir.path(), &["--json", "--drill", SOURCE]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = &reports(&output)[0];
    let seconds = |field: &str| report[field].as_f64().unwrap();
    assert!(seconds("opened_seconds") <= seconds("first_file_seconds"), "{report}");
    assert!(seconds("first_file_seconds") <= seconds("total_seconds"), "{report}");
    let output = run(dir.path(), &["--json", "--drill", SOURCE, "--newer-than", "26h"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = &reports(&output)[0];
    assert_eq!((report["result"].as_str(), codes(report)), (Some("unfit"), vec!["backup-stale"]));
}

#[test]
fn content_of_the_last_drill_fails_where_the_source_usually_changes() {
    let dir = tempfile::tempdir().unwrap();
    let (repo, log) = (dir.path().join("repo"), dir.path().join("drills"));
    let log = log.to_str().unwrap();
    repository(&repo, &[(SOURCE, &[("a", 4 * DAY), ("b", 3 * DAY), ("c", 2 * DAY), ("c", DAY)])]);
    let drill = || run(&repo, &["--json", "--drill", SOURCE, "--drill-log", log]);
    assert_eq!(drill().status.code(), Some(0));
    let output = drill();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(codes(&reports(&output)[0]), ["drill-unchanged"]);
    // One that hardly ever changes may stay as it is.
    let still = dir.path().join("still");
    repository(&still, &[("still@apps:/data", &[("a", 4 * DAY), ("a", 3 * DAY), ("a", DAY)])]);
    for _ in 0..2 {
        let output = run(&still, &["--drill", "still@apps:/data", "--drill-log", log]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    std::fs::write(log, "nonsense\n").unwrap();
    assert_eq!(drill().status.code(), Some(3));
}

#[test]
fn those_that_were_drilled_longest_ago_have_their_turn() {
    let dir = tempfile::tempdir().unwrap();
    let (repo, log) = (dir.path().join("repo"), dir.path().join("drills"));
    let log = log.to_str().unwrap();
    let sources = ["a@h:/", "b@h:/", "c@h:/"];
    let snapshots: &[(&str, i64)] = &[("x", DAY)];
    repository(&repo, &sources.map(|source| (source, snapshots)));
    let mut seen = Vec::new();
    for _ in 0..3 {
        let output = run(&repo, &["--json", "--drill", "all", "--rotate", "2", "--drill-log", log]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        seen.extend(reports(&output).iter().map(|report| report["source"].as_str().unwrap().to_owned()));
    }
    assert_eq!(seen, ["a@h:/", "b@h:/", "c@h:/", "a@h:/", "b@h:/", "c@h:/"]);
}

#[test]
fn a_sentinel_must_be_there_and_fresh() {
    let dir = tempfile::tempdir().unwrap();
    repository(dir.path(), &[(SOURCE, &[("a", DAY)])]);
    let drill = |arguments: &[&str]| run(dir.path(), &[&["--json", "--drill", SOURCE], arguments].concat());
    assert_eq!(drill(&["--sentinel", "etc/heartbeat"]).status.code(), Some(0));
    for arguments in [&["--sentinel", "etc/none"][..], &["--sentinel", "data", "--sentinel-max-age", "1h"]] {
        let output = drill(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(codes(&reports(&output)[0]), ["drill-sentinel"]);
    }
}

#[test]
fn a_command_in_the_restored_tree_decides_and_knows_no_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let (repo, there) = (dir.path().join("repo"), dir.path().join("there"));
    std::fs::create_dir(&there).unwrap();
    repository(&repo, &[(SOURCE, &[("hello", DAY)])]);
    let to = there.to_str().unwrap();
    let exec = |command: &str, more: &[&str]| {
        let arguments = [&["--json", "--drill", SOURCE, "--to", to, "--exec", command], more].concat();
        run(&repo, &arguments)
    };
    let good = "test \"$(wc -c < data)\" -eq 100 && test \"$ROKOPIA_DRILL_DIR\" = \"$PWD\" \
                && test -z \"$ROKOPIA_PASSWORD$KOPIA_PASSWORD\" && echo fine";
    let output = exec(good, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("fine"), "{output:?}");
    let output = exec("exit 7", &[]);
    assert_eq!(output.status.code(), Some(1));
    let report = &reports(&output)[0];
    assert_eq!(codes(report), ["drill-command"]);
    assert!(report["problems"][0]["message"].as_str().unwrap().contains("exit code 7"), "{report}");
    let output = exec("sleep 1000 & sleep 1000", &["--exec-timeout", "1s"]);
    assert_eq!((output.status.code(), codes(&reports(&output)[0])), (Some(1), vec!["drill-command"]));
    assert_eq!(std::fs::read_dir(&there).unwrap().count(), 0, "nothing is left behind");
    let output = run(&repo, &["--drill", SOURCE, "--to", "null", "--exec", "true"]);
    assert_eq!(output.status.code(), Some(2));
}
