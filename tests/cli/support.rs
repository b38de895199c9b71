//! The sample repository, copies of it to damage, and what a run of the program came to.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::common::{error_object, run};

pub(crate) const PASSWORD: &str = "rokopia";
pub(crate) const LATEST: &str = "c0bc0af0079edae99ec3a8793aa991d3";
pub(crate) const OLDEST: &str = "3ef20a5b1fdc91402eb5323d0812f68a";

pub(crate) fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn sample() -> PathBuf {
    project().join("testdata/basic/repo")
}

/// Runs the program on the sample.
pub(crate) fn rokopia(arguments: &[&str]) -> Output {
    run(&sample(), PASSWORD, arguments)
}

/// Runs the program without a repository and without a terminal.
pub(crate) fn rokopia_alone(arguments: &[&str]) -> Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_rokopia")).env_clear().args(arguments).output().unwrap()
}

/// A copy of the sample without the blobs whose names begin with one of `without`.
pub(crate) fn copy_without(without: &[&str]) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in walkdir::WalkDir::new(sample()) {
        let file = file.unwrap();
        let relative = file.path().strip_prefix(sample()).unwrap();
        let name: String =
            relative.to_str().unwrap().chars().filter(|c| *c != '/').collect::<String>().replace(".f", "");
        if file.file_type().is_dir() {
            std::fs::create_dir_all(copy.path().join(relative)).unwrap();
        } else if !without.iter().any(|prefix| name.starts_with(prefix)) {
            std::fs::copy(file.path(), copy.path().join(relative)).unwrap();
        }
    }
    copy
}

/// The files of a repository that hold blobs whose names begin with `prefix`.
pub(crate) fn files(repo: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = walkdir::WalkDir::new(repo)
        .into_iter()
        .map(|file| file.unwrap().into_path())
        .filter(|path| {
            let relative = path.strip_prefix(repo).unwrap().to_str().unwrap();
            path.is_file() && relative.replace('/', "").starts_with(prefix)
        })
        .collect();
    found.sort();
    found
}

pub(crate) fn flip(file: &Path, position: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[position] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Checks that a run ended with this exit code and nothing worth a word.
#[track_caller]
pub(crate) fn assert_exit(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
}

/// Checks exit code and error code of a failure that was reported as JSON.
#[track_caller]
pub(crate) fn assert_failure(output: &Output, exit: i32, code: &str) {
    assert_exit(output, exit);
    assert_eq!(error_object(output)["code"], code, "{output:?}");
}
