//! `rokopia doctor`: each check by itself.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Output;

use serde_json::Value;

use crate::common::{json_lines, run};
use crate::support::{LATEST, PASSWORD, assert_exit, copy_without, rokopia, sample, stderr, stdout};

const SOURCE: &str = "data-demo@apps:/data";

/// The checks of a report by their names, the first of each name.
fn check(output: &Output, name: &str) -> Value {
    let report = json_lines(&output.stdout).pop().unwrap();
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["check"] == name).cloned().unwrap_or_default()
}

fn state(output: &Output, name: &str) -> String {
    check(output, name)["state"].as_str().unwrap_or("absent").to_owned()
}

#[test]
fn a_good_repository_passes_and_says_what_a_restore_would_take() {
    let target = tempfile::tempdir().unwrap();
    let to = target.path().join("not/yet/there");
    let output = rokopia(&["--json", "doctor", "--target", to.to_str().unwrap(), "--source", SOURCE]);
    assert_exit(&output, 0);
    for name in ["storage", "clock", "repository", "index", "snapshots", "source", "target", "files"] {
        assert_eq!(state(&output, name), "ok", "{name}: {}", check(&output, name));
    }
    assert!(check(&output, "source")["message"].as_str().unwrap().contains(LATEST));
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn text_has_one_line_a_check_and_the_cures_below() {
    let output = rokopia(&["doctor"]);
    assert_exit(&output, 0);
    let text = stdout(&output);
    assert!(text.contains("ok           storage"), "{text}");
    for line in text.lines() {
        let word = line.split("  ").next().unwrap();
        assert!(["ok", "warning", "not checked", ""].contains(&word), "{line}");
    }
}

#[test]
fn what_keeps_a_restore_from_working_fails_with_its_code_and_cure() {
    let empty = tempfile::tempdir().unwrap();
    let output = run(empty.path(), PASSWORD, &["--json", "doctor"]);
    assert_exit(&output, 1);
    assert_eq!(check(&output, "storage")["code"], "repository-empty");
    let missing = empty.path().join("missing");
    let output = run(&missing, PASSWORD, &["--json", "doctor"]);
    assert_exit(&output, 1);
    assert_eq!(check(&output, "storage")["code"], "repository-not-found");
    assert_eq!(state(&output, "repository"), "absent");
    let output = run(&sample(), "wrong", &["--json", "doctor"]);
    assert_exit(&output, 1);
    let found = check(&output, "repository");
    assert_eq!(found["code"], "wrong-password");
    assert!(!found["help"].as_array().unwrap().is_empty());
    let output = rokopia(&["--json", "doctor", "--source", "nobody@nowhere:/x"]);
    assert_exit(&output, 1);
    assert_eq!(check(&output, "source")["code"], "reference-not-found");
}

#[test]
fn a_list_that_may_be_incomplete_is_a_warning_and_a_missing_source_then_unknown() {
    let damaged = copy_without(&["x", "n"]);
    let output = run(damaged.path(), PASSWORD, &["--json", "doctor", "--source", "nobody@nowhere:/x"]);
    let code = check(&output, "source")["code"].clone();
    assert_ne!(code, "reference-not-found", "{output:?}");
    assert!(["warning", "failed"].contains(&state(&output, "snapshots").as_str()), "{output:?}");
}

#[test]
fn a_target_in_the_repository_or_that_is_a_file_is_refused() {
    let copy = copy_without(&[]);
    let inside = copy.path().join("p");
    let output = run(copy.path(), PASSWORD, &["--json", "doctor", "--target", inside.to_str().unwrap()]);
    assert_exit(&output, 1);
    assert_eq!(check(&output, "target")["code"], "output-in-repository");
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = rokopia(&["--json", "doctor", "--target", file.path().to_str().unwrap()]);
    assert_exit(&output, 1);
    assert_eq!(state(&output, "target"), "failed");
}

#[test]
fn a_service_is_asked_whether_it_is_ready() {
    for (answer, code, expected) in [("200 OK", 0, "ok"), ("503 Service Unavailable", 1, "failed")] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let got = client.read(&mut request).unwrap();
            assert!(request[..got].starts_with(b"GET /readyz "));
            let text = "the view is old\n";
            write!(client, "HTTP/1.1 {answer}\r\ncontent-length: {}\r\n\r\n{text}", text.len()).unwrap();
        });
        let output = rokopia(&["--json", "doctor", "--service", &address]);
        server.join().unwrap();
        assert_exit(&output, code);
        assert_eq!(state(&output, "service"), expected);
    }
    let output = rokopia(&["--json", "doctor", "--service", "http://127.0.0.1:1"]);
    assert_eq!((output.status.code(), state(&output, "service").as_str()), (Some(1), "failed"));
}

#[test]
fn without_a_repository_nothing_is_checked() {
    let output = crate::support::rokopia_alone(&["doctor"]);
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("no-repository"));
}
