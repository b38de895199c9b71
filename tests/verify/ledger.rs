//! Runs that remember former runs.

use std::collections::BTreeSet;
use std::time::Duration;

use rokopia::testkit::Damage;
use rokopia::verify::{Ledger, Level, Order, Report, Settings, Stopped, Verdict, Verifier};

use super::made::{PASSWORD, add_snapshot, damage, open, packs, simple, with_ledger, writer};
use super::trace::Trace;

fn hash() -> Settings {
    Settings { level: Level::Hash, threads: 2, ..Settings::default() }
}

fn codes(report: &Report) -> BTreeSet<&str> {
    report.damage.iter().map(|damage| damage.code.as_str()).collect()
}

/// Packs that a ledger claims.
fn claimed(ledger: &std::path::Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(ledger).unwrap_or_default();
    let records = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(&line[9..]).unwrap());
    records.filter_map(|record| Some(record["pack"].as_str()?.to_owned())).collect()
}

#[test]
fn interrupted_anywhere_it_claims_only_what_was_read_and_finds_the_rest_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    simple(&whole, 12 << 20, 3 << 20);
    let (repository, trace) = Trace::new().open(&whole);
    // So little memory that each pack takes several reads.
    let settings = Settings { memory: 16 << 20, ..hash() };
    assert_eq!(Verifier::new(&repository, &settings).run().unwrap().result, Verdict::Clean);
    let reads = trace.reads().len();
    assert!(reads > 2 * packs(&whole).len(), "{reads} reads");
    let mut resumed = 0;
    for limit in 1..=reads {
        let ledger = dir.path().join(format!("ledger{limit}"));
        let (repository, trace) = Trace::new().limit(limit).open(&whole);
        let kept = Ledger::open(&ledger, &repository).unwrap();
        let report =
            Verifier::new(&repository, &settings).ledger(&kept).interrupted(&trace.stop).run().unwrap();
        drop(kept);
        let claims = claimed(&ledger);
        for pack in &claims {
            let mut ranges: Vec<_> =
                trace.reads().into_iter().filter(|read| read.blob.as_str() == pack.as_str()).collect();
            ranges.sort_by_key(|read| read.offset);
            let size = Damage::open(&whole).unwrap().read(pack).unwrap().len() as u64;
            let end = ranges.iter().fold(ranges[0].offset, |end, read| {
                assert!(read.offset <= end, "{pack} claimed with a gap at {end}");
                end.max(read.offset + read.length)
            });
            assert_eq!((ranges[0].offset, end), (32, size), "{pack} claimed after {limit} reads");
        }
        let all = packs(&whole).len();
        assert_eq!(claims.len() == all, report.result == Verdict::Clean, "{limit}");
        // Every pack that is not claimed is damaged now: the next run, which passes over proofs, has to find them all.
        let broken = dir.path().join("broken");
        super::common::damage::copy(&whole, &broken);
        let unclaimed: BTreeSet<String> =
            packs(&whole).into_iter().filter(|pack| !claims.contains(pack)).collect();
        for pack in &unclaimed {
            damage(&broken, pack);
        }
        keep_times(&whole, &broken);
        let next = Settings { max_age: Some(Duration::from_secs(3600)), ..hash() };
        let report = with_ledger(&open(&broken), &ledger, &next);
        let found: BTreeSet<String> =
            report.damage.iter().chain(&report.unneeded).filter_map(|item| item.blob.clone()).collect();
        assert_eq!(found, unclaimed, "after {limit} reads");
        std::fs::remove_dir_all(&broken).unwrap();
        resumed += 1;
    }
    println!("{resumed} interruptions of {reads} reads");
}

/// Gives the files of a copy the times of the original: a ledger goes by them.
fn keep_times(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            keep_times(&entry.path(), &target);
        } else {
            let time = entry.metadata().unwrap().modified().unwrap();
            std::fs::File::options().write(true).open(target).unwrap().set_modified(time).unwrap();
        }
    }
}

