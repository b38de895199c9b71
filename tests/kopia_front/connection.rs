//! Connecting, disconnecting, and what is left on disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::support::{Place, testdata};

fn place() -> Place {
    Place::new(&testdata("basic"))
}

fn names(place: &Place) -> Vec<String> {
    let directory = fs::read_dir(place.config().parent().unwrap());
    let mut names: Vec<String> = directory
        .map(|all| all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

#[test]
fn a_connection_is_written_as_kopia_writes_it() {
    let place = place();
    place.connect();
    let repository = place.repository.to_str().unwrap();
    let expected = format!(
        r#"{{
  "storage": {{
    "type": "filesystem",
    "config": {{
      "path": "{repository}",
      "fileMode": 384,
      "dirMode": 448,
      "dirShards": null
    }}
  }},
  "caching": {{
    "cacheDirectory": "../cache",
    "maxCacheSize": 5242880000,
    "maxMetadataCacheSize": 5242880000,
    "maxListCacheDuration": 30
  }},
  "hostname": "nas",
  "username": "root",
  "readonly": true,
  "description": "Repository in Filesystem: {repository}",
  "enableActions": false,
  "formatBlobCacheDuration": 900000000000
}}"#
    );
    assert_eq!(fs::read_to_string(place.config()).unwrap(), expected);
    let password = place.config().with_extension("config.kopia-password");
    assert_eq!(fs::read_to_string(&password).unwrap(), "cm9rb3BpYQ==");
    for file in [place.config(), password] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // The password is remembered.
    let done = place.front().env_remove("KOPIA_PASSWORD").args(["repository", "status"]).output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(text.contains("\nHostname:            nas\nUsername:            root\n"), "{text}");
    assert_eq!(names(&place).len(), 2);

    assert_eq!(place.run(&["repository", "disconnect"]).exit, 0);
    assert!(names(&place).is_empty());
    let again = place.run(&["repository", "disconnect"]);
    assert_eq!(again.exit, 1);
    assert!(again.stderr.starts_with("unable to disconnect from repository: "), "{}", again.stderr);
    let done = place.run(&["snapshot", "list", "--json"]);
    assert_eq!((done.exit, done.text().as_str()), (1, ""));
    assert!(done.stderr.contains("repository is not connected"));
}

#[test]
fn what_cannot_be_connected_leaves_nothing() {
    let place = place();
    let repository = place.repository.to_str().unwrap();
    let empty = place.directory.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let elsewhere = place.directory.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("file"), "x").unwrap();
    for (path, password, message) in [
        (
            repository,
            "wrong",
            "error connecting to repository: unable to create format manager: invalid repository password",
        ),
        (
            empty.to_str().unwrap(),
            "x",
            "error connecting to repository: repository not initialized in the provided storage",
        ),
        (
            elsewhere.to_str().unwrap(),
            "x",
            "error connecting to repository: repository not initialized in the provided storage",
        ),
        ("relative", "x", "can't connect to storage: filesystem repository path must be absolute"),
        (
            "/nonexistent/x",
            "x",
            "can't connect to storage: cannot access storage path: stat /nonexistent/x: no such file or directory",
        ),
    ] {
        let done =
            place.run(&["repository", "connect", "filesystem", "--path", path, "--password", password]);
        assert_eq!((done.exit, done.stderr.trim_end()), (1, message));
        assert!(done.stdout.is_empty() && names(&place).is_empty(), "{path}");
    }
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    // A wrong password takes an older connection with it, as it does for Kopia.
    place.connect();
    let done = place.run(&["repository", "connect", "filesystem", "--path", repository, "-pwrong"]);
    assert_eq!((done.exit, names(&place).len()), (1, 0));
}

