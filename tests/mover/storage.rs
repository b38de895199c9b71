//! Storage that hangs or fails under the real executable, by a library that is loaded before the C library's own functions;
//! and many movers at once on one repository.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};

use crate::sandbox::{self, strs};
use crate::signals::{Hung, end_of, holds_part_of, innermost, large, was_stopped, with_large};
use crate::world::{Run, World};

/// Longer than the two seconds that a mover may take to end, for machines that are busy otherwise.
const DEADLINE: Duration = Duration::from_secs(5);

/// The library, where there is a C compiler.
fn library() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("storage.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mover/storage.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
        match compiler.status() {
            Ok(status) => {
                assert!(status.success());
                Some(library)
            }
            Err(_) => {
                println!("skipped: there is no C compiler");
                None
            }
        }
    };
    LIBRARY.get_or_init(build).as_deref()
}

pub(crate) fn with_fault(world: World, fault: &str, at: &str) -> Option<World> {
    let preload = library()?.to_str().unwrap();
    Some(world.set("LD_PRELOAD", preload).set("FAULT", fault).set("FAULT_AT", at))
}

#[test]
fn case_62_sigterm_ends_it_while_storage_hangs() {
    let Some(wrapper) = sandbox::process_1() else { return };
    let mut world = with_large();
    for at in ["/repo", "/repo/kopia.repository", "/repo/x", "/repo/q", "/repo/p"] {
        let Some(faulty) = with_fault(world, "hang", at) else { return };
        let hung = Hung::start(&faulty, &strs(&wrapper));
        let killed = Instant::now();
        hung.kill(Signal::SIGTERM);
        let run = hung.end();
        assert!(killed.elapsed() < DEADLINE, "{at}: {:?}", killed.elapsed());
        was_stopped(&run);
        holds_part_of(&faulty, &large());
        world = faulty.set("FAULT", "");
    }
    world.run().ended(0);
    world.holds(&large());
}

#[test]
fn case_62_sigterm_ends_it_while_nobody_reads_the_log() {
    let Some(world) = with_fault(World::new(), "hang", "/repo/p") else { return };
    let (reader, log) = std::io::pipe().unwrap();
    let mut command = world.command(&[]);
    command.stdout(log.try_clone().unwrap());
    let child = command.spawn().unwrap();
    let mut reader = BufReader::new(reader);
    let mut read = String::new();
    while !read.contains("it hangs") {
        assert!(reader.read_line(&mut read).unwrap() > 0, "{read}");
    }
    // A description of its own: what the mover says must wait for room.
    let own = format!("/proc/self/fd/{}", log.as_raw_fd());
    let mut log = OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(own).unwrap();
    while log.write(&[b'x'; 512]).is_ok() || log.write(b"x").is_ok() {}
    let killed = Instant::now();
    kill(innermost(&child), Signal::SIGTERM).unwrap();
    assert_eq!(end_of(child).code, 143);
    assert!(killed.elapsed() < DEADLINE, "{:?}", killed.elapsed());
    drop(reader);
}

/// Memory that a container of this test may have.
const LIMIT: u64 = 160 << 20;

#[test]
fn many_movers_start_at_once() {
    let script =
        format!(r#"mount -t tmpfs none /sys/fs/cgroup; echo {LIMIT} > /sys/fs/cgroup/memory.max; exec "$@""#);
    let Some(wrapper) = sandbox::mounts(&script) else { return };
    let source = with_large();
    let movers: Option<Vec<World>> = (0..24)
        .map(|_| {
            let url = format!("filesystem://{}", source.repo().display());
            let mut world = World::without_repository().set("KOPIA_REPOSITORY", url);
            world.busy = true;
            with_fault(world.unset("KOPIA_CACHE_DIR"), "once", "/repo/p")
        })
        .collect();
    let Some(movers) = movers else { return };
    let runs: Vec<Run> = std::thread::scope(|scope| {
        let started: Vec<_> =
            movers.iter().map(|world| scope.spawn(|| world.run_in(&strs(&wrapper)))).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut peaks = Vec::new();
    for (world, run) in movers.iter().zip(&runs) {
        run.ended(0);
        world.holds(&large());
        let (_, report) = run.log.rsplit_once("INFO: faults ").unwrap();
        let (faults, rest) = report.split_once(", peak ").unwrap();
        assert!(faults.parse::<u64>().unwrap() > 1, "what failed once was tried again");
        peaks.push(rest.split(' ').next().unwrap().parse::<u64>().unwrap() << 10);
    }
    let highest = peaks.iter().max().unwrap();
    println!("24 movers, at most {} MiB each", highest >> 20);
    assert!((32 << 20..LIMIT).contains(highest), "{peaks:?}");
}
