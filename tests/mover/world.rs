//! A repository, a volume to restore into, and the environment that the operator sets.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use rokopia::snapshot::{Source, UtcTimestamp};
use rokopia::testkit::{Compare, Data, DataKind, NewSnapshot, Options, RepositoryWriter, Tree};

use crate::common::damage::copy;
use crate::operator;

pub(crate) const PASSWORD: &str = "correct horse battery";

/// When the three snapshots began: nanoseconds matter.
pub(crate) const STARTS: [&str; 3] =
    ["2026-01-01T03:00:00.000000100Z", "2026-01-02T03:00:00.1234567Z", "2026-01-03T03:00:00.000000001Z"];

/// The volume as snapshot `number` saw it.
pub(crate) fn tree(number: u64) -> Tree {
    let mut tree = Tree::owned_by(1234, 5678);
    let file = |seed, size| Data { kind: DataKind::Text, seed: number * 100 + seed, size };
    tree.add_file("hello.txt", file(1, 300)).unwrap();
    tree.add_file("etc/settings.json", file(2, 20_000)).unwrap();
    tree.add_file("etc/conf.d/deep/empty", file(3, 0)).unwrap();
    tree.add_file("bin/tool", file(4, 5000)).unwrap().attributes.mode = 0o755;
    tree.add_file(".hidden", file(5, 10)).unwrap();
    tree.add_file("same", Data { kind: DataKind::Noise, seed: 9, size: 100_000 }).unwrap();
    tree.add_directory("empty").unwrap();
    tree.add_link("link", "etc/settings.json").unwrap();
    tree
}

pub(crate) fn source(text: &str) -> Source {
    text.parse().unwrap()
}

pub(crate) fn create(dir: &Path) -> RepositoryWriter {
    RepositoryWriter::create(dir, Options { password: PASSWORD.into(), ..Options::default() }).unwrap()
}

/// Adds a snapshot that began at `start` and took a minute.
pub(crate) fn add(writer: &mut RepositoryWriter, of: &str, start: &str, tree: &Tree) -> NewSnapshot {
    let root = writer.write_tree(tree).unwrap();
    let mut snapshot = NewSnapshot::new(&source(of), 0, &root);
    snapshot.start = start.parse().unwrap();
    snapshot.end = UtcTimestamp(snapshot.start.as_nanos() + 60_000_000_000);
    writer.put_snapshot(&snapshot);
    writer.flush().unwrap();
    snapshot
}

/// The repository R: three snapshots of `app@ns:/data` and one of `other@ns2:/data`.
pub(crate) fn write_r(dir: &Path) -> RepositoryWriter {
    let mut writer = create(dir);
    add(&mut writer, "other@ns2:/data", "2026-01-02T12:00:00Z", &tree(7));
    for (number, start) in (1..).zip(STARTS) {
        add(&mut writer, "app@ns:/data", start, &tree(number));
    }
    writer
}

/// Name, kind, mode, times and a hash of the bytes of everything below a directory.
pub(crate) fn listing(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut stack = vec![dir.to_owned()];
    while let Some(dir) = stack.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let mut bytes = DefaultHasher::new();
            if meta.is_file() {
                bytes.write(&fs::read(&path).unwrap_or_default());
            }
            let link = fs::read_link(&path).ok();
            let times = (meta.mtime(), meta.mtime_nsec());
            if meta.is_dir() {
                stack.push(path.clone());
            }
            found.insert(path, format!("{:o} {times:?} {link:?} {:x}", meta.mode(), bytes.finish()));
        }
    }
    found
}

/// One run of the mover that has ended.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) log: String,
}

impl Run {
    pub(crate) fn has(&self, text: &str) -> &Self {
        assert!(self.log.contains(text), "no {text:?} in\n{}", self.log);
        self
    }

    pub(crate) fn lacks(&self, text: &str) -> &Self {
        assert!(!self.log.contains(text), "{text:?} in\n{}", self.log);
        self
    }

    pub(crate) fn ended(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{}", self.log);
        self
    }

    pub(crate) fn failed(&self) -> &Self {
        assert!(self.code != 0, "{}", self.log);
        self.has("INFO: OPERATION_RESULT: FAILURE").has("ERROR: ")
    }

    /// What the operator keeps of it.
    pub(crate) fn status(&self) -> String {
        operator::filtered(&self.log)
    }

    /// Nothing was restored, and that is no failure.
    pub(crate) fn found_nothing(&self) -> &Self {
        self.ended(0).lacks("Snapshot restore completed");
        assert!(self.status().ends_with("No eligible snapshots found"), "{}", self.status());
        self
    }
}

