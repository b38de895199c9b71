//! Cases 41 to 60: health, start and end, secrets, metrics, and what policies make of the answers.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common;
use crate::process::{Server, refused, until};
use crate::world::{PASSWORD, World, open_dir};

const OK: &str = "{\"status\":\"ok\"}\n";

#[test]
fn cases_41_and_42_health_and_readiness() {
    let world = World::fixture();
    let server = Server::ready(&world.repo(), &[("CACHE_TTL", "1s"), ("RE_WARM_INTERVAL", "1s")]);
    for path in ["/healthz", "/readyz"] {
        let response = server.get(path);
        assert_eq!((response.status, response.body.as_str()), (200, OK), "{path}");
        assert_eq!(response.headers["content-type"], "application/json");
    }
    std::fs::rename(world.repo(), world.beside("away")).unwrap();
    until("not ready", || server.get("/readyz").status == 503);
    let body = server.get("/readyz").json();
    assert_eq!(body["status"], "not ready");
    assert!(!body["error"].as_str().unwrap().is_empty());
    assert_eq!(server.get("/healthz").body, OK);
    std::fs::rename(world.beside("away"), world.repo()).unwrap();
    until("ready again", || server.get("/readyz").status == 200);
}

/// Kubernetes sends no question to a pod that is not ready: it would get neither what is known, nor why nothing is.
#[test]
fn an_outage_takes_the_service_neither_its_answers_nor_its_reasons() {
    let mut world = World::fixture();
    world.add("late-backup@media:/data");
    let away = world.beside("away");
    std::fs::rename(world.repo(), &away).unwrap();
    std::fs::create_dir(world.repo()).unwrap();
    let server = Server::start(&world.repo(), &[("CACHE_TTL", "1h")]);
    until("a refresh has failed", || {
        server.metric("rokopia_refreshes_total{result=\"failure\"}") > Some(0.0)
    });
    assert_eq!(server.get("/v1/ready").status, 503, "it has never read anything");
    std::fs::remove_dir(world.repo()).unwrap();
    std::fs::rename(&away, world.repo()).unwrap();
    until("read without a question, long before the next regular refresh", || {
        server.get("/v1/ready").status == 200
    });
    crate::world::chmod(&world.repo(), 0o000);
    let failed = server.get("/v1/decision/media/none");
    assert_eq!((failed.status, server.get("/v1/ready").status), (200, 200));
    let body = failed.json();
    assert_eq!((&body["decision"], &body["authoritative"]), (&Value::from("unknown"), &Value::from(false)));
    assert!(body["error"].as_str().unwrap().contains("Permission denied"), "{body}");
    let known = server.get("/v1/decision/media/web").json();
    assert_eq!((&known["decision"], known.get("error")), (&Value::from("restore"), None));
    crate::world::chmod(&world.repo(), 0o755);
    until("read again", || server.get("/readyz").status == 200);
    assert_eq!(server.get("/v1/decision/media/none").json()["decision"], "fresh");
    let invalid = server.get("/v1/decision/media");
    assert_eq!((invalid.status, &invalid.json()["decision"]), (200, &Value::from("unknown")));
}

/// The storage hangs from the very beginning, and for ever.
#[test]
fn case_43_probes_and_shutdown_do_not_wait_for_the_storage() {
    let world = World::fixture();
    let gate = world.beside("gate");
    std::fs::write(&gate, b"").unwrap();
    let settings = [("ROKOPIA_TESTKIT_GATE", gate.to_str().unwrap()), ("HTTP_TIMEOUT", "2s")];
    let mut server = Server::start(&world.repo(), &settings);
    let asked = server.send("GET", "/exists/media/web", &[], "");
    for _ in 0..3 {
        assert_eq!(server.get("/healthz").body, OK);
        assert_eq!(server.get("/readyz").status, 503);
        assert_eq!(server.get("/metrics").status, 200);
        assert_eq!(server.get("/").status, 200);
    }
    server.signal();
    assert_eq!(asked.receive().decision(), (503, "unknown".into()));
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn case_44_a_wrong_password() {
    let world = World::fixture();
    let server = Server::start(&world.repo(), &[("KOPIA_PASSWORD", "wrong"), ("HTTP_TIMEOUT", "5s")]);
    for claim in ["media/web", "media/none"] {
        assert_eq!(server.ask(claim), (503, "unknown".into()), "{claim}");
    }
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("password"), "{}", ready.body);
}

