//! `rokopia mount` in the kernel, compared with what `restore` gives.
//!
//! Needs `/dev/fuse` and the right to mount; where these are missing, the tests say NOT CHECKED.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests and their helpers")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rokopia");

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn rokopia(repository: &Path, password: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("ROKOPIA_PASSWORD", password).env("PATH", std::env::var_os("PATH").unwrap());
    command.arg("--repo").arg(repository);
    command
}

/// A mounted tree; unmounted when it goes out of scope.
struct Mounted {
    process: Child,
    directory: tempfile::TempDir,
}

impl Mounted {
    /// `None` where this machine cannot mount.
    fn new(repository: &Path, password: &str, arguments: &[&str]) -> Option<Self> {
        if !can_mount() {
            eprintln!("mount: NOT CHECKED, /dev/fuse cannot be opened or this is not root");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let mut command = rokopia(repository, password);
        command.arg("mount").arg(directory.path()).args(arguments).stderr(Stdio::inherit());
        let mut process = command.spawn().unwrap();
        while !is_mounted(directory.path()) {
            assert!(process.try_wait().unwrap().is_none(), "it ended without mounting");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self { process, directory })
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// Ends it by a signal, and tells its exit code.
    fn terminate(mut self) -> Option<i32> {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        let code = self.process.wait().unwrap().code();
        assert!(!is_mounted(self.directory.path()), "it is still mounted");
        code
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.directory.path()).stderr(Stdio::null()).status();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn can_mount() -> bool {
    fs::File::open("/dev/fuse").is_ok() && fs::metadata("/proc/self").unwrap().uid() == 0
}

fn is_mounted(directory: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().any(|line| line.split(' ').nth(4) == directory.to_str())
}

/// Path, type with mode, owner, size, time and data of everything below a directory.
fn everything(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = vec![root.to_path_buf()];
    while let Some(directory) = rest.pop() {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(&directory).unwrap().map(|e| e.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let stat = fs::symlink_metadata(&path).unwrap();
            let data = match stat.file_type() {
                kind if kind.is_dir() => String::new(),
                kind if kind.is_symlink() => fs::read_link(&path).unwrap().display().to_string(),
                _ => blake3::hash(&fs::read(&path).unwrap()).to_string(),
            };
            let mode = stat.permissions().mode();
            let relative = path.strip_prefix(root).unwrap().display();
            let size = if stat.is_dir() { 0 } else { stat.len() };
            let time = if stat.is_symlink() { 0 } else { stat.mtime() };
            found.push(format!("{relative} {mode:o} {}:{} {size} {time} {data}", stat.uid(), stat.gid()));
            if stat.is_dir() {
                rest.push(path);
            }
        }
    }
    found
}

#[test]
fn a_mounted_snapshot_is_what_restore_gives() {
    for (name, password) in [("basic", "rokopia"), ("compressors", "rokopia"), ("format-v1", "rokopia")] {
        let repository = project("testdata").join(name).join("repo");
        let Some(mounted) = Mounted::new(&repository, password, &["latest"]) else { return };
        let restored = tempfile::tempdir().unwrap();
        let mut command = rokopia(&repository, password);
        assert!(command.args(["restore", "-q", "latest"]).arg(restored.path()).status().unwrap().success());
        assert_eq!(everything(&mounted.path("")), everything(restored.path()), "{name}");
        assert_eq!(mounted.terminate(), Some(143), "{name}");
    }
}

#[test]
fn all_snapshots_lie_below_their_sources_and_nothing_can_be_written() {
    let Some(mounted) = Mounted::new(&project("testdata/basic/repo"), "rokopia", &["--owner", "7:8"]) else {
        return;
    };
    let source = mounted.path("data-demo@apps/data");
    let latest = source.join("latest");
    assert!(fs::symlink_metadata(&latest).unwrap().is_symlink());
    let todo = latest.join("notes/todo.txt");
    assert!(!fs::read(&todo).unwrap().is_empty());
    let stat = fs::metadata(&todo).unwrap();
    assert_eq!((stat.uid(), stat.gid()), (7, 8));
    let again = fs::metadata(&todo).unwrap();
    assert_eq!(stat.ino(), again.ino());
    assert!(fs::write(latest.join("new"), "x").is_err());
    assert!(fs::remove_file(&todo).is_err());
    let readers: Vec<_> = (0..64)
        .map(|_| {
            let todo = todo.clone();
            std::thread::spawn(move || fs::read(todo).unwrap())
        })
        .collect();
    let expected = fs::read(&todo).unwrap();
    assert!(readers.into_iter().all(|reader| reader.join().unwrap() == expected));
}

#[test]
fn an_unmount_from_outside_ends_the_command() {
    let Some(mut mounted) = Mounted::new(&project("testdata/basic/repo"), "rokopia", &[]) else { return };
    assert!(Command::new("umount").arg(mounted.directory.path()).status().unwrap().success());
    assert_eq!(mounted.process.wait().unwrap().code(), Some(0));
}

#[test]
fn a_directory_that_is_not_there_and_a_file_are_refused_by_name() {
    for (arguments, named) in [
        (["mount", "/nonexistent/dir", "latest"], "/nonexistent/dir"),
        (["mount", "/", "latest/notes/todo.txt"], "notes/todo.txt"),
        (["mount", "/", "nonsense@nowhere:/x"], "nonsense@nowhere:/x"),
    ] {
        let output = rokopia(&project("testdata/basic/repo"), "rokopia").args(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && stderr.contains(named), "{stderr}");
    }
}
