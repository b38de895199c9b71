//! What is served beyond the contract: `/v1/` and the page for people.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common;
use crate::process::Server;
use crate::world::World;

#[test]
fn what_the_api_tells() {
    let world = World::fixture();
    let server = Server::ready(&world.repo(), &[]);
    let repository = server.get("/v1/repository").json();
    assert_eq!((&repository["sources"], &repository["snapshots"]), (&Value::from(8), &Value::from(9)));
    assert_eq!(repository["ready"], true);
    assert_eq!(repository["doubts"], Value::Array(vec![]));
    let sources = server.get("/v1/sources").json();
    let web = sources["sources"].as_array().unwrap().iter().find(|s| s["user"] == "web-backup").unwrap();
    assert_eq!((&web["snapshots"], &web["incomplete"]), (&Value::from(2), &Value::from(0)));
    let half = server.get("/v1/snapshots?source=half-backup@media:/data").json();
    let incomplete = &half["snapshot"]["incomplete"];
    assert_eq!((&half["state"], incomplete), (&Value::from("exists"), &Value::from("limit reached")));
    let all = server.get("/v1/snapshots").json();
    let all = all["snapshots"].as_array().unwrap();
    assert_eq!(all.len(), 9);
    let incomplete: Vec<_> = all.iter().filter(|s| !s["incomplete"].is_null()).collect();
    assert_eq!(incomplete.len(), 1);
    assert_eq!(incomplete[0]["source"]["userName"], "half-backup");
    let chosen = server.get("/v1/snapshots?source=web-backup@media:/data").json();
    let (newest, oldest) = (&chosen["snapshot"]["start"], &web["oldest"]);
    assert_eq!(newest, &web["newest_complete"]);
    let before = format!("/v1/snapshots?source=web-backup%40media:/data&as_of={}", oldest.as_str().unwrap());
    assert_eq!(&server.get(&before).json()["snapshot"]["start"], oldest);
    let never = server.get("/v1/snapshots?source=web-backup@media:/data&as_of=2001-01-01T00:00:00Z");
    assert_eq!((never.status, &never.json()["state"]), (200, &Value::from("absent")));
    let audit = server.get("/v1/audit?max_age=26h").json();
    assert_eq!((&audit["ok"], audit["stale"].as_array().unwrap().len()), (&Value::from(false), 8));
    let lenient = server.get("/v1/audit?max_age=876000h").json();
    assert_eq!(lenient["stale"].as_array().unwrap().len(), 1, "the one that was never completed");
    for bad in [
        "/v1/audit?max_age=1d",
        "/v1/audit?max_age=-1h",
        "/v1/snapshots?as_of=2026-01-01T00:00:00Z",
        "/v1/snapshots?source=web",
    ] {
        let response = server.get(bad);
        assert_eq!(
            (response.status, &response.json()["error"]["code"]),
            (400, &Value::from("usage")),
            "{bad}"
        );
    }
    assert_eq!(server.get("/v1/openapi.json").json()["openapi"], "3.1.0");
}

#[test]
fn programs_read_the_same_from_the_command_and_over_http() {
    let world = World::fixture();
    let server = Server::ready(&world.repo(), &[]);
    for list in ["snapshots", "sources"] {
        let output = Command::new(env!("CARGO_BIN_EXE_rokopia"))
            .args([list, "--json", "--repo"])
            .arg(world.repo())
            .env("ROKOPIA_PASSWORD", crate::world::PASSWORD)
            .output()
            .unwrap();
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(!printed.as_array().unwrap().is_empty());
        assert_eq!(server.get(&format!("/v1/{list}")).json()[list], printed, "{list}");
    }
}

