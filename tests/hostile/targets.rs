//! Targets that run out of space or of inodes at every point of a restore, and such as cannot be written to at all.

use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::libc;
use rokopia::testkit::{Compare, Data, DataKind, Tree};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use crate::common::say;
use crate::run::{Outcome, Scene, paths};

fn tree() -> Tree {
    let mut tree = Tree::new();
    for number in 0..24 {
        let data = Data { kind: DataKind::Noise, seed: number, size: 3000 + number * 900 };
        tree.add_file(&format!("d{}/e/f{number}", number % 3), data).unwrap();
    }
    tree.add_link("d0/link", "e/f0").unwrap();
    tree
}

struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

fn mount(target: &Path, options: &str) -> bool {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(target);
    command.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success())
}

fn wrong_files(tree: &Tree, target: &Path) -> usize {
    let mut wrong = 0;
    for directory in tree.directories() {
        for file in directory.files() {
            let path = target.join(directory.path()).join(&file.name);
            wrong += usize::from(std::fs::read(path).is_ok_and(|bytes| bytes != file.data.to_vec()));
        }
    }
    wrong
}

#[test]
fn a_target_that_fills_up_at_any_point_holds_only_whole_files() {
    let tree = tree();
    let scene = Scene::new(|writer| writer.write_tree(&tree).unwrap());
    let target = scene.target();
    let text = target.to_str().unwrap();
    if !mount(&target, "size=1m") {
        say("targets that fill up: skipped, no file system can be mounted");
        return;
    }
    drop(Mounted(&target));
    let sizes = (1..96).step_by(6).map(|pages| format!("size={}k", pages * 4));
    let inodes = (2..34).step_by(3).map(|inodes| format!("size=4m,nr_inodes={inodes}"));
    let (mut tried, mut failed) = (0, 0);
    for options in sizes.chain(inodes) {
        assert!(mount(&target, &options), "{options}");
        let mounted = Mounted(&target);
        let outcome = scene.run(&["restore", "latest", text, "--json"]);
        outcome.assert_orderly(&options);
        let said = String::from_utf8_lossy(&outcome.stdout).into_owned() + &outcome.stderr;
        assert_eq!(wrong_files(&tree, &target), 0, "{options}");
        let staged: Vec<_> = paths(&target).into_iter().filter(|path| path.contains(".rokopia-")).collect();
        assert!(staged.is_empty(), "{options}: {staged:?} is left behind");
        if outcome.code() == 0 {
            assert!(tree.compare(&target, Compare::default()).unwrap().is_empty(), "{options}");
        } else {
            assert!(said.contains("target-full"), "{options}: {said}");
            failed += 1;
        }
        // With room again, the same command completes it.
        let more =
            Command::new("mount").args(["-o", "remount,size=16m,nr_inodes=1000"]).arg(&target).status();
        assert!(more.unwrap().success());
        assert_eq!(scene.run(&["restore", "latest", text, "--skip-existing"]).code(), 0, "{options}");
        assert!(tree.compare(&target, Compare::default()).unwrap().is_empty(), "{options}");
        tried += 1;
        drop(mounted);
    }
    assert!(mount(&target, "size=4m"));
    let mounted = Mounted(&target);
    assert!(Command::new("mount").args(["-o", "remount,ro"]).arg(&target).status().unwrap().success());
    let outcome = scene.run(&["restore", "latest", text, "--json"]);
    outcome.assert_orderly("a read-only target");
    assert!(matches!(outcome.code(), 3 | 4), "{}", outcome.stderr);
    assert!(paths(&target).is_empty());
    drop(mounted);
    scene.assert_untouched("targets that fill up");
    assert!(failed > 10);
    say(&format!("targets that fill up: {tried} limits of space and inodes, {failed} of them too small"));
}

