//! `rokopia restore`: options, summary and exit codes. What it restores is the business of the tests of the engine.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::common::run;
use crate::support::{
    LATEST, PASSWORD, assert_exit, assert_failure, copy_without, files, rokopia, stderr, stdout,
};

fn restore(reference: &str, target: &Path, options: &[&str]) -> Output {
    rokopia(&[&["restore", reference, target.to_str().unwrap()], options].concat())
}

fn summary(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_snapshot_into_a_new_directory() {
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("new");
    let output = restore("latest", &target, &["--json"]);
    assert_exit(&output, 0);
    let summary = summary(&output);
    assert_eq!(
        (&summary["snapshot"], &summary["target"]),
        (&json!(LATEST), &json!(target.to_str().unwrap()))
    );
    assert_eq!(
        (&summary["files"], &summary["dirs"], &summary["symlinks"]),
        (&json!(5), &json!(4), &json!(1))
    );
    assert_eq!((&summary["bytes"], &summary["errors"]), (&json!(3_215_778), &json!([])));
    let todo = target.join("notes/todo.txt");
    assert_eq!(fs::read(&todo).unwrap(), rokopia(&["cat", "latest/notes/todo.txt"]).stdout);
    assert_eq!(fs::metadata(&todo).unwrap().mtime_nsec(), 123_456_824);
    assert_eq!(fs::read_link(target.join("current")).unwrap(), Path::new("notes/new.txt"));
}

#[test]
fn a_file_or_a_part() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("todo");
    assert_exit(&restore("latest/notes/todo.txt", &file, &[]), 0);
    assert_eq!(fs::read(&file).unwrap(), rokopia(&["cat", "latest/notes/todo.txt"]).stdout);
    let part = place.path().join("part");
    assert_exit(&restore("latest", &part, &["--include", "*.txt", "--exclude", "new*"]), 0);
    assert!(part.join("notes/todo.txt").exists());
    assert!(!part.join("notes/new.txt").exists() && !part.join("empty.log").exists());
}

#[test]
fn what_was_chosen_is_said_first() {
    let place = tempfile::tempdir().unwrap();
    let output = restore("latest/notes", &place.path().join("new"), &[]);
    let first = stderr(&output).lines().next().unwrap();
    let expected =
        format!("restoring notes of data-demo@apps:/data, snapshot {LATEST} of 2026-01-03 03:00:00 UTC, ");
    assert!(first.starts_with(&expected) && first.contains(" days ago, to /"), "{first}");
    assert!(stdout(&output).starts_with("restored 2 files, 1 directory ("), "{output:?}");
}

#[test]
fn the_same_command_goes_on_where_it_stopped() {
    let target = tempfile::tempdir().unwrap();
    assert_exit(&restore("latest", target.path(), &[]), 0);
    fs::remove_file(target.path().join("notes/todo.txt")).unwrap();
    let again = summary(&restore("latest", target.path(), &["--json"]));
    assert_eq!((&again["files"], &again["skipped"]), (&json!(1), &json!(5)), "{again}");
    let replaced = summary(&restore("latest", target.path(), &["--json", "--existing", "replace"]));
    assert_eq!(replaced["files"], 5);
    let compared = summary(&restore("latest", target.path(), &["--json", "--existing", "compare"]));
    assert_eq!(compared["fetched_bytes"], 0, "{compared}");
    let output = restore("latest", target.path(), &["--json", "--existing", "keep", "--delta"]);
    assert_failure(&output, 2, "usage");
}

#[test]
fn patterns_and_lists_choose_what_is_restored() {
    let place = tempfile::tempdir().unwrap();
    let list = place.path().join("list");
    fs::write(&list, "./notes/todo.txt\nphotos/\nnot/there\n").unwrap();
    let target = place.path().join("listed");
    let output = restore("latest", &target, &["--files-from", list.to_str().unwrap()]);
    assert_exit(&output, 0);
    assert!(target.join("notes/todo.txt").exists() && target.join("photos/cat.raw").exists());
    assert!(!target.join("notes/new.txt").exists() && !target.join("current").exists());
    assert!(stderr(&output).contains("warning: \"not/there\" matches nothing"), "{output:?}");
    let target = place.path().join("cases");
    let output = restore("latest", &target, &["--iinclude", "TODO*", "--include", "NEW*"]);
    assert!(target.join("notes/todo.txt").exists() && !target.join("notes/new.txt").exists());
    assert!(stderr(&output).contains("\"NEW*\" matches nothing"), "{output:?}");
}

#[test]
fn what_exists_is_treated_as_asked() {
    let target = tempfile::tempdir().unwrap();
    let log = target.path().join("empty.log");
    let stray = target.path().join("stray");
    fs::write(&log, "mine").unwrap();
    fs::write(&stray, "mine").unwrap();
    assert_exit(&restore("latest", target.path(), &["--dry-run", "--delete"]), 0);
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 2);
    assert_exit(&restore("latest", target.path(), &["--overwrite", "never"]), 0);
    assert_eq!(fs::read(&log).unwrap(), b"mine");
    let output = restore("latest", target.path(), &["--delete", "--json"]);
    assert_eq!(summary(&output)["deleted"], 1);
    assert!(fs::read(&log).unwrap().is_empty() && !stray.exists());
    let output = restore("latest", target.path(), &["--skip-existing", "--json"]);
    assert_eq!(summary(&output)["fetched_bytes"], 0);
}

