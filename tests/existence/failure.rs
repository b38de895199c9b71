//! Cases 25 to 40: what failed is unknown, and what is known does not stay for ever.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::process::{Response, Server, until};
use crate::world::{World, chmod};

fn restore() -> (u16, String) {
    (200, "restore".into())
}

fn fresh() -> (u16, String) {
    (200, "fresh".into())
}

fn unknown() -> (u16, String) {
    (503, "unknown".into())
}

/// Everything that cases 25 and 31 say of a response that says nothing.
fn assert_unknown(response: &Response, claim: &str) {
    let body = response.json();
    assert_eq!(response.status, 503);
    assert_eq!(body["exists"], false);
    assert_eq!(body["decision"], "unknown");
    assert_eq!(body["authoritative"], false);
    assert!(body["error"].as_str().unwrap().starts_with("failed to list snapshots: "), "{body}");
    assert_eq!(body["namespace"], "media");
    assert_eq!(body["pvc"], claim);
    assert_eq!(body["backend"], "kopia-fs");
    assert_eq!(body["source"], format!("{claim}-backup@media:/data"));
}

#[test]
fn cases_25_and_26_unreadable_files() {
    let world = World::fixture();
    let server = Server::ready(&world.repo(), &[]);
    chmod(&world.repo(), 0o000);
    assert_unknown(&server.get("/exists/media/none"), "none");
    chmod(&world.repo(), 0o755);
    until("readable again", || server.ask("media/none") == fresh());
}

#[test]
fn case_27_damaged_indexes() {
    let world = World::fixture();
    let blob = world.index_blobs().remove(0);
    let whole = std::fs::read(&blob).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&whole[..whole.len() / 2], &flipped, &[]] {
        std::fs::write(&blob, damaged).unwrap();
        let server = Server::start(&world.repo(), &[("HTTP_TIMEOUT", "8s")]);
        for claim in ["media/web", "media/none", "media/gone"] {
            assert_ne!(server.ask(claim), fresh(), "{claim}");
        }
        assert_eq!(server.get("/readyz").status, 503);
        std::fs::write(&blob, &whole).unwrap();
        until("mended", || server.ask("media/none") == fresh());
    }
}

#[test]
fn case_28_a_manifest_that_cannot_be_parsed() {
    let mut world = World::fixture();
    let labels = |with_path: bool| {
        let mut labels = vec![("type", "snapshot"), ("username", "bad-backup"), ("hostname", "media")];
        if with_path {
            labels.push(("path", "/data"));
        }
        let owned = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        owned.collect::<BTreeMap<_, _>>()
    };
    world.writer.put_manifest(labels(true), serde_json::json!({"startTime": ["never"]}));
    world.flush();
    let server = Server::ready(&world.repo(), &[]);
    assert_unknown(&server.get("/exists/media/bad"), "bad");
    assert_eq!(server.ask("media/none"), fresh());
    // A good snapshot beside it is proof enough.
    world.add("bad-backup@media:/data");
    until("proved", || server.ask("media/bad") == restore());
}

#[test]
fn case_29_all_blobs_are_removed() {
    let world = World::fixture();
    let settings = [("CACHE_TTL", "1s"), ("RE_WARM_INTERVAL", "1s")];
    let server = Server::ready(&world.repo(), &settings);
    assert_eq!(server.ask("media/none"), fresh());
    let away = world.beside("away");
    std::fs::rename(world.repo(), &away).unwrap();
    std::fs::create_dir(world.repo()).unwrap();
    assert_eq!(server.ask("media/none"), unknown(), "an empty directory");
    until("even what was known is forgotten", || server.ask("media/web") == unknown());
    until("not ready", || server.get("/readyz").status == 503);
    std::fs::remove_dir(world.repo()).unwrap();
    std::fs::rename(&away, world.repo()).unwrap();
    until("mounted again", || server.ask("media/none") == fresh() && server.get("/readyz").status == 200);
}

#[test]
fn case_30_another_repository_with_the_same_password() {
    let world = World::fixture();
    let mut other = World::seeded(2);
    other.add("stranger-backup@media:/data");
    let server = Server::ready(&world.repo(), &[("RE_WARM_INTERVAL", "1s")]);
    let away = world.beside("away");
    std::fs::rename(world.repo(), &away).unwrap();
    crate::common::damage::copy(&other.repo(), &world.repo());
    for claim in ["media/none", "media/web", "media/stranger"] {
        until("replaced", || server.ask(claim) == unknown());
    }
    let response = server.get("/exists/media/none");
    assert_eq!(response.headers["rokopia-reason"], "repository-replaced");
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.json()["error"].as_str().unwrap().contains("replaced"));
    drop(server);
    let server = Server::ready(&world.repo(), &[]);
    assert_eq!(server.ask("media/stranger"), restore(), "a restart accepts it");
    drop(server);
    std::fs::remove_dir_all(world.repo()).unwrap();
    std::fs::rename(&away, world.repo()).unwrap();
    let server = Server::start(&world.repo(), &[("ROKOPIA_EXPECTED_ID", "00ff")]);
    until("never the expected one", || server.ask("media/none") == unknown());
    assert_eq!(server.ask("media/web"), unknown());
}

#[test]
fn a_repository_with_too_few_sources_has_no_absent_claims() {
    let world = World::fixture();
    let server = Server::ready(&world.repo(), &[("ROKOPIA_MIN_SOURCES", "100")]);
    assert_eq!((server.ask("media/none"), server.ask("media/web")), (unknown(), restore()));
    assert_eq!(server.get("/exists/media/none").headers["rokopia-reason"], "too-few-sources");
}

