//! Any doubt is "unknown", never an empty list; `--degraded` shows what there is.

use crate::common::{error_object, run};
use crate::support::{
    LATEST, PASSWORD, assert_exit, assert_failure, copy_without, files, flip, stderr, stdout,
};

const SOURCE: &str = "data-demo@apps:/data";

#[test]
fn a_damaged_index_blob_is_named_and_can_be_passed_over() {
    let copy = copy_without(&[]);
    let run = |arguments: &[&str]| run(copy.path(), PASSWORD, arguments);
    flip(&files(copy.path(), "xn0_")[0], 40);
    for command in [
        &["snapshots", "--json"][..],
        &["sources", "--json"],
        &["ls", LATEST, "--json"],
        &["exists", SOURCE, "--json"],
        &["exists", SOURCE, "--json", "--degraded"],
        &["contents", "--json"],
    ] {
        let output = run(command);
        assert_failure(&output, 3, "index-damaged");
        assert!(error_object(&output)["blob"].as_str().unwrap().starts_with("xn0_"), "{output:?}");
        assert!(stderr(&output).contains("--degraded"), "{output:?}");
    }
    for command in [&["snapshots", "--degraded"][..], &["sources", "--degraded"], &["contents", "--degraded"]]
    {
        let output = run(command);
        assert_exit(&output, 4);
        // The lists also lack what only that blob told of.
        let unlisted = usize::from(command[0] != "contents");
        assert_eq!(stderr(&output).matches("warning: ").count(), 1 + unlisted, "{output:?}");
    }
}

#[test]
fn lost_indexes_are_no_empty_repository() {
    let copy = copy_without(&["x"]);
    let run = |arguments: &[&str]| run(copy.path(), PASSWORD, arguments);
    for command in [
        &["snapshots", "--json"][..],
        &["sources", "--json"],
        &["manifests", "--json"],
        &["find", "*", "--json"],
        &["ls", "latest", "--json"],
        &["ls", "k70b27420418ba888cda9284ad6d34f5f", "--json"],
    ] {
        let output = run(command);
        assert_failure(&output, 3, "index-empty");
        assert_ne!(stdout(&output).trim(), "[]", "{output:?}");
    }
    let output = run(&["exists", SOURCE, "--json"]);
    assert_exit(&output, 3);
    assert!(stdout(&output).contains(r#""state":"unknown""#), "{output:?}");
    assert_exit(&run(&["snapshots", "--degraded"]), 4);
}

#[test]
fn what_is_damaged_in_a_tree_is_named_and_the_rest_shown() {
    let copy = copy_without(&["p"]);
    let run = |arguments: &[&str]| run(copy.path(), PASSWORD, arguments);
    assert_exit(&run(&["ls", "-R", "latest"]), 0);
    assert_failure(&run(&["cat", "latest/notes/todo.txt", "--json"]), 3, "pack-missing");
    let output = run(&["tar", "latest"]);
    assert_exit(&output, 4);
    for file in ["notes/todo.txt", "photos/cat.raw", "current"] {
        assert!(stderr(&output).contains(file), "{file} is not named: {output:?}");
    }
    let kept: Vec<String> = tar::Archive::new(&output.stdout[..])
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(kept, ["./", "./notes/", "./outbox/", "./photos/"]);
}
