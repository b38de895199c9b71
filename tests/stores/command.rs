//! The command on a bucket: what it gives for the same repository in a directory, without secrets anywhere.

use std::process::{Command, Output};

use rokopia::blob::FileSystem;

use crate::common::{Case, testdata};
use crate::server::{Lie, Server};

const SECRET: &str = "hunter2hunter2";

fn run(location: &str, password: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rokopia"))
        .env_clear()
        .env("TZ", "UTC")
        .env("ROKOPIA_PASSWORD", password)
        .env("AWS_ACCESS_KEY_ID", "ak")
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .arg("--repo")
        .arg(location)
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn commands_give_what_they_give_for_the_same_repository_in_a_directory() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let server = Server::with(&FileSystem::open(case.repo()).unwrap(), "k/");
    let location = server.location("k/");
    for arguments in [
        &["snapshots", "--json"][..],
        &["sources", "--json"],
        &["ls", "latest"],
        &["verify", "--json", "--level", "hash"],
        &["exists", "nobody@nowhere:/nothing"],
        &["--sandbox", "auto", "snapshots", "--json"],
    ] {
        let (bucket, directory) = (run(&location, case.password(), arguments), case.run(arguments));
        assert_eq!(bucket.status.code(), directory.status.code(), "{arguments:?} {bucket:?}");
        if arguments[0] != "verify" {
            assert_eq!(bucket.stdout, directory.stdout, "{arguments:?}");
        }
        let talk = String::from_utf8_lossy(&bucket.stderr);
        assert!(!talk.contains(SECRET), "{talk}");
    }
    let target = tempfile::tempdir().unwrap();
    let (one, two) = (target.path().join("bucket"), target.path().join("directory"));
    assert!(run(&location, case.password(), &["restore", "latest", one.to_str().unwrap()]).status.success());
    assert!(case.run(&["restore", "latest", two.to_str().unwrap()]).status.success());
    let difference = Command::new("diff").arg("-r").arg(&one).arg(&two).output().unwrap();
    assert!(difference.status.success(), "{difference:?}");
}

#[test]
fn a_connection_of_kopia_is_all_that_is_needed() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let server = Server::with(&FileSystem::open(case.repo()).unwrap(), "k/");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("repository.config");
    let config = serde_json::json!({"storage": {"type": "s3", "config": {
        "bucket": "bucket", "prefix": "k/", "endpoint": server.address.to_string(), "doNotUseTLS": true,
        "accessKeyID": "ak", "secretAccessKey": SECRET, "sessionToken": "", "roleARN": "", "duration": "0s",
    }}});
    std::fs::write(&file, config.to_string()).unwrap();
    let output = run(&format!("@{}", file.display()), case.password(), &["-vv", "snapshots", "--json"]);
    assert_eq!(output.stdout, case.run(&["snapshots", "--json"]).stdout);
    assert!(!String::from_utf8_lossy(&output.stderr).contains(SECRET));
}

#[test]
fn what_a_server_refuses_is_unknown_and_never_absent() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let server = Server::with(&FileSystem::open(case.repo()).unwrap(), "k/");
    let ask = |location: &str| run(location, case.password(), &["exists", "nobody@nowhere:/nothing"]);
    assert_eq!(ask(&server.location("k/")).status.code(), Some(1));
    assert_eq!(ask(&server.location("other/")).status.code(), Some(3));
    assert_eq!(ask("s3://bucket/k/?endpoint=http://127.0.0.1:1").status.code(), Some(3));
    for (lie, code) in [
        (Lie::Forbidden, "access-denied"),
        (Lie::NoSuchBucket, "bucket-missing"),
        (Lie::RedirectRegion, "region-wrong"),
    ] {
        server.lie(lie, 1);
        let output = ask(&server.location("k/"));
        assert_eq!(output.status.code(), Some(3), "{lie:?}");
        let talk = String::from_utf8_lossy(&output.stderr);
        assert!(talk.contains(&format!("error[{code}]")) && talk.contains("help: "), "{talk}");
    }
}