/// A storage that hangs, and the file whose existence makes it hang.
fn hanging(world: &World, settings: &[(&str, &str)]) -> (Server, std::path::PathBuf) {
    let gate = world.beside("gate");
    let gate_path = gate.to_str().unwrap().to_owned();
    let mut settings = settings.to_vec();
    settings.push(("ROKOPIA_TESTKIT_GATE", &gate_path));
    let server = Server::ready(&world.repo(), &settings);
    std::fs::write(&gate, b"").unwrap();
    (server, gate)
}

/// Waits until the service has taken so many questions in all.
fn arrived(server: &Server, questions: f64) {
    until("all have arrived", || server.metric("pvc_plumber_requests_total") == Some(questions));
}

#[test]
fn cases_31_and_32_storage_that_hangs() {
    let world = World::fixture();
    let (quick, _) = hanging(&world, &[("HTTP_TIMEOUT", "1s")]);
    assert_unknown(&quick.get("/exists/media/none"), "none");
    assert_eq!(quick.ask("media/web"), restore(), "known ones do not need the storage");
    assert_eq!(quick.get("/readyz").status, 200, "case 43");
    let world = World::fixture();
    let (slow, _) = hanging(&world, &[("HTTP_TIMEOUT", "12s")]);
    let asked = Instant::now();
    assert_unknown(&slow.get("/exists/media/none"), "none");
    assert!(asked.elapsed() >= Duration::from_secs(12), "case 32");
}

#[test]
fn case_33_whoever_leaves_takes_no_answer_with_him() {
    let world = World::fixture();
    let (server, gate) = hanging(&world, &[]);
    let leader = server.send("GET", "/exists/media/none", &[], "");
    arrived(&server, 1.0);
    let follower = server.send("GET", "/exists/media/none", &[], "");
    arrived(&server, 2.0);
    drop(leader);
    std::fs::remove_file(gate).unwrap();
    assert_eq!(follower.receive().decision(), fresh());
    assert_eq!(server.ask("media/none"), fresh());
}

#[test]
fn case_34_a_new_snapshot_is_seen_at_once() {
    let mut world = World::fixture();
    let server = Server::ready(&world.repo(), &[("CACHE_TTL", "2s"), ("RE_WARM_INTERVAL", "0")]);
    assert_eq!(server.ask("media/new"), fresh());
    world.add("new-backup@media:/data");
    assert_eq!(server.ask("media/new"), restore(), "a no is never older than its question");
}

#[test]
fn cases_35_and_36_refreshes_bring_news() {
    let mut world = World::empty();
    let web = world.add("web-backup@media:/data");
    let server = Server::ready(&world.repo(), &[("CACHE_TTL", "60s"), ("RE_WARM_INTERVAL", "2s")]);
    assert_eq!((server.ask("media/web"), server.ask("media/new")), (restore(), fresh()));
    world.delete(&web);
    world.add("new-backup@media:/data");
    until("case 35", || server.ask("media/web") == fresh());
    until("case 36", || server.ask("media/new") == restore());
}

#[test]
fn case_37_old_answers_run_out() {
    let world = World::fixture();
    let server = Server::ready(&world.repo(), &[("CACHE_TTL", "2s"), ("RE_WARM_INTERVAL", "1s")]);
    chmod(&world.repo(), 0o000);
    until("unknown", || {
        let answer = server.ask("media/web");
        assert!(answer == restore() || answer == unknown(), "{answer:?}");
        answer == unknown()
    });
    chmod(&world.repo(), 0o755);
}

#[test]
fn case_38_many_ask_the_same() {
    let world = World::fixture();
    let (server, gate) = hanging(&world, &[]);
    let before = server.metric("rokopia_refreshes_total{result=\"success\"}").unwrap();
    let open: Vec<_> = (0..50).map(|_| server.send("GET", "/exists/media/none", &[], "")).collect();
    arrived(&server, 50.0);
    std::fs::remove_file(gate).unwrap();
    let bodies: Vec<String> = open.into_iter().map(|open| open.receive().body).collect();
    assert!(bodies.iter().all(|body| *body == bodies[0] && body.contains("\"fresh\"")), "{bodies:?}");
    let refreshed = server.metric("rokopia_refreshes_total{result=\"success\"}").unwrap() - before;
    assert!(refreshed <= 3.0, "{refreshed} refreshes for one question");
    let followers = server.metric("pvcplumber_exists_singleflight_dedup_total").unwrap();
    assert!((1.0..=49.0).contains(&followers), "{followers}");
}

#[test]
fn case_39_many_ask_different_things_of_a_cold_service() {
    let world = World::fixture();
    let server = Server::start(&world.repo(), &[("HTTP_TIMEOUT", "10s")]);
    let barrier = Barrier::new(100);
    std::thread::scope(|scope| {
        for number in 0..100 {
            let (server, barrier) = (&server, &barrier);
            scope.spawn(move || {
                barrier.wait();
                assert_eq!(server.ask(&format!("media/claim-{number}")), fresh());
            });
        }
    });
}

#[test]
fn case_40_without_a_cache_every_answer_is_of_now() {
    let mut world = World::fixture();
    let server = Server::ready(&world.repo(), &[("CACHE_TTL", "0s")]);
    for _ in 0..3 {
        assert_eq!(server.ask("media/now"), fresh());
        let id = world.add("now-backup@media:/data");
        assert_eq!(server.ask("media/now"), restore());
        world.delete(&id);
    }
    assert_eq!(server.ask("media/now"), fresh());
}
