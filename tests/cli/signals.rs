//! How the process ends when it is told to, or when nobody listens any more.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::command;
use crate::support::{PASSWORD, copy_without, files, flip, sample};

/// A program that cannot go on: it writes 3 MiB into a pipe that takes 64 KiB. It has written the first byte.
fn stuck() -> Child {
    // These tests may have been started by `nohup`.
    let mut child = Command::new("env")
        .args(["--default-signal=HUP", env!("CARGO_BIN_EXE_rokopia")])
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
    for (signal, code) in [(Signal::SIGHUP, 129), (Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let mut child = stuck();
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

#[test]
fn what_nohup_started_outlives_its_terminal() {
    let mut child = Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_rokopia"), "--repo"])
        .arg(sample())
        .args(["cat", "latest/photos/cat.raw"])
        .env("ROKOPIA_PASSWORD", PASSWORD)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGHUP).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Runs the program under a limit of the shell, such as `-f 100`.
fn limited(limit: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit {limit}; exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_rokopia"), "--repo"]).arg(sample());
    command.args(arguments).env("ROKOPIA_PASSWORD", PASSWORD);
    command
}

#[test]
fn a_file_beyond_the_limit_of_the_process_costs_only_itself() {
    let target = tempfile::tempdir().unwrap();
    let restored = target.path().join("restored");
    let output = limited("-f 100", &["restore", "latest", restored.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let left: Vec<_> = walkdir::WalkDir::new(&restored)
        .into_iter()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(left.contains(&"new.txt".to_owned()), "{left:?}");
    assert!(!left.iter().any(|name| name == "cat.raw" || name.starts_with(".rokopia")), "{left:?}");
}

/// A user whom nobody else runs anything as: the kernel counts the threads of a user.
const LONELY: u32 = 54_321;

#[test]
fn too_few_threads_make_it_slow_or_end_it_with_an_error() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("NOT CHECKED: limits of threads, because only root can become another user");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("rokopia");
    std::fs::copy(env!("CARGO_BIN_EXE_rokopia"), &program).unwrap();
    let copy = copy_without(&[]);
    for path in [place.path(), copy.path()] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    let restored = place.path().join("restored");
    let mut most = 0;
    for threads in 1..=12 {
        for arguments in [
            &["snapshots"][..],
            &["exists", "data-demo@apps:/data"],
            &["verify"],
            &["restore", "latest", restored.to_str().unwrap()],
        ] {
            let output = Command::new("setpriv")
                .args([&format!("--reuid={LONELY}"), &format!("--regid={LONELY}"), "--clear-groups"])
                .args(["sh", "-c", &format!("ulimit -u {threads}; exec \"$0\" \"$@\"")])
                .arg(&program)
                .arg("--repo")
                .arg(copy.path())
                .args(arguments)
                .env("ROKOPIA_PASSWORD", PASSWORD)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            match output.status.code() {
                Some(0) => most += 1,
                Some(3) => assert!(said.contains("out-of-threads"), "{threads} {arguments:?}: {output:?}"),
                _ => panic!("{threads} {arguments:?}: {output:?}"),
            }
            let _ = std::fs::remove_dir_all(&restored);
        }
    }
    assert!(most > 24, "{most} of 48 were done");
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

#[test]
fn a_restore_that_waits_for_its_share_of_the_bandwidth_ends_at_once() {
    let target = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_rokopia"))
        .env("ROKOPIA_PASSWORD", PASSWORD)
        .arg("--repo")
        .arg(sample())
        .args(["--bandwidth", "32KiB/s", "restore", "latest"])
        .arg(target.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It says what it chose once the repository is open; the files take minutes from then on.
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.starts_with("restoring "), "{line}");
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!target.path().join("photos/cat.raw").exists());
}
