//! Damage, full disks, cancellation.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rokopia::restore::{Error, Filter, Overwrite, Progress, Status};
use rokopia::testkit::{Damage, Data, DataKind, Shape, Tree};

use crate::basics::mixed;
use crate::common::{Sample, assert_same, paths};

fn files() -> Tree {
    let mut tree = Tree::new();
    for i in 0..40 {
        let data = Data { kind: DataKind::Noise, seed: i, size: 100_000 };
        tree.add_file(&format!("d{}/f{i}", i % 4), data).unwrap();
    }
    tree
}

fn no_staged_names(target: &std::path::Path) {
    for path in paths(target) {
        assert!(!path.contains(".rokopia-"), "{path}");
    }
}

#[test]
fn one_damaged_pack_costs_only_its_files() {
    let tree = files();
    let sample = Sample::new(&tree);
    let damage = Damage::open(&sample.repo()).unwrap();
    let packs = damage.names("p").unwrap();
    assert!(packs.len() > 3);
    damage.flip_some(&packs[0], 3, 1).unwrap();
    damage.truncate(&packs[1], 1000).unwrap();
    damage.delete(&packs[2]).unwrap();
    let summary = sample.restore(|restore| restore);
    let failed: Vec<&str> = summary.errors.iter().map(|error| error.path.as_str()).collect();
    assert!(failed.len() >= 3 && failed.len() < 30, "{failed:?}");
    let codes: Vec<&str> = summary.errors.iter().map(|error| error.code).collect();
    for code in ["content-damaged", "pack-truncated", "pack-missing"] {
        assert!(codes.contains(&code), "{codes:?}");
    }
    let found: Vec<String> = paths(&sample.target()).into_iter().filter(|path| path.contains('/')).collect();
    assert_eq!(found.len() + failed.len(), 40);
    for path in &found {
        assert!(!failed.contains(&path.as_str()));
        assert_eq!(fs::metadata(sample.target().join(path)).unwrap().len(), 100_000);
    }
    // Nothing is deleted after an incomplete reading.
    fs::write(sample.target().join("d1/extra"), "").unwrap();
    assert_eq!(sample.restore(|restore| restore.delete(true)).deleted, 0);
    assert!(sample.target().join("d1/extra").exists());
    assert!(sample.restore(|restore| restore.fail_fast(true)).stopped);
    no_staged_names(&sample.target());
}

#[test]
fn an_unreadable_root_leaves_the_target_alone() {
    let sample = Sample::new(&files());
    let mut opened = sample.open();
    opened.root.object = Some("k00112233445566778899aabbccddeeff".parse().unwrap());
    let error = opened.restore().run(sample.target(), &()).unwrap_err();
    assert_eq!(error.code(), "content-missing");
    assert!(!sample.target().exists());
}

#[test]
fn a_store_that_vanishes_ends_the_restore() {
    struct Vanish(std::path::PathBuf, AtomicBool);
    impl Progress for Vanish {
        fn status(&self, _: &Status) {
            if !self.1.swap(true, Ordering::SeqCst) {
                let _ = fs::rename(&self.0, self.0.with_extension("gone"));
            }
        }
    }
    let tree = Shape::mixed(3 << 20).tree(3).unwrap();
    let sample = Sample::new(&tree);
    let opened = sample.open();
    let vanish = Vanish(sample.repo(), AtomicBool::new(false));
    match opened.restore().run(sample.target(), &vanish) {
        Ok(summary) => assert!(!summary.errors.is_empty()),
        Err(error) => assert_eq!(error.code(), "pack-missing"),
    }
    if sample.target().exists() {
        no_staged_names(&sample.target());
    }
    fs::rename(sample.repo().with_extension("gone"), sample.repo()).unwrap();
    sample.restore(|restore| restore.skip_existing(true));
    assert_same(&tree, &sample.target());
}

