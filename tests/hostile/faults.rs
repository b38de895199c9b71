//! A storage that fails at its n-th operation, for every n of what reads it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rokopia::blob::{BlobId, BlobMetadata, BlobStore, Error, FileSystem, Retry, RetryPolicy};
use rokopia::checker::{Candidates, Checker, Clock, Settings as CheckerSettings, State};
use rokopia::crypto::Password;
use rokopia::format::RepositoryFormat;
use rokopia::restore::Restore;
use rokopia::snapshot::{Snapshots, Source};
use rokopia::testkit::{Chunks, Compare, Data, DataKind, Options, RepositoryWriter, Tree};
use rokopia::verify::{Settings, Verdict, Verifier};
use rokopia::{Options as OpenOptions, Repository};
use tempfile::TempDir;

use crate::common::memory::Memory;
use crate::common::{Counter, say, with_threads};
use crate::run::{PASSWORD, quick};

const THREADS: usize = 8;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The system refuses, with an error number.
    Refuses(i32),
    /// It takes its time.
    Delays,
    /// Half of what was asked for.
    Truncates,
    /// A listing from before the last two blobs of index were written.
    StaleList,
    /// One bit is wrong.
    Flips,
    /// There is no such blob.
    Vanished,
}

const FAULTS: [Fault; 9] = [
    Fault::Refuses(nix::libc::EIO),
    Fault::Refuses(nix::libc::ESTALE),
    Fault::Refuses(nix::libc::ETIMEDOUT),
    Fault::Refuses(nix::libc::EACCES),
    Fault::Delays,
    Fault::Truncates,
    Fault::StaleList,
    Fault::Flips,
    Fault::Vanished,
];

/// Fails from the n-th operation on, for so many operations.
struct Faulty {
    inner: Memory,
    fault: Fault,
    from: u64,
    count: u64,
    done: AtomicU64,
}

impl Faulty {
    fn new(inner: &Memory, fault: Fault, from: u64, count: u64) -> Arc<Self> {
        Arc::new(Self { inner: inner.clone(), fault, from, count, done: AtomicU64::new(0) })
    }

    /// Whether this operation goes wrong.
    fn strikes(&self) -> Option<Fault> {
        let number = self.done.fetch_add(1, Ordering::Relaxed);
        let strikes = number >= self.from && number - self.from < self.count;
        if strikes && self.fault == Fault::Delays {
            std::thread::sleep(Duration::from_millis(2));
        }
        strikes.then_some(self.fault)
    }
}

fn refused(blob: &BlobId, number: i32) -> Error {
    Error::Read { blob: blob.clone(), source: io::Error::from_raw_os_error(number) }
}

impl BlobStore for Faulty {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        let fault = self.strikes();
        let mut listed = self.inner.list(prefix)?;
        match fault {
            Some(Fault::Refuses(number)) => {
                Err(Error::List { path: "/faulty".into(), source: io::Error::from_raw_os_error(number) })
            }
            Some(Fault::StaleList) => {
                // Names of index blobs are hashes: which are lost follows from nothing else.
                let stale = |blob: &BlobMetadata| blob.id.as_str().starts_with('x');
                let mut left = 2;
                listed.retain(|blob| {
                    !stale(blob) || left == 0 || {
                        left -= 1;
                        false
                    }
                });
                Ok(listed)
            }
            _ => Ok(listed),
        }
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        match self.strikes() {
            Some(Fault::Refuses(number)) => Err(refused(id, number)),
            Some(Fault::Truncates) => Ok(self.inner.size(id)? / 2),
            Some(Fault::Vanished) => Err(Error::NotFound { blob: id.clone() }),
            _ => self.inner.size(id),
        }
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        let fault = self.strikes();
        let mut bytes = self.inner.read(id, limit)?;
        let half = bytes.len() / 2;
        match fault {
            Some(Fault::Refuses(number)) => return Err(refused(id, number)),
            Some(Fault::Vanished) => return Err(Error::NotFound { blob: id.clone() }),
            Some(Fault::Truncates) => bytes.truncate(half),
            Some(Fault::Flips) => bytes[half] ^= 0x10,
            _ => {}
        }
        Ok(bytes)
    }

    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let fault = self.strikes();
        let wanted = buffer.len() as u64;
        match fault {
            Some(Fault::Refuses(number)) => return Err(refused(id, number)),
            Some(Fault::Vanished) => return Err(Error::NotFound { blob: id.clone() }),
            Some(Fault::Truncates) => {
                return Err(Error::ShortRead { blob: id.clone(), offset, wanted, got: wanted / 2 });
            }
            _ => {}
        }
        self.inner.read_at(id, offset, buffer)?;
        let half = buffer.len() / 2;
        if fault == Some(Fault::Flips) && !buffer.is_empty() {
            buffer[half] ^= 0x10;
        }
        Ok(())
    }

    fn describe(&self) -> String {
        "a faulty storage".to_owned()
    }
}