#[test]
fn case_45_an_empty_directory_and_a_repository_that_appears_in_it() {
    let world = World::fixture();
    let away = world.beside("away");
    std::fs::rename(world.repo(), &away).unwrap();
    std::fs::create_dir(world.repo()).unwrap();
    let settings = [("RE_WARM_INTERVAL", "1s"), ("HTTP_TIMEOUT", "2s")];
    let server = Server::start(&world.repo(), &settings);
    assert_eq!(server.ask("media/none"), (503, "unknown".into()));
    assert_eq!(server.get("/readyz").status, 503);
    std::fs::remove_dir(world.repo()).unwrap();
    std::fs::rename(&away, world.repo()).unwrap();
    until("ready by itself", || server.get("/readyz").status == 200);
    assert_eq!(server.ask("media/none"), (200, "fresh".into()));
}

fn assert_refused(output: &Output, words: &[&str]) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    for word in words {
        assert!(errors.contains(word), "{word}: {errors}");
    }
}

#[test]
fn cases_46_to_48_configurations_that_cannot_be() {
    let dir = open_dir();
    let path = dir.path().to_str().unwrap();
    let missing = dir.path().join("missing");
    let missing = missing.to_str().unwrap();
    let location = ("KOPIA_REPOSITORY_PATH", path);
    let password = ("KOPIA_PASSWORD", PASSWORD);
    assert_refused(
        &refused(&[("KOPIA_REPOSITORY_PATH", missing), password]),
        &["Failed to load configuration: ", "KOPIA_REPOSITORY_PATH", "does not exist"],
    );
    assert_refused(&refused(&[location]), &["KOPIA_PASSWORD is required for kopia-fs backend"]);
    assert_refused(&refused(&[location, ("KOPIA_PASSWORD", "")]), &["KOPIA_PASSWORD is required"]);
    for (name, value, words) in [
        ("BACKEND_TYPE", "bogus", "invalid BACKEND_TYPE: bogus"),
        ("BACKEND_TYPE", "s3", "invalid BACKEND_TYPE: s3"),
        ("HTTP_TIMEOUT", "x", "invalid HTTP_TIMEOUT: time: invalid duration \"x\""),
        ("CACHE_TTL", "x", "invalid CACHE_TTL: "),
        ("RE_WARM_INTERVAL", "x", "invalid RE_WARM_INTERVAL: "),
        ("RE_WARM_INTERVAL", "-1s", "RE_WARM_INTERVAL must be >= 0, got -1s"),
        ("PORT", "http", "invalid PORT: "),
        ("ROKOPIA_SOURCE_TEMPLATE", "{pvc}", "not a source template"),
        ("ROKOPIA_EXPECTED_ID", "xyz", "invalid ROKOPIA_EXPECTED_ID: "),
        ("ROKOPIA_ALTERED_NAMES", "absent", "unknown or exists"),
    ] {
        let output = refused(&[location, password, (name, value)]);
        assert_refused(&output, &["Failed to load configuration: ", words]);
    }
}

