//! Remotes of rclone, which our command starts by itself.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::{Case, say, testdata};
use crate::real::{free_port, is_the_same, run};

/// The directories of programs, where rclone is among them.
fn path() -> Option<String> {
    let path = std::env::var("PATH").unwrap();
    if std::env::split_paths(&path).any(|directory| directory.join("rclone").is_file()) {
        return Some(path);
    }
    let required = std::env::var("ROKOPIA_REQUIRE_SERVERS").is_ok_and(|value| value == "1");
    assert!(!required, "there is no rclone");
    say("rclone: NOT CHECKED, it is not installed");
    None
}

fn remote(directory: &Path) -> String {
    format!("rclone::local:{}", directory.display())
}

/// What our command says when it asks for a source that is not there.
fn asked(case: &Case, location: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = run(location, variables, case.password(), &["exists", "nobody@nowhere:/nothing"]);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_remote_gives_what_its_directory_gives_and_no_proxy_is_asked() {
    let Some(path) = path() else { return };
    let case = Case::load(&testdata().join("basic")).unwrap();
    let variables = [("PATH", path.as_str()), ("HTTP_PROXY", "http://127.0.0.1:1"), ("RCLONE_QUIET", "true")];
    is_the_same(&case, &remote(&case.repo()), &variables);
}

#[test]
fn a_connection_of_kopia_to_a_remote() {
    let Some(path) = path() else { return };
    let case = Case::load(&testdata().join("basic")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("repository.config");
    let config = serde_json::json!({"storage": {"type": "rclone", "config": {
        "remotePath": "here:", "rcloneEnv": ["RCLONE_CONFIG_HERE_TYPE=alias",
        format!("RCLONE_CONFIG_HERE_REMOTE={}", case.repo().display())],
        "startupTimeout": "1m0s", "atomicWrites": true, "dirShards": null,
    }}});
    std::fs::write(&file, config.to_string()).unwrap();
    let variables = [("PATH", path.as_str())];
    let output = run(&format!("@{}", file.display()), &variables, case.password(), &["snapshots", "--json"]);
    assert_eq!(output.stdout, case.run(&["snapshots", "--json"]).stdout, "{output:?}");
}

#[test]
fn what_rclone_does_not_serve_is_unknown_and_never_absent() {
    let Some(path) = path() else { return };
    let case = Case::load(&testdata().join("basic")).unwrap();
    let variables = [("PATH", path.as_str())];
    let empty = tempfile::tempdir().unwrap();
    for (location, expected) in [
        ("rclone:no-such-remote:x".to_owned(), "error[rclone-ended]"),
        (remote(&empty.path().join("none")), "error[bucket-missing]"),
        (remote(empty.path()), "error[bucket-missing]"),
    ] {
        let (code, said) = asked(&case, &location, &variables);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(expected), "{location}: {said}");
    }
    let (code, said) = asked(&case, &remote(&case.repo()), &[("PATH", "/none")]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("error[location-unsupported]") && said.contains("install rclone"), "{said}");
    let (code, said) = asked(&case, "rclone:no-such-remote:x", &[variables[0], ("ROKOPIA_SANDBOX", "auto")]);
    assert!(code == Some(3) && said.contains("didn't find section"), "{said}");
}

#[test]
fn an_rclone_that_ends_is_named_with_its_last_words() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("rclone");
    let script = "#!/bin/sh\necho 'started on http://127.0.0.1:1/' >&2\necho 'the cloud is gone' >&2\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let path = directory.path().to_str().unwrap();
    let (code, said) = asked(&case, "rclone:cloud:", &[("PATH", path)]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("error[rclone-ended]") && said.contains("the cloud is gone"), "{said}");
}

/// The processes that a process has started.
fn children(process: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// The arguments of a process that has not ended.
fn arguments(process: u32) -> Option<String> {
    let text = std::fs::read(PathBuf::from(format!("/proc/{process}/cmdline"))).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned()).filter(|text| !text.is_empty())
}

#[test]
fn rclone_ends_with_us_when_we_are_killed_and_has_no_password_among_its_arguments() {
    let Some(path) = path() else { return };
    let case = Case::load(&testdata().join("basic")).unwrap();
    for sandbox in ["off", "auto"] {
        let mut ours = Command::new(env!("CARGO_BIN_EXE_rokopia"))
            .env_clear()
            .envs([
                ("PATH", path.as_str()),
                ("ROKOPIA_PASSWORD", case.password()),
                ("ROKOPIA_SANDBOX", sandbox),
            ])
            .args([
                "--repo",
                &remote(&case.repo()),
                "serve",
                "--listen",
                &format!("127.0.0.1:{}", free_port()),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let rclone = loop {
            assert!(ours.try_wait().unwrap().is_none(), "it ended");
            let started = children(ours.id()).into_iter().find_map(|id| Some((id, arguments(id)?)));
            // It is ours until it has become rclone.
            if let Some((id, arguments)) = started.filter(|(_, text)| !text.starts_with("rokopia")) {
                assert!(arguments.contains("webdav") && !arguments.contains("--pass"), "{arguments}");
                break id;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        ours.kill().unwrap();
        ours.wait().unwrap();
        while arguments(rclone).is_some() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