#[test]
fn nights_of_a_budget_cover_everything_as_promised() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    simple(&repo, 8 << 20, 500_000);
    let repository = open(&repo);
    for order in [Order::Disk, Order::Oldest] {
        let ledger = dir.path().join(format!("{order:?}"));
        let settings = Settings { budget: Some(2_000_000), order, ..hash() };
        let mut promised = None;
        let mut last = 0;
        for night in 1.. {
            let report = with_ledger(&repository, &ledger, &settings);
            let coverage = &report.coverage;
            assert!(coverage.read_bytes > 0 && coverage.read_bytes <= 2_000_000);
            assert_eq!(report.exit_code(), 0);
            let of = *promised.get_or_insert(coverage.runs_to_cover.unwrap());
            assert!((3..10).contains(&of), "{of}");
            assert!(coverage.verified_bytes > last && coverage.oldest_proof.is_some());
            last = coverage.verified_bytes;
            if report.result == Verdict::Clean {
                assert_eq!((night, coverage.verified), (of, coverage.contents));
                break;
            }
            assert_eq!(report.stopped, Some(Stopped::Budget));
            assert!(coverage.verified < coverage.contents && night < of);
        }
    }
}

#[test]
fn known_damage_is_reported_until_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    simple(&repo, 4 << 20, 500_000);
    let ledger = dir.path().join("ledger");
    let pack = packs(&repo).remove(0);
    damage(&repo, &pack);
    let found = with_ledger(&open(&repo), &ledger, &Settings::default());
    assert_eq!(codes(&found), ["content-damaged"].into());
    assert!(found.damage.iter().any(|damage| !damage.paths.is_empty()));
    let paths = |report: &Report| report.damage.iter().map(|item| item.paths.clone()).collect::<Vec<_>>();
    // Nothing is read: what the ledger knows is followed all the same.
    let remembered = Settings { budget: Some(0), ..Settings::default() };
    let again = with_ledger(&open(&repo), &ledger, &remembered);
    assert_eq!((again.coverage.read_bytes, paths(&again)), (0, paths(&found)));
    assert_eq!(again.exit_code(), 1);
    // The damaged pack comes first, and a look that is less close does not clear it.
    let tonight = Settings { budget: Some(1), level: Level::Decrypt, ..Settings::default() };
    assert_eq!(with_ledger(&open(&repo), &ledger, &tonight).exit_code(), 1);
    damage(&repo, &pack);
    let mended = with_ledger(&open(&repo), &ledger, &Settings { budget: Some(1), ..hash() });
    assert_eq!((mended.exit_code(), mended.coverage.read_bytes > 0), (0, true));
    assert_eq!(mended.result, Verdict::Clean, "the other packs are proved");
}

#[test]
fn another_pack_under_the_name_is_not_the_proved_one() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    simple(&repo, 2 << 20, 500_000);
    let ledger = dir.path().join("ledger");
    let settings = Settings { max_age: Some(Duration::from_secs(3600)), ..hash() };
    assert!(with_ledger(&open(&repo), &ledger, &settings).coverage.read_bytes > 0);
    assert_eq!(with_ledger(&open(&repo), &ledger, &settings).coverage.read_bytes, 0);
    let pack = packs(&repo).remove(0);
    let bytes = Damage::open(&repo).unwrap().read(&pack).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    Damage::open(&repo).unwrap().write(&pack, &bytes).unwrap();
    let rewritten = with_ledger(&open(&repo), &ledger, &settings).coverage;
    assert!(rewritten.read_bytes > 0 && rewritten.read_bytes < rewritten.bytes);
    let closer = Settings { level: Level::Decrypt, ..settings };
    assert_eq!(with_ledger(&open(&repo), &ledger, &closer).coverage.read_bytes, 0);
}

