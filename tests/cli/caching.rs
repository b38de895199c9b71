//! What is kept between runs with `--cache-dir`: never another answer, and never in the way.

use std::path::Path;
use std::process::{Command, Output};

use crate::common::run;
use crate::support::{PASSWORD, assert_exit, copy_without, files, flip, rokopia, sample, stderr};

fn with_cache(repo: &Path, cache: &Path, arguments: &[&str]) -> Output {
    run(repo, PASSWORD, &[&["--cache-dir", cache.to_str().unwrap()], arguments].concat())
}

/// Index, manifests and format blob of the sample.
const OF_THE_SAMPLE: usize = 3;

fn kept(cache: &Path) -> usize {
    let files = walkdir::WalkDir::new(cache).into_iter().map(Result::unwrap);
    files.filter(|file| file.file_type().is_file()).count()
}

#[test]
fn commands_answer_alike_with_a_cache_and_without() {
    let place = tempfile::tempdir().unwrap();
    let cache = place.path().join("not/yet/there");
    for command in [
        &["snapshots", "--json"][..],
        &["ls", "-R", "latest"],
        &["sources"],
        &["status", "--json"],
        &["exists", "nobody@nowhere:/", "--json"],
        &["--sandbox", "auto", "snapshots", "--json"],
        &["--degraded", "snapshots", "--json"],
    ] {
        let expected = rokopia(command);
        for _ in 0..2 {
            let output = with_cache(&sample(), &cache, command);
            assert_eq!(output.stdout, expected.stdout, "{command:?}");
            assert_eq!(stderr(&output), stderr(&expected), "{command:?}");
            assert_eq!(output.status, expected.status, "{command:?}");
        }
    }
    assert_eq!(kept(&cache), OF_THE_SAMPLE);
}

#[test]
fn a_sandbox_lets_the_cache_be_written() {
    let place = tempfile::tempdir().unwrap();
    let cache = place.path().join("cache");
    let output = with_cache(&sample(), &cache, &["--sandbox", "auto", "ls", "latest"]);
    assert_exit(&output, 0);
    assert_eq!((stderr(&output), kept(&cache)), ("", OF_THE_SAMPLE));
}

#[test]
fn a_size_of_nothing_keeps_nothing() {
    let cache = tempfile::tempdir().unwrap();
    assert_exit(&with_cache(&sample(), cache.path(), &["--cache-size", "0", "snapshots"]), 0);
    assert_eq!(kept(cache.path()), 0);
    let output = with_cache(&sample(), cache.path(), &["--cache-size", "much", "snapshots"]);
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("--cache-size"), "{output:?}");
}

#[test]
fn a_verification_reads_what_the_storage_has() {
    let repo = copy_without(&[]);
    let cache = tempfile::tempdir().unwrap();
    let listed = with_cache(repo.path(), cache.path(), &["snapshots", "--json"]);
    for index in files(repo.path(), "x") {
        if std::fs::metadata(&index).unwrap().len() > 100 {
            flip(&index, 50);
        }
    }
    let verified = with_cache(repo.path(), cache.path(), &["verify", "--level", "index"]);
    assert_ne!(verified.status.code(), Some(0), "{verified:?}");
    let checked = with_cache(repo.path(), cache.path(), &["doctor"]);
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    let listed_again = with_cache(repo.path(), cache.path(), &["snapshots", "--json"]);
    assert_eq!(listed_again.stdout, listed.stdout, "what is kept was read when it was whole");
}

/// Runs a command where a script has mounted something on the cache; `None` where the kernel forbids that.
#[allow(clippy::print_stdout, reason = "a test says that it is skipped")]
fn mounted(script: &str, cache: &Path) -> Option<Output> {
    let script = format!(r#"set -e; mount --make-rprivate /; {script}; exec "$@""#);
    let program = [env!("CARGO_BIN_EXE_rokopia"), "ls", "-R", "latest"];
    for unshare in [&["unshare", "-m"][..], &["unshare", "-Urm"]] {
        let probe =
            [&unshare[1..], &["sh", "-c", "mount --make-rprivate / && mount -t tmpfs none /mnt"]].concat();
        if Command::new(unshare[0]).args(probe).output().is_ok_and(|output| output.status.success()) {
            let output = Command::new(unshare[0])
                .args(&unshare[1..])
                .args(["sh", "-c", &script, "sh"])
                .args(program)
                .env("C", cache)
                .env("ROKOPIA_CACHE_DIR", cache)
                .env("ROKOPIA_REPOSITORY", sample())
                .env("ROKOPIA_PASSWORD", PASSWORD)
                .output()
                .unwrap();
            return Some(output);
        }
    }
    println!("skipped: the kernel allows no mounts");
    None
}

#[test]
fn a_full_disk_and_a_read_only_one_cost_a_warning() {
    let expected = rokopia(&["ls", "-R", "latest"]).stdout;
    let cache = tempfile::tempdir().unwrap();
    for script in [
        r#"mount -t tmpfs -o size=4k none "$C""#,
        r#"mount -t tmpfs -o size=64k none "$C"; head -c 60000 /dev/zero > "$C/full" || true"#,
        r#"mount -t tmpfs -o ro none "$C""#,
    ] {
        let Some(output) = mounted(script, cache.path()) else { return };
        assert_exit(&output, 0);
        assert_eq!(output.stdout, expected, "{script}");
        let warnings = stderr(&output).lines().filter(|line| line.contains("goes on without it")).count();
        assert_eq!((warnings, stderr(&output).lines().count()), (1, 1), "{script}: {output:?}");
    }
    // What is there can be read where nothing can be written.
    with_cache(&sample(), cache.path(), &["snapshots"]);
    let before = kept(cache.path());
    let script = r#"mount --bind "$C" "$C"; mount -o remount,ro,bind "$C""#;
    let Some(output) = mounted(script, cache.path()) else { return };
    assert_eq!((output.stdout.as_slice(), stderr(&output)), (expected.as_slice(), ""));
    assert_eq!(kept(cache.path()), before);
}
