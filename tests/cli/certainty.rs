//! One question has one answer: every front is asked the same of healthy, damaged and busy repositories.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rokopia::blob::FileSystem;
use rokopia::crypto::Password;
use rokopia::snapshot::{AskedSource, UtcTimestamp};
use rokopia::testkit::{NewSnapshot, Options, RepositoryWriter, Tree};
use rokopia::{Absence, Repository};

use crate::common::{error_object, run};
use crate::support::{assert_exit, assert_failure, files, flip, stderr, stdout};

const PASSWORD: &str = "one truth";
const KNOWN: &str = "app@ns:/data";
const NEW: &str = "fresh@ns:/data";

/// A snapshot of `KNOWN`, then one of `of`, each with an index blob of its own. Returns the second index blob.
fn written(dir: &Path, of: &str) -> PathBuf {
    let options = Options { password: PASSWORD.into(), ..Options::default() };
    let mut writer = RepositoryWriter::create(dir, options).unwrap();
    let root = writer.write_tree(&Tree::owned_by(0, 0)).unwrap();
    let add = |writer: &mut RepositoryWriter, source: &str, day: i64| {
        let mut snapshot = NewSnapshot::new(&source.parse().unwrap(), 0, &root);
        snapshot.start = UtcTimestamp(1_767_225_600_000_000_000 + day * 86_400_000_000_000);
        snapshot.end = snapshot.start;
        writer.put_snapshot(&snapshot);
        writer.flush().unwrap();
    };
    add(&mut writer, KNOWN, 0);
    let before = files(dir, "xn0_");
    add(&mut writer, of, 1);
    let after = files(dir, "xn0_");
    writer.finish().unwrap();
    after.into_iter().find(|file| !before.contains(file)).unwrap()
}

/// The sessions of all packs of metadata, marked as open.
fn mark_sessions(dir: &Path) {
    for pack in files(dir, "q") {
        let name = pack.file_name().unwrap().to_str().unwrap().trim_end_matches(".f").to_owned();
        let session = name.rsplit_once('-').unwrap().1;
        let marker = format!("s{}-{session}", "0".repeat(32));
        let directory = dir.join(&marker[..1]).join(&marker[1..4]);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("{}.f", &marker[4..])), "x").unwrap();
    }
}

fn mover(dir: &Path, source: &str, extra: &[(&str, &str)]) -> Output {
    let volume = tempfile::tempdir().unwrap();
    let (identity, path) = source.split_once(':').unwrap();
    let (user, host) = identity.split_once('@').unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rokopia"));
    command.arg("mover").env_clear().env("DIRECTION", "destination").env("DATA_DIR", volume.path());
    command
        .env("KOPIA_PASSWORD", PASSWORD)
        .env("KOPIA_REPOSITORY", format!("filesystem://{}", dir.display()));
    command.env("KOPIA_OVERRIDE_USERNAME", user).env("KOPIA_OVERRIDE_HOSTNAME", host);
    command.env("KOPIA_SOURCE_PATH_OVERRIDE", path).envs(extra.iter().copied());
    command.output().unwrap()
}

fn front(dir: &Path, arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rokopia"));
        command.arg0("kopia").env_clear().env("HOME", home.path()).env("PATH", "/nonexistent");
        command.env("KOPIA_PASSWORD", PASSWORD).args(arguments).output().unwrap()
    };
    let connected = run(&["repository", "connect", "filesystem", "--path", dir.to_str().unwrap()]);
    if connected.status.success() { run(arguments) } else { connected }
}

/// What each way of asking says about a source that is not listed: `None` for a certain no, else the code of the reason.
fn answers(dir: &Path, source: &str) -> Vec<(&'static str, Option<String>)> {
    let cli = |arguments: &[&str]| {
        let output = run(dir, PASSWORD, arguments);
        match output.status.code() {
            Some(0 | 1) => None,
            Some(3) => Some(error_object(&output)["code"].as_str().unwrap().to_owned()),
            _ => panic!("{arguments:?}: {output:?}"),
        }
    };
    let store = FileSystem::open(dir).unwrap();
    let repository = Repository::open(store, &Password::new(PASSWORD)).unwrap();
    let asked: AskedSource = source.parse().unwrap();
    let library = match repository.catalog().and_then(|catalog| catalog.absence(Some(&asked))) {
        Ok(Absence::Certain) => None,
        Ok(Absence::Doubtful(reason)) => Some(reason.code().to_owned()),
        Err(error) => Some(error.code().to_owned()),
    };
    let mut answers = vec![
        ("library", library.clone()),
        ("exists", cli(&["exists", source, "--json"])),
        ("snapshots", cli(&["snapshots", source, "--json"])),
        ("ls", cli(&["ls", source, "--json"])),
        ("restore", cli(&["restore", "--dry-run", source, "/nonexistent/target", "--json"])),
    ];
    // These do not print codes: only whether they are certain is compared.
    let listed = front(dir, &["snapshot", "list", source, "--json"]);
    answers.push(("front", library.clone().filter(|_| !listed.status.success())));
    if listed.status.success() {
        assert_eq!(stdout(&listed).split_whitespace().collect::<String>(), "[]", "{listed:?}");
    }
    let restored = mover(dir, source, &[]);
    answers.push(("mover", library.filter(|_| !restored.status.success())));
    answers
}