/// A repository of two snapshots in memory.
struct World {
    _dir: TempDir,
    memory: Memory,
    format: Arc<RepositoryFormat>,
    old: Tree,
    new: Tree,
}

fn source() -> Source {
    "user@host:/data".parse().unwrap()
}

fn old_tree() -> Tree {
    let mut tree = Tree::new();
    for number in 0..12 {
        let data = Data { kind: DataKind::Noise, seed: number, size: 20_000 + number * 3000 };
        tree.add_file(&format!("d{}/f{number}", number % 3), data).unwrap();
    }
    tree.add_link("d0/link", "f0").unwrap();
    tree
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let chunks = Chunks::Between { min: 10_000, max: 30_000 };
        let options = Options { chunks, pack_size: 150_000, ..quick() };
        let mut writer = RepositoryWriter::create(&dir.path().join("repo"), options).unwrap();
        let old = old_tree();
        let mut new = old_tree();
        for number in 0..4 {
            let data = Data { kind: DataKind::Noise, seed: 100 + number, size: 40_000 };
            new.add_file(&format!("n{}/f{number}", number % 2), data).unwrap();
        }
        for tree in [&old, &new] {
            let root = writer.write_tree(tree).unwrap();
            writer.snapshot(&source(), &root);
            writer.flush().unwrap();
            let now = writer.now();
            writer.set_now(now + 3600);
        }
        writer.finish().unwrap();
        let store = FileSystem::open(dir.path().join("repo")).unwrap();
        let memory = Memory::copy_of(&store).unwrap();
        let format = Arc::clone(Repository::open(store, &Password::new(PASSWORD)).unwrap().format());
        Self { _dir: dir, memory, format, old, new }
    }

    fn open(&self, store: &Arc<Faulty>) -> Repository {
        Repository::with_format(Arc::clone(store), Arc::clone(&self.format), OpenOptions::default())
    }

    /// Every fault at every operation, once and for good. `operations` is what it takes without.
    fn plans(&self, operations: u64) -> Vec<(Fault, u64, u64)> {
        let each = |fault| (0..=operations).flat_map(move |at| [(fault, at, 1), (fault, at, u64::MAX)]);
        FAULTS.into_iter().flat_map(each).collect()
    }
}

fn names(tree: &Tree) -> BTreeMap<String, Data> {
    let files = tree.directories().iter().flat_map(|directory| {
        directory.files().map(move |file| (format!("{}/{}", directory.path(), file.name), file.data))
    });
    files.collect()
}

/// Complaints about files that are not what any snapshot says.
fn wrong_files(tree: &Tree, target: &Path) -> Vec<String> {
    let expected = names(tree);
    crate::run::paths(target)
        .into_iter()
        .filter(|path| target.join(path).symlink_metadata().unwrap().is_file())
        .filter(|path| {
            let right = expected.get(path).map(|data| data.to_vec());
            right.is_none() || right != std::fs::read(target.join(path)).ok()
        })
        .map(|path| format!("{path} is wrong"))
        .collect()
}

