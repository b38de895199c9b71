//! Sources and times in every form in which people ask for them: all commands find the same.

use std::process::Command;

use rokopia::snapshot::{Source, UtcTimestamp};
use rokopia::testkit::{NewSnapshot, Options, RepositoryWriter, Tree};

use crate::common::run;
use crate::support::{assert_exit, assert_failure, stderr, stdout};

pub(crate) const PASSWORD: &str = "asking";

/// A repository with a snapshot of each of these sources at each of these times.
pub(crate) fn repository(sources: &[Source], times: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { password: PASSWORD.into(), ..Options::default() };
    let mut writer = RepositoryWriter::create(dir.path(), options).unwrap();
    let root = writer.write_tree(&Tree::owned_by(0, 0)).unwrap();
    for source in sources {
        for time in times {
            let mut snapshot = NewSnapshot::new(source, 0, &root);
            snapshot.start = time.parse().unwrap();
            snapshot.end = UtcTimestamp(snapshot.start.as_nanos() + 1_000_000_000);
            writer.put_snapshot(&snapshot);
        }
    }
    writer.finish().unwrap();
    dir
}

fn listed(output: &std::process::Output) -> usize {
    serde_json::from_str::<serde_json::Value>(stdout(output)).unwrap().as_array().unwrap().len()
}

#[test]
fn every_command_finds_a_source_however_it_is_written() {
    let windows = r"C:\Users\me";
    let stored = [
        Source::new("app", "ns", "/data"),
        Source::new("me@corp.example", "pc", windows),
        Source::new("root", "fe80::1", "/srv"),
    ];
    let dir = repository(&stored, &["2026-01-01T03:00:00.5Z"]);
    let run = |arguments: &[&str]| run(dir.path(), PASSWORD, arguments);
    for (source, inside) in [
        ("app@ns:/data", false),
        ("app@ns:/data/", false),
        ("app@ns://data//", false),
        ("app@ns:/./data/.", false),
        ("app@ns:/x/../data", false),
        ("app@ns:/data/below", true),
        (r"me@corp.example@pc:C:\Users\me", false),
        (r"me@corp.example@pc:C:\Users\me\", false),
        ("me@corp.example@pc:c:/Users/me", false),
        (r"me@corp.example@pc:C:\Users\me\Documents", true),
        ("root@fe80::1:/srv", false),
        ("root@fe80::1:/srv/", false),
    ] {
        assert_exit(&run(&["exists", source]), 0);
        let listed = run(&["snapshots", source, "--json"]);
        assert_exit(&listed, 0);
        assert_eq!(self::listed(&listed), 1, "{source}");
        if !inside {
            assert_exit(&run(&["ls", source]), 0);
            assert_exit(&run(&["restore", "--dry-run", source, "/nonexistent/target"]), 0);
            assert_exit(&run(&["ls", &format!("{source}@2026-01-01")]), 0);
            assert_exit(&run(&["ls", &format!("{source}~0")]), 0);
        }
    }
    for source in ["app@ns:/dat", "app@ns:/datas", "ap@ns:/data", r"me@pc:C:\Users\you"] {
        assert_exit(&run(&["exists", source]), 1);
        assert_exit(&run(&["ls", source]), 1);
    }
}

#[test]
fn a_question_that_can_match_nothing_is_never_answered_with_no() {
    let dir = repository(&[Source::new("me", "pc", r"C:\Users\me")], &["2026-01-01T03:00:00Z"]);
    let run = |arguments: &[&str]| run(dir.path(), PASSWORD, arguments);
    for source in ["me@pc", "me@pc:", "/data", "C:/Users/me", "me"] {
        assert_exit(&run(&["exists", source]), 2);
    }
    for (source, code) in [
        ("me@pc:Users", "source-relative"),
        ("me@pc:C:Users", "source-relative"),
        (r"me@pc:c:\users\ME", "source-alike"),
    ] {
        assert_failure(&run(&["exists", source, "--json"]), 3, code);
        assert_failure(&run(&["snapshots", source, "--json"]), 3, code);
        assert_failure(&run(&["ls", source, "--json"]), 3, code);
    }
}

#[test]
fn a_time_means_all_of_its_last_digit() {
    let times = [
        "2026-01-02T03:04:05.000000000Z",
        "2026-01-02T03:04:05.999999999Z",
        "2026-01-02T03:04:06.000000000Z",
    ];
    let dir = repository(&[Source::new("app", "ns", "/data")], &times);
    let run_in = |zone: &str, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rokopia"));
        command.env("ROKOPIA_PASSWORD", PASSWORD).env("TZ", zone).arg("--repo").arg(dir.path());
        command.args(arguments).output().unwrap()
    };
    let count = |zone: &str, option: &str, time: &str| {
        let output = run_in(zone, &["snapshots", option, time, "--json"]);
        assert_exit(&output, 0);
        listed(&output)
    };
    for (zone, time, until, since) in [
        ("UTC", "2026-01-02T03:04:05Z", 2, 3),
        ("UTC", "2026-01-02T03:04:05.9Z", 2, 2),
        ("UTC", "2026-01-02T03:04:05.8Z", 1, 2),
        ("UTC", "2026-01-02T03:04:04Z", 0, 3),
        ("UTC", "2026-01-02T03:04:06Z", 3, 1),
        ("UTC", "2026-01-02 03:04:05", 2, 3),
        ("UTC", "2026-01-02 03:04", 3, 3),
        ("UTC", "2026-01-02 03:03", 0, 3),
        ("UTC", "2026-01-02", 3, 3),
        ("UTC", "2026-01-03", 3, 0),
        ("Asia/Kathmandu", "2026-01-02 08:49:05", 2, 3),
        ("Asia/Kathmandu", "2026-01-02 08:49", 3, 3),
        ("America/New_York", "2026-01-01", 3, 3),
        ("America/New_York", "2026-01-01 22:04:05", 2, 3),
        ("America/New_York", "2025-12-31", 0, 3),
        ("Pacific/Kiritimati", "2026-01-01", 0, 3),
        ("Pacific/Kiritimati", "2026-01-02T05:04:05+02:00", 2, 3),
    ] {
        assert_eq!(
            (count(zone, "--until", time), count(zone, "--since", time)),
            (until, since),
            "{time} in {zone}"
        );
        let output = run_in(zone, &["ls", &format!("app@ns:/data@{time}"), "--json"]);
        assert_exit(&output, i32::from(until == 0));
        let output = run_in(zone, &["ls", &format!("latest@{time}~1")]);
        assert_eq!(output.status.code(), Some(i32::from(until < 2)), "{time} in {zone}: {}", stderr(&output));
    }
}