#[test]
fn snapshots_that_are_gone_without_a_trace_are_missed() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let mut new = writer(&repo, 1 << 20);
    let first = add_snapshot(&mut new, 1 << 20, 1);
    let before: BTreeSet<String> = new.blobs().names("").unwrap().into_iter().collect();
    let last = add_snapshot(&mut new, 1 << 20, 2);
    let ledger = dir.path().join("ledger");
    assert_eq!(with_ledger(&open(&repo), &ledger, &hash()).result, Verdict::Clean);

    // All that the second run wrote is gone: what is left is sound in itself.
    let lost = dir.path().join("lost");
    super::common::damage::copy(&repo, &lost);
    let damaged = Damage::open(&lost).unwrap();
    for name in damaged.names("").unwrap().iter().filter(|name| !before.contains(*name)) {
        damaged.delete(name).unwrap();
    }
    let repository = open(&lost);
    assert_eq!(Verifier::new(&repository, &hash()).run().unwrap().result, Verdict::Clean);
    for _ in 0..2 {
        let report = with_ledger(&repository, &ledger, &hash());
        assert_eq!(codes(&report), ["snapshots-missing"].into());
        assert!(report.damage[0].detail.contains(&last), "{}", report.damage[0].detail);
        assert_eq!(report.exit_code(), 1);
    }
    let accept = Settings { accept_missing_snapshots: true, ..hash() };
    assert_eq!(with_ledger(&repository, &ledger, &accept).result, Verdict::Clean);
    assert_eq!(with_ledger(&repository, &ledger, &hash()).result, Verdict::Clean);

    // Deleted by their owner they are no loss.
    let ledger = dir.path().join("another");
    assert_eq!(with_ledger(&open(&repo), &ledger, &hash()).result, Verdict::Clean);
    new.delete_manifest(&last);
    new.delete_manifest(&first);
    new.flush().unwrap();
    let report = with_ledger(&open(&repo), &ledger, &hash());
    assert_eq!((report.result, report.snapshots.len()), (Verdict::Clean, 0));
    assert!(report.warnings.iter().any(|warning| warning.contains("2 fewer")), "{:?}", report.warnings);
}

/// The real process, killed again and again. One half of the packs is damaged in its last content, so that a proof of
/// any of them is a false one.
#[test]
fn killed_at_any_moment_it_claims_only_what_was_proved() {
    use std::process::{Command, Stdio};

    use assert_cmd::cargo::CommandCargoExt;

    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    simple(&repo, 24 << 20, 700_000);
    let index = open(&repo).contents().unwrap().index();
    let mut rotten = BTreeSet::new();
    for pack in packs(&repo).into_iter().step_by(2) {
        let own = index.iter().filter(|entry| index.pack(entry.pack).unwrap().as_str() == pack);
        let last = own.map(|entry| entry.end()).max().unwrap();
        Damage::open(&repo).unwrap().flip(&pack, last as usize - 1, 1).unwrap();
        rotten.insert(pack);
    }
    let ledger = dir.path().join("ledger");
    let command = || {
        let mut command = Command::cargo_bin("rokopia").unwrap();
        command.env_clear().env("ROKOPIA_PASSWORD", PASSWORD).env("ROKOPIA_REPOSITORY", &repo);
        command.args(["verify", "--level", "hash", "--quiet", "--max-age", "1d", "--ledger"]).arg(&ledger);
        command.stdout(Stdio::null());
        command
    };
    let lines = || std::fs::read_to_string(&ledger).unwrap_or_default().lines().count();
    let check = || {
        let text = std::fs::read_to_string(&ledger).unwrap();
        let mut claims = BTreeSet::new();
        for line in text.lines() {
            let record: serde_json::Value = serde_json::from_str(&line[9..]).unwrap();
            let Some(pack) = record["pack"].as_str() else { continue };
            assert_eq!(record.get("damaged").is_some(), rotten.contains(pack), "{line}");
            claims.insert(pack.to_owned());
        }
        claims
    };
    let mut claimed = Vec::new();
    for round in 0..6 {
        let before = lines();
        let mut child = command().args(["--rate", "6MB"]).spawn().unwrap();
        // Each time a little later.
        while lines() <= before.max(1) + 3 * round && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(17 * round as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        claimed.push(check().len());
    }
    let all = packs(&repo).len();
    assert!(claimed.iter().any(|claims| *claims < all), "never killed in between: {claimed:?} of {all}");
    assert_eq!(command().status().unwrap().code(), Some(1));
    assert_eq!(check().len(), all);
    let kept = with_ledger(&open(&repo), &ledger, &Settings { budget: Some(0), ..hash() });
    let found: BTreeSet<String> =
        kept.damage.iter().chain(&kept.unneeded).filter_map(|item| item.blob.clone()).collect();
    assert_eq!((found, kept.coverage.read_bytes), (rotten, 0));
    println!("{claimed:?} of {all} packs were claimed at the times of the kills");
}
