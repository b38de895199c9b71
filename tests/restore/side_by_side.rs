//! Restores at the same time in one directory: none takes what another one is writing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rokopia::blob::FileSystem;
use rokopia::restore::{Restore, Summary};
use rokopia::testkit::{Data, DataKind, Hooked, Request, Tree};

use crate::common::{Opened, Sample, paths};

const NAMES: [&str; 3] = ["a", "b", "c"];

fn large(seed: u64) -> Data {
    Data { kind: DataKind::Noise, seed, size: 3_000_000 }
}

fn tree() -> Tree {
    let mut tree = Tree::new();
    for (seed, name) in (1..).zip(NAMES) {
        tree.add_file(name, large(seed)).unwrap();
    }
    tree
}

/// A repository whose first pack is read at once, and the others when the flag is set.
fn halting(repo: &Path, go_on: &Arc<AtomicBool>) -> Opened {
    let (go_on, asked) = (Arc::clone(go_on), AtomicUsize::new(0));
    Opened::new(Hooked::new(FileSystem::open(repo).unwrap()).before(move |request| {
        let of_pack = matches!(request, Request::ReadAt(id, ..) if id.as_str().starts_with('p'));
        if of_pack && asked.fetch_add(1, Ordering::SeqCst) > 0 {
            while !go_on.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }))
}

/// A restore that has begun to write, and ends when it is told to.
struct Halted {
    go_on: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Summary>,
}

impl Halted {
    fn begin(
        sample: &Sample,
        name: &'static str,
        into: PathBuf,
        describe: impl Fn(Restore<'_>) -> Restore<'_> + Send + 'static,
    ) -> Self {
        let go_on = Arc::new(AtomicBool::new(false));
        let before = staged(&into).len();
        let thread = std::thread::spawn({
            let (repo, go_on, into) = (sample.repo(), Arc::clone(&go_on), into.clone());
            move || {
                let opened = halting(&repo, &go_on);
                let entry = opened.entry(name);
                describe(Restore::new(&opened.contents, &entry)).run(into, &()).unwrap()
            }
        });
        while staged(&into).len() == before && !thread.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Self { go_on, thread }
    }

    fn end(self) -> Summary {
        self.go_on.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

fn staged(directory: &Path) -> Vec<String> {
    paths(directory).into_iter().filter(|path| path.contains(".rokopia-")).collect()
}

fn assert_whole(target: &Path) {
    for (seed, name) in (1..).zip(NAMES) {
        assert!(fs::read(target.join(name)).unwrap() == large(seed).to_vec(), "{name}");
    }
    assert_eq!(paths(target), NAMES);
}

#[test]
fn clean_up_leaves_what_another_restore_of_a_file_has_staged() {
    let sample = Sample::new(&tree());
    let target = sample.target();
    fs::create_dir(&target).unwrap();
    let [first, second] =
        ["a", "b"].map(|name| Halted::begin(&sample, name, target.clone(), |restore| restore));
    assert_eq!(staged(&target).len(), 2);
    assert_eq!(first.end().errors, []);
    // The first one is over, so that the third one cleans up.
    let opened = sample.open();
    let third = Restore::new(&opened.contents, &opened.entry("c")).run(&target, &()).unwrap();
    assert_eq!((third.errors, third.leftovers), (vec![], 0));
    assert_eq!(second.end().errors, []);
    assert_whole(&target);
}

#[test]
fn a_restore_of_the_directory_leaves_what_one_of_a_file_has_staged() {
    let sample = Sample::new(&tree());
    let target = sample.target();
    sample.restore(|restore| restore);
    // What a killed run left makes the next one look everywhere.
    let left = target.join(format!(".rokopia-{}", &blake3::hash(b"x").to_hex()[..32]));
    let note = target.join(format!(".rokopia-{}", &blake3::hash(b"/something is staged").to_hex()[..32]));
    // Holds the lock of the directory.
    let lock = nix::fcntl::Flock::lock(
        fs::File::open(&target).unwrap(),
        nix::fcntl::FlockArg::LockExclusiveNonblock,
    )
    .unwrap();
    let running = Halted::begin(&sample, "a", target.clone(), |restore| restore);
    drop(lock);
    for path in [&left, &note] {
        fs::write(path, "half").unwrap();
    }
    let summary = sample.restore(|restore| restore.skip_existing(true));
    assert_eq!((summary.errors, summary.leftovers), (vec![], 1));
    assert_eq!(running.end().errors, []);
    assert_whole(&target);
}

#[test]
fn of_two_restores_of_one_file_the_second_one_says_that_there_is_another() {
    let sample = Sample::new(&tree());
    let target = sample.target();
    for delta in [false, true] {
        sample.restore(|restore| restore);
        for name in NAMES {
            // Nothing of it is the same, and everything has to be read.
            fs::write(target.join(name), vec![7; 3_000_000]).unwrap();
        }
        let first = Halted::begin(&sample, "a", target.clone(), move |restore| restore.delta(delta));
        let opened = sample.open();
        let second =
            Restore::new(&opened.contents, &opened.entry("a")).delta(delta).run(&target, &()).unwrap();
        let codes: Vec<&str> = second.errors.iter().map(|error| error.code).collect();
        assert_eq!(codes, ["target-busy"], "delta: {delta}");
        assert_eq!(first.end().errors, [], "delta: {delta}");
        assert!(fs::read(target.join("a")).unwrap() == large(1).to_vec(), "delta: {delta}");
        assert_eq!(staged(&target), [""; 0], "delta: {delta}");
    }
}
