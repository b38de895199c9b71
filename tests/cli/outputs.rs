//! Nothing is written to the repository, by whatever option and path.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::run;
use crate::support::{PASSWORD, assert_exit, copy_without, stderr};

/// Every path below a directory with its bytes.
fn state(root: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    let mut found: Vec<_> = walkdir::WalkDir::new(root)
        .into_iter()
        .map(|entry| {
            let path = entry.unwrap().into_path();
            let bytes = path.is_file().then(|| fs::read(&path).unwrap());
            (path.display().to_string(), bytes)
        })
        .collect();
    found.sort();
    found
}

fn assert_refused(output: &Output, what: &str) {
    assert!(stderr(output).contains("error[output-in-repository]"), "{what}: {output:?}");
    assert_exit(output, 3);
}

#[test]
fn no_output_goes_to_the_repository() {
    let repo = copy_without(&[]);
    let place = tempfile::tempdir().unwrap();
    let (link, dangling) = (place.path().join("link"), place.path().join("dangling"));
    symlink(repo.path(), &link).unwrap();
    symlink(repo.path().join("new"), &dangling).unwrap();
    let before = state(repo.path());
    let format = repo.path().join("kopia.repository.f");
    let inside = [repo.path().join("out"), link.join("deep/out"), dangling, format];
    for path in &inside {
        let path = path.to_str().unwrap();
        for option in ["--report", "--html", "--textfile", "--ledger", "--write-repaired"] {
            let refused = run(repo.path(), PASSWORD, &["verify", "--level", "index", option, path]);
            assert_refused(&refused, &format!("{option} {path}"));
        }
        assert_refused(&run(repo.path(), PASSWORD, &["--cache-dir", path, "snapshots"]), path);
        assert_refused(&run(repo.path(), PASSWORD, &["restore", "latest", path]), path);
        assert_refused(&run(repo.path(), PASSWORD, &["restore", "latest/notes/todo.txt", path]), path);
        let drill = ["verify", "--drill", "latest", "--to", path];
        assert_refused(&run(repo.path(), PASSWORD, &drill), path);
    }
    assert_eq!(state(repo.path()), before);
    let beside = place.path().join("report");
    let written =
        run(repo.path(), PASSWORD, &["verify", "--level", "index", "--report", beside.to_str().unwrap()]);
    assert_exit(&written, 0);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 3);
}

#[test]
fn an_archive_is_not_written_to_a_file_in_the_repository() {
    let repo = copy_without(&[]);
    let archive = repo.path().join("archive.tar");
    let mut command = Command::new(env!("CARGO_BIN_EXE_rokopia"));
    command
        .env_clear()
        .env("ROKOPIA_PASSWORD", PASSWORD)
        .arg("--repo")
        .arg(repo.path())
        .args(["tar", "latest"]);
    let output = command.stdout(File::create(&archive).unwrap()).output().unwrap();
    assert_refused(&output, "tar");
    assert_eq!(fs::metadata(&archive).unwrap().len(), 0);
}

#[test]
fn quiet_is_not_silent_about_what_is_lost() {
    let damaged = copy_without(&["p"]);
    let target = tempfile::tempdir().unwrap();
    let output = run(damaged.path(), PASSWORD, &["-q", "restore", "latest", target.path().to_str().unwrap()]);
    assert_exit(&output, 4);
    let said = stderr(&output);
    assert!(said.contains("error: \"notes/todo.txt\": "), "{said}");
    assert!(said.contains("entries could not be restored"), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn deleting_in_a_home_takes_a_further_word() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("thesis"), "precious").unwrap();
    let restore = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rokopia"));
        command.env_clear().env("ROKOPIA_PASSWORD", PASSWORD).env("HOME", home.path());
        command.arg("--repo").arg(crate::support::sample()).args(["restore", "latest"]).arg(home.path());
        command.args(options).output().unwrap()
    };
    let refused = restore(&["--delete"]);
    assert_exit(&refused, 3);
    assert!(stderr(&refused).contains("error[delete-refused]"), "{refused:?}");
    assert_exit(&restore(&[]), 0);
    assert!(home.path().join("thesis").exists());
    assert_exit(&restore(&["--delete", "--delete-anywhere"]), 0);
    assert!(!home.path().join("thesis").exists());
}
