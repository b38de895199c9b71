//! End-to-end restores. This first form: one restore, and what it took.
//!
//! `ROKOPIA_BENCH_ONE=1 restore REPO TARGET [option…]`
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measuring tool")]

use std::time::Instant;

use rokopia::Repository;
use rokopia::blob::{Count, FileSystem, SlowStore};
use rokopia::crypto::Password;
use rokopia::restore::Restore;
use rokopia::snapshot::{Snapshots, Tree};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [repo, target, flags @ ..] = args.as_slice() else { return };
    let started = Instant::now();
    let delay = flags.iter().find_map(|f| f.strip_prefix("--delay-ms=")).map_or(0, |f| f.parse().unwrap());
    let store = Count::new(std::sync::Arc::new(SlowStore::new(
        FileSystem::open(repo).unwrap(),
        std::time::Duration::from_millis(delay),
        None,
    )));
    let repository = Repository::open(store.clone(), &Password::new("bench")).unwrap();
    let opened = started.elapsed();
    let catalog = repository.catalog().unwrap();
    let snapshots = Snapshots::new(catalog.manifests());
    let snapshot = snapshots.all().latest().unwrap();
    let contents = repository.contents().unwrap();
    let tree = Tree::of_snapshot(&contents, &snapshot).unwrap();
    let ready = started.elapsed();
    let has = |flag: &str| flags.iter().any(|f| f == flag);
    let summary = Restore::new(&contents, tree.root())
        .delete(has("--delete"))
        .delta(has("--delta"))
        .skip_existing(has("--skip-existing"))
        .verify(has("--verify"))
        .dry_run(has("--null"))
        .run(target, &())
        .unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap().trim().to_owned();
    println!(
        "open {opened:?} ready {ready:?} total {:?} peak {peak} {:?}",
        started.elapsed(),
        store.counts()
    );
    println!("{}", serde_json::to_string(&summary).unwrap());
}
