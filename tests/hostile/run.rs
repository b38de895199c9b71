//! Runs the program on a repository and watches it: how much memory, how long, and what it touched.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rokopia::crypto::KeyDerivation;
use rokopia::testkit::{Attributes, Options, RepositoryWriter, WrittenDirectory};
use tempfile::TempDir;

pub(crate) const PASSWORD: &str = "testkit";

/// The default of `--memory`, and what the program itself takes beside it, in a build without optimisation, too.
pub(crate) const BUDGET_KIB: u64 = (256 + 96) << 10;

/// No single command of these tests takes so long, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// Attributes of what does no harm.
pub(crate) const PLAIN: Attributes =
    Attributes { mode: 0o755, mtime_ns: 1_000_000_000_000_000_000, uid: 0, gid: 0 };

/// Options that derive keys quickly, also where only dependencies are optimised.
pub(crate) fn quick() -> Options {
    Options { key_derivation: KeyDerivation::Scrypt65536_8_1, ..Options::default() }
}

/// A repository and a target in a directory with things that must not change.
pub(crate) struct Scene {
    dir: TempDir,
    before: BTreeMap<PathBuf, String>,
}

impl Scene {
    /// The repository is what `write` stores: one snapshot of the directory that it gives back.
    pub(crate) fn new(write: impl FnOnce(&mut RepositoryWriter) -> WrittenDirectory) -> Self {
        Self::with(quick(), |writer| {
            let root = write(writer);
            writer.snapshot(&"user@host:/data".parse().unwrap(), &root);
        })
    }

    pub(crate) fn with(options: Options, write: impl FnOnce(&mut RepositoryWriter)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = RepositoryWriter::create(&dir.path().join("repo"), options).unwrap();
        write(&mut writer);
        writer.finish().unwrap();
        for place in ["outside", "around"] {
            std::fs::create_dir_all(dir.path().join(place).join("below")).unwrap();
            std::fs::write(dir.path().join(place).join("victim"), "untouched").unwrap();
            std::fs::write(dir.path().join(place).join("below/victim"), "untouched").unwrap();
        }
        std::fs::create_dir(dir.path().join("around/target")).unwrap();
        let mut scene = Self { dir, before: BTreeMap::new() };
        scene.before = scene.sentinels();
        scene
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    /// Where to restore: a directory in one whose other entries must stay.
    pub(crate) fn target(&self) -> PathBuf {
        self.dir.path().join("around/target")
    }

    /// Everything but the target: kind, mode, owner, time and bytes of each path.
    fn sentinels(&self) -> BTreeMap<PathBuf, String> {
        let target = self.target();
        let entries = walkdir::WalkDir::new(self.dir.path()).into_iter();
        let entries = entries.filter_entry(|entry| entry.path() != target).map(Result::unwrap);
        entries
            .map(|entry| {
                let path = entry.path();
                let about = path.symlink_metadata().unwrap();
                let time = (about.mtime(), about.mtime_nsec(), about.ctime(), about.ctime_nsec());
                let state = (about.mode(), about.uid(), about.gid(), about.nlink(), about.ino(), time);
                let bytes = if about.is_file() {
                    blake3::hash(&std::fs::read(path).unwrap()).to_hex().to_string()
                } else if about.is_symlink() {
                    format!("{:?}", std::fs::read_link(path).unwrap())
                } else {
                    String::new()
                };
                (path.to_owned(), format!("{state:?} {bytes}"))
            })
            .collect()
    }

    /// Fails if anything outside the target was touched.
    pub(crate) fn assert_untouched(&self, what: &str) {
        let now = self.sentinels();
        for (path, state) in &self.before {
            assert_eq!(now.get(path), Some(state), "{what}: {} was touched", path.display());
        }
        let new: Vec<_> = now.keys().filter(|path| !self.before.contains_key(*path)).collect();
        assert!(new.is_empty(), "{what}: {new:?} appeared outside the target");
    }

    /// Runs the program; `arguments` follow `--repo`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        watch(&mut self.command(arguments), PATIENCE)
    }

