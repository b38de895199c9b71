//! The ways to give a password.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::{PASSWORD, assert_exit, assert_failure, sample, stderr};

/// Runs `status` with these variables and arguments alone, and no terminal.
fn status(variables: &[(&str, &str)], arguments: &[&str], stdin: Stdio) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rokopia"))
        .env_clear()
        .envs(variables.iter().copied())
        .arg("--repo")
        .arg(sample())
        .args(["status", "--json"])
        .args(arguments)
        .stdin(stdin)
        .output()
        .unwrap()
}

#[test]
fn from_the_environment() {
    for (variable, value) in
        [("ROKOPIA_PASSWORD", PASSWORD), ("KOPIA_PASSWORD", PASSWORD), ("KOPIA_PASSWORD", " \trokopia\n")]
    {
        assert_exit(&status(&[(variable, value)], &[], Stdio::null()), 0);
    }
    let ours_counts = [("ROKOPIA_PASSWORD", PASSWORD), ("KOPIA_PASSWORD", "wrong")];
    assert_exit(&status(&ours_counts, &[], Stdio::null()), 0);
}

#[test]
fn from_a_file() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("password");
    let name = path.to_str().unwrap();
    for text in ["rokopia", "rokopia\n", "  rokopia \n\n"] {
        fs::write(&path, text).unwrap();
        assert_exit(&status(&[], &["--password-file", name], Stdio::null()), 0);
    }
    assert_exit(&status(&[("ROKOPIA_PASSWORD_FILE", name)], &[], Stdio::null()), 0);
    let option_counts = status(&[("ROKOPIA_PASSWORD", "wrong")], &["--password-file", name], Stdio::null());
    assert_exit(&option_counts, 0);
    assert_failure(&status(&[], &["--password-file", "/nowhere"], Stdio::null()), 3, "password-file");
}

#[test]
fn from_a_file_descriptor() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{PASSWORD}").unwrap();
    let stdin = Stdio::from(File::open(file.path()).unwrap());
    assert_exit(&status(&[], &["--password-fd", "0"], stdin), 0);
    assert_failure(&status(&[], &["--password-fd", "77"], Stdio::null()), 3, "password-file");
}

#[test]
fn none_at_all() {
    let output = status(&[], &[], Stdio::null());
    assert_failure(&output, 3, "no-password");
    for way in ["--password-file", "--password-fd", "ROKOPIA_PASSWORD", "KOPIA_PASSWORD"] {
        assert!(stderr(&output).contains(way), "{way} is not named: {output:?}");
    }
}

/// Types the password on a terminal that long after the question appeared; what the terminal showed, and the exit code.
fn typed(password: &str, after: Duration) -> (String, Option<i32>) {
    let command = format!("'{}' --repo '{}' status", env!("CARGO_BIN_EXE_rokopia"), sample().display());
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("script, of util-linux: {e}"));
    let mut shown = Vec::new();
    let (mut keys, mut screen) = (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
    let mut next = [0; 1];
    while !shown.ends_with(b"repository: ") && screen.read(&mut next).unwrap() == 1 {
        shown.extend(next);
    }
    thread::sleep(after);
    writeln!(keys, "{password}").unwrap();
    screen.read_to_end(&mut shown).unwrap();
    drop(keys);
    (String::from_utf8(shown).unwrap(), terminal.wait().unwrap().code())
}

#[test]
fn from_a_person() {
    // What is typed before the program has turned echoes off, the terminal shows: on a busy machine that may take a while.
    let (shown, code) = [100, 1000, 10_000]
        .into_iter()
        .map(|after| typed(PASSWORD, Duration::from_millis(after)))
        .find(|(shown, _)| !shown.contains(&format!("repository: {PASSWORD}")))
        .expect("the password was shown");
    assert!(shown.contains("Password of the repository: ") && shown.contains("accepted"), "{shown}");
    assert_eq!(code, Some(0), "{shown}");
    let (shown, code) = typed("wrong", Duration::ZERO);
    assert!(shown.contains("error[wrong-password]"), "{shown}");
    assert_eq!(code, Some(3), "{shown}");
}