fn restore(world: &World, store: &Arc<Faulty>, target: &Path) -> Result<bool, String> {
    let repository = world.open(store);
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let catalog = repository.catalog().map_err(|e| text(&e))?;
    let snapshot = Snapshots::new(catalog.manifests()).all().latest().ok_or("no snapshot")?;
    let contents = repository.contents().map_err(|e| text(&e))?;
    let root = snapshot.root.clone().ok_or("no root")?;
    let restore = Restore::new(&contents, &root).threads(1).reads(2);
    let summary = restore.run(target, &()).map_err(|e| text(&e))?;
    Ok(summary.errors.is_empty())
}

#[test]
fn a_restore_is_right_or_says_what_it_lacks() {
    let world = World::new();
    let store = Faulty::new(&world.memory, Fault::Delays, u64::MAX, 0);
    let place = tempfile::tempdir().unwrap();
    assert_eq!(restore(&world, &store, &place.path().join("t")), Ok(true));
    let operations = store.done.load(Ordering::Relaxed);
    let plans = world.plans(operations);
    let [whole, partial, refused] = [const { Counter::new() }; 3];
    with_threads(THREADS, &plans, |(fault, from, count)| {
        let store = Faulty::new(&world.memory, *fault, *from, *count);
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("t");
        let result = restore(&world, &store, &target);
        let mut complaints = if target.exists() { wrong_files(&world.new, &target) } else { Vec::new() };
        match result {
            Ok(true) => {
                whole.add(1);
                let differs = |tree: &Tree| !tree.compare(&target, Compare::default()).unwrap().is_empty();
                // A listing without the last indexes leads to the snapshot before.
                if differs(&world.new) && (*fault != Fault::StaleList || differs(&world.old)) {
                    complaints.push("says that all is restored".to_owned());
                }
            }
            Ok(false) => partial.add(1),
            Err(_) => refused.add(1),
        }
        // Once the storage is well again, the same command completes what is there.
        let well = Faulty::new(&world.memory, Fault::Delays, u64::MAX, 0);
        if restore(&world, &well, &target) != Ok(true)
            || !world.new.compare(&target, Compare { ..Compare::default() }).unwrap().is_empty()
        {
            complaints.push("the next restore does not complete it".to_owned());
        }
        complaints.into_iter().map(|what| format!("{fault:?} from {from} for {count}: {what}")).collect()
    });
    say(&format!(
        "faults while restoring: {} plans over {operations} operations; {} whole, {} in part, {} refused",
        plans.len(),
        whole.get(),
        partial.get(),
        refused.get()
    ));
}