    /// The same, ended after so many seconds.
    pub(crate) fn run_for(&self, arguments: &[&str], seconds: f64) -> Outcome {
        watch(&mut self.command(arguments), Duration::from_secs_f64(seconds))
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rokopia"));
        command.env_clear().env("TZ", "UTC").env("ROKOPIA_PASSWORD", PASSWORD);
        command.env("TMPDIR", self.dir.path().parent().unwrap());
        command.arg("--repo").arg(self.repo()).args(arguments);
        command
    }

    /// Makes the target empty again.
    pub(crate) fn clear(&self) {
        let around = self.dir.path().join("around");
        let times = around.symlink_metadata().unwrap();
        for entry in std::fs::read_dir(self.target()).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                remove_deep(&path);
            } else {
                std::fs::remove_file(path).unwrap();
            }
        }
        assert_eq!(around.symlink_metadata().unwrap().mtime(), times.mtime());
    }
}

/// `remove_dir_all` takes a descriptor for each level.
fn remove_deep(path: &Path) {
    let status = Command::new("rm").args(["-rf", "--"]).arg(path).status().unwrap();
    assert!(status.success());
}

/// What a command came to.
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    /// Resident memory at its highest, as far as it was seen.
    pub(crate) peak_kib: u64,
    pub(crate) seconds: f64,
}

impl Outcome {
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// Fails unless the command ended by itself, without panic, and within the budget.
    pub(crate) fn assert_orderly(&self, what: &str) {
        let stderr: String = self.stderr.chars().take(2000).collect();
        assert!(matches!(self.status.code(), Some(0 | 1 | 3 | 4)), "{what}: {:?}: {stderr}", self.status);
        assert!(!self.stderr.contains("panicked"), "{what}: {stderr}");
        assert!(self.peak_kib < BUDGET_KIB, "{what}: {} MiB of memory", self.peak_kib >> 10);
        assert!(!self.stderr.contains('\u{1b}'), "{what}: raw escape sequences on stderr");
    }
}

/// Most that is kept of what a command prints.
const KEPT: u64 = 64 << 20;

/// Runs a command to its end, or kills it when patience is over.
pub(crate) fn watch(command: &mut Command, patience: Duration) -> Outcome {
    let began = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (own, process) = (std::env::current_exe().unwrap(), format!("/proc/{}", child.id()));
    fn reader(from: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let mut from = from.take(u64::MAX);
            from.by_ref().take(KEPT).read_to_end(&mut bytes).unwrap();
            std::io::copy(&mut from, &mut std::io::sink()).unwrap();
            bytes
        })
    }
    let (stdout, stderr) = (reader(child.stdout.take().unwrap()), reader(child.stderr.take().unwrap()));
    let mut peak_kib = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        // The kernel wakes a parent a moment before the child leaves the parent's memory, whose peak the status shows until then.
        let is_program = std::fs::read_link(format!("{process}/exe")).is_ok_and(|exe| exe != own);
        let status = is_program.then(|| std::fs::read_to_string(format!("{process}/status")));
        let text = status.and_then(Result::ok).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak_kib = peak_kib.max(line.and_then(|number| number.parse().ok()).unwrap_or(0));
        // What has outgrown any budget is not waited for: it would take the machine with it.
        if began.elapsed() > patience || peak_kib > 4 << 20 {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(4));
    };
    let stderr = String::from_utf8_lossy(&stderr.join().unwrap()).into_owned();
    let seconds = began.elapsed().as_secs_f64();
    Outcome { status, stdout: stdout.join().unwrap(), stderr, peak_kib, seconds }
}

/// All paths in a directory, links not followed.
pub(crate) fn paths(root: &Path) -> Vec<String> {
    let mut found: Vec<String> = walkdir::WalkDir::new(root)
        .min_depth(1)
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let path = entry.path().strip_prefix(root).unwrap();
            String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned()
        })
        .collect();
    found.sort();
    found
}