/// The limit of the process on the size of files: the system refuses every write beyond it, and sends a signal.
#[test]
fn a_limit_on_file_sizes_leaves_only_whole_files() {
    let tree = tree();
    let scene = Scene::new(|writer| writer.write_tree(&tree).unwrap());
    let target = scene.target();
    let mut tried = 0;
    for blocks in [0, 1, 8, 16, 32] {
        let mut command = Command::new("sh");
        command.env_clear().env("ROKOPIA_PASSWORD", crate::run::PASSWORD).args([
            "-c",
            "ulimit -f \"$1\"; shift; exec \"$@\"",
            "sh",
        ]);
        command.arg(blocks.to_string()).arg(env!("CARGO_BIN_EXE_rokopia")).arg("--repo").arg(scene.repo());
        let output = command.args(["restore", "latest"]).arg(&target).output().unwrap();
        assert!(!output.status.success(), "{blocks}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
        assert_eq!(wrong_files(&tree, &target), 0, "{blocks}");
        tried += 1;
    }
    assert_eq!(scene.run(&["restore", "latest", target.to_str().unwrap(), "--skip-existing"]).code(), 0);
    assert!(tree.compare(&target, Compare::default()).unwrap().is_empty());
    say(&format!("limits on file sizes: {tried}"));
}

/// Runs a restore in which the kernel refuses a system call: always, or where an argument has at least this value.
fn refused(scene: &Scene, call: i64, at_least: Option<(u8, u64)>, errno: Errno) -> Outcome {
    let rule = at_least.map(|(argument, value)| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Ge, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .unwrap()
    });
    let rules = [(call, rule.into_iter().collect())].into();
    let (allow, refuse) = (SeccompAction::Allow, SeccompAction::Errno(errno as u32));
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let filter: BpfProgram =
        SeccompFilter::new(rules, allow, refuse, architecture).unwrap().try_into().unwrap();
    // The filter is inherited from the thread that starts the command.
    std::thread::scope(|scope| {
        let run = || {
            seccompiler::apply_filter(&filter).unwrap();
            scene.run(&["restore", "latest", scene.target().to_str().unwrap(), "--json", "--threads", "1"])
        };
        scope.spawn(run).join().unwrap()
    })
}

/// What must hold when the target took a part of the tree.
fn check_part(scene: &Scene, tree: &Tree, what: &str, outcome: &Outcome, code: &str) {
    outcome.assert_orderly(what);
    let target = scene.target();
    let said = String::from_utf8_lossy(&outcome.stdout).into_owned() + &outcome.stderr;
    assert_eq!(wrong_files(tree, &target), 0, "{what}");
    assert!(matches!(outcome.code(), 3 | 4), "{what}: {}: {said}", outcome.code());
    assert!(said.contains(code), "{what}: no {code} in {said}");
    scene.assert_untouched(what);
}

/// Completes what a failed restore began, and removes it.
fn check_completed(scene: &Scene, tree: &Tree, what: &str) {
    let target = scene.target();
    let resumed = scene.run(&["restore", "latest", target.to_str().unwrap(), "--skip-existing"]);
    assert_eq!(resumed.code(), 0, "{what}: {}", resumed.stderr);
    assert!(tree.compare(&target, Compare::default()).unwrap().is_empty(), "{what}");
    let staged: Vec<_> = paths(&target).into_iter().filter(|path| path.contains(".rokopia-")).collect();
    assert!(staged.is_empty(), "{what}: {staged:?} is left behind");
    scene.clear();
}

/// A quota, or a mount that has become read-only, as every kind of write meets it.
#[test]
fn a_target_that_refuses_some_kind_of_write_holds_only_whole_files() {
    let tree = tree();
    let scene = Scene::new(|writer| writer.write_tree(&tree).unwrap());
    let size = 2;
    let mut refusals = vec![
        (libc::SYS_mkdirat, None),
        (libc::SYS_pwrite64, None),
        (libc::SYS_symlinkat, None),
        (libc::SYS_utimensat, None),
        (libc::SYS_pwrite64, Some((size, 3000))),
    ];
    // Every file is longer than the one before.
    refusals.extend((1..24).step_by(8).map(|number| (libc::SYS_pwrite64, Some((size, 3000 + number * 900)))));
    let mut tried = 0;
    for (call, at_least) in refusals {
        let ways = [
            (Errno::EDQUOT, "target-full"),
            (Errno::EROFS, "target-write-failed"),
            (Errno::EIO, "target-write-failed"),
        ];
        for (errno, code) in ways.into_iter().take(if at_least.is_some() { 1 } else { 3 }) {
            let what = format!("{errno} of call {call} from {at_least:?} on");
            let outcome = refused(&scene, call, at_least, errno);
            check_part(&scene, &tree, &what, &outcome, code);
            if errno == Errno::EDQUOT {
                check_completed(&scene, &tree, &what);
            } else {
                scene.clear();
            }
            tried += 1;
        }
    }
    say(&format!("targets that refuse writes: {tried} ways"));
}

