//! What the front does not do itself: refused in words that callers do not take for something else, or handed on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::support::{Done, Place, testdata};

/// Callers sort failures by these words.
const CLASSES: &[&str] = &[
    "lock",
    "not found",
    "does not exist",
    "not initialized",
    "no such file",
    "timeout",
    "permission denied",
    "operation not permitted",
    "access denied",
    "forbidden",
    "not authorized",
    "password",
];

const WRITING: &[&[&str]] = &[
    &["repository", "create", "filesystem", "--path", "/x"],
    &["snapshot", "create", "/x"],
    &["snap", "delete", "x", "--delete"],
    &["snapshot", "expire"],
    &["snapshot", "pin", "x", "--add", "y"],
    &["policy", "set", "--global", "--keep-latest=1"],
    &["maintenance", "run", "--full"],
    &["maintenance", "set", "--owner=me"],
    &["content", "rewrite"],
    &["blob", "gc"],
    &["manifest", "rm", "x"],
    &["index", "optimize"],
    &["server", "start"],
    &["mount"],
    &["-p", "secret", "--config-file=x", "snapshot", "migrate", "--unknown"],
    &["repository", "connect", "server", "--url", "https://backup:51515"],
];

#[test]
fn writing_is_refused() {
    let place = Place::new(&testdata("basic"));
    for arguments in WRITING {
        let done = place.run(arguments);
        assert_eq!((done.exit, done.text().as_str()), (1, ""), "{arguments:?}");
        assert!(done.stderr.starts_with("rokopia only reads"), "{}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1);
        let message = done.stderr.to_lowercase();
        assert!(message.contains("rokopia_kopia"), "{message}");
        assert!(!CLASSES.iter().any(|class| message.contains(class)), "{message}");
    }
    assert!(!place.config().exists());
}

/// As Kopia says it, whether there is a real one or not.
#[test]
fn storage_without_its_required_flags_is_a_wrong_command_line() {
    let place = Place::new(&testdata("basic"));
    let real = stand_in(&place, "real");
    let storages: [(&[&str], &str); 3] = [
        (&["s3", "--bucket", "b"], "'--access-key', '--secret-access-key'"),
        (&["gcs"], "'--bucket'"),
        (&["azure", "--container", "c"], "'--storage-account'"),
    ];
    for (arguments, missing) in storages {
        for with_real in [false, true] {
            let mut command = place.front();
            if with_real {
                command.env("ROKOPIA_KOPIA", &real);
            }
            let done: Done = command.args(["repository", "connect"]).args(arguments).output().unwrap().into();
            let expected = format!("kopia: error: required flag(s) {missing} not provided, try --help");
            assert_eq!((done.exit, done.text().as_str()), (1, ""), "{arguments:?}");
            assert_eq!(done.stderr.trim_end(), expected);
        }
    }
    assert!(!place.config().exists());
}

/// A program that shows what it was started with and ends as told.
fn stand_in(place: &Place, name: &str) -> std::path::PathBuf {
    let directory = place.directory.path().join(name);
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join("kopia");
    fs::write(&path, "#!/bin/sh\nprintf '%s|' \"$KOPIA_PASSWORD\" \"$PWD\" \"$@\"\ncat\nexit 7\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn writing_is_handed_on_unchanged() {
    let place = Place::new(&testdata("basic"));
    let real = stand_in(&place, "real");
    let working = place.directory.path().display().to_string();
    for by_path in [false, true] {
        for arguments in WRITING {
            let mut command = place.front();
            if by_path {
                command
                    .env("PATH", format!("/nonexistent:{}:/bin:/usr/bin", real.parent().unwrap().display()));
            } else {
                command.env("ROKOPIA_KOPIA", &real).env("PATH", "/bin:/usr/bin");
            }
            let done = command.args(*arguments).output().unwrap();
            let shown = String::from_utf8(done.stdout).unwrap();
            assert_eq!(shown, format!("rokopia|{working}|{}|", arguments.join("|")));
            assert_eq!(done.status.code(), Some(7));
        }
    }
}

#[test]
fn there_is_no_loop() {
    let place = Place::new(&testdata("basic"));
    let link = place.directory.path().join("kopia");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rokopia"), &link).unwrap();
    let search = place.directory.path().to_str().unwrap();
    for variable in
        [("ROKOPIA_KOPIA", link.to_str().unwrap()), ("PATH", search), ("ROKOPIA_HANDED_OVER", "1")]
    {
        let done = place.front().env(variable.0, variable.1).args(["snapshot", "create"]).output().unwrap();
        assert_eq!(done.status.code(), Some(1), "{variable:?}");
        assert!(String::from_utf8_lossy(&done.stderr).starts_with("rokopia only reads"));
    }
}

#[test]
fn both_names_are_the_same_program() {
    let place = Place::new(&testdata("basic"));
    place.connect();
    let arguments = ["snapshot", "list", "--all"];
    let under_its_name = place.run(&arguments);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rokopia"));
    place.prepare(&mut command);
    let as_command = command.arg("kopia").args(arguments).output().unwrap();
    assert_eq!(as_command.stdout, under_its_name.stdout);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rokopia"));
    place.prepare(&mut command);
    let by_path = command.arg0("/usr/local/bin/kopia").arg("--version").output().unwrap();
    assert!(String::from_utf8(by_path.stdout).unwrap().starts_with("0.23.1 build: "));
}
