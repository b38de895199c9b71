//! Memory that a verification takes, of the process itself.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use assert_cmd::cargo::CommandCargoExt;
use rokopia::index::IndexOptions;
use rokopia::testkit::{Damage, Options, RepositoryWriter, Shape, SyntheticIndex};
use rokopia::verify::{Level, Report, Settings, Verdict};
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

/// What an index names that is nowhere is counted, and only so much of it is listed one by one: packs may hold millions of
/// contents, and anybody with the password can name as many.
#[test]
fn contents_of_packs_that_are_gone_are_counted() {
    const GONE: u64 = 400_000;
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let mut writer = made::writer(&repo, 20_000);
    made::add_snapshot(&mut writer, 100_000, 1);
    writer.write_synthetic_index(&SyntheticIndex::new(GONE, 4)).unwrap();
    writer.finish().unwrap();

    let (report, peak) = peak(&repo, &["--level", "index"]);
    assert_eq!((&report["result"], &report["damage"]), (&"clean".into(), &Value::Array(Vec::new())));
    assert_eq!(report["snapshots"][0]["whole"], true);
    let items = report["unneeded"].as_array().unwrap();
    let (listed, groups): (Vec<&Value>, Vec<&Value>) =
        items.iter().partition(|item| item["content"].is_string());
    assert!(items.iter().all(|item| item["code"] == "pack-missing" && item["blob"].is_string()));
    let counted =
        |item: &&Value| item["detail"].as_str().unwrap().split(' ').next().unwrap().parse::<u64>().unwrap();
    assert_eq!(listed.len() as u64 + groups.iter().map(counted).sum::<u64>(), GONE);
    assert!(peak > 0 && peak <= 192 << 10, "{peak} KiB");
}

/// Where more contents are bad than there is memory for, nothing is called whole, now or by a ledger later.
#[test]
fn more_bad_contents_than_fit_leave_nothing_certain() {
    let dir = tempfile::tempdir().unwrap();
    let (repo, ledger) = (dir.path().join("repo"), dir.path().join("ledger"));
    let mut writer = made::writer(&repo, 400_000);
    for seed in [1, 2] {
        let root = writer.write_tree(&Shape::Tiny { files: 6_000 }.tree(seed).unwrap()).unwrap();
        writer.snapshot(&source(), &root);
        writer.flush().unwrap();
    }
    writer.finish().unwrap();
    let damage = Damage::open(&repo).unwrap();
    let packs = damage.names("p").unwrap();
    for pack in &packs {
        damage.zero(pack, 64, damage.read(pack).unwrap().len() / 4 * 3).unwrap();
    }
    let repository = made::open(&repo);
    let settings = Settings { level: Level::Hash, ..Settings::default() };
    let tight = Settings { memory: 4 << 20, ..settings.clone() };
    let roomy = run(&repository, &settings).unwrap();
    assert!(roomy.damage.len() > 8_000 && roomy.damage.iter().all(|item| item.code != "memory-budget"));
    for round in ["read", "recalled"] {
        let report = made::with_ledger(&repository, &ledger, &tight);
        assert_eq!(report.result, Verdict::Damaged, "{round}");
        assert!(
            report.damage.iter().any(|item| item.code == "memory-budget" && !item.paths.is_empty()),
            "{round}"
        );
        assert!(report.snapshots.iter().all(|snapshot| !snapshot.whole), "{round}");
        assert!(report.newest_whole.is_empty(), "{round}");
        assert_eq!(report.coverage.verified, roomy.coverage.verified, "{round}");
    }
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
