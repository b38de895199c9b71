//! A target that refuses an attribute of a directory costs the directory that attribute, and nothing else.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use rokopia::crypto::KeyDerivation;
use rokopia::testkit::{Attributes, Data, DataKind, Options, RepositoryWriter, Tree};
use serde_json::{Value, json};

use crate::cell::USERS;
use crate::targets::{Kind, Mounted, Target, Workshop};
use crate::zoo::{GROUP, USER};

/// All directories of the tree, the root among them.
const DIRECTORIES: [&str; 4] = ["", "a", "a/b", "empty"];
const TIME: i64 = 1_600_000_000;

fn tree() -> Tree {
    let mut tree = Tree::owned_by(USER, GROUP);
    tree.add_file("a/b/file", Data { kind: DataKind::Text, seed: 1, size: 100 }).unwrap();
    for path in DIRECTORIES {
        let number = tree.add_directory(path).unwrap();
        let mtime_ns = TIME * 1_000_000_000;
        let attributes = Attributes { mode: 0o751, mtime_ns, uid: USER, gid: GROUP };
        tree.set_directory_attributes(number, attributes).unwrap();
    }
    tree
}

fn restore(repo: &Path, into: &Path, options: &[&str]) -> (i32, Value, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rokopia"));
    command.env("ROKOPIA_PASSWORD", "testkit").arg("--repo").arg(repo);
    let output = command.args(["--json", "restore", "latest"]).arg(into).args(options).output().unwrap();
    let summary = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code().unwrap_or(-1), summary, String::from_utf8(output.stderr).unwrap())
}

struct Place {
    workshop: Workshop,
    repo: std::path::PathBuf,
}

impl Place {
    fn new() -> Self {
        let workshop = Workshop::new();
        let repo = workshop.path().join("repo");
        let options = Options { key_derivation: KeyDerivation::Pbkdf2Sha256_600000, ..Options::default() };
        let mut writer = RepositoryWriter::create(&repo, options).unwrap();
        let root = writer.write_tree(&tree()).unwrap();
        writer.snapshot(&"u@h:/p".parse().unwrap(), &root);
        writer.finish().unwrap();
        Self { workshop, repo }
    }

    /// A target that refuses this of directories.
    fn refusing(&self, call: &'static str) -> Option<Mounted> {
        let target = Target { name: "odd-directories", kind: Kind::Odd(vec!["directories", call].leak()) };
        match self.workshop.mount(&target, USERS[0]) {
            Ok(mounted) => Some(mounted),
            Err(reason) => {
                println!("NOT CHECKED {call} of directories: {reason}");
                None
            }
        }
    }
}

#[test]
fn each_refusal_is_counted_and_named_for_directories_as_for_files() {
    if !nix::unistd::geteuid().is_root() {
        println!("NOT CHECKED: file systems are mounted by root");
        return;
    }
    let place = Place::new();
    for (attribute, call) in [
        ("owner", "chown=EPERM"),
        ("owner", "chown=EACCES"),
        ("owner", "chown=ENOSYS"),
        ("owner", "chown=EOPNOTSUPP"),
        ("owner", "chown=EINVAL"),
        ("mode", "chmod=EPERM"),
        ("mode", "chmod=EACCES"),
        ("mode", "chmod=ENOSYS"),
        ("mode", "chmod=EOPNOTSUPP"),
        ("mode", "chmod=EINVAL"),
        ("times", "utimens=EPERM"),
        ("times", "utimens=EACCES"),
        ("times", "utimens=ENOSYS"),
        ("times", "utimens=EOPNOTSUPP"),
        ("times", "utimens=EINVAL"),
    ] {
        let Some(mounted) = place.refusing(call) else { return };
        let into = mounted.path().join("into");
        for (options, expected) in
            [(&[][..], 0), (&["--delete"], 0), (&["--skip-existing"], 0), (&["--strict-attributes"], 4)]
        {
            let (exit, summary, said) = restore(&place.repo, &into, options);
            assert_eq!((exit, &summary["errors"]), (expected, &json!([])), "{call} {options:?}: {said}");
            let refused = &summary["refused"];
            for kind in ["owner", "mode", "times"] {
                let count = if kind == attribute { DIRECTORIES.len() } else { 0 };
                assert_eq!(refused[kind], count, "{call} {options:?}: {kind}");
            }
            let entries = refused["entries"].as_array().unwrap();
            let named: Vec<&str> = entries.iter().map(|entry| entry["path"].as_str().unwrap()).collect();
            assert_eq!(named, DIRECTORIES, "{call} {options:?}");
            assert!(entries.iter().all(|entry| entry["attributes"] == json!([attribute])), "{refused}");
            assert_eq!(said.matches("[attributes-refused]").count(), 1, "{said}");
            assert_eq!(summary["dirs"], DIRECTORIES.len(), "{call} {options:?}");
            assert_eq!(std::fs::read(into.join("a/b/file")).unwrap().len(), 100);
        }
        for path in DIRECTORIES {
            let found = std::fs::metadata(into.join(path)).unwrap();
            let has = [
                ("owner", (found.uid(), found.gid()) == (USER, GROUP)),
                ("mode", found.mode() & 0o7777 == 0o751),
                ("times", found.mtime() == TIME),
            ];
            // The others are set, whichever is refused.
            assert!(has.iter().all(|(kind, has)| *has != (*kind == attribute)), "{call} {path:?}: {has:?}");
        }
    }
}

#[test]
fn a_broken_target_is_an_error_of_the_directory() {
    if !nix::unistd::geteuid().is_root() {
        println!("NOT CHECKED: file systems are mounted by root");
        return;
    }
    let place = Place::new();
    for call in ["chown=EIO", "chmod=EIO", "utimens=EIO"] {
        let Some(mounted) = place.refusing(call) else { return };
        let into = mounted.path().join("into");
        let (exit, summary, said) = restore(&place.repo, &into, &[]);
        let errors = summary["errors"].as_array().unwrap();
        let named: Vec<&str> = errors.iter().map(|error| error["path"].as_str().unwrap()).collect();
        assert_eq!((exit, named), (4, DIRECTORIES.to_vec()), "{call}: {said}");
        assert!(errors.iter().all(|error| error["code"] == "target-write-failed"), "{call}: {said}");
        assert_eq!(std::fs::read(into.join("a/b/file")).unwrap().len(), 100, "{call}");
    }
}
