//! A bucket that keeps versions, as it was before somebody deleted and replaced what is in it.

use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::Ordering;

use rokopia::blob::{
    BlobId, BlobStore, Error, FileSystem, ObjectLock, Protection, Retry, RetryPolicy, Traffic,
};

use crate::command::run;
use crate::common::{Case, testdata};
use crate::server::{BUCKET, Kept, Lie, PAGE, Request, Server, State, answer, error, escaped};

/// A page of the list of versions, those of one object newest first.
pub(crate) fn page(stream: &TcpStream, state: &State, request: &Request, lie: Option<Lie>) -> Option<()> {
    let value = |name: &str| request.query.get(name).cloned().unwrap_or_default();
    let (prefix, key_marker, id_marker) = (value("prefix"), value("key-marker"), value("version-id-marker"));
    let mut all: Vec<Kept> = state.history.lock().unwrap().clone();
    all.reverse();
    all.sort_by(|a, b| a.key.cmp(&b.key));
    let at = all.iter().position(|kept| kept.key == key_marker && kept.id == id_marker);
    let behind = |(number, kept): &(usize, Kept)| match at {
        Some(at) => *number > at,
        None => kept.key > key_marker,
    };
    let mut listed: Vec<Kept> = all
        .into_iter()
        .enumerate()
        .filter(behind)
        .map(|(_, kept)| kept)
        .filter(|kept| kept.key.starts_with(&prefix))
        .collect();
    let mut truncated = listed.len() > PAGE;
    listed.truncate(PAGE);
    if matches!(lie, Some(Lie::EmptyList | Lie::ShortList)) {
        listed.truncate(if lie == Some(Lie::EmptyList) { 0 } else { listed.len() / 2 });
        truncated = false;
    }
    let shown = escaped(if lie == Some(Lie::OtherPrefix) { "other" } else { &prefix });
    let mut body = format!(
        "<ListVersionsResult><Name>{BUCKET}</Name><Prefix>{shown}</Prefix><IsTruncated>{truncated}</IsTruncated>"
    );
    if let Some(last) = listed.last().filter(|_| truncated) {
        let (key, id) = (escaped(&last.key), &last.id);
        body.push_str(&format!(
            "<NextKeyMarker>{key}</NextKeyMarker><NextVersionIdMarker>{id}</NextVersionIdMarker>"
        ));
    }
    for Kept { key, id, time, bytes } in &listed {
        let (key, kind) = (escaped(key), if bytes.is_some() { "Version" } else { "DeleteMarker" });
        let size = bytes.as_ref().map(|bytes| format!("<Size>{}</Size>", bytes.len())).unwrap_or_default();
        body.push_str(&format!(
            "<{kind}><Key>{key}</Key><VersionId>{id}</VersionId><LastModified>{time}</LastModified>{size}</{kind}>"
        ));
    }
    body.push_str("</ListVersionsResult>");
    answer(stream, "200 OK", "", body.as_bytes())
}

pub(crate) fn versioning(stream: &TcpStream, state: &State) -> Option<()> {
    let status = if state.versioned.load(Ordering::SeqCst) { "<Status>Enabled</Status>" } else { "" };
    let body = format!("<VersioningConfiguration>{status}</VersioningConfiguration>");
    answer(stream, "200 OK", "", body.as_bytes())
}

pub(crate) fn lock(stream: &TcpStream, state: &State) -> Option<()> {
    if !state.versioned.load(Ordering::SeqCst) {
        return error(stream, "404 Not Found", "", "ObjectLockConfigurationNotFoundError");
    }
    let body =
        b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
        <Mode>GOVERNANCE</Mode><Days>7</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
    answer(stream, "200 OK", "", body)
}

/// A version of an object, or a range of it.
pub(crate) fn object(stream: &TcpStream, state: &State, request: &Request, key: &str) -> Option<()> {
    let wanted = request.query.get("versionId").cloned().unwrap_or_default();
    let history = state.history.lock().unwrap().clone();
    let kept = history.into_iter().find(|kept| kept.key == key && kept.id == wanted);
    let Some(bytes) = kept.and_then(|kept| kept.bytes) else {
        return error(stream, "404 Not Found", "", "NoSuchVersion");
    };
    let one = State::default();
    one.objects.lock().unwrap().insert(key.to_owned(), bytes);
    crate::server::object(stream, &one, key, request.range, None)
}

/// A repository in a bucket that keeps versions, the moment when it was whole, and what was done to it since: every pack is
/// deleted, and every index is replaced.
fn ruined(case: &Case) -> (Server, jiff::Timestamp) {
    let server = Server::with(&FileSystem::open(case.repo()).unwrap(), "k/");
    server.state.versioned.store(true, Ordering::SeqCst);
    let moment = server.state.moment();
    let keys: Vec<String> = server.state.objects.lock().unwrap().keys().cloned().collect();
    for key in keys {
        match key.as_bytes()[2] {
            b'p' | b'q' | b'_' => server.delete(&key),
            b'x' | b'n' => server.put(&key, "encrypted by somebody else"),
            _ => {}
        }
    }
    (server, moment)
}

