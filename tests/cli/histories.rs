//! Histories that a real Kopia wrote, with a virtual clock: each finding of the audit once, and none of an honest source.
//!
//! `KOPIA` names the program. Where there is none, the test says NOT CHECKED.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rokopia::snapshot::UtcTimestamp;
use serde_json::Value;

use crate::common::{json_lines, run};
use crate::support::files;

const PASSWORD: &str = "virtual clock";
const DAYS: i64 = 8;

/// A repository of Kopia's own making.
struct World {
    dir: tempfile::TempDir,
    kopia: PathBuf,
}

impl World {
    fn new() -> Option<Self> {
        let named = std::env::var_os("KOPIA").map_or_else(|| "kopia".into(), PathBuf::from);
        if !Command::new(&named).arg("--version").output().is_ok_and(|output| output.status.success()) {
            eprintln!("histories of a real kopia: NOT CHECKED, KOPIA names none");
            return None;
        }
        let world = Self { dir: tempfile::tempdir().unwrap(), kopia: named };
        fs::create_dir_all(world.repo()).unwrap();
        world.run(&["repository", "create", "filesystem", "--path", world.repo().to_str().unwrap()]);
        Some(world)
    }

    fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    fn run(&self, arguments: &[&str]) {
        let root = self.dir.path();
        let mut command = Command::new(&self.kopia);
        command.arg("--config-file").arg(root.join("kopia.config")).args(arguments);
        command.env("KOPIA_PASSWORD", PASSWORD).env("KOPIA_CHECK_FOR_UPDATES", "false");
        command.env("KOPIA_LOG_DIR", root.join("logs")).env("KOPIA_CACHE_DIRECTORY", root.join("cache"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A snapshot of so many files so many days ago.
    fn snapshot(&self, source: &str, days_ago: i64, files: usize) {
        let data = self.dir.path().join("data");
        let _ = fs::remove_dir_all(&data);
        fs::create_dir(&data).unwrap();
        for number in 0..files {
            fs::write(data.join(number.to_string()), format!("{source} {days_ago} {number}")).unwrap();
        }
        let now = UtcTimestamp::now().as_nanos() / 1_000_000_000 * 1_000_000_000;
        let time = UtcTimestamp(now - days_ago * 86_400_000_000_000).to_string();
        let time = time.replace('T', " ").replace('Z', " UTC");
        let (start, end) = (format!("--start-time={time}"), format!("--end-time={time}"));
        let source = format!("--override-source={source}");
        self.run(&["snapshot", "create", &source, &start, &end, data.to_str().unwrap()]);
    }

    fn daily(&self, source: &str, last: i64) {
        for days_ago in (last..last + DAYS).rev() {
            self.snapshot(source, days_ago, 20);
        }
    }
}

/// The findings of each source, with its name.
fn findings(repo: &Path, expected: &[&str]) -> Vec<(String, Vec<String>)> {
    let list = tempfile::NamedTempFile::new().unwrap();
    fs::write(list.path(), expected.join("\n")).unwrap();
    let output = run(repo, PASSWORD, &["--json", "audit", "--expect", list.path().to_str().unwrap()]);
    let report: Value = json_lines(&output.stdout).pop().unwrap_or_else(|| panic!("{output:?}"));
    let codes = |source: &Value| {
        let findings = source["findings"].as_array().unwrap().iter();
        findings.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
    };
    let sources = report["sources"].as_array().unwrap().iter();
    sources.map(|source| (source["source"].as_str().unwrap().to_owned(), codes(source))).collect()
}

#[test]
fn each_finding_is_made_once_in_what_a_real_kopia_wrote() {
    let Some(world) = World::new() else { return };
    world.daily("honest@new:/data", 0);
    world.daily("frozen@apps:/data", 6);
    world.daily("shrunk@apps:/data", 1);
    world.snapshot("shrunk@apps:/data", 0, 1);
    world.daily("clock@apps:/data", 0);
    world.snapshot("clock@apps:/data", -1, 20);
    let expected = ["honest@new:/data", "honest@old:/data"];
    let of = |code: &str| match code {
        "" => Vec::new(),
        code => vec![code.to_owned()],
    };
    let found: Vec<_> = [
        ("clock@apps:/data", "clock-ahead"),
        ("frozen@apps:/data", "backup-overdue"),
        ("honest@new:/data", ""),
        ("honest@old:/data", "backup-missing"),
        ("shrunk@apps:/data", "backup-shrunk"),
    ]
    .map(|(source, code)| (source.to_owned(), of(code)))
    .into();
    let mut all = findings(&world.repo(), &expected);
    all.sort();
    assert_eq!(all, found);

    // Without half of the index nothing is called missing.
    let index: Vec<PathBuf> = ["n", "x"].iter().flat_map(|kind| files(&world.repo(), kind)).collect();
    assert!(index.len() > 2, "{index:?}");
    for blob in index.iter().step_by(2) {
        fs::remove_file(blob).unwrap();
    }
    let codes: Vec<String> =
        findings(&world.repo(), &expected).into_iter().flat_map(|(_, codes)| codes).collect();
    assert!(!codes.iter().any(|code| code == "backup-missing"), "{codes:?}");
    assert_eq!(codes.iter().filter(|code| *code == "backup-unknown").count(), 1, "{codes:?}");
}