/// With `strace` at hand, every write from the n-th on is refused.
#[test]
#[ignore = "takes minutes, and needs strace"]
fn a_quota_that_is_reached_at_the_nth_write_leaves_only_whole_files() {
    let strace = || {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null"]);
        command
    };
    if !strace().arg("true").status().is_ok_and(|status| status.success()) {
        say("quotas at the n-th write: skipped, there is no strace that may trace");
        return;
    }
    let tree = tree();
    let scene = Scene::new(|writer| writer.write_tree(&tree).unwrap());
    let target = scene.target();
    let (mut tried, mut failed) = (0, 0);
    for call in ["pwrite64", "mkdirat", "renameat,renameat2"] {
        for (error, code) in [("EDQUOT", "target-full"), ("EROFS", "target-write-failed")] {
            for first in [1, 2, 5, 11] {
                let inject = format!("inject={call}:error={error}:when={first}+");
                let mut command = strace();
                command
                    .args(["-e", &format!("trace={call}"), "-e", &inject])
                    .arg(env!("CARGO_BIN_EXE_rokopia"));
                command
                    .env_clear()
                    .env("ROKOPIA_PASSWORD", crate::run::PASSWORD)
                    .arg("--repo")
                    .arg(scene.repo());
                command.args(["restore", "latest", target.to_str().unwrap(), "--json", "--threads", "1"]);
                let outcome = crate::run::watch(&mut command, std::time::Duration::from_secs(120));
                match outcome.code() {
                    // There were fewer of these calls in each thread.
                    0 => {
                        assert!(tree.compare(&target, Compare::default()).unwrap().is_empty(), "{inject}");
                        scene.clear();
                    }
                    _ => {
                        check_part(&scene, &tree, &inject, &outcome, code);
                        check_completed(&scene, &tree, &inject);
                        failed += 1;
                    }
                }
                tried += 1;
            }
        }
    }
    assert!(failed > 6, "{failed}");
    say(&format!("quotas at the n-th write: {tried} limits, {failed} of them reached"));
}

/// A file system that finds itself damaged becomes read-only under the feet of who writes.
#[test]
#[ignore = "needs root, and a kernel that mounts images of ext4"]
fn a_target_that_becomes_read_only_meanwhile_holds_only_whole_files() {
    let tree = tree();
    let scene = Scene::new(|writer| writer.write_tree(&tree).unwrap());
    let target = scene.target();
    let image = tempfile::NamedTempFile::new().unwrap();
    let make = || {
        image.as_file().set_len(0)?;
        image.as_file().set_len(16 << 20)?;
        Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image.path()).stderr(Stdio::null()).status()
    };
    let mount = || {
        let mut command = Command::new("mount");
        command.args(["-o", "loop"]).arg(image.path()).arg(&target).stderr(Stdio::null());
        let mounted = command.status().is_ok_and(|status| status.success());
        // It may be gone already.
        let _ = std::fs::remove_dir(target.join("lost+found"));
        mounted
    };
    if !make().is_ok_and(|status| status.success()) || !mount() {
        say("targets that become read-only: skipped, no ext4 can be made and mounted");
        return;
    }
    drop(Mounted(&target));
    let (mut tried, mut failed) = (0, 0);
    for round in 0..6_u32 {
        assert!(make().unwrap().success() && mount());
        let mounted = Mounted(&target);
        let what = format!("read-only in round {round}");
        let mut command =
            scene.command(&["restore", "latest", target.to_str().unwrap(), "--json", "--fsync"]);
        let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // As soon as so many files are there; what then is written, and what not, is up to chance.
        let began = std::time::Instant::now();
        let there = || walkdir::WalkDir::new(&target).into_iter().filter_map(Result::ok).count();
        while there() < 3 + 3 * round as usize && began.elapsed().as_secs() < 20 {
            std::thread::yield_now();
        }
        let aborted =
            Command::new("mount").args(["-o", "remount,abort"]).arg(&target).stderr(Stdio::null()).status();
        let output = running.wait_with_output().unwrap();
        let _ = aborted.unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked"), "{what}: {said}");
        assert_eq!(wrong_files(&tree, &target), 0, "{what}");
        if output.status.code() != Some(0) {
            assert!(matches!(output.status.code(), Some(3 | 4)), "{what}: {said}");
            assert!(
                said.contains("target-write-failed") || said.contains("target-unusable"),
                "{what}: {said}"
            );
            failed += 1;
        }
        // Mounted again, what is under its name is whole, and the same command completes it.
        drop(mounted);
        let _ = Command::new("e2fsck").args(["-p", "-f"]).arg(image.path()).stdout(Stdio::null()).status();
        if mount() {
            let mounted = Mounted(&target);
            assert_eq!(wrong_files(&tree, &target), 0, "{what}, mounted again");
            let resumed = scene.run(&["restore", "latest", target.to_str().unwrap(), "--skip-existing"]);
            assert_eq!(resumed.code(), 0, "{what}: {}", resumed.stderr);
            assert!(tree.compare(&target, Compare::default()).unwrap().is_empty(), "{what}");
            drop(mounted);
        }
        tried += 1;
    }
    say(&format!("targets that become read-only: {tried}, {failed} of them before the end"));
}