#[test]
fn cancelling_leaves_whole_files_only() {
    struct Cancel(Arc<AtomicBool>);
    impl Progress for Cancel {
        fn status(&self, _: &Status) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let tree = Shape::mixed(8 << 20).tree(4).unwrap();
    let sample = Sample::new(&tree);
    let opened = sample.open();
    let flag = Arc::new(AtomicBool::new(false));
    let result = opened.restore().cancel(Arc::clone(&flag)).run(sample.target(), &Cancel(flag));
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    no_staged_names(&sample.target());
    let summary = sample.restore(|restore| restore.skip_existing(true));
    assert_eq!(summary.errors, []);
    assert_same(&tree, &sample.target());
}

#[test]
fn what_a_killed_run_left_is_used_or_removed() {
    let tree = files();
    let sample = Sample::new(&tree);
    let target = sample.target();
    let name = |of: &str| format!(".rokopia-{}", &blake3::hash(of.as_bytes()).to_hex()[..32]);
    for skip in [false, true] {
        sample.restore(|restore| restore);
        // As after a kill: a directory under its staged name with one file whole, one not, and one of another snapshot.
        fs::rename(target.join("d1"), target.join(name("d1"))).unwrap();
        fs::write(target.join(name("d1")).join("f1"), vec![1; 100_000]).unwrap();
        fs::write(target.join(name("d1")).join("other"), "").unwrap();
        fs::create_dir_all(target.join(name("unknown")).join("x")).unwrap();
        fs::write(target.join("d2").join(name("f2")), "half").unwrap();
        let summary = sample.restore(|restore| restore.skip_existing(skip));
        assert_eq!(summary.errors, []);
        assert_eq!(summary.skipped, if skip { 39 } else { 0 });
        no_staged_names(&target);
        assert_same(&tree, &target);
    }
}

#[test]
fn two_restores_into_one_target_are_refused() {
    let sample = Sample::new(&files());
    fs::create_dir(sample.target()).unwrap();
    let held = fs::File::open(sample.target()).unwrap();
    held.lock().unwrap();
    let error = sample.open().restore().run(sample.target(), &()).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
}

#[test]
fn what_a_killed_run_left_is_removed_where_the_next_one_has_nothing_to_do() {
    let tree = files();
    let sample = Sample::new(&tree);
    let target = sample.target();
    sample.restore(|restore| restore);
    let name = |of: &str| format!(".rokopia-{}", &blake3::hash(of.as_bytes()).to_hex()[..32]);
    fs::create_dir_all(target.join("extra/deep")).unwrap();
    fs::write(target.join("extra/deep/file"), "").unwrap();
    // As after a kill: a note in the root, and staged names where the next run restores nothing.
    fs::write(target.join(name("/something is staged")), "").unwrap();
    fs::create_dir_all(target.join("extra/deep").join(name("a")).join("b")).unwrap();
    fs::write(target.join("d2").join(name("f2")), "half").unwrap();
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    fs::File::open(target.join("extra/deep")).unwrap().set_modified(long_ago).unwrap();
    let summary =
        sample.restore(|restore| restore.skip_existing(true).filter(Filter::new(&["d1"], &[]).unwrap()));
    assert_eq!((summary.errors, summary.deleted), (vec![], 0));
    no_staged_names(&target);
    assert!(target.join("extra/deep/file").exists());
    assert_eq!(fs::metadata(target.join("extra/deep")).unwrap().modified().unwrap(), long_ago);
}

#[test]
fn what_is_in_the_way_stays_unless_all_of_the_directory_came() {
    let tree = files();
    let sample = Sample::new(&tree);
    let target = sample.target();
    let damage = Damage::open(&sample.repo()).unwrap();
    damage.delete(&damage.names("p").unwrap()[0]).unwrap();
    let first = sample.restore(|restore| restore);
    let harmed = first.errors[0].path.split('/').next().unwrap().to_owned();
    let whole = (0..4)
        .map(|i| format!("d{i}"))
        .find(|dir| first.errors.iter().all(|error| !error.path.starts_with(dir.as_str())));
    for dir in whole.iter().chain([&harmed]) {
        fs::remove_dir_all(target.join(dir)).unwrap();
        fs::write(target.join(dir), "the owner's").unwrap();
    }
    let summary = sample.restore(|restore| restore.overwrite(Overwrite::Always));
    assert!(summary.errors.iter().any(|error| error.path == harmed && error.code == "target-conflict"));
    assert_eq!(fs::read(target.join(&harmed)).unwrap(), b"the owner's");
    if let Some(dir) = whole {
        assert!(target.join(dir).is_dir());
    }
    no_staged_names(&target);
}

fn leftover(directory: &std::path::Path, of: &str) -> std::path::PathBuf {
    let path = directory.join(format!(".rokopia-{}", &blake3::hash(of.as_bytes()).to_hex()[..32]));
    fs::write(&path, "half").unwrap();
    path
}

#[test]
fn leftovers_without_a_note_are_removed_and_counted() {
    let sample = Sample::new(&mixed());
    let target = sample.target();
    sample.restore(|restore| restore);
    let left = [leftover(&target, "x"), leftover(&target.join("a/b"), "y")];
    let summary = sample.restore(|restore| restore.skip_existing(true));
    assert_eq!((summary.leftovers, summary.errors.len()), (2, 0));
    assert!(left.iter().all(|path| !path.exists()));
}

#[test]
fn what_another_run_has_staged_is_left_alone() {
    let sample = Sample::new(&mixed());
    let target = sample.target();
    sample.restore(|restore| restore);
    let staged = leftover(&target.join("a/b"), "y");
    for at_work in [sample.dir.path().to_path_buf(), target.join("a")] {
        let open = fs::File::open(&at_work).unwrap();
        let lock = nix::fcntl::Flock::lock(open, nix::fcntl::FlockArg::LockExclusiveNonblock).unwrap();
        let summary = sample.restore(|restore| restore.skip_existing(true));
        assert_eq!((summary.leftovers, summary.errors.len()), (0, 0), "{at_work:?}");
        assert!(staged.exists());
        drop(lock);
    }
    assert_eq!(sample.restore(|restore| restore.skip_existing(true)).leftovers, 1);
}

#[test]
fn restoring_a_single_file_removes_what_earlier_ones_left() {
    let sample = Sample::new(&mixed());
    let target = sample.target();
    fs::create_dir(&target).unwrap();
    let (own, other) = (leftover(&target, "bottom"), leftover(&target, "other"));
    let restore = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rokopia"));
        command.env("ROKOPIA_PASSWORD", "testkit").arg("--repo").arg(sample.repo());
        command.args(["restore", "-v", "latest/a/b/c/d/bottom"]).arg(&target).output().unwrap()
    };
    let lock = nix::fcntl::Flock::lock(
        fs::File::open(&target).unwrap(),
        nix::fcntl::FlockArg::LockExclusiveNonblock,
    );
    assert!(restore().status.success());
    assert!(other.exists(), "another restore is at work");
    drop(lock);
    let output = restore();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains("leftover"), "{output:?}");
    assert!(!own.exists() && !other.exists() && target.join("bottom").exists());
}