/// Where a test takes place.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    variables: BTreeMap<String, String>,
    arguments: Vec<String>,
    /// The repository may change while the mover runs.
    pub(crate) busy: bool,
}

impl World {
    /// The usual environment, and a copy of R.
    pub(crate) fn new() -> Self {
        static R: OnceLock<PathBuf> = OnceLock::new();
        let template = R.get_or_init(|| {
            let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mover-r");
            let _ = fs::remove_dir_all(&dir);
            write_r(&dir).finish().unwrap();
            dir
        });
        let world = Self::without_repository();
        copy(template, &world.repo());
        world
    }

    /// The usual environment, and a repository that the test writes.
    pub(crate) fn with(write: impl FnOnce(&Path)) -> Self {
        let world = Self::without_repository();
        write(&world.repo());
        world
    }

    pub(crate) fn without_repository() -> Self {
        Self::inside(&std::env::temp_dir())
    }

    pub(crate) fn inside(parent: &Path) -> Self {
        let dir = tempfile::tempdir_in(parent).unwrap();
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        for name in ["data", "cache"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_rokopia"), dir.path().join("entry.sh")).unwrap();
        let mut world =
            Self { dir, variables: BTreeMap::new(), arguments: vec!["restore".into()], busy: false };
        let url = format!("filesystem://{}", world.repo().display());
        let (data, cache) = (world.data(), world.dir.path().join("cache"));
        for (name, value) in [
            ("PATH", "/usr/bin:/bin"),
            ("DATA_DIR", data.to_str().unwrap()),
            ("KOPIA_CACHE_DIR", cache.to_str().unwrap()),
            ("KOPIA_PASSWORD", PASSWORD),
            ("KOPIA_REPOSITORY", &url),
            ("KOPIA_OVERRIDE_USERNAME", "app"),
            ("KOPIA_OVERRIDE_HOSTNAME", "ns"),
            ("KOPIA_SOURCE_PATH_OVERRIDE", "/data"),
            ("KOPIA_DISCOVER_SNAPSHOTS", "true"),
            ("KOPIA_CACHE_CAPACITY_BYTES", "8589934592"),
            ("PRIVILEGED_MOVER", "0"),
        ] {
            world.variables.insert(name.into(), value.into());
        }
        world
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    pub(crate) fn unset(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    pub(crate) fn started_with(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(ToString::to_string).collect();
        self
    }

    /// The mover, started by a program that begins with `wrapper`, or by itself.
    pub(crate) fn command(&self, wrapper: &[&str]) -> Command {
        let mut words: Vec<String> = wrapper.iter().map(ToString::to_string).collect();
        words.push(self.dir.path().join("entry.sh").to_str().unwrap().into());
        words.extend(self.arguments.iter().cloned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().envs(&self.variables).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self) -> Run {
        self.run_in(&[])
    }

    /// One run with a further variable.
    pub(crate) fn run_with(&self, name: &str, value: &str) -> Run {
        self.run_in(&["env", &format!("{name}={value}")])
    }

    /// Runs to the end; the repository must be as it was, and nothing secret in the log.
    pub(crate) fn run_in(&self, wrapper: &[&str]) -> Run {
        let before = self.repository();
        let output = self.command(wrapper).output().unwrap();
        let mut log = String::from_utf8(output.stdout).unwrap();
        log.push_str(&String::from_utf8_lossy(&output.stderr));
        assert!(self.busy || self.repository() == before, "the repository was changed\n{log}");
        self.check(&log);
        Run { code: output.status.code().unwrap_or(-1), log }
    }

    /// All of the repository, with the time at which something last came to or went from its directory.
    fn repository(&self) -> (Option<SystemTime>, BTreeMap<PathBuf, String>) {
        let repo = self.repo();
        (repo.metadata().and_then(|meta| meta.modified()).ok(), listing(&repo))
    }

    /// What holds of every log.
    pub(crate) fn check(&self, log: &str) {
        let is_secret =
            |name: &str| ["PASSWORD", "KEY", "TOKEN", "SECRET"].iter().any(|word| name.contains(word));
        for (name, value) in self.variables.iter().filter(|(name, _)| is_secret(name)) {
            assert!(value.len() < 6 || !log.contains(value), "the value of {name} is in the log\n{log}");
        }
        assert!(!log.contains('\r'), "{log}");
    }

    /// The volume is what a snapshot saw.
    pub(crate) fn holds(&self, tree: &Tree) {
        let differences = tree.compare(&self.data(), Compare::default()).unwrap();
        assert!(differences.is_empty(), "{differences:#?}");
    }

    /// The volume is untouched: it holds nothing.
    pub(crate) fn is_empty(&self) {
        assert!(listing(&self.data()).is_empty(), "{:?}", listing(&self.data()));
    }
}
