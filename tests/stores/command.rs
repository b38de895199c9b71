//! The command on a bucket: what it gives for the same repository in a directory, without secrets anywhere.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::Ordering;

use rokopia::blob::FileSystem;

use crate::common::{Case, testdata};
use crate::server::{BUCKET, Lie, Server};

const SECRET: &str = "hunter2hunter2";

pub(crate) fn run(location: &str, password: &str, arguments: &[&str]) -> Output {
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

/// What a run over a network keeps for the next one.
fn kept(cache: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for folder in std::fs::read_dir(cache.join("rokopia-cache")).into_iter().flatten() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            names.push(name.split('-').next().unwrap().to_owned());
        }
    }
    names.sort();
    names
}

#[test]
fn what_is_kept_spares_all_requests_but_those_that_find_out_what_is_new() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let server = Server::with(&FileSystem::open(case.repo()).unwrap(), "k/");
    let cache = tempfile::tempdir().unwrap();
    let requests = || {
        let before = server.state.requests.load(Ordering::SeqCst);
        let arguments = ["--cache-dir", cache.path().to_str().unwrap(), "snapshots", "--json"];
        let output = run(&server.location("k/"), case.password(), &arguments);
        assert_eq!(output.stdout, case.run(&["snapshots", "--json"]).stdout);
        server.state.requests.load(Ordering::SeqCst) - before
    };
    let (first, second) = (requests(), requests());
    // The format blob, and three for the list of index blobs and that of packs each.
    assert!(second <= 7 && second < first, "{first} {second}");
    assert_eq!(kept(cache.path()), ["format", "index", "manifests"]);
}

#[test]
fn a_mover_and_kopia_keep_it_in_the_directories_that_they_are_given() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let server = Server::with(&FileSystem::open(case.repo()).unwrap(), "k/");
    let place = tempfile::tempdir().unwrap();
    let make = |name: &str| {
        let path = place.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let (data, cache) = (make("data"), make("cache"));
    let mover = |cache: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rokopia"));
        command.env_clear().env("KOPIA_PASSWORD", case.password());
        command.env("AWS_ACCESS_KEY_ID", "ak").env("AWS_SECRET_ACCESS_KEY", SECRET);
        command.env("KOPIA_S3_BUCKET", BUCKET).env("KOPIA_REPOSITORY", format!("s3://{BUCKET}/k/"));
        command.env("KOPIA_S3_ENDPOINT", format!("http://{}", server.address));
        command.env("KOPIA_S3_DISABLE_TLS", "true").env("DIRECTION", "destination");
        command.env("DATA_DIR", &data).env("KOPIA_CACHE_DIR", cache);
        command.env("KOPIA_OVERRIDE_USERNAME", "nobody").env("KOPIA_OVERRIDE_HOSTNAME", "nowhere");
        command.args(["mover", "restore"]).output().unwrap()
    };
    let output = mover(&cache);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(kept(&cache), ["format", "index", "manifests"]);
    assert!(mover(&place.path().join("missing")).status.success());

    let connected = make("connected");
    let kopia = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rokopia"));
        command.env_clear().env("PATH", "/nonexistent").env("HOME", place.path());
        command.env("KOPIA_PASSWORD", case.password()).env("KOPIA_CACHE_DIRECTORY", &connected);
        let output = command.arg("kopia").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?} {output:?}");
        output.stdout
    };
    let endpoint = format!("--endpoint={}", server.address);
    let bucket = format!("--bucket={BUCKET}");
    let secret = format!("--secret-access-key={SECRET}");
    kopia(&[
        "repository",
        "connect",
        "s3",
        &bucket,
        "--prefix=k/",
        "--access-key=ak",
        &secret,
        &endpoint,
        "--disable-tls",
    ]);
    assert_eq!(kept(&connected), ["format", "index", "manifests"]);
    let before = server.state.requests.load(Ordering::SeqCst);
    kopia(&["snapshot", "list", "--all", "--json"]);
    assert!(server.state.requests.load(Ordering::SeqCst) - before <= 7);
    kopia(&["repository", "disconnect"]);
    assert!(!connected.exists());
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

#[test]
fn what_was_asked_of_a_bucket_is_told_and_agrees_with_the_server() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let server = Server::with(&FileSystem::open(case.repo()).unwrap(), "k/");
    let location = server.location("k/");
    let before = server.state.requests.load(std::sync::atomic::Ordering::SeqCst);
    let output = run(&location, case.password(), &["--stats", "--json", "status"]);
    let asked = server.state.requests.load(std::sync::atomic::Ordering::SeqCst) - before;
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let talk = String::from_utf8(output.stderr).unwrap();
    let last: serde_json::Value = serde_json::from_str(talk.lines().last().unwrap()).unwrap();
    let number = |name: &str| last["storage"][name].as_u64().unwrap();
    assert_eq!((number("lists") + number("sizes") + number("reads")) as usize, asked, "{talk}");
    assert!(number("lists") > 2 && number("reads") > 0 && number("bytes") > 1000, "{talk}");
    assert_eq!(number("retries"), 0);
    // The object was printed before the last question.
    assert!(status["storage"]["reads"].as_u64().is_some_and(|reads| (1..=number("reads")).contains(&reads)));
    server.lie(Lie::InternalError, 5);
    let output = run(&location, case.password(), &["--stats", "snapshots"]);
    let talk = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && talk.contains("storage: ") && !talk.contains("0 retries"), "{talk}");
}

#[test]
fn no_more_requests_than_are_allowed_each_second() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let server = Server::with(&FileSystem::open(case.repo()).unwrap(), "k/");
    let begun = std::time::Instant::now();
    let limited = ["--requests-per-second", "20", "--stats", "--json", "status"];
    let output = run(&server.location("k/"), case.password(), &limited);
    let took = begun.elapsed().as_secs_f64();
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let asked: u64 = ["lists", "reads"].iter().map(|name| status["storage"][name].as_u64().unwrap()).sum();
    assert!(took >= (asked - 1) as f64 / 20.0, "{asked} requests in {took} s");
    let output = run(&server.location("k/"), case.password(), &["--bandwidth", "5", "status"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let begun = std::time::Instant::now();
    let limited = ["--bandwidth", "40kB/s", "--stats", "--json", "status"];
    let output = run(&server.location("k/"), case.password(), &limited);
    let took = begun.elapsed().as_secs_f64();
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let bytes = status["storage"]["bytes"].as_u64().unwrap();
    assert!(took >= bytes as f64 / 40_000.0 - 1.0, "{bytes} bytes in {took} s");
}
