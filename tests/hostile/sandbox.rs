//! What the program gives up is gone: files elsewhere, other programs, the network.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::AT_FDCWD;
use nix::unistd::{LinkatFlags, linkat};
use rokopia::testkit::{Compare, Shape};
use rokopia::{Enforcement, Sandbox, SandboxStatus};

use crate::common::say;
use crate::run::Scene;

/// Runs in a thread that enters the sandbox, and gives back what that said, unless the kernel has none.
fn inside(sandbox: Sandbox, work: impl FnOnce() + Send) -> bool {
    let entered = std::thread::scope(|scope| {
        let work = || {
            let entered = sandbox.enter();
            if matches!(entered, SandboxStatus::Restricted { files: Ok(_), calls: Ok(_) }) {
                work();
            }
            entered
        };
        scope.spawn(work).join().unwrap()
    });
    match entered {
        SandboxStatus::Restricted { files: Ok(given), calls: Ok(_) } => {
            say(&format!("{entered}{}", if given == Enforcement::Partial { ", in part" } else { "" }));
            true
        }
        _ => {
            say(&format!("sandbox: skipped: {entered}"));
            false
        }
    }
}

fn denied<T>(what: &str, result: io::Result<T>) {
    let error = result.err().unwrap_or_else(|| panic!("{what} is possible"));
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{what}: {error}");
}

/// A scene of `repo`, `target` and `outside`, each with a file.
fn places() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for place in ["repo/p", "target", "outside"] {
        fs::create_dir_all(dir.path().join(place)).unwrap();
        fs::write(dir.path().join(place).join("file"), "content").unwrap();
    }
    dir
}

/// Threads that are started later have given up the same.
#[test]
fn only_the_repository_is_read_and_only_the_target_written() {
    let dir = places();
    let at = |path: &str| dir.path().join(path);
    let (file, moved) = (File::create(at("outside/open")).unwrap(), at("outside/moved"));
    fs::create_dir(&moved).unwrap();
    fs::write(moved.join("pack"), "content").unwrap();
    symlink(&moved, at("repo/q")).unwrap();
    let sandbox = Sandbox::default().repository(at("repo")).writing(at("target/new/below"));
    let work = || {
        // The repository, and what it leads to.
        for path in ["repo/p/file", "repo/q/pack"] {
            assert_eq!(fs::read(at(path)).unwrap(), b"content", "{path}");
            denied(path, File::options().write(true).open(at(path)));
            denied(path, fs::remove_file(at(path)));
        }
        denied("a new blob", File::create(at("repo/p/new")));
        denied("a directory in the repository", fs::create_dir(at("repo/n")));
        // All that a restore does in its target.
        let target = at("target");
        fs::create_dir_all(target.join("new/below")).unwrap();
        fs::write(target.join("new/.staged"), "abc").unwrap();
        fs::rename(target.join("new/.staged"), target.join("new/file")).unwrap();
        fs::rename(target.join("new/file"), target.join("new/below/file")).unwrap();
        fs::hard_link(target.join("new/below/file"), target.join("twin")).unwrap();
        File::options().write(true).open(target.join("twin")).unwrap().set_len(1).unwrap();
        symlink(at("outside/file"), target.join("link")).unwrap();
        fs::remove_file(target.join("file")).unwrap();
        let unnamed = nix::libc::O_TMPFILE;
        match File::options().write(true).custom_flags(unnamed).open(&target) {
            Ok(file) => linkat(&file, "", AT_FDCWD, &target.join("new/linked"), LinkatFlags::AT_EMPTY_PATH)
                .or_else(|_| linkat_by_proc(&file, &target.join("new/linked")))
                .unwrap(),
            Err(e) => assert_eq!(e.raw_os_error(), Some(nix::libc::EOPNOTSUPP)),
        }
        fs::remove_dir_all(target.join("new")).unwrap();
        denied("a socket file", nix_mknod(&target.join("pipe")));
        // Nothing elsewhere.
        denied("reading elsewhere", File::open(at("outside/file")));
        denied("listing elsewhere", fs::read_dir(at("outside")));
        denied("reading the system", File::open("/etc/passwd"));
        denied("writing elsewhere", File::options().write(true).open(at("outside/file")));
        denied("creating elsewhere", File::create(at("outside/new")));
        denied("removing elsewhere", fs::remove_file(at("outside/file")));
        denied("reading through a link", File::open(target.join("link")));
        denied("writing through a link", File::create(target.join("link")));
        let out = fs::rename(target.join("twin"), at("outside/twin"));
        assert!(out.is_err() && target.join("twin").exists(), "moved out of the target");
        assert!(fs::hard_link(target.join("twin"), at("outside/twin")).is_err());
        assert!(fs::hard_link(at("outside/file"), target.join("stolen")).is_err());
        // Other programs, and the network.
        denied("starting a program", Command::new("/bin/true").status());
        denied("listening", TcpListener::bind("127.0.0.1:0"));
        denied("connecting", UnixStream::connect("/run/systemd/notify"));
        // What is open stays so; what is started later has given up the same.
        io::Write::write_all(&mut &file, b"still").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| denied("a thread: reading elsewhere", File::open(at("outside/file"))));
        });
    };
    inside(sandbox, work);
    assert_eq!(fs::read(at("outside/file")).unwrap(), b"content");
}

