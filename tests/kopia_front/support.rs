//! Running the front, and a real Kopia, on a repository.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

pub(crate) fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

/// What a command did.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) exit: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            exit: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Done {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// A place to work in: a connection file, and a target that does not exist.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) repository: PathBuf,
    password: String,
}

impl Place {
    pub(crate) fn new(case: &Path) -> Self {
        let text = std::fs::read_to_string(case.join("case.json")).unwrap();
        let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
        let password = facts.get("effective_password").unwrap_or(&facts["password"]);
        Self {
            directory: tempfile::tempdir().unwrap(),
            repository: case.join("repo").canonicalize().unwrap(),
            password: password.as_str().unwrap().to_owned(),
        }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("connection/kopia.config")
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.directory.path().join("target")
    }

    /// The front, started under the name `kopia`, with no other Kopia in sight.
    pub(crate) fn front(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rokopia"));
        command.arg0("kopia");
        self.prepare(&mut command);
        command.env("PATH", "/nonexistent");
        command
    }

    pub(crate) fn prepare(&self, command: &mut Command) {
        command
            .env_clear()
            .env("TZ", "UTC")
            .env("HOME", self.directory.path())
            .env("KOPIA_PASSWORD", &self.password)
            .env("KOPIA_CONFIG_PATH", self.config())
            .env("KOPIA_CACHE_DIRECTORY", self.directory.path().join("cache"))
            .env("KOPIA_LOG_DIR", self.directory.path().join("logs"))
            .env("KOPIA_CHECK_FOR_UPDATES", "false")
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
    }

    /// Runs the front with these arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        self.front().args(arguments).output().unwrap().into()
    }

    /// A connection without the proof that it works.
    pub(crate) fn write_config(&self) {
        let config = serde_json::json!({
            "storage": { "type": "filesystem", "config": { "path": self.repository } },
            "hostname": "nas",
            "username": "root",
        });
        std::fs::create_dir_all(self.config().parent().unwrap()).unwrap();
        std::fs::write(self.config(), config.to_string()).unwrap();
    }

    /// Connects as the recordings were: read-only, as root@nas.
    pub(crate) fn connect(&self) {
        let path = self.repository.to_str().unwrap();
        let user = ["--readonly", "--override-username=root", "--override-hostname=nas"];
        let done = self.run(&[&["repository", "connect", "filesystem", "--path", path], &user[..]].concat());
        assert_eq!((done.exit, done.stderr.as_str()), (0, "Connected to repository.\n"), "{path}");
        assert!(done.stdout.is_empty());
    }
}
