//! One restore, and what came of it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::process::Command;

use rokopia::testkit::Compare;
use serde_json::Value;

use crate::zoo::{GROUP, Repository, USER};

/// Who restores.
#[derive(Clone, Copy)]
pub(crate) struct User {
    pub(crate) name: &'static str,
    pub(crate) owner: (u32, u32),
    wrapper: &'static [&'static str],
}

pub(crate) const USERS: [User; 3] = [
    User { name: "root", owner: (0, 0), wrapper: &[] },
    User {
        name: "bare-root",
        owner: (0, 0),
        wrapper: &["setpriv", "--bounding-set=-all", "--inh-caps=-all"],
    },
    User {
        name: "user",
        owner: (USER, GROUP),
        wrapper: &[
            "setpriv",
            "--reuid=1234",
            "--regid=5678",
            "--clear-groups",
            "--bounding-set=-all",
            "--inh-caps=-all",
        ],
    },
];

/// How it is restored, one after the other into one target.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) name: &'static str,
    options: &'static [&'static str],
}

pub(crate) const RUNS: [Run; 6] = [
    Run { name: "fresh", options: &[] },
    Run { name: "again", options: &[] },
    Run { name: "skip", options: &["--skip-existing"] },
    Run { name: "delta", options: &["--delta"] },
    Run { name: "delete", options: &["--delete", "--skip-existing"] },
    Run { name: "rename", options: &["--delete", "--skip-existing", "--rename-collisions"] },
];

/// What came of a restore. Each of the lists is `-` where it is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    exit: i32,
    /// Codes of errors, and how many of each.
    errors: String,
    /// Directories of the tree in which entries are missing.
    missing: String,
    /// Attributes of what is there that are not those of the tree.
    differs: String,
    /// Attributes that were said to be refused.
    refused: String,
    /// `all` if nothing had to be fetched, `some` otherwise.
    reused: String,
    /// What else is in the target.
    extra: String,
}

impl Outcome {
    pub(crate) fn parse(words: &[String]) -> Option<Self> {
        let value = |key: &str| words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let list = |key: &str| value(key).unwrap_or("-").to_owned();
        Some(Self {
            exit: value("exit")?.parse().ok()?,
            errors: list("errors"),
            missing: list("missing"),
            differs: list("differs"),
            refused: list("refused"),
            reused: list("reused"),
            extra: list("extra"),
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit={}", self.exit)?;
        for (key, list) in [
            ("errors", &self.errors),
            ("missing", &self.missing),
            ("differs", &self.differs),
            ("refused", &self.refused),
            ("reused", &self.reused),
            ("extra", &self.extra),
        ] {
            if list != "-" {
                write!(f, " {key}={list}")?;
            }
        }
        Ok(())
    }
}

fn joined<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> String {
    let words: BTreeSet<String> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
    if words.is_empty() { "-".to_owned() } else { words.into_iter().collect::<Vec<_>>().join(",") }
}

pub(crate) struct Cell {
    pub(crate) target: &'static str,
    pub(crate) user: User,
    pub(crate) run: Run,
}

impl Cell {
    pub(crate) fn try_out(&self, repository: &Repository, target: &Path) -> Outcome {
        let Self { run, user, .. } = self;
        let into = target.join("into");
        match run.name {
            // One byte differs, with the size and time of the tree.
            "delta" => change_a_byte(&into.join("big")),
            "delete" => std::fs::write(into.join("not-in-the-tree"), "x").unwrap(),
            _ => {}
        }
        let mut words: Vec<&str> = user.wrapper.to_vec();
        words.push(env!("CARGO_BIN_EXE_rokopia"));
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg("--repo").arg(&repository.path);
        command.arg("--password-file").arg(&repository.password).arg("--json");
        command.args(["restore", "u@h:/zoo"]).arg(&into).args(run.options);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        let Ok(summary) = serde_json::from_str::<Value>(&text) else {
            panic!("{} {} {}: {text}\n{said}", self.target, user.name, run.name)
        };
        self.outcome(repository, &into, &summary, &said, output.status.code().unwrap_or(-1))
    }

    fn outcome(
        &self,
        repository: &Repository,
        into: &Path,
        summary: &Value,
        said: &str,
        exit: i32,
    ) -> Outcome {
        let refused = &summary["refused"];
        let kinds = ["owner", "mode", "times"].into_iter().filter(|kind| refused[*kind].as_u64() > Some(0));
        let refused = joined(kinds);
        // What is refused is never silent.
        assert_eq!(refused != "-", said.contains("[attributes-refused]"), "{said}");
        let errors: Vec<&str> = summary["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["code"].as_str().unwrap())
            .collect();
        let counted: BTreeSet<String> = errors
            .iter()
            .map(|code| format!("{code}*{}", errors.iter().filter(|other| *other == code).count()))
            .collect();
        let compare = Compare { owners: true, data: true, kopia_times: false };
        let (mut missing, mut differs, mut extra) = (Vec::new(), Vec::new(), Vec::new());
        for difference in repository.tree.compare(into, compare).unwrap() {
            // Names may have line ends and colons in them, what is said of them does not.
            let (path, what) = difference.rsplit_once(": ").unwrap();
            let top = path.split('/').next().unwrap().to_owned();
            match what.split(' ').next().unwrap() {
                "No" | "Invalid" | "File" => missing.push(top),
                "not" if what == "not in the tree" => extra.push(path.replace('\n', "?").replace(' ', "_")),
                "mode" => differs.push("mode"),
                "owner" => differs.push("owner"),
                "modified" => differs.push("times"),
                _ => differs.push("DATA"),
            }
        }
        let staged = walkdir::WalkDir::new(into).into_iter().flatten();
        let staged = staged.filter(|entry| {
            let name = entry.file_name().to_string_lossy();
            name.starts_with(".rokopia-") && name.len() > ".rokopia-".len()
        });
        assert_eq!(staged.count(), 0, "staged leftovers in {} {}", self.target, self.run.name);
        let fetched = summary["fetched_bytes"].as_u64() > Some(0);
        Outcome {
            exit,
            errors: joined(counted),
            missing: joined(missing),
            differs: joined(differs),
            refused,
            reused: (if fetched { "some" } else { "all" }).to_owned(),
            extra: joined(extra),
        }
    }
}

fn change_a_byte(file: &Path) {
    use std::os::unix::fs::FileExt;
    let Ok(open) = std::fs::OpenOptions::new().read(true).write(true).open(file) else { return };
    let mut byte = [0];
    open.read_exact_at(&mut byte, 150_000).unwrap();
    open.write_all_at(&[byte[0] ^ 1], 150_000).unwrap();
}