/// Every field that is served is described, and every described field that must be there is served.
#[test]
fn the_api_is_as_described() {
    let world = World::fixture();
    let server = Server::ready(&world.repo(), &[]);
    let description = server.get("/v1/openapi.json").json();
    for (path, asked) in [
        ("/exists/{namespace}/{pvc}", "/exists/media/web"),
        ("/exists/{namespace}/{pvc}", "/exists/media"),
        ("/healthz", "/healthz"),
        ("/readyz", "/readyz"),
        ("/v1/ready", "/v1/ready"),
        ("/v1/decision/{namespace}/{pvc}", "/v1/decision/media/web"),
        ("/v1/decision/{namespace}/{pvc}", "/v1/decision/media"),
        ("/v1/repository", "/v1/repository"),
        ("/v1/sources", "/v1/sources"),
        ("/v1/snapshots", "/v1/snapshots?source=web-backup@media:/data"),
        ("/v1/snapshots", "/v1/snapshots?source=none-backup@media:/data"),
        ("/v1/snapshots", "/v1/snapshots"),
        ("/v1/snapshots", "/v1/snapshots?source=web"),
        ("/v1/audit", "/v1/audit"),
        ("/v1/audit", "/v1/audit?max_age=x"),
    ] {
        let response = server.get(asked);
        let described = &description["paths"][path]["get"]["responses"][response.status.to_string()];
        let schema = &described["content"]["application/json"]["schema"];
        assert!(!schema.is_null(), "{asked}: {} is not described", response.status);
        conforms(&description, schema, &response.json(), asked);
    }
}

fn conforms(description: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        return conforms(description, description.pointer(&name[1..]).unwrap(), value, place);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let has_all = |choice: &Value| {
            let resolved =
                choice["$ref"].as_str().map_or(choice, |name| description.pointer(&name[1..]).unwrap());
            let required = resolved["required"].as_array().into_iter().flatten();
            required.into_iter().all(|key| value.get(key.as_str().unwrap()).is_some())
        };
        let choice =
            choices.iter().find(|choice| (choice["type"] == "null") == value.is_null() && has_all(choice));
        return conforms(description, choice.unwrap_or_else(|| panic!("{place}: {value}")), value, place);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is = |kind: &str| match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(|k| k == kind),
        single => single == kind,
    };
    assert!(is(kind) || kind == "integer" && is("number"), "{place}: {value} is no {}", schema["type"]);
    if let Some(object) = value.as_object() {
        for (key, value) in object {
            let others = &schema["additionalProperties"];
            let property = schema["properties"].get(key).unwrap_or(others);
            if property == &Value::Bool(true) {
                continue;
            }
            assert!(!property.is_null(), "{place}: {key} is not described");
            conforms(description, property, value, &format!("{place} {key}"));
        }
        for key in schema["required"].as_array().into_iter().flatten() {
            assert!(object.contains_key(key.as_str().unwrap()), "{place}: {key} is missing");
        }
    }
    for item in value.as_array().into_iter().flatten() {
        conforms(description, &schema["items"], item, place);
    }
}

