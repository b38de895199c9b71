//! Cases 62 to 65: being ended, started again, and not being alone.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rokopia::testkit::{Data, DataKind, Options, RepositoryWriter, Tree};

use crate::sandbox::{self, strs};
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
    let deadline = Instant::now() + Duration::from_secs(20);
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

/// Starts a restore, reads its log up to a line with `text`, and ends it with `signal` after a while.
pub(crate) fn interrupt(world: &World, wrapper: &[&str], text: &str, pause: Duration, signal: Signal) -> Run {
    let mut child = world.command(wrapper).spawn().unwrap();
    let mut log = BufReader::new(child.stdout.take().unwrap());
    let mut read = String::new();
    while !read.contains(text) && log.read_line(&mut read).unwrap() > 0 {}
    std::thread::sleep(pause);
    // It may have ended by itself.
    let _ = kill(innermost(&child), signal);
    let rest = std::thread::spawn(move || std::io::read_to_string(log).unwrap_or_default());
    let mut run = end_of(child);
    run.log = read + &rest.join().unwrap();
    run
}

#[test]
fn case_62_sigterm_ends_it_at_any_phase() {
    let Some(wrapper) = sandbox::process_1() else { return };
    let world = with_large();
    let mut stopped = 0;
    for (text, pause) in [
        ("Starting", 0),
        ("finding the repository", 20),
        ("listing the snapshots", 0),
        ("restoring into", 0),
        ("restoring into", 30),
    ] {
        let run = interrupt(&world, &strs(&wrapper), text, Duration::from_millis(pause), Signal::SIGTERM);
        if run.code != 0 {
            stopped += 1;
            run.ended(143).has("INFO: EXIT_CODE: 143").has("INFO: OPERATION_RESULT: FAILURE");
            assert!(run.status().ends_with("[stopped]"), "{}", run.status());
        }
        holds_part_of(&world, &large());
    }
    assert!(stopped >= 3, "the signal came too late {} times", 5 - stopped);
    world.run().ended(0);
    world.holds(&large());
    assert!(world.run().ended(0).log.contains("; 0 bytes were fetched"));
}

#[test]
fn case_63_a_killed_run_is_completed() {
    for pause in [0, 40] {
        let world = with_large();
        interrupt(&world, &[], "restoring into", Duration::from_millis(pause), Signal::SIGKILL);
        world.run().ended(0);
        world.holds(&large());
    }
}

#[test]
fn case_64_a_second_run_changes_nothing() {
    let world = World::new();
    world.run().ended(0);
    let before = listing(&world.data());
    world.run().ended(0).has("; 0 bytes were fetched");
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
    let world = with_large();
    let (packs, away) = (world.repo().join("p"), world.dir.path().join("away"));
    let mut child = world.command(&[]).spawn().unwrap();
    let mut log = BufReader::new(child.stdout.take().unwrap());
    let mut read = String::new();
    while !read.contains("Selected snapshot") && log.read_line(&mut read).unwrap() > 0 {}
    let id = Pid::from_raw(child.id() as i32);
    kill(id, Signal::SIGSTOP).unwrap();
    std::fs::rename(&packs, &away).unwrap();
    kill(id, Signal::SIGCONT).unwrap();
    let rest = std::thread::spawn(move || std::io::read_to_string(log).unwrap());
    let mut run = end_of(child);
    run.log = read + &rest.join().unwrap();
    run.failed().has("missing");
    holds_part_of(&world, &large());
    std::fs::rename(away, Path::new(&packs)).unwrap();
    world.run().ended(0);
    world.holds(&large());
}
