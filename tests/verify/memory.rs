//! Memory that a verification takes, of the process itself.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use assert_cmd::cargo::CommandCargoExt;
use rokopia::testkit::{Options, RepositoryWriter, Shape};
use serde_json::Value;

use super::made::{PASSWORD, source};

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