#[test]
fn case_49_and_the_variables_of_the_reference_that_mean_nothing_here() {
    let world = World::fixture();
    let server = Server::ready(
        &world.repo(),
        &[
            ("LOG_LEVEL", "nonsense"),
            ("KOPIA_CONFIG_PATH", "/tmp/kopia/config/repository.config"),
            ("KOPIA_LOG_DIR", "/tmp/kopia/logs"),
            ("KOPIA_CACHE_DIRECTORY", "/tmp/kopia/cache"),
            ("HOME", "/nonexistent"),
            ("USER", "plumber"),
        ],
    );
    server.ask("media/web");
    until("logged", || server.log().contains("\"decision\":\"restore\""));
    let log = server.log();
    let line = log.lines().find(|line| line.contains("\"msg\":\"decision\"")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    for field in ["time", "level", "msg", "namespace", "pvc", "source", "snapshots", "view_age_ms", "took_us"]
    {
        assert!(!line[field].is_null(), "{field}: {line}");
    }
}

#[test]
fn case_50_open_requests_are_completed() {
    let world = World::fixture();
    let gate = world.beside("gate");
    let path = gate.to_str().unwrap().to_owned();
    let mut server = Server::ready(&world.repo(), &[("ROKOPIA_TESTKIT_GATE", &path)]);
    std::fs::write(&gate, b"").unwrap();
    let open = server.send("GET", "/exists/media/none", &[], "");
    until("the request arrived", || server.metric("pvc_plumber_requests_total") == Some(1.0));
    let stopped = Instant::now();
    server.signal();
    std::thread::sleep(Duration::from_millis(300));
    std::fs::remove_file(gate).unwrap();
    assert_eq!(open.receive().decision(), (200, "fresh".into()));
    assert_eq!(server.exit_code(), Some(0));
    assert!(stopped.elapsed() < Duration::from_secs(10));
    until("the last line is written", || server.log().contains("\"decision\":\"fresh\""));
}

#[test]
fn case_51_a_port_that_is_taken() {
    let world = World::fixture();
    let server = Server::start(&world.repo(), &[]);
    let (port, path) = (server.port().to_string(), world.repo());
    let listen = format!("127.0.0.1:{port}");
    let output = refused(&[
        ("ROKOPIA_LISTEN", &listen),
        ("KOPIA_REPOSITORY_PATH", path.to_str().unwrap()),
        ("KOPIA_PASSWORD", PASSWORD),
    ]);
    assert_refused(&output, &["error[listen-failed]", &port]);
}

/// The process has no rights in the repository but to read it, no home and next to no environment.
#[test]
fn cases_52_to_54_it_reads_only_keeps_the_password_and_stays_small() {
    let world = World::fixture();
    let before = world.contents();
    let server = Server::ready(&world.repo(), &[("LOG_LEVEL", "debug")]);
    let mut said = String::new();
    for path in ["/exists/media/web", "/exists/media/none", "/exists/", "/metrics", "/", "/v1/repository"] {
        said.push_str(&server.get(path).body);
    }
    let process = format!("/proc/{}", server.pid());
    said.push_str(&std::fs::read_to_string(format!("{process}/cmdline")).unwrap());
    until("logged", || server.log().contains("decision"));
    said.push_str(&server.log());
    assert!(!said.contains(PASSWORD), "case 53");
    let peak = server.memory("VmHWM");
    assert!(peak < 128 << 10, "case 54: {peak} KiB");
    let writable: Vec<_> = std::fs::read_dir(format!("{process}/fd")).map_or_else(
        |_| Vec::new(),
        |entries| entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok()).collect(),
    );
    assert!(!writable.iter().any(|path| path.starts_with("/tmp") && !path.starts_with(world.repo())));
    drop(server);
    assert!(world.contents() == before, "case 52");
}

#[test]
fn cases_55_and_56_metrics() {
    let world = World::fixture();
    let server = Server::ready(&world.repo(), &[("ROKOPIA_METRIC_SOURCES", "3")]);
    let response = server.get("/metrics");
    assert_eq!(response.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "pvc_plumber_requests_total 0",
        "pvc_plumber_requests_errors_total 0",
        "# TYPE pvc_plumber_backup_check_total counter",
        "pvcplumber_exists_singleflight_dedup_total 0",
        "rokopia_sources_omitted 5",
        "rokopia_source_snapshots{user=\"api-backup\",host=\"prod\",path=\"/data\"} 1",
    ] {
        assert!(response.body.lines().any(|l| l == line), "{line} is missing in\n{}", response.body);
    }
    assert!(!response.body.contains("pvc_plumber_backup_check_total{"));
    assert_eq!(response.body.matches("rokopia_source_snapshots{").count(), 3, "the limit");
    server.get("/exists/media/web");
    server.get("/exists/media/none");
    server.get("/exists/media");
    crate::world::chmod(&world.repo(), 0o000);
    assert_eq!(server.get("/exists/media/other").status, 503);
    crate::world::chmod(&world.repo(), 0o755);
    assert_eq!(server.metric("pvc_plumber_requests_total"), Some(4.0));
    assert_eq!(server.metric("pvc_plumber_requests_errors_total"), Some(2.0));
    for (decision, count) in [("restore", 1.0), ("fresh", 1.0), ("unknown", 1.0)] {
        let name = format!("pvc_plumber_backup_check_total{{backend=\"kopia-fs\",decision=\"{decision}\"}}");
        assert_eq!(server.metric(&name), Some(count), "{decision}");
    }
}

