//! What is restored is what was backed up.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use rokopia::restore::{Filter, Overwrite};
use rokopia::testkit::{Attributes, Data, DataKind, Options, Shape, Tree};

use crate::common::{Sample, assert_same, paths, quick};

pub(crate) fn mixed() -> Tree {
    let mut tree = Shape::mixed(6 << 20).tree(1).unwrap();
    tree.add_file("empty", Data { kind: DataKind::Text, seed: 1, size: 0 }).unwrap();
    tree.add_file("zeros", Data { kind: DataKind::Zeros, seed: 1, size: 3_000_001 }).unwrap();
    tree.add_file("a/b/c/d/bottom", Data { kind: DataKind::Noise, seed: 5, size: 1_000_000 }).unwrap();
    tree.add_directory("nothing/in/here").unwrap();
    tree.add_link("dangling", "/does/not/exist").unwrap();
    tree
}

#[test]
fn a_tree_comes_back_whole() {
    let tree = mixed();
    let variants = [
        quick(),
        Options { chunks: Options::default().chunks, pack_size: 20 << 20, ..quick() },
        Options {
            data_compression: Some(rokopia::codec::CompressionId::from_header(0x1100).unwrap()),
            ..quick()
        },
        Options { ecc_percent: 2, ..quick() },
    ];
    for options in variants {
        let sample = Sample::with(options, |writer| {
            let root = writer.write_tree(&tree).unwrap();
            writer.snapshot(&"u@h:/p".parse().unwrap(), &root);
        });
        let summary = sample.restore(|restore| restore.verify(true));
        assert_eq!(summary.errors, []);
        assert_same(&tree, &sample.target());
        let totals = tree.totals();
        assert_eq!(summary.files, totals.files);
        assert_eq!(summary.bytes, totals.bytes);
        // Once more over what is there now.
        assert_eq!(sample.restore(|restore| restore).errors, []);
        assert_same(&tree, &sample.target());
    }
}

#[test]
fn zeros_become_holes_unless_told_otherwise() {
    let sample = Sample::new(&mixed());
    sample.restore(|restore| restore);
    assert!(fs::metadata(sample.target().join("zeros")).unwrap().blocks() < 100);
    sample.restore(|restore| restore.sparse(false));
    assert!(fs::metadata(sample.target().join("zeros")).unwrap().blocks() >= 3_000_000 / 512);
}

#[test]
fn little_memory_and_one_thread_suffice() {
    let tree = mixed();
    let sample = Sample::new(&tree);
    sample.restore(|restore| restore.memory(1 << 20).threads(1).reads(1));
    assert_same(&tree, &sample.target());
}

#[test]
fn special_modes_and_strange_names() {
    let mut tree = Tree::new();
    let names = [" ", "\\", "C:", "a\nb", "-rf", "\u{1b}[31m", "...", &"n".repeat(255), ".rokopia-"];
    for (i, name) in names.iter().enumerate() {
        let file = tree.add_file(name, Data { kind: DataKind::Text, seed: i as u64, size: 10 }).unwrap();
        file.attributes.mode = [0o4755, 0o2755, 0o1644, 0, 0o7777, 0o400][i % 6];
        file.attributes.mtime_ns = [-1, 0, 1, -1_000_000_000_000_000_000, 4_000_000_000_000_000_000][i % 5];
    }
    let number = tree.add_directory("sticky").unwrap();
    tree.set_directory_attributes(number, Attributes { mode: 0o3500, mtime_ns: 7, uid: 0, gid: 0 }).unwrap();
    tree.add_file("sticky/x", Data { kind: DataKind::Text, seed: 1, size: 5 }).unwrap();
    let sample = Sample::new(&tree);
    let summary = sample.restore(|restore| restore);
    if nix::unistd::geteuid().is_root() {
        assert!(summary.refused.is_empty(), "{}", summary.refused);
        assert_same(&tree, &sample.target());
    } else {
        assert_eq!(summary.errors, []);
    }
}

