//! Servers that others wrote, with a repository that Kopia wrote: what is read through them is what is in the directory.
//!
//! A server that is not installed is NOT CHECKED, and a failure where `ROKOPIA_REQUIRE_SERVERS` is 1, as in `.ci/run`.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::common::{Case, say, testdata};

const SECRET: &str = "hunter2hunter2";

/// A server that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts a server that listens on the port soon; `None` where it is not installed.
fn start(command: &mut Command, port: u16) -> Option<Running> {
    let name = command.get_program().to_string_lossy().into_owned();
    let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut running = match started {
        Ok(child) => Running(child),
        Err(e) => {
            let required = std::env::var("ROKOPIA_REQUIRE_SERVERS").is_ok_and(|value| value == "1");
            assert!(!required, "{name}: {e}");
            say(&format!("{name}: NOT CHECKED, it cannot be started: {e}"));
            return None;
        }
    };
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(running.0.try_wait().unwrap().is_none(), "{name} ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(running)
}

/// Our command with the variables of a storage.
fn run(location: &str, variables: &[(&str, &str)], password: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rokopia"))
        .env_clear()
        .env("TZ", "UTC")
        .env("ROKOPIA_PASSWORD", password)
        .envs(variables.iter().copied())
        .arg("--repo")
        .arg(location)
        .args(arguments)
        .output()
        .unwrap()
}

/// Every command gives through a server what it gives in the directory.
fn is_the_same(case: &Case, location: &str, variables: &[(&str, &str)]) {
    for arguments in [
        &["snapshots", "--json"][..],
        &["sources", "--json"],
        &["ls", "latest"],
        &["exists", "nobody@nowhere:/nothing"],
        &["--sandbox", "auto", "snapshots", "--json"],
    ] {
        let (served, direct) = (run(location, variables, case.password(), arguments), case.run(arguments));
        assert_eq!(served.status.code(), direct.status.code(), "{arguments:?} {served:?}");
        assert_eq!(served.stdout, direct.stdout, "{arguments:?}");
        let talk = String::from_utf8_lossy(&served.stderr);
        assert!(!talk.contains(SECRET), "{talk}");
    }
    let verified = run(location, variables, case.password(), &["verify", "--level", "hash"]);
    assert!(verified.status.success(), "{verified:?}");
    let target = tempfile::tempdir().unwrap();
    let (one, two) = (target.path().join("served"), target.path().join("direct"));
    let restored = run(location, variables, case.password(), &["restore", "latest", one.to_str().unwrap()]);
    assert!(restored.status.success(), "{restored:?}");
    assert!(case.run(&["restore", "latest", two.to_str().unwrap()]).status.success());
    let difference = Command::new("diff").arg("-r").arg(&one).arg(&two).output().unwrap();
    assert!(difference.status.success(), "{difference:?}");
}

fn rclone(directory: &Path, port: u16) -> Option<Running> {
    let address = format!("127.0.0.1:{port}");
    start(
        Command::new("rclone")
            .args(["serve", "webdav", "--read-only", "--addr", &address, "--user", "u", "--pass", SECRET])
            .arg(directory),
        port,
    )
}

#[test]
fn webdav_of_rclone() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let port = free_port();
    let Some(_server) = rclone(case.repo().parent().unwrap(), port) else { return };
    let variables = [("WEBDAV_USERNAME", "u"), ("WEBDAV_PASSWORD", SECRET)];
    let location = format!("webdav+http://127.0.0.1:{port}/repo");
    is_the_same(&case, &location, &variables);
    let ask = |location: &str, variables: &[(&str, &str)]| {
        let output = run(location, variables, case.password(), &["exists", "nobody@nowhere:/nothing"]);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(ask(&location, &[]).contains("error[credentials-missing]"));
    assert!(ask(&location, &[("WEBDAV_PASSWORD", "wrong")]).contains("error[credentials-refused]"));
    assert!(ask(&format!("{location}/none"), &variables).contains("error[bucket-missing]"));
}

#[test]
fn a_connection_of_kopia_to_webdav() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let port = free_port();
    let Some(_server) = rclone(&case.repo(), port) else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("repository.config");
    let config = serde_json::json!({"storage": {"type": "webdav", "config": {
        "url": format!("http://127.0.0.1:{port}"), "username": "u", "password": SECRET, "atomicWrites": false,
        "dirShards": null,
    }}});
    std::fs::write(&file, config.to_string()).unwrap();
    let output = run(&format!("@{}", file.display()), &[], case.password(), &["snapshots", "--json"]);
    assert_eq!(output.stdout, case.run(&["snapshots", "--json"]).stdout, "{output:?}");
}
