//! What the commands print for the sample repository.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::common::{error_object, json_lines};
use crate::support::{LATEST, OLDEST, assert_exit, assert_failure, rokopia, rokopia_alone, stderr, stdout};

/// The standard output of a command that succeeds.
#[track_caller]
fn printed(arguments: &[&str]) -> String {
    let output = rokopia(arguments);
    assert_exit(&output, 0);
    stdout(&output).to_owned()
}

#[test]
fn references() {
    let todo = printed(&["cat", &format!("{LATEST}/notes/todo.txt")]);
    for reference in [
        "c0bc0a/notes/todo.txt",
        "latest/notes/todo.txt",
        "data-demo@apps:/data/notes/todo.txt",
        "data-demo@apps:/data@2026-02-01/notes/todo.txt",
        "k70b27420418ba888cda9284ad6d34f5f/notes/todo.txt",
        "7b87c0f632a54cec794a442efb2a48c3",
    ] {
        assert_eq!(printed(&["cat", reference]), todo, "{reference}");
    }
    let old = printed(&["cat", &format!("{OLDEST}/notes/todo.txt")]);
    assert_ne!(old, todo);
    for reference in ["latest~2", "data-demo@apps:/data~2", "data-demo@apps:/data@2026-01-01T12:00:00Z"] {
        assert_eq!(printed(&["cat", &format!("{reference}/notes/todo.txt")]), old, "{reference}");
    }
}

#[test]
fn what_is_not_there_is_a_definite_no() {
    let output = rokopia(&["ls", "data-demo@apps:/date", "--json"]);
    assert_failure(&output, 1, "reference-not-found");
    assert!(stderr(&output).contains("nearest: data-demo@apps:/data"), "{output:?}");
    let output = rokopia(&["cat", "latest/notes/none", "--json"]);
    assert_failure(&output, 1, "path-not-found");
    let error = error_object(&output);
    assert_eq!((&error["path"], &error["snapshot"]), (&json!("notes/none"), &json!(LATEST)));
    let output = rokopia(&["cat", "latest/note/todo.txt"]);
    assert!(stderr(&output).contains("nearest: notes\n"), "{output:?}");
    let output = rokopia(&["ls", "latest/notes/tood.txt"]);
    assert!(stderr(&output).contains("nearest: notes/todo.txt\n"), "{output:?}");
    assert_eq!(
        printed(&["cat", "@2026-01-01/notes/todo.txt"]),
        printed(&["cat", &format!("{OLDEST}/notes/todo.txt")])
    );
    assert_failure(&rokopia(&["cat", "latest/notes", "--json"]), 1, "is-a-directory");
    assert_failure(
        &rokopia(&["show", "k00112233445566778899aabbccddeeff", "--json"]),
        1,
        "reference-not-found",
    );
    assert_exit(&rokopia(&["exists", "data-demo@apps:/date"]), 1);
}

#[test]
fn entries_as_lines_and_as_json() {
    assert_eq!(printed(&["ls", "latest"]), "notes/\noutbox/\nphotos/\ncurrent\nempty.log\n");
    assert_eq!(printed(&["ls", "-R", "latest/notes"]), "new.txt\ntodo.txt\n");
    assert!(printed(&["ls", "-l", "latest"]).contains(" current -> notes/new.txt\n"));
    let lines = json_lines(printed(&["ls", "latest", "--json"]).as_bytes());
    let expected = json!({
        "path": "current", "type": "s", "mode": "0777", "size": 13, "mtime": "2025-10-09T08:53:20.123456789Z",
        "uid": 0, "gid": 0, "object": lines[3]["object"], "target": "notes/new.txt"
    });
    assert_eq!(lines[3], expected);
    let found = json_lines(printed(&["find", "todo.*", "--json"]).as_bytes());
    assert_eq!(found.len(), 3);
    assert_eq!((&found[2]["snapshot"], &found[2]["path"]), (&json!(LATEST), &json!("notes/todo.txt")));
    assert_eq!(printed(&["find", LATEST, "nothing*"]), "");
}

#[test]
fn differences() {
    assert_eq!(printed(&["diff", "latest", LATEST]), "");
    let output = rokopia(&["diff", "latest~1", "latest"]);
    assert_exit(&output, 1);
    let expected = "M current (content)\nM notes/ (mode)\n- notes/poem.txt\n+ photos/dog.raw\n";
    assert_eq!(stdout(&output), expected);
    let lines = json_lines(&rokopia(&["diff", "latest~1", "latest", "--json"]).stdout);
    assert_eq!(lines[0]["new"]["target"], "notes/new.txt");
    assert_eq!(lines[1]["aspects"], json!(["mode"]));
    assert_eq!((&lines[2]["change"], &lines[3]["change"]), (&json!("removed"), &json!("added")));
}

