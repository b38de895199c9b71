//! Who gets a name that several entries have, where the target ignores case: the first in the snapshot's order, whichever
//! was complete first.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use rokopia::crypto::KeyDerivation;
use rokopia::testkit::{Data, DataKind, Options, RepositoryWriter, Tree};
use serde_json::Value;

use crate::cell::USERS;
use crate::targets::{TARGETS, Workshop};

/// The first of each group takes long, and the last is there at once. `KEEP` has no files of its own.
fn tree() -> Tree {
    let mut tree = Tree::owned_by(0, 0);
    let large = Data { kind: DataKind::Noise, seed: 1, size: 3 << 20 };
    let small = Data { kind: DataKind::Text, seed: 2, size: 100 };
    for (path, data) in [
        ("DIR/deep/large", large),
        ("DIR/large", Data { seed: 3, ..large }),
        ("Dir/empty-handed", Data { size: 0, ..small }),
        ("dir/small", small),
        ("dir/below/small", small),
        ("KEEP/sub/want-large", Data { seed: 4, ..large }),
        ("keep/sub/want", small),
        ("Mixed/large", Data { seed: 5, ..large }),
        ("MIXED", small),
        ("plain", small),
    ] {
        tree.add_file(path, data).unwrap();
    }
    tree
}

fn restore(repo: &Path, target: &Path, options: &[&str]) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rokopia"));
    command.env("ROKOPIA_PASSWORD", "testkit").arg("--repo").arg(repo);
    let output = command.args(["restore", "latest", "--json"]).arg(target).args(options).output().unwrap();
    let summary = output.stdout.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty());
    let summary = summary.map(|line| serde_json::from_slice(line).unwrap());
    (output.status.code().unwrap_or(-1), summary.unwrap_or_else(|| panic!("{output:?}")))
}

fn paths(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = vec![root.to_path_buf()];
    while let Some(directory) = rest.pop() {
        for entry in directory.read_dir().unwrap() {
            let path = entry.unwrap().path();
            found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            if path.is_dir() {
                rest.push(path);
            }
        }
    }
    found
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

/// Paths of errors, all of one code.
fn collisions(summary: &Value) -> Vec<&str> {
    let errors = summary["errors"].as_array().unwrap().iter();
    errors
        .map(|error| {
            assert_eq!(error["code"], "name-collision", "{summary}");
            error["path"].as_str().unwrap()
        })
        .collect()
}

#[test]
fn the_first_of_colliding_entries_is_kept_whichever_is_complete_first() {
    if !nix::unistd::geteuid().is_root() {
        println!("NOT CHECKED: file systems are mounted by root");
        return;
    }
    let workshop = Workshop::new();
    let repo = workshop.path().join("repo");
    let options = Options { key_derivation: KeyDerivation::Pbkdf2Sha256_600000, ..Options::default() };
    let mut writer = RepositoryWriter::create(&repo, options).unwrap();
    let root = writer.write_tree(&tree()).unwrap();
    writer.snapshot(&"u@h:/p".parse().unwrap(), &root);
    writer.finish().unwrap();
    let target = TARGETS.iter().find(|target| target.name == "odd-fold").unwrap();
    let kept = [
        "DIR",
        "DIR/deep",
        "DIR/deep/large",
        "DIR/large",
        "KEEP",
        "KEEP/sub",
        "KEEP/sub/want-large",
        "Mixed",
        "Mixed/large",
        "plain",
    ];
    let renamed = [
        "Dir~1",
        "Dir~1/empty-handed",
        "dir~2",
        "dir~2/below",
        "dir~2/below/small",
        "dir~2/small",
        "MIXED~1",
        "keep~1",
        "keep~1/sub",
        "keep~1/sub/want",
    ];
    let lost = ["Dir", "MIXED", "dir", "keep"];
    for run in 0..4 {
        let mounted = match workshop.mount(target, USERS[0]) {
            Ok(mounted) => mounted,
            Err(reason) => {
                println!("NOT CHECKED {}: {reason}", target.name);
                return;
            }
        };
        let into = mounted.path().join("into");
        std::fs::write(into.join("mine"), "").unwrap();
        let (exit, summary) = restore(&repo, &into, &["--delete"]);
        assert_eq!((exit, collisions(&summary)), (4, lost.to_vec()), "run {run}");
        assert_eq!(paths(&into), &set(&kept) | &set(&["mine"]), "run {run}: nothing is deleted");
        assert_eq!([&summary["files"], &summary["dirs"], &summary["deleted"]], [5, 6, 0], "run {run}");
        // What is there already stays what it is.
        let (exit, summary) = restore(&repo, &into, &["--delta"]);
        assert_eq!((exit, collisions(&summary)), (4, lost.to_vec()), "run {run}");
        assert_eq!(paths(&into), &set(&kept) | &set(&["mine"]), "run {run}");

        let other = into.join("other");
        let (exit, summary) = restore(&repo, &other, &["--rename-collisions"]);
        assert_eq!(exit, 0, "run {run}: {summary}");
        assert_eq!(paths(&other), &set(&kept) | &set(&renamed), "run {run}");
        assert_eq!([&summary["files"], &summary["dirs"]], [10, 11], "run {run}");

        // Directories that are only led through collide in the same way.
        let part = into.join("part");
        let (exit, summary) = restore(&repo, &part, &["--include", "want*"]);
        assert_eq!((exit, collisions(&summary)), (4, vec!["keep"]), "run {run}");
        assert_eq!(paths(&part), set(&["KEEP", "KEEP/sub", "KEEP/sub/want-large"]), "run {run}");
    }
}