#[test]
fn options_of_a_connection() {
    let place = place();
    let repository = place.repository.to_str().unwrap();
    let options = [
        "repo",
        "connect",
        "--content-cache-size-mb",
        "100",
        "filesystem",
        "--metadata-cache-size-mb=50",
        "--max-list-cache-duration",
        "1m30s",
        "--no-persist-credentials",
        "--override-username=u",
        "--description",
        "mine",
        "--owner-uid=5",
        "--flat",
        "--max-download-speed=5",
        "--path",
        repository,
    ];
    assert_eq!(place.run(&options).exit, 0);
    assert_eq!(names(&place), ["kopia.config"]);
    let config: serde_json::Value = serde_json::from_slice(&fs::read(place.config()).unwrap()).unwrap();
    assert_eq!(config["caching"]["maxCacheSize"], 100 << 20);
    assert_eq!(config["caching"]["maxMetadataCacheSize"], 50 << 20);
    assert_eq!(config["caching"]["maxListCacheDuration"], 90);
    assert_eq!(config["storage"]["config"]["uid"], 5);
    assert_eq!(config["storage"]["config"]["dirShards"], serde_json::json!([]));
    assert_eq!(config["storage"]["config"]["maxDownloadSpeedBytesPerSecond"], 5);
    assert_eq!((&config["username"], &config["description"]), (&"u".into(), &"mine".into()));
    assert!(config.get("readonly").is_none());
    let done = place.front().env_remove("KOPIA_PASSWORD").args(["repository", "status"]).output().unwrap();
    assert_eq!(done.status.code(), Some(1), "the password was not to be kept");

    for arguments in [
        &["repository", "throttle", "set", "--download-bytes-per-second", "1000000"][..],
        &["repository", "set-client", "--username=v", "--hostname=w", "--read-only"],
        &["cache", "set", "--cache-directory", "/elsewhere", "--content-cache-size-mb=7"],
    ] {
        assert_eq!(place.run(arguments).exit, 0, "{arguments:?}");
    }
    let config: serde_json::Value = serde_json::from_slice(&fs::read(place.config()).unwrap()).unwrap();
    assert_eq!(config["throttlingLimits"], serde_json::json!({"maxDownloadSpeedBytesPerSecond": 1_000_000}));
    assert_eq!((&config["username"], &config["hostname"]), (&"v".into(), &"w".into()));
    assert_eq!((&config["readonly"], &config["caching"]["maxCacheSize"]), (&true.into(), &7_000_000.into()));
    assert_eq!(place.run(&["repository", "set-client"]).stderr, "no changes\n");
}

#[test]
fn connections_are_handed_on() {
    let place = place();
    place.connect();
    let done = place.run(&["repository", "status", "-t", "-s"]);
    let text = done.text();
    let token = text.lines().find_map(|line| line.split_once("--token ")).unwrap().1.to_owned();
    let config = place.directory.path().join("other.config");
    let config = config.to_str().unwrap();
    let source = place.config();
    for how in [["--token", &token], ["--file", source.to_str().unwrap()]] {
        let arguments =
            [&["--config-file", config, "repository", "connect", "from-config"], &how[..]].concat();
        let mut command = place.front();
        if how[0] == "--token" {
            command.env_remove("KOPIA_PASSWORD");
        }
        let done = command.args(arguments).output().unwrap();
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
        let written = fs::read_to_string(config).unwrap();
        assert!(!written.contains("\"nas\""), "the identity is that of this machine");
        assert_eq!(place.run(&["repository", "disconnect", "--config-file", config]).exit, 0);
    }
    let done = place.run(&["repository", "connect", "from-config"]);
    assert!(done.stderr.contains("one of --file, --token-file, --token-stdin or --token must be provided"));
}

#[test]
fn nothing_but_the_environment_is_needed() {
    let place = place();
    let status = |arguments: &[&str]| {
        let mut command = place.front();
        command.env_remove("HOME").args(arguments).output().unwrap()
    };
    let repository = place.repository.to_str().unwrap();
    assert_eq!(status(&["repository", "connect", "filesystem", "--path", repository]).status.code(), Some(0));
    let listed = status(&["snapshot", "list", "--all", "--json", "--no-auto-maintenance", "--progress"]);
    let listed: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed.len(), 3);
}
