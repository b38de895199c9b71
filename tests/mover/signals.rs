//! Cases 62 to 65: being ended, started again, and not being alone.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rokopia::testkit::{Data, DataKind, Options, RepositoryWriter, Tree};

use crate::sandbox::{self, strs};
use crate::storage::with_fault;
use crate::world::{PASSWORD, Run, STARTS, World, add, listing, tree, write_r};

/// Enough to be interrupted in.
pub(crate) fn large() -> Tree {
    let mut tree = Tree::new();
    for seed in 0..300 {
        let size = if seed % 50 == 0 { 3 << 20 } else { 50_000 };
        tree.add_file(&format!("{}/{seed}", seed % 7), Data { kind: DataKind::Noise, seed, size }).unwrap();
    }
    tree
}

pub(crate) fn with_large() -> World {
    World::with(|dir| {
        let options = Options { password: PASSWORD.into(), pack_size: 2 << 20, ..Options::default() };
        let mut writer = RepositoryWriter::create(dir, options).unwrap();
        add(&mut writer, "app@ns:/data", STARTS[0], &large());
        writer.finish().unwrap();
    })
}

/// Waits for the end; whoever hangs is killed.
pub(crate) fn end_of(mut child: Child) -> Run {
    let deadline = Instant::now() + Duration::from_secs(120);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("the mover does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    Run { code: output.status.code().unwrap_or(-1), log: String::from_utf8(output.stdout).unwrap() }
}

/// The process itself, where it was started by `unshare`.
pub(crate) fn innermost(child: &Child) -> Pid {
    let id = child.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let inner = children.split_whitespace().next().and_then(|id| id.parse().ok());
    Pid::from_raw(inner.unwrap_or(id as i32))
}

/// Every file that is there is right, and none has a name of ours.
pub(crate) fn holds_part_of(world: &World, tree: &Tree) {
    let known: Vec<_> = tree.listing().collect();
    for path in listing(&world.data()).into_keys() {
        let name = path.strip_prefix(world.data()).unwrap().to_str().unwrap();
        let entry = known.iter().find(|entry| entry.path == name);
        assert!(entry.is_some(), "{name} was left behind");
    }
}

/// A mover whose storage hangs.
pub(crate) struct Hung {
    child: Child,
    log: BufReader<ChildStdout>,
    read: String,
}

impl Hung {
    /// Starts a mover, and waits until it hangs.
    pub(crate) fn start(world: &World, wrapper: &[&str]) -> Self {
        let mut child = world.command(wrapper).spawn().unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let mut read = String::new();
        while !read.contains("it hangs") {
            assert!(log.read_line(&mut read).unwrap() > 0, "it never hangs:\n{read}");
        }
        Self { child, log, read }
    }

    pub(crate) fn kill(&self, signal: Signal) {
        kill(innermost(&self.child), signal).unwrap();
    }

    /// Waits until a signal is not only sent: the thread that is woken by signals has gone to sleep once more, or all is over.
    fn notices(&self, signal: Signal) {
        let tasks = PathBuf::from(format!("/proc/{}/task", innermost(&self.child)));
        let status = || {
            let threads = std::fs::read_dir(&tasks).ok()?.flatten();
            let mut status =
                threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("status")).ok());
            status.find(|status| status.starts_with("Name:\tsignals\n"))
        };
        let line = |status: &str, name: &str| {
            status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
        };
        let asleep = || status().filter(|status| line(status, "State:").starts_with('S'));
        let sleeps = |status: &str| line(status, "voluntary_ctxt_switches:");
        let before = wait_for(asleep);
        self.kill(signal);
        wait_for(|| match status() {
            Some(status) => (sleeps(&status) != sleeps(&before)).then_some(()),
            None => Some(()),
        });
    }

    pub(crate) fn end(self) -> Run {
        let Self { child, mut log, mut read } = self;
        let rest = std::thread::spawn(move || {
            // Whoever is killed leaves half a line.
            let _ = log.read_to_string(&mut read);
            read
        });
        let mut run = end_of(child);
        run.log = rest.join().unwrap();
        run
    }
}

fn wait_for<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(Instant::now() < deadline, "it never happens");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn was_stopped(run: &Run) {
    run.ended(143).has("INFO: EXIT_CODE: 143").has("INFO: OPERATION_RESULT: FAILURE");
    assert!(run.status().ends_with("[stopped]"), "{}", run.status());
}

/// Where a run can be held: before and between its steps, and with some packs read.
const PHASES: [(&str, &str); 6] = [
    ("/repo/kopia.repository", "0"),
    ("/repo/x", "0"),
    ("/repo/q", "0"),
    ("/repo/p", "0"),
    ("/repo/p", "1"),
    ("/repo/p", "7"),
];

/// The storage hangs when the signal arrives, and goes on when it has been noticed.
#[test]
fn case_62_sigterm_ends_it_at_any_phase() {
    let Some(wrapper) = sandbox::process_1() else { return };
    let mut world = with_large();
    let until = world.dir.path().join("until");
    for (at, after) in PHASES {
        let Some(held) = with_fault(world, "hang", at) else { return };
        let held = held.set("FAULT_AFTER", after).set("FAULT_UNTIL", until.to_str().unwrap());
        let hung = Hung::start(&held, &strs(&wrapper));
        hung.notices(Signal::SIGTERM);
        std::fs::write(&until, "").unwrap();
        was_stopped(&hung.end());
        std::fs::remove_file(&until).unwrap();
        holds_part_of(&held, &large());
        world = held;
    }
    let world = world.set("FAULT", "");
    world.run().ended(0);
    world.holds(&large());
    world.run().ended(0).has("; 0 bytes fetched");
}

#[test]
fn case_63_a_killed_run_is_completed() {
    for after in ["0", "1", "7"] {
        let Some(world) = with_fault(with_large(), "hang", "/repo/p") else { return };
        let world = world.set("FAULT_AFTER", after);
        let hung = Hung::start(&world, &[]);
        hung.kill(Signal::SIGKILL);
        hung.end();
        // What the killed one may have left under a name of ours is not there after the next.
        let world = world.set("FAULT", "");
        world.run().ended(0);
        world.holds(&large());
    }
}

#[test]
fn case_64_a_second_run_changes_nothing() {
    let world = World::new();
    world.run().ended(0);
    let before = listing(&world.data());
    world.run().ended(0).has("; 0 bytes fetched");
    assert_eq!(listing(&world.data()), before);
}

#[test]
fn case_65_a_backup_writes_meanwhile() {
    let mut world = World::with(|_| {});
    world.busy = true;
    let mut writer = write_r(&world.repo());
    std::thread::scope(|scope| {
        let writes = scope.spawn(move || {
            for number in 0..20 {
                add(&mut writer, "busy@ns:/data", STARTS[2], &tree(100 + number));
                writer.advance_epoch().unwrap();
            }
        });
        for _ in 0..4 {
            world.run().ended(0);
            world.holds(&tree(3));
        }
        writes.join().unwrap();
    });
}

#[test]
fn case_73_storage_that_disappears() {
    let Some(world) = with_fault(with_large(), "hang", "/repo/p") else { return };
    let [packs, away, until] = ["repo/p", "away", "until"].map(|name| world.dir.path().join(name));
    let world = world.set("FAULT_UNTIL", until.to_str().unwrap());
    let hung = Hung::start(&world, &[]);
    std::fs::rename(&packs, &away).unwrap();
    std::fs::write(until, "").unwrap();
    hung.end().failed().has("missing");
    holds_part_of(&world, &large());
    std::fs::rename(away, packs).unwrap();
    world.run().ended(0);
    world.holds(&large());
}