#[test]
fn filters_choose_what_is_restored() {
    let sample = Sample::new(&mixed());
    let filter = Filter::new(&["bottom", "/nothing"], &["nothing/in/here"]).unwrap();
    sample.restore(|restore| restore.filter(filter));
    assert_eq!(
        paths(&sample.target()),
        ["a", "a/b", "a/b/c", "a/b/c/d", "a/b/c/d/bottom", "nothing", "nothing/in"]
    );
}

#[test]
fn existing_entries_are_treated_as_told() {
    let tree = mixed();
    let sample = Sample::new(&tree);
    sample.restore(|restore| restore);
    let file = sample.target().join("a/b/c/d/bottom");
    let again = |describe: &dyn Fn(rokopia::restore::Restore<'_>) -> rokopia::restore::Restore<'_>| {
        sample.restore(describe)
    };
    let all = tree.totals().files + tree.totals().links;
    assert_eq!(again(&|r| r.overwrite(Overwrite::IfChanged)).skipped, all);
    let summary = again(&|r| r.skip_existing(true));
    assert_eq!((summary.skipped, summary.fetched_bytes), (all, 0));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(again(&|r| r.skip_existing(true)).skipped, all);
    assert_same(&tree, &sample.target());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(again(&|r| r.overwrite(Overwrite::IfChanged)).skipped, all - 1);
    assert_same(&tree, &sample.target());
    fs::write(&file, "mine").unwrap();
    assert_eq!(again(&|r| r.overwrite(Overwrite::Never)).skipped, all);
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    assert_eq!(again(&|r| r.skip_existing(true)).skipped, all - 1);
    assert_same(&tree, &sample.target());
}

#[test]
fn deleting_leaves_only_the_snapshot() {
    let tree = mixed();
    let sample = Sample::new(&tree);
    sample.restore(|restore| restore);
    let target = sample.target();
    fs::create_dir_all(target.join("a/extra/x")).unwrap();
    fs::write(target.join("a/extra/x/file"), "").unwrap();
    fs::write(target.join("more"), "").unwrap();
    symlink("/", target.join("a/link")).unwrap();
    assert_eq!(sample.restore(|restore| restore).deleted, 0);
    assert!(target.join("a/extra/x/file").exists());
    let summary = sample.restore(|restore| restore.delete(true).overwrite(Overwrite::IfChanged));
    assert_eq!((summary.deleted, summary.errors.len()), (5, 0));
    assert_same(&tree, &target);
}

#[test]
fn what_is_in_the_way_is_replaced_but_directories_only_when_deleting() {
    let tree = mixed();
    let sample = Sample::new(&tree);
    let target = sample.target();
    fs::create_dir_all(target.join("empty/below")).unwrap();
    fs::write(target.join("a"), "a file").unwrap();
    fs::create_dir(target.join("elsewhere")).unwrap();
    fs::write(target.join("elsewhere/kept"), "kept").unwrap();
    symlink("elsewhere", target.join("nothing")).unwrap();
    symlink("elsewhere/kept", target.join("zeros")).unwrap();
    let summary = sample.restore(|restore| restore);
    assert_eq!(summary.errors.len(), 1, "{:?}", summary.errors);
    assert_eq!((summary.errors[0].path.as_str(), summary.errors[0].code), ("empty", "target-conflict"));
    assert_eq!(fs::read(target.join("elsewhere/kept")).unwrap(), b"kept");
    assert_eq!(paths(&target.join("elsewhere")), ["kept"]);
    assert_eq!(sample.restore(|restore| restore.delete(true)).errors, []);
    assert_same(&tree, &target);
}

#[test]
fn a_dry_run_and_a_drill_write_nothing() {
    let tree = mixed();
    let sample = Sample::new(&tree);
    let summary = sample.restore(|restore| restore.dry_run(true));
    assert_eq!((summary.files, summary.fetched_bytes), (tree.totals().files, 0));
    let drill = sample.open().restore().verify(true).run_to_null(&()).unwrap();
    assert_eq!((drill.files, drill.bytes), (tree.totals().files, tree.totals().bytes));
    assert!(drill.fetched_bytes > 0);
    assert!(!sample.target().exists());
}

#[test]
fn a_single_file_or_link_takes_the_place_of_the_target() {
    let sample = Sample::new(&mixed());
    let opened = sample.open();
    let tree = rokopia::snapshot::Tree::of_snapshot(&opened.contents, &opened.snapshot).unwrap();
    for path in ["a/b/c/d/bottom", "dangling"] {
        let entry = tree.entry(path).unwrap();
        let target = sample.target().join("new").join(path.replace('/', "-"));
        let summary = rokopia::restore::Restore::new(&opened.contents, &entry).run(&target, &()).unwrap();
        assert_eq!(summary.files + summary.symlinks, 1);
        assert!(fs::symlink_metadata(&target).is_ok());
    }
}

#[test]
fn delta_fetches_and_writes_only_what_differs() {
    let mut tree = mixed();
    tree.add_file("big", Data { kind: DataKind::Noise, seed: 77, size: 4_000_000 }).unwrap();
    let sample = Sample::new(&tree);
    let whole = sample.restore(|restore| restore);
    let unchanged = sample.restore(|restore| restore.delta(true));
    assert_eq!(unchanged.fetched_bytes, 0);
    assert_eq!(unchanged.reused_bytes, whole.bytes);
    assert_same(&tree, &sample.target());
    let big = sample.target().join("big");
    let inode = fs::metadata(&big).unwrap().ino();
    let mut bytes = fs::read(&big).unwrap();
    bytes[1_000_000] ^= 1;
    bytes.truncate(3_999_000);
    fs::write(&big, &bytes).unwrap();
    fs::write(sample.target().join("zeros"), vec![1; 4_000_000]).unwrap();
    fs::remove_file(sample.target().join("a/b/c/d/bottom")).unwrap();
    let summary = sample.restore(|restore| restore.delta(true));
    assert_eq!(summary.errors, []);
    assert_same(&tree, &sample.target());
    assert!(summary.reused_bytes > whole.bytes - 4_500_000, "{}", summary.reused_bytes);
    assert!(summary.fetched_bytes > 0 && summary.fetched_bytes < 4_500_000, "{}", summary.fetched_bytes);
    assert_eq!(fs::metadata(&big).unwrap().ino(), inode);
}

#[test]
fn a_file_with_another_name_elsewhere_is_not_patched() {
    let tree = mixed();
    let sample = Sample::new(&tree);
    sample.restore(|restore| restore);
    let elsewhere = sample.dir.path().join("elsewhere");
    let file = sample.target().join("a/b/c/d/bottom");
    fs::write(&file, vec![7; 500_000]).unwrap();
    fs::hard_link(&file, &elsewhere).unwrap();
    assert_eq!(sample.restore(|restore| restore.delta(true)).errors, []);
    assert_eq!(fs::read(&elsewhere).unwrap(), vec![7; 500_000]);
    assert_same(&tree, &sample.target());
}

#[test]
fn a_file_that_a_killed_delta_put_aside_is_used() {
    let tree = mixed();
    let sample = Sample::new(&tree);
    let whole = sample.restore(|restore| restore);
    let file = sample.target().join("zeros");
    let name = format!(".rokopia-{}", &blake3::hash(b"zeros").to_hex()[..32]);
    fs::rename(&file, sample.target().join(&name)).unwrap();
    let summary = sample.restore(|restore| restore.delta(true));
    assert_eq!((summary.fetched_bytes, summary.reused_bytes), (0, whole.bytes));
    assert!(!sample.target().join(name).exists());
    assert_same(&tree, &sample.target());
}