#[test]
fn metrics_of_the_program_the_process_and_the_repository() {
    let world = World::fixture();
    let server = Server::ready(&world.repo(), &[]);
    server.get("/exists/media/none");
    crate::process::until("the repository is measured", || {
        server.metric("rokopia_repository_blobs{kind=\"metadata\"}") > Some(0.0)
    });
    let metric = |name: &str| server.metric(name).unwrap_or_else(|| panic!("{name} is missing"));
    assert_eq!(metric(concat!("rokopia_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}")), 1.0);
    let route = "route=\"/exists/{namespace}/{pvc}\"";
    assert_eq!(metric(&format!("rokopia_http_request_duration_seconds_count{{{route}}}")), 1.0);
    assert_eq!(metric(&format!("rokopia_http_request_duration_seconds_bucket{{{route},le=\"+Inf\"}}")), 1.0);
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_open_fds",
        "rokopia_open_duration_seconds",
        "rokopia_repository_size_bytes{kind=\"metadata\"}",
    ] {
        assert!(metric(name) > 0.0, "{name}");
    }
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/existence.md")).unwrap();
    let text = server.get("/metrics").body;
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(docs.contains(name), "{name} is not explained in docs/existence.md");
    }
    lint(&text);
}

/// What Prometheus' own tool has to say about the names and types.
fn lint(text: &str) {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else { return common::say("no promtool here: metrics NOT CHECKED by it") };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The conditions of the policies, on the bodies that they would see.
#[test]
fn cases_57_to_59_what_policies_make_of_it() {
    let world = World::fixture();
    let server = Server::ready(&world.repo(), &[]);
    let found = server.get("/exists/media/web").json();
    let fresh = server.get("/exists/media/none").json();
    assert!(server.get("/readyz").json().is_object(), "case 58");
    crate::world::chmod(&world.repo(), 0o000);
    let failed = server.get("/exists/media/other").json();
    crate::world::chmod(&world.repo(), 0o755);
    let denied = |body: &Value| {
        body["authoritative"] == false
            || body["decision"] == "unknown"
            || body.get("error").is_some_and(|error| error != "")
    };
    let injected = |body: &Value| {
        body["authoritative"] == true && body["decision"] == "restore" && body["exists"] == true
    };
    assert_eq!([&found, &fresh, &failed].map(denied), [false, false, true], "case 57, rule 1");
    assert_eq!([&found, &fresh, &failed].map(injected), [true, false, false], "case 57, rule 2");
    assert_eq!((&found["exists"], &fresh["exists"]), (&Value::Bool(true), &Value::Bool(false)), "case 58");
    for body in [&found, &fresh, &failed] {
        assert!(body["authoritative"].is_boolean(), "case 59");
        assert!(body.get("error").is_none_or(Value::is_string), "case 59");
    }
}

#[test]
fn case_60_legacy_answers_warn_of_themselves() {
    let world = World::fixture();
    let server = Server::start_with(&world.repo(), &[], &["--legacy-answers"]);
    until("ready", || server.get("/readyz").status == 200);
    assert!(server.log().contains("legacy answers are on"));
    crate::world::chmod(&world.repo(), 0o000);
    let failed = server.get("/exists/media/other");
    crate::world::chmod(&world.repo(), 0o755);
    assert_eq!(failed.status, 200);
    let body = failed.json();
    assert!(body["exists"] == false && body["error"].is_string() && body.get("decision").is_none(), "{body}");
    let invalid = server.get("/exists/media");
    assert_eq!(invalid.status, 400);
    let body = "{\"error\":\"invalid path format, expected /exists/{namespace}/{pvc}\",\"exists\":false}\n";
    assert_eq!(invalid.body, body);
}
