//! What kopiur makes of a failure: it searches what kopia prints on stderr, decides by that whether to try again, and whether to
//! make a new repository where none seems to be.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use super::support::{Place, testdata};

/// Its classes in the order in which it looks for them, with their words.
const CLASSES: [(&str, &[&str]); 6] = [
    ("AuthFailure", &["invalid repository password", "incorrect password", "unable to derive"]),
    ("AccessDenied", &["access denied", "accessdenied", "forbidden", "not authorized"]),
    ("PermissionDenied", &["permission denied", "operation not permitted", "eacces"]),
    ("Locked", &["repository is locked", "another process", "lock"]),
    (
        "NotFound",
        &[
            "no such file or directory",
            "not found",
            "does not exist",
            "unable to find snapshot",
            "not initialized",
        ],
    ),
    (
        "RepositoryUnavailable",
        &[
            "error connecting to repository",
            "unable to open repository",
            "connection refused",
            "dial tcp",
            "no route to host",
            "timeout",
        ],
    ),
];

fn class(stderr: &str) -> &'static str {
    let text = stderr.to_lowercase();
    let of = |words: &[&str]| words.iter().any(|word| text.contains(word));
    CLASSES.into_iter().find(|(_, words)| of(words)).map_or("Unknown", |(class, _)| class)
}

/// A bucket that gives the same answer to each question; its endpoint.
fn bucket(status: &'static str, code: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 8192]);
            let body = format!("<Error><Code>{code}</Code><Message>told by the server</Message></Error>");
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    endpoint
}

fn of_a_bucket(place: &Place, endpoint: &str) -> String {
    let mut front = place.front();
    front.args(["repository", "connect", "s3", "--bucket", "b", "--endpoint", endpoint, "--disable-tls"]);
    front.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
    let done = front.output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    String::from_utf8(done.stderr).unwrap()
}

#[test]
fn a_storage_that_refuses_is_not_one_that_is_away() {
    let place = Place::new(&testdata("basic"));
    for (status, code, expected) in [
        ("403 Forbidden", "SignatureDoesNotMatch", "AccessDenied"),
        ("403 Forbidden", "InvalidAccessKeyId", "AccessDenied"),
        ("403 Forbidden", "AccessDenied", "AccessDenied"),
        ("400 Bad Request", "ExpiredToken", "AccessDenied"),
        ("404 Not Found", "NoSuchBucket", "NotFound"),
    ] {
        let stderr = of_a_bucket(&place, &bucket(status, code));
        assert_eq!(class(&stderr), expected, "{code}: {stderr}");
        assert!(!stderr.contains("not initialized"), "{code}: {stderr}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    assert_eq!(class(&of_a_bucket(&place, &nobody)), "RepositoryUnavailable");
}

#[test]
fn a_pack_that_is_lost_is_not_found() {
    let mut place = Place::new(&testdata("basic"));
    let copy = place.directory.path().join("repository");
    let copied = Command::new("cp").arg("-r").arg(&place.repository).arg(&copy).status().unwrap();
    assert!(copied.success());
    place.repository = copy;
    place.connect();
    let done = place.run(&["snapshot", "list", "--json", "--all"]);
    let all: Vec<serde_json::Value> = serde_json::from_slice(&done.stdout).unwrap();
    let id = all[0]["id"].as_str().unwrap();
    fs::remove_dir_all(place.repository.join("p")).unwrap();
    let done = place.run(&["snapshot", "restore", id, place.target().to_str().unwrap()]);
    assert_eq!((done.exit, class(&done.stderr)), (1, "NotFound"), "{}", done.stderr);
    let done = place.run(&["snapshot", "restore", &"0".repeat(32), place.target().to_str().unwrap()]);
    assert_eq!((done.exit, class(&done.stderr)), (1, "NotFound"), "{}", done.stderr);
}