#[test]
fn every_command_reads_what_was_there_at_that_moment() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let (server, moment) = ruined(&case);
    let (now, then) = (server.location("k/"), format!("{}&at={moment}", server.location("k/")));
    assert!(!run(&now, case.password(), &["verify"]).status.success());
    for arguments in [
        &["snapshots", "--json"][..],
        &["sources", "--json"],
        &["ls", "latest"],
        &["blobs", "--json"],
        &["verify", "--level", "files", "--quiet"],
        &["exists", "nobody@nowhere:/nothing"],
    ] {
        let (past, directory) = (run(&then, case.password(), arguments), case.run(arguments));
        assert_eq!(past.status.code(), directory.status.code(), "{arguments:?} {past:?}");
        if !matches!(arguments[0], "verify" | "blobs") {
            assert_eq!(past.stdout, directory.stdout, "{arguments:?}");
        }
    }
    let text = moment.to_string();
    let option = run(&now, case.password(), &["--point-in-time", &text, "snapshots", "--json"]);
    assert_eq!(option.stdout, case.run(&["snapshots", "--json"]).stdout);
    let target = tempfile::tempdir().unwrap();
    let (one, two) = (target.path().join("bucket"), target.path().join("directory"));
    assert!(run(&then, case.password(), &["restore", "latest", one.to_str().unwrap()]).status.success());
    assert!(case.run(&["restore", "latest", two.to_str().unwrap()]).status.success());
    let difference = Command::new("diff").arg("-r").arg(&one).arg(&two).output().unwrap();
    assert!(difference.status.success(), "{difference:?}");
}

#[test]
fn what_cannot_be_read_as_it_was_is_refused_and_never_absent() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let (server, moment) = ruined(&case);
    let exists = ["exists", "nobody@nowhere:/nothing"];
    let ask = |location: &str, code: &str| {
        let output = run(location, case.password(), &exists);
        let talk = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{talk}");
        assert!(talk.contains(&format!("error[{code}]")), "{talk}");
    };
    // Before there was a repository.
    ask(&format!("{}&at=2001-01-01", server.location("k/")), "not-a-repository");
    server.state.versioned.store(false, Ordering::SeqCst);
    ask(&format!("{}&at={moment}", server.location("k/")), "versions-missing");
    let directory = case.repo();
    let text = moment.to_string();
    let output = run(directory.to_str().unwrap(), case.password(), &["--point-in-time", &text, "snapshots"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("error[location-unsupported]"), "{output:?}");
}

#[test]
fn lists_of_versions_that_lie_are_noticed() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let (server, moment) = ruined(&case);
    let policy = RetryPolicy { attempts: 1, ..RetryPolicy::default() };
    let expected = FileSystem::open(case.repo()).unwrap().list("").unwrap().len();
    for lie in [Lie::EmptyList, Lie::ShortList, Lie::OtherPrefix, Lie::CutBody, Lie::Empty] {
        for nth in [2, 3, 5] {
            let mut options = server.options("k/");
            options.moment = Some(moment);
            server.lie(lie, nth);
            let store = Retry::new(options.open(&Traffic::default()).unwrap(), policy);
            if let Ok(listed) = store.list("") {
                assert_eq!(listed.len(), expected, "{lie:?} {nth}");
            }
            let missing = BlobId::new("p00000000000000000000000000000000").unwrap();
            assert!(store.read(&missing, 10).is_err());
        }
    }
    let mut options = server.options("k/");
    options.moment = Some(moment);
    server.lie(Lie::SlowBody, 1000);
    let missing = BlobId::new("p00000000000000000000000000000000").unwrap();
    assert!(matches!(
        options.open(&Traffic::default()).unwrap().read(&missing, 10),
        Err(Error::NotFound { .. })
    ));
}

#[test]
fn what_protects_a_bucket_is_shown() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let server = Server::with(&FileSystem::open(case.repo()).unwrap(), "k/");
    let shown = || {
        let output = run(&server.location("k/"), case.password(), &["status", "--json"]);
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    assert_eq!(shown()["versions"], false);
    assert_eq!(shown()["object_lock"], serde_json::json!({"enabled": false}));
    server.state.versioned.store(true, Ordering::SeqCst);
    assert_eq!(shown()["object_lock"], serde_json::json!({"enabled": true, "mode": "governance", "days": 7}));
    let lock = ObjectLock { enabled: true, mode: Some("governance".into()), days: Some(7) };
    let expected = Protection { versions: Some(true), lock: Some(lock) };
    assert_eq!(server.store("k/").protection(), Some(expected));
    let text = run(&server.location("k/"), case.password(), &["status"]);
    assert!(
        String::from_utf8_lossy(&text.stdout).contains("Object lock       governance, 7 days"),
        "{text:?}"
    );
    assert_eq!(FileSystem::open(case.repo()).unwrap().protection(), None);
}
