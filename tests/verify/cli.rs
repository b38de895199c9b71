//! The command as it is typed.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use assert_cmd::cargo::CommandCargoExt;
use rokopia::testkit::{Chunks, Options, RepositoryWriter};
use serde_json::Value;

use super::made::{PASSWORD, add_snapshot, damage, packs, simple, writer};
use super::schema::violations;

fn rokopia(repo: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("rokopia").unwrap();
    command.env_clear().env("ROKOPIA_PASSWORD", PASSWORD).env("ROKOPIA_REPOSITORY", repo);
    command.arg("verify").args(arguments);
    command
}

pub(crate) fn run(repo: &Path, arguments: &[&str]) -> Output {
    rokopia(repo, arguments).output().unwrap()
}

fn report(output: &Output) -> Value {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    assert_eq!(violations(&report), [""; 0]);
    report
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The exporter that serves them is another user; the report, which names files, stays as the caller wants it.
#[test]
fn metrics_are_readable_for_everybody() {
    let dir = tempfile::tempdir().unwrap();
    let (repo, metrics, page) = (dir.path().join("repo"), dir.path().join("m.prom"), dir.path().join("page"));
    simple(&repo, 1 << 20, 100_000);
    let status = Command::new("sh")
        .args(["-c", "umask 077; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_rokopia"), "verify", "--textfile"])
        .args([metrics.as_path(), Path::new("--html"), &page])
        .envs([("ROKOPIA_PASSWORD", PASSWORD), ("ROKOPIA_REPOSITORY", repo.to_str().unwrap())])
        .status()
        .unwrap();
    assert!(status.success());
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&metrics), mode(&page)), (0o644, 0o600));
}

#[test]
fn exit_codes_and_reports() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    simple(&repo, 2 << 20, 500_000);
    let clean = run(&repo, &["--json"]);
    assert_eq!((clean.status.code(), report(&clean)["result"].as_str()), (Some(0), Some("clean")));
    let text = run(&repo, &["--level", "index"]);
    assert!(String::from_utf8_lossy(&text.stdout).starts_with("OK: no damage found (level: "), "{text:?}");

    damage(&repo, &packs(&repo)[0]);
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (page, metrics, json) = (file("page.html"), file("rokopia.prom"), file("report.json"));
    let damaged = run(&repo, &["--html", &page, "--textfile", &metrics, "--report", &json]);
    assert_eq!(damaged.status.code(), Some(1));
    let text = String::from_utf8_lossy(&damaged.stdout).into_owned();
    for part in ["DAMAGED", "What is damaged:", "What is lost", "What can still be restored", "What to do:"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let report: Value = super::common::json(Path::new(&json));
    assert_eq!(violations(&report), [""; 0]);
    assert_eq!(report["snapshots"][0]["whole"], false);
    let metrics = std::fs::read_to_string(metrics).unwrap();
    for line in ["rokopia_verify_exit_code 1.0", "rokopia_verify_snapshots_whole 0.0"] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
    let id = report["snapshots"][0]["id"].as_str().unwrap();
    assert!(std::fs::read_to_string(page).unwrap().contains(id));

    let nowhere = run(&dir.path().join("none"), &["--json"]);
    assert_eq!(nowhere.status.code(), Some(3));
    let usage: [&[&str]; 5] = [
        &["--level", "all"],
        &["--budget", "much"],
        &["--max-age", "3d"],
        &["--shard", "3/3"],
        &["--merge", "a", "--budget", "1GB"],
    ];
    for wrong in usage {
        assert_eq!(run(&repo, wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn quiet_means_silent_unless_somebody_must_act() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    simple(&repo, 4 << 20, 500_000);
    for arguments in [&["-q"][..], &["-q", "--budget", "600kB"]] {
        let output = run(&repo, arguments);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0), "{output:?}");
    }
    damage(&repo, &packs(&repo)[0]);
    let output = run(&repo, &["-q"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.starts_with(b"DAMAGED: 1 damaged or missing blob; "), "{output:?}");
}

#[test]
fn a_path_that_is_lost_in_several_snapshots_is_named_once() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let mut new = RepositoryWriter::create(&repo, Options::default()).unwrap();
    for _ in 0..3 {
        add_snapshot(&mut new, 100_000, 1);
    }
    new.finish().unwrap();
    let stored = rokopia::testkit::Damage::open(&repo).unwrap();
    stored.names("p").unwrap().iter().for_each(|pack| stored.delete(pack).unwrap());
    let text = String::from_utf8_lossy(&run(&repo, &[]).stdout).into_owned();
    let after = text.split("What is lost").nth(1).unwrap();
    let lost: Vec<&str> =
        after.lines().skip(1).take_while(|line| line.starts_with("  ") && !line.contains('…')).collect();
    let paths: std::collections::BTreeSet<&str> =
        lost.iter().filter_map(|line| line.split(' ').nth(3)).collect();
    assert!(paths.len() == lost.len() && !lost.is_empty(), "{text}");
    assert!(lost.iter().all(|line| line.ends_with("(and in 2 snapshots before it)")), "{text}");
}

#[test]
fn each_lost_path_and_each_bad_blob_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let options = Options { pack_size: 500_000, chunks: Chunks::Fixed(1000), ..Options::default() };
    let mut new = RepositoryWriter::create(&repo, options).unwrap();
    add_snapshot(&mut new, 2 << 20, 1);
    new.finish().unwrap();
    let stored = rokopia::testkit::Damage::open(&repo).unwrap();
    let gone = stored.names("p").unwrap();
    gone.iter().for_each(|pack| stored.delete(pack).unwrap());
    let metrics = dir.path().join("rokopia.prom");
    let damaged = report(&run(&repo, &["--json", "--textfile", metrics.to_str().unwrap()]));
    let listed: Vec<&Value> =
        damaged["damage"].as_array().unwrap().iter().flat_map(|d| d["paths"].as_array().unwrap()).collect();
    let paths: std::collections::BTreeSet<&str> =
        listed.iter().map(|p| p["path"].as_str().unwrap()).collect();
    assert!(paths.len() < listed.len(), "files have several contents");
    let text = String::from_utf8_lossy(&run(&repo, &[]).stdout).into_owned();
    let said = format!("{} damaged or missing blobs; {} paths cannot be restored", gone.len(), paths.len());
    assert!(text.contains(&said), "{said} in {text}");
    let rows = text.lines().filter(|line| line.starts_with("  pack-missing:")).count();
    assert_eq!(rows, gone.len(), "{text}");
    let metrics = std::fs::read_to_string(metrics).unwrap();
    assert!(metrics.contains(&format!("rokopia_verify_lost_paths {}.0", paths.len())), "{metrics}");
}

