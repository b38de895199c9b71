//! Somebody who swaps directories of the target for links while it is restored into.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rokopia::testkit::{Data, DataKind, Tree};

use crate::common::say;
use crate::run::Scene;

const ROUNDS: usize = 6;

fn tree() -> Tree {
    let mut tree = Tree::new();
    for number in 0..600 {
        let data = Data { kind: DataKind::Noise, seed: number, size: 3000 };
        tree.add_file(&format!("d{}/below/f{number}", number % 6), data).unwrap();
        // What lies outside by the same names.
        tree.add_file(&format!("d{}/victim", number % 6), Data { size: 9, ..data }).ok();
    }
    tree
}

/// Puts links to `outside` in the place of directories and takes them away again, until told to stop.
fn swap(target: &Path, outside: &Path, stop: &AtomicBool, swaps: &AtomicU64) {
    let aside = target.join("aside");
    while !stop.load(Ordering::Relaxed) {
        for name in ["d0", "d1/below", "d2", "d3/below", "d4/victim", "d5"] {
            let path = target.join(name);
            if std::fs::rename(&path, &aside).is_ok() {
                let _ = symlink(outside, &path);
                swaps.fetch_add(1, Ordering::Relaxed);
                std::thread::yield_now();
                let _ = std::fs::remove_file(&path);
                let _ = std::fs::rename(&aside, &path);
                let _ = std::fs::remove_dir_all(&aside);
                let _ = std::fs::remove_file(&aside);
            } else {
                let _ = symlink(outside, &path);
                std::thread::yield_now();
                let _ = std::fs::remove_file(&path);
            }
        }
    }
}

#[test]
fn nothing_is_written_through_links_that_appear_meanwhile() {
    let tree = tree();
    let scene = Scene::new(|writer| writer.write_tree(&tree).unwrap());
    let target = scene.target();
    let outside = target.parent().unwrap().parent().unwrap().join("outside");
    let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut ends = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| swap(&target, &outside, &stop, &swaps));
        }
        for round in 0..ROUNDS {
            let more = [&[][..], &["--delete"], &["--delta"], &["--skip-existing"]][round % 4];
            let arguments = [&["restore", "latest", target.to_str().unwrap()], more].concat();
            let outcome = scene.run(&arguments);
            outcome.assert_orderly("a restore among swaps");
            ends.push(outcome.code());
        }
        stop.store(true, Ordering::Relaxed);
    });
    scene.assert_untouched("swapped directories");
    let swaps = swaps.load(Ordering::Relaxed);
    assert!(swaps > 0);
    say(&format!("swapped directories: {swaps} swaps during {ROUNDS} restores, which ended with {ends:?}"));
    // In peace, all of it is there.
    scene.clear();
    assert_eq!(scene.run(&["restore", "latest", target.to_str().unwrap(), "--delete"]).code(), 0);
    let differences = tree.compare(&target, rokopia::testkit::Compare::default()).unwrap();
    assert!(differences.is_empty(), "{differences:#?}");
}
