//! What is written about the program is true.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::json_lines;
use crate::support::{LATEST, assert_exit, project, rokopia, stdout};

#[path = "../../examples/read.rs"]
mod read;

fn text(path: &str) -> String {
    fs::read_to_string(project().join(path)).unwrap()
}

/// Words between `before` and `after`.
fn between<'t>(text: &'t str, before: &'t str, after: char) -> impl Iterator<Item = &'t str> {
    text.split(before).skip(1).filter_map(move |rest| rest.split_once(after)).map(|(word, _)| word)
}

/// Words in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_code(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The codes in a source file: those that a method `code` gives back, and those that failures are made with.
fn codes_in(source: &str) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    let by_value = source.replace("fn code(self)", "fn code(&self)");
    for body in by_value.split("fn code(&self) -> &'static str {").skip(1) {
        let body = body.split_once("\n    }\n").map_or(body, |(body, _)| body);
        codes.extend(between(body, "=> \"", '"').chain(between(body, "{ \"", '"')).map(str::to_owned));
        codes.extend(
            body.lines()
                .filter_map(|line| Some(line.trim().strip_prefix('"')?.strip_suffix('"')?.to_owned())),
        );
    }
    // The code is the first text among the arguments; of a failure it follows the way to exit.
    for call in [
        "new(",
        "Facts::new(",
        ".code(",
        "Fault::new(",
        "finding(",
        "Reason::new(",
        "Suspect::new(manifest,",
        "Problem::new(",
        ".note(",
        "code: ",
        "code = ",
    ] {
        for arguments in source.split(call).skip(1) {
            let mut words = arguments.split('"');
            let before = words.next().unwrap_or_default().trim();
            let follows = if call == "new(" {
                before.starts_with("Exit::") && before.ends_with(',') && before.matches(',').count() == 1
            } else {
                before.is_empty()
            };
            codes.extend(words.next().filter(|_| follows).map(str::to_owned));
        }
    }
    // Kinds of blobs that nothing is restored from are looked up with their codes.
    codes.extend(between(source, "(\"", '"').filter(|code| code.ends_with("-damaged")).map(str::to_owned));
    codes.retain(|code| is_code(code));
    codes
}

fn sources(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in walkdir::WalkDir::new(directory) {
        let path = entry.unwrap().into_path();
        let is_source = path.extension().is_some_and(|extension| extension == "rs");
        if is_source && !path.ends_with("tests.rs") && !path.starts_with(directory.join("testkit")) {
            let source = fs::read_to_string(&path).unwrap();
            let shipped = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            found.extend(codes_in(shipped));
        }
    }
}

#[test]
fn every_error_code_is_documented_and_no_other() {
    let mut used = BTreeSet::new();
    sources(&project().join("src"), &mut used);
    let documented: BTreeSet<String> = text("docs/errors.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(code, _)| code.to_owned())
        .collect();
    assert!(used.len() > 80, "only {} codes were found in the source", used.len());
    let missing: Vec<_> = used.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&used).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "not documented: {missing:?}; not in the source: {stale:?}"
    );
}

#[test]
fn every_field_of_json_is_documented() {
    let documented = text("docs/json.md");
    let fields: BTreeSet<&str> = quoted(&documented).collect();
    let target = tempfile::tempdir().unwrap();
    for command in [
        &["status"][..],
        &["snapshots"],
        &["sources"],
        &["ls", "latest"],
        &["find", "*"],
        &["diff", "latest~1", "latest"],
        &["exists", "data-demo@apps:/data"],
        &["blobs"],
        &["contents"],
        &["manifests"],
        &["index", "--entries"],
        &["restore", "latest", target.path().to_str().unwrap()],
    ] {
        let output = rokopia(&[command, &["--json"]].concat());
        let values = match serde_json::from_slice::<Value>(&output.stdout) {
            Ok(Value::Array(values)) => values,
            Ok(value) => vec![value],
            Err(_) => json_lines(&output.stdout),
        };
        assert!(!values.is_empty(), "{command:?} prints nothing");
        for field in values.iter().flat_map(|value| value.as_object().unwrap().keys()) {
            assert!(fields.contains(field.as_str()), "{field} of {command:?} is not in docs/json.md");
        }
    }
}

#[test]
fn the_commands_of_the_readme_and_of_daily_tasks_work() {
    let readme = text("README.md") + &text("docs/tasks.md");
    let program = Path::new(env!("CARGO_BIN_EXE_rokopia"));
    let target = tempfile::tempdir().unwrap();
    let script = text(".ci/run");
    let mut commands = 0;
    for block in between_blocks(&readme, "```sh\n") {
        if !block.contains("rokopia ") {
            let command = block.trim();
            assert!(command == ".ci/run" || script.contains(command), ".ci/run does not run {command:?}");
            continue;
        }
        let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &block.replace("/srv/data", target.path().to_str().unwrap())])
            .current_dir(project())
            .env("PATH", path)
            .envs([("ROKOPIA_REPOSITORY", "testdata/basic/repo"), ("ROKOPIA_PASSWORD", "rokopia")])
            .output()
            .unwrap();
        assert_exit(&output, 0);
        commands += 1;
    }
    assert!(commands > 0, "README shows no commands");
}

fn between_blocks<'t>(text: &'t str, begin: &'t str) -> impl Iterator<Item = &'t str> {
    text.split(begin).skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block)
}

#[test]
fn the_readme_lists_the_commands_that_there_are() {
    let help = rokopia(&["--help"]);
    let listed = stdout(&help).split_once("Commands:\n").unwrap().1;
    let listed = listed.split_once("\n\n").map_or(listed, |(list, _)| list);
    let there: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let readme = text("README.md");
    let table: BTreeSet<&str> = readme
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|row| {
            let cell = row.split('|').nth(1).unwrap_or_default();
            quoted(cell).filter(|word| is_code(word)).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(table, there);
}

#[test]
fn the_example_runs() {
    // The tests run in the directory of the package, as `cargo run --example read` does.
    read::main().unwrap();
    assert!(text("examples/read.rs").lines().count() < 35);
    assert_exit(&rokopia(&["ls", LATEST]), 0);
}