#[test]
fn only_what_was_read_is_called_whole() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    simple(&repo, 4 << 20, 500_000);
    let says = |arguments: &[&str]| String::from_utf8_lossy(&run(&repo, arguments).stdout).into_owned();
    assert!(says(&[]).contains("1 of 1 snapshots whole"), "{}", says(&[]));
    let part = says(&["--budget", "600kB"]);
    assert!(part.contains("no damage known in 1 of 1 snapshots (") && !part.contains("whole"), "{part}");
    for level in ["index", "decrypt", "hash"] {
        let text = says(&["--level", level]);
        assert!(!text.contains("snapshot"), "{text}");
    }
    assert_eq!(run(&repo, &["--rate", "5"]).status.code(), Some(2), "5 bytes a second are not meant");
}

#[test]
fn ledgers_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (repo, other) = (dir.path().join("repo"), dir.path().join("other"));
    simple(&repo, 1 << 20, 500_000);
    let options = rokopia::testkit::Options { seed: 9, ..Default::default() };
    rokopia::testkit::RepositoryWriter::create(&other, options).unwrap().finish().unwrap();
    let path = dir.path().join("ledger");
    let ledger = path.display().to_string();
    assert_eq!(run(&repo, &["--ledger", &ledger, "--idle", "--budget", "1GiB"]).status.code(), Some(0));

    let refused = run(&other, &["--ledger", &ledger, "--reset-ledger"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(stderr(&refused).contains("error[ledger-of-other-repository]"), "{}", stderr(&refused));

    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    let torn = run(&repo, &["--ledger", &ledger]);
    assert_eq!(torn.status.code(), Some(3));
    assert!(stderr(&torn).contains("error[ledger-torn]") && stderr(&torn).contains(&ledger));
    assert_eq!(std::fs::read(&path).unwrap().len(), whole.len() - 5, "it is left as it was");
    assert_eq!(run(&repo, &["--ledger", &ledger, "--reset-ledger"]).status.code(), Some(0));
    assert_eq!(std::fs::read(dir.path().join("ledger.old")).unwrap().len(), whole.len() - 5);
    assert_eq!(run(&repo, &["--ledger", &ledger]).status.code(), Some(0));
}

#[test]
fn parts_are_joined_to_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let mut new = writer(&repo, 300_000);
    add_snapshot(&mut new, 4 << 20, 1);
    new.finish().unwrap();
    damage(&repo, &packs(&repo)[0]);
    let ledgers: Vec<String> = (0..3).map(|n| dir.path().join(n.to_string()).display().to_string()).collect();
    let mut codes = Vec::new();
    let mut bytes = 0;
    for (index, ledger) in ledgers.iter().enumerate() {
        let mut pod = rokopia(&repo, &["--json", "--shard", "3", "--ledger", ledger]);
        let output = pod.env("JOB_COMPLETION_INDEX", index.to_string()).output().unwrap();
        codes.push(output.status.code().unwrap());
        let report = report(&output);
        assert_eq!(report["shard"], format!("{index}/3"));
        bytes += report["coverage"]["read_bytes"].as_u64().unwrap();
    }
    codes.sort_unstable();
    assert_eq!(codes, [0, 0, 1], "one part has the damage");
    let names: Vec<&str> = ledgers.iter().map(String::as_str).collect();
    let merge = |names: &[&str]| run(&repo, &[&["--json", "--merge"], names].concat());
    let whole = merge(&names);
    let report_of_all = report(&whole);
    let coverage = &report_of_all["coverage"];
    assert_eq!((coverage["bytes"].as_u64(), coverage["read_bytes"].as_u64()), (Some(bytes), Some(0)));
    let bad = report_of_all["damage"].as_array().unwrap().len() as u64;
    assert_eq!(coverage["verified"].as_u64().unwrap() + bad, coverage["contents"].as_u64().unwrap());
    let alone = report(&run(&repo, &["--json"]));
    let lost = |report: &Value| {
        let damage = report["damage"].as_array().unwrap().iter();
        damage.map(|item| (item["content"].clone(), item["paths"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(lost(&report_of_all), lost(&alone));
    assert_eq!(whole.status.code(), Some(1));

    damage(&repo, &packs(&repo)[0]);
    let part = merge(&names[..1]);
    assert!([Some(1), Some(3)].contains(&part.status.code()), "{part:?}");
    assert_ne!(report(&part)["coverage"]["verified"], report(&part)["coverage"]["contents"]);
    assert_eq!(merge(&["missing"]).status.code(), Some(3));
    let no_index = run(&repo, &["--shard", "3"]);
    assert_eq!(no_index.status.code(), Some(2), "{}", stderr(&no_index));
}

#[test]
fn one_snapshot_and_drills() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let mut new = writer(&repo, 300_000);
    let (first, last) = (add_snapshot(&mut new, 1 << 20, 1), add_snapshot(&mut new, 2 << 20, 2));
    new.finish().unwrap();
    let all = report(&run(&repo, &["--json"]));
    let of = |reference: &str| report(&run(&repo, &["--json", "--snapshot", reference]));
    let (one, other) = (of(&first), of("data@apps:/data"));
    assert_eq!(other["snapshots"][0]["id"], *last);
    let contents = |report: &Value| report["coverage"]["contents"].as_u64().unwrap();
    let (some, others, everything) = (contents(&one), contents(&other), contents(&all));
    assert!(
        some > 0 && some < everything && others > 0 && others < everything,
        "{some} {others} {everything}"
    );
    assert_eq!((one["result"].as_str(), one["snapshots"].as_array().unwrap().len()), (Some("clean"), 1));

    let drill = |to: &[&str]| {
        let output = run(&repo, &[&["--json", "--drill", "data@apps:/data"], to].concat());
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default())
    };
    let there = dir.path().join("there");
    std::fs::create_dir(&there).unwrap();
    let there = there.display().to_string();
    for to in [&[][..], &["--to", "null"], &["--to", &there]] {
        let (code, told) = drill(to);
        assert_eq!((code, told["result"].as_str()), (Some(0), Some("restored")), "{told}");
        assert_eq!(told["snapshot"], *last);
        assert!(told["age_seconds"].as_i64().unwrap() > 0 && told["bytes"].as_u64().unwrap() > 100_000);
    }
    assert_eq!(std::fs::read_dir(&there).unwrap().count(), 0, "nothing is left behind");
    packs(&repo).iter().filter(|pack| pack.starts_with('p')).for_each(|pack| damage(&repo, pack));
    let (code, told) = drill(&["--to", "null"]);
    assert_eq!((code, told["result"].as_str()), (Some(1), Some("damaged")), "{told}");
    assert!(!told["errors"].as_array().unwrap().is_empty());
}

#[test]
fn a_lost_index_is_no_lost_backup() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let mut new = writer(&repo, 300_000);
    let tree = rokopia::testkit::Shape::mixed(1 << 20).tree(1).unwrap();
    let root = new.write_tree(&tree).unwrap();
    let id = new.snapshot(&super::made::source(), &root);
    new.finish().unwrap();
    let stored = rokopia::testkit::Damage::open(&repo).unwrap();
    stored.names("xn").unwrap().iter().for_each(|index| stored.delete(index).unwrap());
    let damaged = run(&repo, &["--json"]);
    assert_eq!(
        (damaged.status.code(), &report(&damaged)["damage"][0]["code"]),
        (Some(1), &"index-missing".into())
    );

    let told = run(&repo, &["--recover-index", "--json"]);
    let recovery: Value = serde_json::from_slice(&told.stdout).unwrap();
    let snapshot = &recovery["snapshots"][0];
    assert_eq!(
        (told.status.code(), &snapshot["id"], &snapshot["whole"]),
        (Some(1), &id.into(), &true.into())
    );
    let restore = |name: &str, extra: &[&str]| {
        let mut command = Command::cargo_bin("rokopia").unwrap();
        command.env_clear().env("ROKOPIA_PASSWORD", PASSWORD).env("ROKOPIA_REPOSITORY", &repo);
        let target = dir.path().join(name);
        let output =
            command.args(["restore", "data@apps:/data", "--no-owner"]).args(extra).arg(&target).output();
        (output.unwrap().status.code(), target)
    };
    assert_eq!(restore("without", &[]).0, Some(3));
    let (code, target) = restore("with", &["--use-recovered-index", "--verify"]);
    assert_eq!(code, Some(0));
    let compare = rokopia::testkit::Compare { owners: false, ..Default::default() };
    assert_eq!(tree.compare(&target, compare).unwrap(), [""; 0]);
}

/// A report with everything in it, in a browser.
#[test]
fn the_page_is_what_a_browser_shows() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let mut new = writer(&repo, 300_000);
    (1..4).for_each(|seed| drop(add_snapshot(&mut new, 1 << 20, seed)));
    new.finish().unwrap();
    damage(&repo, &packs(&repo)[0]);
    let page = dir.path().join("page.html");
    let report = report(&run(&repo, &["--json", "--html", &page.display().to_string()]));
    let html = std::fs::read_to_string(&page).unwrap();
    for loader in ["http:", "https:", "src=", "href=", "@import", "url("] {
        assert!(!html.contains(loader), "{loader}");
    }
    let Some(browser) = browser() else { return println!("skipped: no Chromium to look at the page with") };
    let shot = dir.path().join("page.png");
    let mut chromium = Command::new(browser);
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1000,900"]);
    chromium.arg(format!("--user-data-dir={}", dir.path().join("profile").display()));
    let output = chromium
        .arg(format!("--screenshot={}", shot.display()))
        .args(["--dump-dom"])
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout);
    assert!(dom.contains("<h1 class=\"bad\">DAMAGED</h1>"), "{dom} {output:?}");
    let count = |part: &str| dom.matches(part).count();
    let snapshots = report["snapshots"].as_array().unwrap();
    assert_eq!(count("</title></rect>"), snapshots.len());
    assert_eq!(count("<rect class=\"b\""), snapshots.iter().filter(|s| s["whole"] == false).count());
    let paths: usize =
        report["damage"].as_array().unwrap().iter().map(|item| item["paths"].as_array().unwrap().len()).sum();
    assert!(paths > 0);
    assert_eq!(count("<div>"), paths);
    if let Some(keep) = std::env::var_os("ROKOPIA_KEEP_PAGE") {
        std::fs::copy(&page, PathBuf::from(&keep).with_extension("html")).unwrap();
    }
}

fn browser() -> Option<&'static str> {
    let runs = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(runs)
}
