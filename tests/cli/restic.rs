//! Repositories of restic, compared with Debian's restic.
//!
//! Where there is no `restic`, the tests say NOT CHECKED; `.ci/run` installs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::run;
use crate::support::{assert_exit, assert_failure, stdout};

const PASSWORD: &str = "open sesame";

/// Whether there is a restic.
fn is_there() -> bool {
    let found = Command::new("restic").arg("version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("restic: NOT CHECKED, it is not installed");
    }
    found
}

fn restic(repository: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("restic");
    command.env("RESTIC_PASSWORD", PASSWORD).env("RESTIC_CACHE_DIR", repository.with_extension("cache"));
    let output = command.arg("-q").arg("-r").arg(repository).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

/// A repository of this version with three snapshots: two of one source, one of another.
fn made(version: &str) -> (tempfile::TempDir, PathBuf, String) {
    let directory = tempfile::tempdir().unwrap();
    let repository = directory.path().join("restic");
    restic(&repository, &["init", "--repository-version", version]);
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "hello").unwrap();
    let data = data.to_str().unwrap().to_owned();
    for (host, time) in
        [("one", "2026-01-01 03:00:00"), ("one", "2026-01-02 03:00:00"), ("two", "2026-01-03 03:00:00")]
    {
        restic(&repository, &["backup", "--host", host, "--tag", "t", "--time", time, &data]);
    }
    (directory, repository, data)
}

fn ask(repository: &Path, arguments: &[&str]) -> Output {
    run(Path::new(&format!("restic:{}", repository.display())), PASSWORD, arguments)
}

fn json(output: &Output) -> Value {
    serde_json::from_str(stdout(output)).unwrap()
}

fn ids(list: &Value) -> Vec<String> {
    let mut ids: Vec<String> =
        list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

/// The user that restic writes down.
fn user(repository: &Path) -> String {
    let list = json(&ask(repository, &["--json", "snapshots"]));
    list[0]["username"].as_str().unwrap().to_owned()
}

#[test]
fn answers_are_those_of_restic() {
    if !is_there() {
        return;
    }
    for version in ["1", "2"] {
        let (_directory, repository, data) = made(version);
        let listed = ask(&repository, &["--json", "snapshots"]);
        assert_exit(&listed, 0);
        let theirs = json(&restic(&repository, &["snapshots", "--json"]));
        assert_eq!(ids(&json(&listed)), ids(&theirs));
        for (ours, theirs) in json(&listed).as_array().unwrap().iter().zip(theirs.as_array().unwrap()) {
            for field in ["time", "tree", "paths", "hostname", "username", "tags"] {
                assert_eq!(ours[field], theirs[field], "{field}");
            }
        }
        let latest = json(&ask(&repository, &["--json", "snapshots", "--latest"]));
        assert_eq!(ids(&latest).len(), 2);
        let sources = json(&ask(&repository, &["--json", "sources"]));
        assert_eq!((sources[0]["snapshots"].as_u64(), sources[1]["snapshots"].as_u64()), (Some(2), Some(1)));
        let one = format!("{}@one:{data}", user(&repository));
        let exists = ask(&repository, &["--json", "exists", &one]);
        assert_exit(&exists, 0);
        assert_eq!(
            (json(&exists)["state"].as_str(), json(&exists)["snapshots"].as_u64()),
            (Some("exists"), Some(2))
        );
        let absent = ask(&repository, &["--json", "exists", &one.replace("one", "none")]);
        assert_exit(&absent, 1);
        assert_eq!(json(&absent)["state"], "absent");
        let audit = ask(&repository, &["--json", "audit", "--max-age", "1h"]);
        assert_exit(&audit, 1);
        assert_eq!(json(&audit)["sources"][0]["findings"][0]["code"], "backup-stale");
    }
}

#[test]
fn doubts_are_unknown_and_never_absent() {
    if !is_there() {
        return;
    }
    let (directory, repository, data) = made("2");
    let none = format!("{}@none:{data}", user(&repository));
    let one = none.replace("none", "one");
    let wrong =
        run(Path::new(&format!("restic:{}", repository.display())), "wrong", &["--json", "exists", &one]);
    assert_failure(&wrong, 3, "wrong-password");
    // A snapshot whose bytes are not those of its name.
    let snapshots: Vec<PathBuf> =
        fs::read_dir(repository.join("snapshots")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let (spoilt, good) = (&snapshots[0], fs::read(&snapshots[0]).unwrap());
    let mut bytes = good.clone();
    bytes[20] ^= 1;
    let writable = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    writable(spoilt);
    fs::write(spoilt, &bytes).unwrap();
    assert_failure(&ask(&repository, &["--json", "exists", &none]), 3, "restic-damaged");
    assert_exit(&ask(&repository, &["--json", "sources"]), 4);
    let audit = ask(&repository, &["--json", "audit"]);
    assert_eq!(json(&audit)["complete"], false);
    fs::write(spoilt, &good).unwrap();
    assert_exit(&ask(&repository, &["--json", "exists", &none]), 1);
    // Half of a repository, and none at all.
    fs::rename(repository.join("snapshots"), repository.join("elsewhere")).unwrap();
    assert_exit(&ask(&repository, &["--json", "exists", &none]), 3);
    fs::rename(repository.join("elsewhere"), repository.join("snapshots")).unwrap();
    fs::rename(repository.join("config"), repository.join("no-config")).unwrap();
    assert_failure(&ask(&repository, &["--json", "exists", &none]), 3, "restic-not-found");
    let empty = directory.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert_failure(&ask(&empty, &["--json", "exists", &none]), 3, "restic-not-found");
}

#[test]
fn locks_are_ignored_and_nothing_is_written() {
    if !is_there() {
        return;
    }
    let (_directory, repository, _) = made("2");
    fs::create_dir_all(repository.join("locks")).unwrap();
    fs::write(repository.join("locks").join("0".repeat(64)), "whoever").unwrap();
    let everything = || -> Vec<PathBuf> {
        walkdir::WalkDir::new(&repository)
            .sort_by_file_name()
            .into_iter()
            .map(|e| e.unwrap().into_path())
            .collect()
    };
    let before = everything();
    assert_exit(&ask(&repository, &["snapshots"]), 0);
    assert_eq!(everything(), before);
}

#[test]
fn what_cannot_be_asked_of_restic_says_so() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["restore", "latest", "/nowhere"][..], &["verify"], &["status"], &["ls", "latest"]] {
        let output = ask(directory.path(), &[&["--json"], arguments].concat());
        assert_failure(&output, 3, "location-unsupported");
        assert!(crate::support::stderr(&output).contains("restic restore"), "{output:?}");
    }
    let output = run(Path::new("restic:s3:host/bucket"), PASSWORD, &["--json", "exists", "a@b:/c"]);
    assert_failure(&output, 3, "location-unsupported");
}
