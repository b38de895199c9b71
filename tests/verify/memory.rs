//! Memory that a verification takes, of the process itself.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use assert_cmd::cargo::CommandCargoExt;
use rokopia::index::IndexOptions;
use rokopia::testkit::{Damage, Options, RepositoryWriter, Shape};
use rokopia::verify::{Level, Report, Settings};
use serde_json::Value;

use super::made::{self, PASSWORD, source};
use super::support::run;

const CONTENTS: u64 = 1_000_000;

/// Verifies in a process of its own; gives the report and the most that was resident, in KiB.
fn peak(repo: &Path, arguments: &[&str]) -> (Value, u64) {
    let report = repo.with_extension("json");
    let mut command = Command::cargo_bin("rokopia").unwrap();
    command.env_clear().env("ROKOPIA_PASSWORD", PASSWORD).env("ROKOPIA_REPOSITORY", repo);
    command.args(["verify", "--quiet", "--report"]).arg(&report).args(arguments).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(2));
    }
    (super::common::json(&report), peak)
}

/// More contents than the memory has room for in the order in which they are read: that goes to a file, and nothing else
/// becomes of it.
#[test]
fn a_plan_in_a_file_comes_to_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (repo, spill) = (dir.path().join("repo"), dir.path().join("spill"));
    std::fs::create_dir(&spill).unwrap();
    let options = Options { pack_size: 20_000, ..Options::default() };
    let mut writer = RepositoryWriter::create(&repo, options).unwrap();
    let root = writer.write_tree(&Shape::Tiny { files: 40_000 }.tree(1).unwrap()).unwrap();
    writer.snapshot(&source(), &root);
    writer.finish().unwrap();
    let packs = made::packs(&repo);
    assert!(packs.len() > 8);
    made::damage(&repo, &packs[1]);
    Damage::open(&repo).unwrap().delete(&packs[4]).unwrap();

    let plain = made::open(&repo);
    let index = IndexOptions { spill_directory: Some(spill.clone()), ..plain.options().index };
    let spilling = plain.with_index_options(index.clone());
    let settings = Settings { level: Level::Hash, ..Settings::default() };
    let tight = Settings { memory: 4 << 20, ..settings.clone() };
    let sorted = |report: &Report| {
        let mut report = serde_json::to_value(report).unwrap();
        for list in ["damage", "unneeded"] {
            report[list].as_array_mut().unwrap().sort_by_key(Value::to_string);
        }
        for changing in ["started", "seconds"] {
            report[changing] = Value::Null;
        }
        report["coverage"]["oldest_proof"] = Value::Null;
        report
    };
    let (expected, found) = (run(&plain, &settings).unwrap(), run(&spilling, &tight).unwrap());
    assert!(expected.coverage.contents > 40_000 && expected.damage.len() > 40);
    assert_eq!(sorted(&found), sorted(&expected));
    assert_eq!(std::fs::read_dir(&spill).unwrap().count(), 0);

    // Where there is no room for the file, that is said, and nothing is called good.
    let nowhere = IndexOptions { spill_directory: Some(dir.path().join("missing")), ..index };
    let error = run(&plain.with_index_options(nowhere), &tight).unwrap_err();
    assert_eq!(error.code(), "index-spill");
}

/// Some minutes: `cargo test --profile quick --all-features --test verify a_million -- --ignored --nocapture`.
#[test]
#[ignore = "makes a million contents"]
fn a_million_contents_fit_in_256_mib() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let mut writer = RepositoryWriter::create(&repo, Options::default()).unwrap();
    let root = writer.write_tree(&Shape::Tiny { files: CONTENTS }.tree(1).unwrap()).unwrap();
    writer.snapshot(&source(), &root);
    writer.finish().unwrap();
    // With half of 64 MiB for it, the index is in a file.
    for arguments in [&["--level", "hash"][..], &[], &["--memory", "64MiB"]] {
        let (report, peak) = peak(&repo, arguments);
        println!("{arguments:?}: {} MiB resident, {} s", peak >> 10, report["seconds"]);
        assert_eq!(report["result"], "clean", "{arguments:?}");
        assert!(report["coverage"]["verified"].as_u64().unwrap() >= CONTENTS, "{arguments:?}");
        assert!(peak > 0 && peak <= 256 << 10, "{arguments:?}: {peak} KiB");
    }
}