/// Sources with a history, a stale one, one in doubt, and a name that tries to be markup.
fn world_for_the_page() -> World {
    let mut world = World::fixture();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for day in (0..45).rev() {
        world.writer.set_now(now - day * 86_400 - 3_600);
        for (name, every) in [("photos", 1), ("database", 2), ("mail", 7)] {
            if day % every == 0 {
                world.add(&format!("{name}-backup@home:/data"));
            }
        }
    }
    world.add("<script>alert(1)</script>@evil:/data");
    let labels = [("type", "snapshot"), ("username", "odd-backup"), ("hostname", "media"), ("path", "/data")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    world.writer.put_manifest(labels.into(), serde_json::json!({"startTime": ["never"]}));
    world.flush();
    world
}

#[test]
fn the_page_names_every_source_and_runs_nothing() {
    let world = world_for_the_page();
    let server = Server::ready(&world.repo(), &[]);
    let page = server.get("/");
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert!(page.headers["content-security-policy"].starts_with("default-src 'none'"));
    for text in [
        "photos-backup@home:/data",
        "web-backup@media:/data",
        "&lt;script&gt;alert(1)&lt;/script&gt;@evil:/data",
        "stale",
        "(1 incomplete)",
        "odd-backup",
        // The worst of all comes first, not that questions are answered.
        "<span class=\"warn\">● 8 of 12 sources are stale",
        "href=\"/v1/audit\"",
        "href=\"data:image/svg+xml,",
        concat!("rokopia ", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(page.body.contains(text), "{text}");
    }
    assert!(
        !page.body.contains("<script") && !page.body.contains("http://") && !page.body.contains("https://")
    );
}

#[test]
fn the_page_shows_what_verify_reported() {
    let world = World::fixture();
    let dir = crate::world::open_dir();
    let report = dir.path().join("report.json");
    let path = report.to_str().unwrap();
    let server = Server::ready(&world.repo(), &[("ROKOPIA_VERIFY_REPORT", path)]);
    let page = server.get("/").body;
    assert!(page.contains("report.json: No such file"), "{page}");
    // Snapshots of this world have no root, which is a damage of each.
    let output = Command::new(env!("CARGO_BIN_EXE_rokopia"))
        .args(["verify", "--report", path, "--repo"])
        .arg(world.repo())
        .env("ROKOPIA_PASSWORD", crate::world::PASSWORD)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    crate::world::chmod(&report, 0o644);
    let page = server.get("/").body;
    assert!(page.contains("<span class=\"bad\">9 problems</span>, 100 % proved (level files)"), "{page}");
    let mut clean: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    clean["result"] = "clean".into();
    std::fs::write(&report, clean.to_string()).unwrap();
    let page = server.get("/").body;
    assert!(page.contains("<span class=\"good\">no damage found</span>"), "{page}");
}

/// A browser that keeps what it keeps in this directory, if there is one.
pub(crate) fn browser(directory: &Path) -> Option<Command> {
    let browsers = ["chromium", "chromium-browser", "google-chrome"];
    let browser = browsers.iter().find(|name| Command::new(name).arg("--version").output().is_ok())?;
    let mut command = Command::new(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]);
    command.arg(format!("--user-data-dir={}", directory.display()));
    Some(command)
}

/// A browser lays the page out on a desk and on a phone, in light and in dark.
#[test]
fn the_page_in_a_browser() {
    if browser(Path::new("")).is_none() {
        return common::say("no Chromium here: the page is not looked at");
    }
    let world = world_for_the_page();
    let server = Server::ready(&world.repo(), &[]);
    let dir = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("ROKOPIA_SCREENSHOTS").map(std::path::PathBuf::from);
    let target: &Path = kept.as_deref().unwrap_or(dir.path());
    for (name, size, dark) in [("desk", "1280,1400", false), ("phone", "390,1600", true)] {
        let file = target.join(format!("page-{name}.png"));
        let mut command = browser(&dir.path().join(name)).unwrap();
        command.arg(format!("--window-size={size}")).arg(format!("--screenshot={}", file.display()));
        if dark {
            command.arg("--blink-settings=preferredColorScheme=0");
        }
        let output = command.arg(format!("http://127.0.0.1:{}/", server.port())).output().unwrap();
        let image = std::fs::read(&file).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        let (width, height) = (big_endian(&image[16..20]), big_endian(&image[20..24]));
        let wanted: Vec<u32> = size.split(',').map(|n| n.parse().unwrap()).collect();
        // A phone's window may be no narrower than the browser allows; the page must not make it wider.
        assert!(width >= wanted[0] && width <= wanted[0].max(500) && height >= wanted[1], "{width}x{height}");
        assert!(image.len() > 20_000, "an empty page: {} bytes", image.len());
    }
}

fn big_endian(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

#[test]
fn the_badge_says_what_the_page_says() {
    let world = World::fixture();
    let server = Server::ready(&world.repo(), &[]);
    let badge = |query: &str| {
        let response = server.get(&format!("/badge.svg{query}"));
        assert_eq!(response.headers["content-type"], "image/svg+xml");
        (response.status, response.body)
    };
    let (status, all) = badge("");
    assert!(status == 200 && all.starts_with("<svg ") && all.contains("stale"), "{all}");
    for (query, status, words) in [
        ("?source=web-backup@media:/data", 200, " ago<"),
        ("?source=none-backup@media:/data", 200, ">none<"),
        ("?source=half-backup@media:/data", 200, ">incomplete<"),
        ("?source=web", 400, "no such name"),
    ] {
        let (given, body) = badge(query);
        assert!(given == status && body.contains(words), "{query}: {given} {body}");
    }
}