#[test]
fn a_verification_claims_no_damage_where_only_reading_failed() {
    let world = World::new();
    let settings = Settings { threads: 1, ..Settings::default() };
    let policy = RetryPolicy {
        attempts: 3,
        first_pause: Duration::from_micros(50),
        longest_pause: Duration::from_micros(200),
    };
    // As the command does.
    let run = |store: &Arc<Faulty>| {
        let store = Retry::new(Arc::clone(store), policy);
        let repository = Repository::with_format(store, Arc::clone(&world.format), OpenOptions::default());
        Verifier::new(&repository, &settings).run()
    };
    let store = Faulty::new(&world.memory, Fault::Delays, u64::MAX, 0);
    assert_eq!(run(&store).unwrap().result, Verdict::Clean);
    let operations = store.done.load(Ordering::Relaxed);
    let plans = world.plans(operations);
    let [clean, damaged, incomplete, refused] = [const { Counter::new() }; 4];
    with_threads(THREADS, &plans, |(fault, from, count)| {
        let store = Faulty::new(&world.memory, *fault, *from, *count);
        let mut complaints = Vec::new();
        match run(&store) {
            Ok(report) => {
                let struck = store.done.load(Ordering::Relaxed) > *from && *fault != Fault::Delays;
                match report.result {
                    Verdict::Clean => {
                        clean.add(1);
                        // What fails for good cannot have been read.
                        let unread = matches!(fault, Fault::Refuses(_)) && *count > 1 && struck;
                        if unread && *from + 1 < operations {
                            complaints.push("says that all is well".to_owned());
                        }
                    }
                    Verdict::Damaged => {
                        damaged.add(1);
                        // What a disk says of a sector that is gone, at every attempt, is damage.
                        let sector = *fault == Fault::Refuses(nix::libc::EIO) && *count > 1;
                        if matches!(fault, Fault::Refuses(_) | Fault::Delays) && !sector {
                            let claims: Vec<&String> = report.damage.iter().map(|d| &d.detail).collect();
                            complaints.push(format!("claims damage: {claims:?}"));
                        }
                    }
                    Verdict::Incomplete => incomplete.add(1),
                }
            }
            Err(_) => refused.add(1),
        }
        complaints.into_iter().map(|what| format!("{fault:?} from {from} for {count}: {what}")).collect()
    });
    say(&format!(
        "faults while verifying: {} plans over {operations} operations; {} clean, {} damaged, {} incomplete, {} refused",
        plans.len(),
        clean.get(),
        damaged.get(),
        incomplete.get(),
        refused.get()
    ));
}

#[test]
fn a_checker_never_says_no_of_what_is_there() {
    let world = World::new();
    let there = Candidates::of(source().into());
    let ask = |store: Arc<Faulty>, again: bool| {
        let settings = CheckerSettings { refresh_interval: None, ..CheckerSettings::default() };
        let open_store = {
            let store = Arc::clone(&store);
            move || Ok(Arc::clone(&store) as Arc<dyn BlobStore>)
        };
        let checker = Checker::start(
            settings,
            Clock::system(),
            OpenOptions::default(),
            Arc::new(open_store),
            Arc::new(|| Ok(Password::new(PASSWORD))),
        )
        .unwrap();
        let first = checker.ask(&there, Duration::from_secs(30)).state;
        let nobody = Candidates::of("nobody@host:/data".parse().unwrap());
        // A question about what is not there makes it look once more, and into packs.
        let absent = checker.ask(&nobody, Duration::from_secs(30)).state;
        let then = if again { checker.ask(&there, Duration::from_secs(30)).state } else { first };
        (first, absent, then)
    };
    let store = Faulty::new(&world.memory, Fault::Delays, u64::MAX, 0);
    assert_eq!(ask(Arc::clone(&store), true), (State::Exists, State::Absent, State::Exists));
    let operations = store.done.load(Ordering::Relaxed);
    // Each takes a derivation of the key.
    let plans: Vec<_> = world.plans(operations).into_iter().step_by(2).collect();
    let [exists, unknown, absent] = [const { Counter::new() }; 3];
    with_threads(THREADS, &plans, |(fault, from, count)| {
        let (first, other, then) = ask(Faulty::new(&world.memory, *fault, *from, *count), true);
        let mut complaints = Vec::new();
        for state in [first, then] {
            match state {
                State::Exists => exists.add(1),
                State::Unknown => unknown.add(1),
                State::Absent => complaints.push(format!("{fault:?} from {from} for {count}: says no")),
            }
        }
        // Of what is not there it may say so, or that it does not know.
        match other {
            State::Exists => {
                complaints.push(format!("{fault:?} from {from} for {count}: says yes to nothing"))
            }
            State::Absent => absent.add(1),
            State::Unknown => {}
        }
        complaints
    });
    say(&format!(
        "faults while asking: {} plans over {operations} operations; {} yes, {} unknown, no false no; {} true no",
        plans.len(),
        exists.get(),
        unknown.get(),
        absent.get()
    ));
}
