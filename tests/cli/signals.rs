//! How the process ends when it is told to, or when nobody listens any more.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::command;
use crate::support::{PASSWORD, copy_without, files, flip, sample};

/// A program that cannot go on: it writes 3 MiB into a pipe that takes 64 KiB. It has written the first byte.
fn stuck() -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rokopia"))
        .env("ROKOPIA_PASSWORD", PASSWORD)
        .arg("--repo")
        .arg(sample())
        .args(["cat", "latest/photos/cat.raw"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    child
}

#[test]
fn signals_have_their_exit_codes() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let mut child = stuck();
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let mut child = stuck();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert!(output.stderr.is_empty());
}

#[test]
fn whoever_stops_reading_the_messages_changes_nothing_else() {
    let copy = copy_without(&["kopia.blobcfg"]);
    flip(&files(copy.path(), "xn0_")[0], 40);
    let target = tempfile::tempdir().unwrap();
    let restored = target.path().join("restored");
    for arguments in [
        &["exists", "data-demo@apps:/data"][..],
        &["snapshots", "--degraded"],
        &["restore", "--degraded", "latest", restored.to_str().unwrap()],
        &["verify", "-v"],
    ] {
        let heard = command(copy.path(), PASSWORD, arguments).output().unwrap();
        let _ = std::fs::remove_dir_all(&restored);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let unheard = command(copy.path(), PASSWORD, arguments).stderr(writer).output().unwrap();
        assert!(!heard.stderr.is_empty(), "{arguments:?} says something: {heard:?}");
        assert_eq!(unheard.status, heard.status, "{arguments:?}");
    }
}