#[test]
fn an_archive_holds_the_tree() {
    let output = rokopia(&["tar", "latest/notes"]);
    assert_exit(&output, 0);
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(&output.stdout[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
        files.insert(entry.path().unwrap().to_str().unwrap().to_owned(), text);
    }
    assert_eq!(files.keys().collect::<Vec<_>>(), ["./", "./new.txt", "./todo.txt"]);
    assert_eq!(files["./todo.txt"], printed(&["cat", "latest/notes/todo.txt"]));
}

#[test]
fn lists_of_snapshots_can_be_narrowed() {
    let ids = |arguments: &[&str]| -> Vec<String> {
        let all: Value = serde_json::from_str(&printed(arguments)).unwrap();
        all.as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&["snapshots", "--json"]).len(), 3);
    assert_eq!(ids(&["snapshots", "--json", "--latest"]), [LATEST]);
    assert_eq!(ids(&["snapshots", "--json", "--until", "2026-01-01 12:00"]), [OLDEST]);
    assert_eq!(ids(&["snapshots", "--json", "--since", "2026-01-03"]), [LATEST]);
    assert_eq!(ids(&["snapshots", "--json", "@apps"]).len(), 3);
    assert!(ids(&["snapshots", "--json", "@other"]).is_empty());
    assert!(ids(&["snapshots", "--json", "--tag", "a:b"]).is_empty());
}

/// What a shell is offered for the last of these words.
fn offered(words: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_rokopia"))
        .env_clear()
        .env("ROKOPIA_COMPLETE", "fish")
        .env("ROKOPIA_REPOSITORY", crate::support::sample())
        .env("ROKOPIA_PASSWORD", crate::support::PASSWORD)
        .args(["--", "rokopia"])
        .args(words)
        .output()
        .unwrap();
    assert_exit(&output, 0);
    stdout(&output).to_owned()
}

#[test]
fn completions_know_what_the_repository_has() {
    assert!(offered(&["cat", ""]).contains("data-demo@apps:/data"));
    assert!(offered(&["cat", "c0"]).contains(&LATEST[..8]));
    assert!(offered(&["ls", "latest/no"]).contains("latest/notes/"));
    assert!(offered(&["exists", "da"]).contains("data-demo@apps:/data"));
    assert!(offered(&["restore", "--existing", "co"]).contains("compare"));
    assert!(offered(&["sna"]).contains("snapshots"));
    assert!(offered(&["verify", "--level", "d"]).contains("decrypt"));
    assert!(offered(&["ls", "/d"]).contains("/data"));
}

