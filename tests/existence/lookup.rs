//! Cases 1 to 24 of the contract: what is looked up, and what counts as a question.

use std::path::Path;

use crate::common;
use crate::process::Server;
use crate::world::{PASSWORD, World, chmod, open_dir};

const RESTORE: (u16, &str) = (200, "restore");
const FRESH: (u16, &str) = (200, "fresh");

fn check(server: &Server, expected: &[(&str, (u16, &str))]) {
    for (claim, (status, decision)) in expected {
        assert_eq!(server.ask(claim), (*status, (*decision).to_owned()), "{claim}");
    }
}

#[test]
fn cases_1_to_11_what_counts_as_a_backup() {
    let world = World::fixture();
    let server = Server::ready(&world.repo(), &[]);
    let web = server.get("/exists/media/web");
    assert_eq!(web.status, 200);
    assert_eq!(web.headers["content-type"], "application/json");
    assert_eq!(
        web.body,
        "{\"exists\":true,\"decision\":\"restore\",\"authoritative\":true,\"namespace\":\"media\",\"pvc\":\"web\",\
         \"backend\":\"kopia-fs\",\"source\":\"web-backup@media:/data\"}\n"
    );
    let none = server.get("/exists/media/none");
    assert_eq!(none.status, 200);
    assert_eq!(
        none.body,
        "{\"exists\":false,\"decision\":\"fresh\",\"authoritative\":true,\"namespace\":\"media\",\"pvc\":\"none\",\
         \"backend\":\"kopia-fs\",\"source\":\"none-backup@media:/data\"}\n"
    );
    for _ in ["cold", "after a refresh"] {
        check(
            &server,
            &[
                ("prod/web", FRESH),
                ("prod/api", RESTORE),
                ("media/we", FRESH),
                ("media/webb", FRESH),
                ("media/WEB", (400, "unknown")),
                ("media/web-backup", FRESH),
                ("media/plain", FRESH),
                ("media/sub", FRESH),
                ("media/elsewhere", FRESH),
                ("media/root", RESTORE),
                ("media/tagged", RESTORE),
                ("media/gone", FRESH),
                ("media/half", RESTORE),
            ],
        );
    }
}

#[test]
fn case_11_a_stricter_mode_does_not_take_incomplete_for_nothing() {
    let world = World::fixture();
    let server = Server::ready(&world.repo(), &[("ROKOPIA_INCOMPLETE", "unknown")]);
    check(&server, &[("media/half", (503, "unknown")), ("media/web", RESTORE)]);
    assert_eq!(server.get("/exists/media/half").headers["rokopia-reason"], "only-incomplete");
}

#[test]
fn an_incomplete_snapshot_without_a_file_is_neither_a_backup_nor_none() {
    let mut world = World::empty();
    world.add_incomplete("begun-backup@media:/data", 0);
    let server = Server::ready(&world.repo(), &[]);
    check(&server, &[("media/begun", (503, "unknown"))]);
    let response = server.get("/exists/media/begun");
    assert_eq!(response.headers["rokopia-reason"], "only-incomplete");
    assert!(response.headers.contains_key("rokopia-snapshot-age-seconds"), "{:?}", response.headers);
}

#[test]
fn a_yes_names_the_newest_snapshot() {
    let mut world = World::fixture();
    let newest = world.add("web-backup@media:/data");
    let server = Server::ready(&world.repo(), &[]);
    assert_eq!(server.get("/exists/media/web").headers["rokopia-snapshot"], newest);
    assert!(!server.get("/exists/media/none").headers.contains_key("rokopia-snapshot"));
}

#[test]
fn case_12_policies_alone_are_no_backup() {
    let world = World::empty();
    let server = Server::ready(&world.repo(), &[]);
    check(&server, &[("media/web", FRESH), ("any/name", FRESH)]);
}

#[test]
fn case_13_compacted_indexes_change_nothing() {
    let mut world = World::fixture();
    let server = Server::ready(&world.repo(), &[("CACHE_TTL", "0s")]);
    let expected = [("media/web", RESTORE), ("media/none", FRESH), ("media/gone", FRESH)];
    check(&server, &expected);
    for epoch in 0..3 {
        world.writer.advance_epoch().unwrap();
        world.add(&format!("other-{epoch}-backup@media:/data"));
    }
    world.writer.compact_epoch(0).unwrap();
    world.writer.remove_superseded(0, 0).unwrap();
    check(&server, &expected);
    check(&server, &[("media/other-0", RESTORE)]);
}