#[test]
fn what_becomes_of_each_entry_is_listed_and_a_dry_run_lists_the_same() {
    let target = tempfile::tempdir().unwrap();
    let list = |options: &[&str]| {
        let output = restore("latest", target.path(), options);
        assert_exit(&output, 0);
        let text = stdout(&output);
        let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        let last = lines.pop().unwrap();
        assert!(last.contains("restore"), "{last}");
        lines.sort();
        lines
    };
    let first = list(&["--dry-run"]);
    assert!(first.iter().all(|line| line.starts_with("new ")) && first.len() > 3, "{first:?}");
    assert_eq!(list(&["-v"]), first);
    fs::write(target.path().join("stray"), "mine").unwrap();
    fs::write(target.path().join("empty.log"), "changed").unwrap();
    let again = list(&["--dry-run", "--delete"]);
    assert!(again.contains(&"deleted   stray".to_owned()), "{again:?}");
    assert!(again.contains(&"updated   empty.log".to_owned()), "{again:?}");
    assert_eq!(again.iter().filter(|line| line.starts_with("unchanged ")).count(), first.len() - 1);
    assert_eq!(list(&["-v", "--delete"]), again);
    assert!(
        !stdout(&restore("latest", target.path(), &[])).contains("unchanged  "),
        "only where it is asked"
    );
}

#[test]
fn a_slash_at_the_end_makes_the_target_of_a_file_a_directory() {
    let place = tempfile::tempdir().unwrap();
    assert_exit(&restore("latest/empty.log", &place.path().join("new/"), &[]), 0);
    assert!(place.path().join("new/empty.log").is_file());
    assert_exit(&restore("latest/empty.log", &place.path().join("other"), &[]), 0);
    assert!(place.path().join("other").is_file());
    let failed = restore("latest/empty.log", &place.path().join("other/"), &["--json"]);
    assert_failure(&failed, 3, "target-unusable");
}

#[test]
fn what_is_excluded_survives_in_directories_that_are_deleted() {
    let target = tempfile::tempdir().unwrap();
    let at = |name: &str| target.path().join(name);
    fs::create_dir_all(at("extra/deep")).unwrap();
    for name in ["extra/deep/mine.keep", "extra/deep/other", "extra/more"] {
        fs::write(at(name), "mine").unwrap();
    }
    let output = restore("latest", target.path(), &["--delete", "--exclude", "*.keep", "--json"]);
    assert_exit(&output, 0);
    assert_eq!(summary(&output)["deleted"], 2);
    assert!(
        at("extra/deep/mine.keep").exists() && !at("extra/deep/other").exists() && !at("extra/more").exists()
    );
    assert_exit(&restore("latest", target.path(), &["--delete"]), 0);
    assert!(!at("extra").exists());
}

#[test]
fn owners_are_mapped_by_number_and_name() {
    use std::os::unix::fs::MetadataExt;
    let target = tempfile::tempdir().unwrap();
    for wrong in ["1000", "1000=nobody:nogroup", "no-such-user-here=0", "0=4294967295"] {
        let output = restore("latest", target.path(), &["--json", "--owner-map", wrong]);
        assert_failure(&output, 2, "usage");
    }
    if !nix::unistd::geteuid().is_root() {
        eprintln!("NOT CHECKED: mapped owners, which only root can give");
        return;
    }
    assert_exit(&restore("latest", target.path(), &["--owner-map", "*:*=1234:root"]), 0);
    let root = target.path().metadata().unwrap();
    let file = target.path().join("empty.log").metadata().unwrap();
    assert_eq!([root.uid(), root.gid(), file.uid(), file.gid()], [1234, 0, 1234, 0]);
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_restored() {
    let copy = copy_without(&[]);
    fs::remove_file(&files(copy.path(), "p05cd07ceea227b66")[0]).unwrap();
    let target = tempfile::tempdir().unwrap();
    let path = target.path().to_str().unwrap();
    let run =
        |options: &[&str]| run(copy.path(), PASSWORD, &[&["restore", "latest", path], options].concat());
    let output = run(&["--json"]);
    assert_exit(&output, 4);
    let errors = summary(&output)["errors"].clone();
    assert!(!errors.as_array().unwrap().is_empty(), "{output:?}");
    for error in errors.as_array().unwrap() {
        assert_eq!(error["code"], "pack-missing");
        assert!(!target.path().join(error["path"].as_str().unwrap()).exists());
        assert!(stderr(&output).contains(error["path"].as_str().unwrap()), "{output:?}");
    }
    assert!(target.path().join("notes").is_dir());
    assert_exit(&run(&["--ignore-errors"]), 0);
    assert!(stdout(&run(&["--fail-fast"])).contains("not restored"));
}

#[test]
fn nothing_is_touched_before_the_snapshot_was_read() {
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("target");
    assert_failure(&restore("latest/none", &target, &["--json"]), 1, "path-not-found");
    assert_failure(&restore("data-demo@apps:/none", &target, &["--json"]), 1, "reference-not-found");
    assert_failure(&restore("latest", &target, &["--json", "--memory", "16MiB"]), 3, "memory-budget");
    assert_failure(&restore("latest", &target, &["--json", "--include", "["]), 2, "usage");
    let damaged = copy_without(&["q"]);
    let output = run(damaged.path(), PASSWORD, &["restore", "latest", target.to_str().unwrap(), "--json"]);
    assert_exit(&output, 3);
    assert!(!target.exists());
    fs::write(&target, "a file").unwrap();
    assert_failure(&restore("latest", &target, &["--json"]), 3, "target-unusable");
    assert_eq!(fs::read(&target).unwrap(), b"a file");
}
