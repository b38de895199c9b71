//! Recorded repositories, and what tests over them share.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of what is a module of it")]

pub mod damage;
pub mod memory;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rokopia::Repository;
use rokopia::blob::FileSystem;
use rokopia::crypto::Password;
use serde_json::Value;

/// A recorded repository: `repo/`, and beside it what Kopia says is in there.
pub struct Case {
    pub name: String,
    pub dir: PathBuf,
    pub about: Value,
}

impl Case {
    pub fn load(dir: &Path) -> Option<Self> {
        let about = serde_json::from_slice(&std::fs::read(dir.join("case.json")).ok()?).unwrap();
        Some(Self { name: dir.file_name()?.to_str()?.to_owned(), dir: dir.to_owned(), about })
    }

    pub fn repo(&self) -> PathBuf {
        self.dir.join("repo")
    }

    pub fn password(&self) -> &str {
        self.about["password"].as_str().unwrap()
    }

    /// Whether Kopia refuses the repository, and so should we.
    pub fn is_refused(&self) -> bool {
        !self.about["kopia_refuses"].is_null()
    }

    pub fn has(&self, name: &str) -> bool {
        self.dir.join(name).exists()
    }

    pub fn json(&self, name: &str) -> Value {
        json(&self.dir.join(name))
    }

    pub fn lines(&self, name: &str) -> Vec<Value> {
        json_lines(&std::fs::read(self.dir.join(name)).unwrap())
    }

    pub fn open(&self) -> Repository {
        open(&self.repo(), self.password()).unwrap()
    }

    /// Runs the command on this repository.
    pub fn run(&self, arguments: &[&str]) -> Output {
        run(&self.repo(), self.password(), arguments)
    }
}

pub fn open(repo: &Path, password: &str) -> Result<Repository, rokopia::Error> {
    Ok(Repository::open(FileSystem::open(repo)?, &Password::new(password))?)
}

/// Runs the command on any repository, in UTC, with the password in the environment.
pub fn run(repo: &Path, password: &str, arguments: &[&str]) -> Output {
    command(repo, password, arguments).output().unwrap()
}

/// The command that [`run`] runs.
pub fn command(repo: &Path, password: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rokopia"));
    command.env_clear().env("TZ", "UTC").env("ROKOPIA_PASSWORD", password);
    command.arg("--repo").arg(repo).args(arguments);
    command
}

pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub fn json_lines(bytes: &[u8]) -> Vec<Value> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// The last line of stderr, as `--json` promises it on failure.
pub fn error_object(output: &Output) -> Value {
    let last = output.stderr.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
    let value: Value = serde_json::from_slice(last)
        .unwrap_or_else(|_| panic!("no JSON at the end of {}", String::from_utf8_lossy(&output.stderr)));
    value["error"].clone()
}

/// The recorded repositories that come with the sources.
pub fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// All recorded repositories: those of `testdata`, and others of the large collection where there is one.
pub fn cases() -> Vec<Case> {
    let mut cases: BTreeMap<String, Case> = BTreeMap::new();
    for place in [Some(testdata()), fixtures()].iter().flatten() {
        for entry in std::fs::read_dir(place).unwrap() {
            if let Some(case) = Case::load(&entry.unwrap().path()) {
                cases.entry(case.name.clone()).or_insert(case);
            }
        }
    }
    cases.into_values().collect()
}

/// The large collection of recorded repositories: `$ROKOPIA_FIXTURES`, or where it lies beside a checkout. With
/// `ROKOPIA_REQUIRE_FIXTURES=1` it must be there.
pub fn fixtures() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures");
    let path = std::env::var_os("ROKOPIA_FIXTURES").map_or_else(beside, PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    let required = std::env::var_os("ROKOPIA_REQUIRE_FIXTURES").is_some_and(|value| value == "1");
    assert!(!required, "{} is not there, and ROKOPIA_REQUIRE_FIXTURES is 1", path.display());
    say(&format!("{} is not there: only testdata is compared", path.display()));
    None
}

/// Prints a line past the capture of the test harness.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A number that threads add to.
#[derive(Default)]
pub struct Counter(AtomicUsize);

impl Counter {
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub fn add(&self, number: usize) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Does `work` with all items, as many at a time as there are cores. Panics with all complaints that come back.
pub fn in_parallel<T: Sync>(items: &[T], work: impl Fn(&T) -> Vec<String> + Sync) {
    with_threads(std::thread::available_parallelism().map_or(2, usize::from), items, work);
}

/// As [`in_parallel`], for work that waits more than it computes.
pub fn with_threads<T: Sync>(threads: usize, items: &[T], work: impl Fn(&T) -> Vec<String> + Sync) {
    let next = AtomicUsize::new(0);
    let complaints = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = work(item);
                    complaints.lock().unwrap().extend(found);
                }
            });
        }
    });
    let complaints = complaints.into_inner().unwrap();
    assert!(complaints.is_empty(), "{} differences:\n{}", complaints.len(), complaints.join("\n"));
}
