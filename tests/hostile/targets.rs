//! Targets that run out of space or of inodes at every point of a restore, and such as cannot be written to at all.

use std::path::Path;
use std::process::Command;

use rokopia::testkit::{Compare, Data, DataKind, Tree};

use crate::common::say;
use crate::run::{Scene, paths};

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