fn linkat_by_proc(file: &File, path: &Path) -> nix::Result<()> {
    use std::os::fd::AsRawFd;
    // Only who may read all files may name one that has no name; others go by way of `/proc`, where that is readable.
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(AT_FDCWD, name.as_str(), AT_FDCWD, path, LinkatFlags::AT_SYMLINK_FOLLOW)
}

fn nix_mknod(path: &Path) -> io::Result<()> {
    Ok(nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU)?)
}

#[test]
fn a_service_reads_and_answers_but_writes_nothing() {
    let dir = places();
    let at = |path: &str| dir.path().join(path);
    inside(Sandbox::default().repository(at("repo")).reading_anywhere().listening(), || {
        assert_eq!(fs::read(at("outside/file")).unwrap(), b"content");
        assert!(TcpListener::bind("127.0.0.1:0").is_ok());
        denied("writing", File::options().write(true).open(at("outside/file")));
        denied("creating", File::create(at("target/new")));
        denied("starting a program", Command::new("/bin/true").status());
    });
}

/// A command that has opened its repository and comes no further while a file exists.
struct Held {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    gate: tempfile::NamedTempFile,
}

impl Held {
    fn new(scene: &Scene, arguments: &[&str]) -> Self {
        let gate = tempfile::NamedTempFile::new().unwrap();
        let mut command = scene.command(arguments);
        command.arg("-v").env("ROKOPIA_TESTKIT_GATE", gate.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr, gate }
    }

    /// What the log says of the sandbox.
    fn said(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stderr.read_line(&mut line).unwrap() > 0, "nothing is said of a sandbox");
            if let Some((_, said)) = line.split_once("sandbox: ") {
                return said.trim().to_owned();
            }
        }
    }

    /// What the system says of each thread in a line of its status that begins so.
    fn of_all_threads(&self, field: &str) -> Vec<String> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let of = |thread: io::Result<fs::DirEntry>| {
            let text = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
            text.lines().find_map(|line| Some(line.strip_prefix(field)?.trim().to_owned())).unwrap()
        };
        threads.map(of).collect()
    }

    fn end(mut self) -> (i32, String) {
        self.gate.close().unwrap();
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        let mut out = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        (self.child.wait().unwrap().code().unwrap(), out)
    }
}

#[test]
fn every_thread_of_a_command_has_given_up_what_it_does_not_need() {
    let tree = Shape::Small { files: 20 }.tree(1).unwrap();
    let scene = Scene::new(|writer| writer.write_tree(&tree).unwrap());
    let target = scene.target();
    let arguments = ["restore", "latest", target.to_str().unwrap(), "--json"];
    let mut held = Held::new(&scene, &[&arguments[..], &["--sandbox", "auto"]].concat());
    let said = held.said();
    if said.contains("system calls are restricted") {
        // The thread that waits for signals may have just begun.
        let began = Instant::now();
        let all = |field: &str, value: &str| held.of_all_threads(field).iter().all(|found| found == value);
        while !(all("NoNewPrivs:", "1") && all("Seccomp:", "2")) {
            assert!(began.elapsed() < Duration::from_secs(60), "a thread may do anything");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(held.of_all_threads("Seccomp:").len() > 1, "there is one for signals");
    } else {
        say(&format!("sandbox: threads not looked at: {said}"));
    }
    let (code, json) = held.end();
    assert_eq!(code, 0);
    assert!(json.trim_start().starts_with('{'), "{json}");
    assert!(tree.compare(&target, Compare::default()).unwrap().is_empty());
    scene.assert_untouched("in a sandbox");

    let mut held = Held::new(&scene, &[&arguments[..], &["--overwrite", "always"]].concat());
    assert_eq!(held.said(), "turned off");
    let nested = fs::read_to_string("/proc/self/status").unwrap();
    if nested.contains("NoNewPrivs:\t0") {
        assert!(held.of_all_threads("NoNewPrivs:").iter().all(|found| found == "0"));
    }
    assert_eq!(held.end().0, 0);
}
