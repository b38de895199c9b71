//! Repositories for the tests: where they are, how they are copied and changed.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The repositories written by real Kopia; `None`, with a line that says so, where they are not at hand.
pub(crate) fn fixtures() -> Option<PathBuf> {
    let dir = std::env::var_os("ROKOPIA_FIXTURES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures"), PathBuf::from);
    if dir.is_dir() {
        return Some(dir);
    }
    assert!(std::env::var_os("ROKOPIA_REQUIRE_FIXTURES").is_none(), "no fixtures at {}", dir.display());
    eprintln!("skipped: no fixtures at {}", dir.display());
    None
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The password of a fixture.
pub(crate) fn password(case: &Path) -> String {
    json(&case.join("case.json"))["password"].as_str().unwrap().to_owned()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}