/// Every format, hash, cipher and key derivation that real Kopia wrote for us.
#[test]
fn case_14_every_supported_format() {
    let Some(fixtures) = common::fixtures() else { return };
    let mut served = 0;
    let mut refused = 0;
    for entry in std::fs::read_dir(fixtures).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let chosen = [
            "hash-",
            "format-",
            "chacha",
            "kdf-",
            "ecc-2",
            "index-v1",
            "legacy",
            "upgrade",
            "required-",
            "v0",
        ];
        if !chosen.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let Some(case) = common::Case::load(&entry.path()) else { continue };
        let snapshots = case.json("snapshots.json");
        let source = &snapshots[0]["source"];
        let part = |key: &str| source[key].as_str().unwrap().to_owned();
        let (user, host, path) = (part("userName"), part("host"), part("path"));
        let dir = open_dir();
        copy_readable(&case.repo(), &dir.path().join("repo"));
        let template = format!("{{pvc}}@{{namespace}}:{path}");
        let settings = [("KOPIA_PASSWORD", case.password()), ("ROKOPIA_SOURCE_TEMPLATE", template.as_str())];
        let server = Server::start(&dir.path().join("repo"), &settings);
        let found = server.ask(&format!("{host}/{user}"));
        let absent = server.ask(&format!("{host}/no-such-claim"));
        if case.is_refused() {
            assert_eq!((found.0, absent.0), (503, 503), "{name}");
            refused += 1;
        } else {
            assert_eq!(found, (200, "restore".into()), "{name}: {}", server.log());
            assert_eq!(absent, (200, "fresh".into()), "{name}: {}", server.log());
            served += 1;
        }
    }
    common::say(&format!("{served} formats served, {refused} refused"));
    assert!(served > 15 && refused > 0);
}

fn copy_readable(from: &Path, to: &Path) {
    crate::common::damage::copy(from, to);
    for entry in walkdir::WalkDir::new(to).into_iter().map(Result::unwrap) {
        chmod(entry.path(), if entry.file_type().is_dir() { 0o755 } else { 0o644 });
    }
}

#[test]
fn case_15_names_that_the_mover_alters() {
    let mut world = World::empty();
    let long = "z".repeat(60);
    world.add("ab-backup@media:/data");
    world.add(&format!("{}@media:/data", "z".repeat(50)));
    let server = Server::ready(&world.repo(), &[]);
    check(&server, &[("media/a.b", (503, "unknown")), ("media/ab", RESTORE), ("media/a.c", FRESH)]);
    check(&server, &[(&format!("media/{long}"), (503, "unknown"))]);
    assert_eq!(server.get("/exists/media/a.b").headers["rokopia-reason"], "name-altered");
    let server = Server::ready(&world.repo(), &[("ROKOPIA_ALTERED_NAMES", "exists")]);
    check(&server, &[("media/a.b", RESTORE), (&format!("media/{long}"), RESTORE), ("media/a.c", FRESH)]);
}

#[test]
fn cases_16_and_17_template_and_backend_label() {
    let world = World::fixture();
    let template = ("ROKOPIA_SOURCE_TEMPLATE", "{pvc}@{namespace}:/data");
    let server = Server::ready(&world.repo(), &[template, ("ROKOPIA_BACKEND_LABEL", "kopia-s3")]);
    let plain = server.get("/exists/media/plain").json();
    assert_eq!(plain["decision"], "restore");
    assert_eq!(plain["source"], "plain@media:/data");
    assert_eq!(plain["backend"], "kopia-s3");
    let counted = "pvc_plumber_backup_check_total{backend=\"kopia-s3\",decision=\"restore\"}";
    assert_eq!(server.metric(counted), Some(1.0));
}

#[test]
fn cases_18_to_24_paths_and_methods() {
    let world = World::fixture();
    let server = Server::ready(&world.repo(), &[]);
    let invalid = "{\"exists\":false,\"decision\":\"unknown\",\"authoritative\":false,\"namespace\":\"\",\"pvc\":\"\",\
                   \"backend\":\"\",\"error\":\"invalid path format, expected /exists/{namespace}/{pvc}\"}\n";
    let long = format!("/exists/media/{}", "x".repeat(300));
    for path in [
        "/exists/",
        "/exists/media",
        "/exists/media/",
        "/exists",
        "/exists//web",
        "/exists/media/web/",
        "/exists/media/web/x",
        "/exists/media/a%2Fb",
        "/exists/media/UPPER_case",
        "/exists/a@b/c",
        "/exists/a:b/c",
        "/exists/media/--help",
        &long,
    ] {
        let response = server.get(path);
        assert_eq!((response.status, response.body.as_str()), (400, invalid), "{path}");
        assert_eq!(response.headers["content-type"], "application/json");
    }
    let plain = server.get("/exists/media/web").body;
    assert_eq!(server.get("/exists/media/web?x=1&y").body, plain, "case 22");
    let bearer = server.request("GET", "/exists/media/web", &[("Authorization", "Bearer x")], "");
    assert_eq!(bearer.body, plain, "case 22");
    let head = server.request("HEAD", "/exists/media/web", &[], "");
    assert_eq!((head.status, head.body.as_str()), (200, ""), "case 23");
    assert_eq!(head.headers["content-length"], plain.len().to_string());
    let post = server.request("POST", "/exists/media/web", &[], "{\"a\":1}");
    assert_eq!((post.status, post.body), (200, plain), "case 23");
    assert_eq!(server.get("/nope").status, 404, "case 24");
    assert!(!server.log().contains(PASSWORD));
}
