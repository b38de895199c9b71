//! Restores in processes of their own: killed, on a full disk, by an ordinary user.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rokopia::testkit::{Compare, Data, DataKind, Shape, Tree};

use crate::common::{Sample, assert_same, paths};

const NOBODY: u32 = 65534;

/// Not a test: what the processes run.
#[test]
#[ignore = "started by the other tests"]
fn child() {
    let Some(dir) = std::env::var_os("RESTORE_CHILD") else { return };
    let opened = Sample::opened_in(Path::new(&dir));
    let target = std::env::var_os("RESTORE_TARGET").unwrap();
    let summary = opened.restore().run(target, &()).unwrap();
    println!("\nSUMMARY {} {}", summary.refused.owner, serde_json::to_string(&summary).unwrap());
}

fn command(sample: &Sample, target: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "processes::child", "--ignored", "--nocapture"]);
    command.env("RESTORE_CHILD", sample.repo()).env("RESTORE_TARGET", target);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// How many owners were refused, and the summary.
fn summary(command: &mut Command) -> (u64, serde_json::Value) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line =
        text.lines().find_map(|line| line.strip_prefix("SUMMARY ")).unwrap_or_else(|| panic!("{text}"));
    let (refused, json) = line.split_once(' ').unwrap();
    (refused.parse().unwrap(), serde_json::from_str(json).unwrap())
}

/// Every file that is not below a staged name is whole.
fn assert_no_partial_files(tree: &Tree, target: &Path) -> usize {
    let mut expected = BTreeMap::new();
    for directory in tree.directories() {
        for file in directory.files() {
            expected.insert(
                format!("{}/{}", directory.path(), file.name).trim_start_matches('/').to_owned(),
                file.data,
            );
        }
    }
    let mut whole = 0;
    for path in paths(target).iter().filter(|path| !path.contains(".rokopia-")) {
        let file = target.join(path);
        if file.symlink_metadata().unwrap().is_file() {
            assert!(fs::read(&file).unwrap() == expected[path].to_vec(), "{path} is not what it should be");
            whole += 1;
        }
    }
    whole
}

#[test]
fn a_killed_restore_leaves_only_whole_files_and_the_next_one_completes_it() {
    let mut tree = Shape::mixed(24 << 20).tree(9).unwrap();
    tree.add_file("big", Data { kind: DataKind::Noise, seed: 3, size: 8_000_000 }).unwrap();
    let sample = Sample::new(&tree);
    let target = sample.target();
    // How long a process takes until it writes, on this machine.
    let mut ready = None;
    for wait in [0, 5, 10, 20, 40] {
        let started = Instant::now();
        let mut running = command(&sample, &target).spawn().unwrap();
        let empty = || fs::read_dir(&target).map_or(true, |mut entries| entries.next().is_none());
        let pause = ready.unwrap_or(Duration::ZERO) + Duration::from_millis(wait);
        while (empty() || started.elapsed() < pause) && running.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        ready.get_or_insert_with(|| started.elapsed());
        let _ = running.kill();
        running.wait().unwrap();
        println!("killed with {} files in place", assert_no_partial_files(&tree, &target));
        let note = format!(".rokopia-{}", &blake3::hash(b"/something is staged").to_hex()[..32]);
        let staged = paths(&target).iter().any(|path| path.contains(".rokopia-"));
        assert_eq!(staged, target.join(note).exists(), "what is staged is noted");
    }
    let done = sample.restore(|restore| restore.skip_existing(true));
    assert_eq!(done.errors, []);
    assert_same(&tree, &target);
    assert!(paths(&target).iter().all(|path| !path.contains(".rokopia-")));
}

#[test]
fn a_full_disk_leaves_only_whole_files() {
    let mut tree = Tree::new();
    for i in 0..60 {
        tree.add_file(&format!("d{}/f{i}", i % 3), Data { kind: DataKind::Noise, seed: i, size: 100_000 })
            .unwrap();
    }
    let sample = Sample::new(&tree);
    let target = sample.target();
    fs::create_dir(&target).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(&target).status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("skipped: no file system could be mounted");
        return;
    }
    let summary = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let summary = sample.restore(|restore| restore);
        assert!(assert_no_partial_files(&tree, &target) > 10);
        assert!(paths(&target).iter().all(|path| !path.contains(".rokopia-")));
        summary
    }));
    let _ = Command::new("umount").arg(&target).status();
    let summary = summary.unwrap();
    assert!(summary.stopped && summary.errors.iter().any(|error| error.code == "target-full"));
}

#[test]
fn an_ordinary_user_gets_all_but_owners() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: this is an ordinary user already, and all other tests are its");
        return;
    }
    let mut tree = Shape::mixed(2 << 20).tree(2).unwrap();
    let file = tree.add_file("setuid", Data { kind: DataKind::Text, seed: 1, size: 100 }).unwrap();
    file.attributes.mode = 0o6755;
    let number = tree.add_directory("readonly").unwrap();
    let mut attributes = tree.directories()[number].attributes();
    attributes.mode = 0o500;
    tree.set_directory_attributes(number, attributes).unwrap();
    tree.add_file("readonly/file", Data { kind: DataKind::Text, seed: 2, size: 100 }).unwrap();
    let sample = Sample::new(&tree);
    fs::set_permissions(sample.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let target = sample.target();
    for _ in 0..2 {
        let (refused, summary) = summary(command(&sample, &target).uid(NOBODY).gid(NOBODY));
        assert_eq!(summary["errors"], serde_json::json!([]));
        assert!(refused > 0);
        let differences = tree.compare(&target, Compare { owners: false, ..Compare::default() }).unwrap();
        assert_eq!(differences.len(), 1, "{differences:?}");
        let restored = fs::metadata(target.join("setuid")).unwrap();
        assert_eq!((restored.mode() & 0o7777, restored.uid()), (0o755, NOBODY));
    }
}

#[test]
fn a_target_that_its_owner_has_closed_is_restored_into() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can make a directory of another user");
        return;
    }
    let mut tree = Shape::mixed(1 << 20).tree(2).unwrap();
    tree.add_file("file", Data { kind: DataKind::Text, seed: 1, size: 100 }).unwrap();
    let sample = Sample::new(&tree);
    fs::set_permissions(sample.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let target = sample.target();
    for mode in [0, 0o500] {
        let _ = fs::remove_dir_all(&target);
        fs::create_dir(&target).unwrap();
        std::os::unix::fs::chown(&target, Some(NOBODY), Some(NOBODY)).unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(mode)).unwrap();
        let (_, summary) = summary(command(&sample, &target).uid(NOBODY).gid(NOBODY));
        assert_eq!(summary["errors"], serde_json::json!([]), "{mode:o}");
        let differences = tree.compare(&target, Compare { owners: false, ..Compare::default() }).unwrap();
        assert!(differences.is_empty(), "{mode:o}: {differences:?}");
    }
}
