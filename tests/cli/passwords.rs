//! The ways to give a password.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Output, Stdio};

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