/// What bash offers at the end of a line. Its words break also where no blank is.
fn offered_by_bash(line: &str, word: &str) -> String {
    let script = r#"PATH=$(dirname "$1"):$PATH; source <(rokopia completions bash)
        COMP_LINE=$2 COMP_POINT=${#2} COMP_TYPE=9
        _rokopia rokopia "$3" "" 2>/dev/null; printf '%s\n' "${COMPREPLY[@]}""#;
    let output = std::process::Command::new("bash")
        .env("ROKOPIA_REPOSITORY", crate::support::sample())
        .env("ROKOPIA_PASSWORD", crate::support::PASSWORD)
        .args(["-c", script, "bash", env!("CARGO_BIN_EXE_rokopia"), line, word])
        .output()
        .unwrap();
    stdout(&output).trim_end().to_owned()
}

#[test]
fn bash_completes_sources_behind_its_own_breaks() {
    assert_eq!(offered_by_bash("rokopia ls data-demo@apps:/d", "/d"), "/data");
    assert_eq!(offered_by_bash("rokopia ls data-demo@apps:/data/no", "/data/no"), "/data/notes/");
    assert_eq!(offered_by_bash("rokopia ls data-d", "data-d"), "data-demo@apps:/data");
    assert_eq!(offered_by_bash("rokopia snapshots --so", "--so"), "--sort");
}

#[test]
fn a_file_is_read_through_links_inside_the_snapshot() {
    assert_eq!(printed(&["cat", "latest/current"]), printed(&["cat", "latest/notes/new.txt"]));
}

#[test]
fn found_files_are_shown_once_by_a_reference_that_can_be_pasted() {
    let found = printed(&["find", "todo.*"]);
    let lines: Vec<&str> = found.lines().filter(|line| line.contains("todo.txt")).collect();
    assert_eq!(
        lines.len(),
        printed(&["find", "--every", "todo.*"]).matches("todo.txt").count() - 1,
        "{found}"
    );
    assert!(found.contains("data-demo@apps:/data, snapshot of 2026-01-03 03:00:00\n"), "{found}");
    let reference = lines[0].split("  ").next().unwrap();
    assert_eq!(printed(&["cat", reference]), printed(&["cat", "latest/notes/todo.txt"]));
    let null = printed(&["find", "-0", "latest", "*.txt"]);
    assert_eq!(null.split('\0').filter(|name| !name.is_empty()).count(), 2, "{null:?}");
    assert_eq!(printed(&["find", "latest", "/data/notes/TODO.txt"]), "");
    assert!(printed(&["find", "-i", "latest", "/data/notes/TODO.txt"]).contains("notes/todo.txt"));
    assert_eq!(printed(&["find", "--type", "l", "latest", "*"]).matches("current").count(), 1);
    assert_eq!(printed(&["find", "--larger", "1MB", "latest", "todo*"]), "");
    assert_eq!(printed(&["find", "--newer", "2030-01-01", "latest", "*"]), "");
}

#[test]
fn lists_fit_a_terminal() {
    for arguments in [&["snapshots"][..], &["sources"], &["ls", "-la", "latest"], &["find", "latest", "*"]] {
        for line in printed(arguments).lines() {
            assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
        }
    }
    let snapshots = printed(&["snapshots", "-n", "1"]);
    assert!(snapshots.starts_with("data-demo@apps:/data  (1 snapshot)\n"), "{snapshots}");
    assert!(snapshots.contains(&LATEST[..8]) && !snapshots.contains(LATEST), "{snapshots}");
    assert!(printed(&["snapshots", "--long"]).contains(LATEST));
    assert_eq!(printed(&["ls", "-lh", "latest"]), printed(&["ls", "-l", "latest"]));
    assert!(printed(&["ls", "-h"]).contains("Usage: rokopia ls"));
}

#[test]
fn objects_and_manifests_as_they_are() {
    let directory: Value =
        serde_json::from_str(&printed(&["show", "k70b27420418ba888cda9284ad6d34f5f"])).unwrap();
    assert_eq!(directory["stream"], "kopia:directory");
    let manifest: Value = serde_json::from_str(&printed(&["show", LATEST])).unwrap();
    assert_eq!(manifest["source"]["host"], "apps");
    let policies = json_lines(printed(&["manifests", "--json", "--filter", "type:policy"]).as_bytes());
    assert!(policies.iter().all(|line| line["labels"]["type"] == "policy") && !policies.is_empty());
}

#[test]
fn colours_only_where_wanted() {
    let output = rokopia(&["--color", "always", "ls", "none"]);
    assert!(stderr(&output).contains("\x1b[1;31merror[reference-not-found]:\x1b[0m"), "{output:?}");
    assert!(!stderr(&rokopia(&["ls", "none"])).contains('\x1b'));
}

#[test]
fn help_is_no_error() {
    let alone = rokopia_alone(&[]);
    assert_exit(&alone, 0);
    assert!(stdout(&alone).contains("Commands:") && stderr(&alone).is_empty(), "{alone:?}");
    for arguments in [&["help", "restore"][..], &["restore", "--help"]] {
        let output = rokopia_alone(arguments);
        assert_exit(&output, 0);
        assert!(stdout(&output).contains("Usage: rokopia restore"), "{output:?}");
    }
    assert!(stdout(&rokopia_alone(&["help"])).contains("Common options:"));
    assert!(
        !stdout(&rokopia_alone(&["restore", "-h"])).contains("--password-fd"),
        "common options stand in one place"
    );
    assert_exit(&rokopia_alone(&["--json"]), 2);
}

#[test]
fn a_backup_that_exists_is_named_with_its_age() {
    let text = printed(&["exists", "data-demo@apps:/data"]);
    assert!(text.starts_with("exists: data-demo@apps:/data, 3 snapshots\n"), "{text}");
    assert!(text.contains(&format!("newest: {LATEST} of 2026-01-03 03:00:00 UTC, ")), "{text}");
    assert!(text.ends_with(" ago\n"), "{text}");
    let answer: Value =
        serde_json::from_str(&printed(&["exists", "data-demo@apps:/data", "--json"])).unwrap();
    assert_eq!(answer["latest_id"], LATEST);
}

#[test]
fn completions_and_manual_pages() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(printed(&["completions", shell]).contains("ROKOPIA_COMPLETE"), "{shell}");
    }
    assert!(printed(&["man"]).contains(".TH rokopia"));
    assert!(!printed(&["mover", "--help"]).contains("Common options"), "the mover takes none");
    let page = printed(&["man", "ls"]);
    assert!(page.contains(".TH rokopia-ls") && page.contains("recursive"), "{page}");
    assert!(page.contains(".SH \"SEE ALSO\"") && page.contains("restore"), "{page}");
    let place = tempfile::tempdir().unwrap();
    printed(&["man", "--all", place.path().to_str().unwrap()]);
    assert!(place.path().join("rokopia.1").exists() && place.path().join("rokopia-restore.1").exists());
    assert_exit(&rokopia(&["man", "nonsense"]), 2);
}