#[track_caller]
fn all_say(dir: &Path, source: &str, expected: Option<&str>) {
    // A relative path of the mover is one from the root, where it runs.
    let relative = !source.contains(":/");
    for (who, answer) in answers(dir, source).into_iter().filter(|(who, _)| !(relative && *who == "mover")) {
        assert_eq!(answer.as_deref(), expected, "{who} about {source}");
    }
}

#[test]
fn a_healthy_repository_says_no() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), KNOWN);
    all_say(dir.path(), NEW, None);
    all_say(dir.path(), "me@pc:Users", Some("source-relative"));
}

#[test]
fn a_lost_index_blob_makes_only_its_sources_doubtful() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::remove_file(written(dir.path(), NEW)).unwrap();
    all_say(dir.path(), NEW, Some("snapshot-unindexed"));
    all_say(dir.path(), "other@ns:/data", None);
    // A backup that runs may publish it at any moment.
    mark_sessions(dir.path());
    all_say(dir.path(), NEW, Some("snapshot-unindexed"));
    all_say(dir.path(), "other@ns:/data", None);
}

#[test]
fn without_or_with_a_damaged_index_nothing_is_certain() {
    let dir = tempfile::tempdir().unwrap();
    let blob = written(dir.path(), KNOWN);
    flip(&blob, 40);
    all_say(dir.path(), NEW, Some("index-damaged"));
    for blob in files(dir.path(), "x") {
        std::fs::remove_file(blob).unwrap();
    }
    all_say(dir.path(), NEW, Some("index-empty"));
}

#[test]
fn a_pack_that_no_index_names_and_nobody_can_read_makes_all_doubtful() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::remove_file(written(dir.path(), KNOWN)).unwrap();
    for pack in files(dir.path(), "q") {
        let length = std::fs::metadata(&pack).unwrap().len();
        std::fs::File::options().write(true).open(&pack).unwrap().set_len(length - 20).unwrap();
    }
    for (who, answer) in answers(dir.path(), NEW) {
        assert!(answer.is_some(), "{who} is certain");
    }
}

#[test]
fn latest_says_that_a_newer_snapshot_may_exist() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::remove_file(written(dir.path(), KNOWN)).unwrap();
    let run = |arguments: &[&str]| run(dir.path(), PASSWORD, arguments);
    for (command, field) in [("snapshots", "unlisted"), ("sources", "unlisted")] {
        let output = run(&[command, "--json"]);
        assert_exit(&output, 4);
        assert!(stderr(&output).contains("which no index names"), "{output:?}");
        let list: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
        assert_eq!(list[0][field], 1, "{list}");
    }
    assert_exit(&run(&["snapshots", "--until", "2026-01-01"]), 0);
    assert_exit(&run(&["snapshots", "--until", "2026-01-02"]), 4);
    for reference in ["latest", KNOWN, "app@ns:/data@2026-01-02"] {
        let output = run(&["restore", "--dry-run", reference, "/nonexistent/target", "--json"]);
        assert_exit(&output, 0);
        assert!(stderr(&output).contains("a newer one may exist"), "{output:?}");
        assert!(stdout(&output).contains(r#""newer_may_exist":true"#), "{output:?}");
        let output = run(&["restore", "--strict", "--dry-run", reference, "/nonexistent/target", "--json"]);
        assert_failure(&output, 3, "snapshot-unindexed");
    }
    let output = run(&["restore", "--strict", "--dry-run", "app@ns:/data@2026-01-01", "/nonexistent/target"]);
    assert_exit(&output, 0);
    let listed = front(dir.path(), &["snapshot", "list", "--all"]);
    assert_exit(&listed, 0);
    assert!(stderr(&listed).contains("the list may be too short"), "{listed:?}");
    let restored = mover(dir.path(), KNOWN, &[]);
    assert_exit(&restored, 0);
    let log = format!("{}{}", stdout(&restored), stderr(&restored));
    assert!(log.contains("a newer snapshot may exist"), "{log}");
    assert!(!mover(dir.path(), KNOWN, &[("KOPIA_ADDITIONAL_ARGS", "--rokopia-strict")]).status.success());
}

#[test]
fn packs_of_a_running_backup_do_not_make_lists_doubtful() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::remove_file(written(dir.path(), KNOWN)).unwrap();
    mark_sessions(dir.path());
    let run = |arguments: &[&str]| run(dir.path(), PASSWORD, arguments);
    for command in
        [&["snapshots"][..], &["sources"], &["restore", "--strict", "--dry-run", "latest", "/nonexistent/t"]]
    {
        let output = run(command);
        assert_exit(&output, 0);
        assert!(!stderr(&output).contains("warning") && !stderr(&output).contains("newer"), "{output:?}");
    }
}
