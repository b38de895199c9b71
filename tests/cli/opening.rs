//! What is wrong with a location or a password is told apart, and is always "could not tell".

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::common::run;
use crate::support::{PASSWORD, assert_failure, copy_without, rokopia, sample, stderr};

const STATUS: &[&str] = &["status", "--json"];

#[test]
fn a_wrong_password() {
    let output = run(&sample(), "not it", STATUS);
    assert_failure(&output, 3, "wrong-password");
    assert!(stderr(&output).contains("help: blanks and newlines"), "{output:?}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_repository_may_have_any_name() {
    let place = tempfile::tempdir().unwrap();
    let expected = rokopia(&["snapshots", "--json"]).stdout;
    for name in [&b"-"[..], b"plain", b" ", b"x\ny", b"*", b"\xff\xfe"] {
        let name = OsStr::from_bytes(name);
        symlink(sample(), place.path().join(name)).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_rokopia"))
            .current_dir(place.path())
            .env("ROKOPIA_PASSWORD", PASSWORD)
            .env("ROKOPIA_REPOSITORY", name)
            .args(["snapshots", "--json"])
            .output()
            .unwrap();
        assert_eq!(output.stdout, expected, "{name:?}: {output:?}");
    }
}

#[test]
fn places_that_are_no_repository() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    fs::create_dir(path("empty")).unwrap();
    fs::write(path("file"), "x").unwrap();
    fs::create_dir(path("other")).unwrap();
    fs::write(path("other/photo.jpg"), "x").unwrap();
    for (name, code, help) in [
        ("missing", "repository-not-found", "help: check the path"),
        ("empty", "repository-empty", "help: a network file system that is not mounted"),
        ("file", "repository-not-a-directory", "help: give the directory"),
        ("other", "not-a-repository", "help: give the directory"),
    ] {
        for command in [STATUS, &["snapshots", "--json"], &["exists", "u@h:/p", "--json"]] {
            let output = run(&path(name), PASSWORD, command);
            assert_failure(&output, 3, code);
            assert!(stderr(&output).contains(help), "{output:?}");
        }
    }
}

#[test]
fn a_damaged_format_blob() {
    let copy = copy_without(&[]);
    let blob = copy.path().join("kopia.repository.f");
    let whole = fs::read(&blob).unwrap();
    for (bytes, code) in [
        (&whole[..whole.len() / 2], "format-damaged"),
        (&[], "format-damaged"),
        (b"{}", "format-unsupported"),
        (b"{\"encryption\":1}", "format-damaged"),
    ] {
        fs::write(&blob, bytes).unwrap();
        assert_failure(&run(copy.path(), PASSWORD, STATUS), 3, code);
    }
}

#[test]
fn locations_and_settings_that_cannot_be() {
    for location in ["gdrive://folder", "gopher://x"] {
        assert_failure(&run(Path::new(location), PASSWORD, STATUS), 3, "location-unsupported");
    }
    for arguments in [
        &["status", "--json", "--memory", "1k"][..],
        &["status", "--json", "--threads", "0"],
        &["status", "--json", "--reads", "many"],
        &["status", "--json", "--password", "x"],
        &["nonsense", "--json"],
        &["snapshots", "--json", "--since", "yesteryear"],
        &["exists", "--json", "no-source"],
    ] {
        assert_failure(&rokopia(arguments), 2, "usage");
    }
}
