//! The service as a process, and a client for it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use serde_json::Value;

/// Nobody in particular: permissions mean nothing to root.
const USER: u32 = 65532;
const USER_NAME: &str = "65532";

/// Whatever is waited for happens within this time, or never.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until something is true.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The program, where any user may run it. Nothing removes the copy at the end, so each run puts its own in the same place.
fn program() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let built = env!("CARGO_BIN_EXE_rokopia");
        let mut checkout = DefaultHasher::new();
        built.hash(&mut checkout);
        let dir = std::env::temp_dir().join(format!("rokopia-existence-{:x}", checkout.finish()));
        std::fs::create_dir_all(&dir).unwrap();
        crate::world::chmod(&dir, 0o755);
        let (new, path) = (dir.join(format!("new-{}", std::process::id())), dir.join("rokopia"));
        std::fs::copy(built, &new).unwrap();
        std::fs::rename(new, &path).unwrap();
        path
    })
}

/// `rokopia serve` with nothing in its environment but `settings`.
fn command(settings: &[(&str, &str)]) -> Command {
    let mut command = bare(Command::new(program()), settings);
    if Uid::effective().is_root() {
        command.uid(USER).gid(USER);
    }
    command
}

fn bare(mut command: Command, settings: &[(&str, &str)]) -> Command {
    command.arg("serve").env_clear().current_dir("/").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, value) in settings {
        command.env(name, value);
    }
    command
}

/// What every service of these tests is told, unless `settings` say something else.
fn usual<'a>(repository: &'a Path, settings: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![
        ("BACKEND_TYPE", "kopia-fs"),
        ("KOPIA_REPOSITORY_PATH", repository.to_str().unwrap()),
        ("KOPIA_PASSWORD", crate::world::PASSWORD),
        ("ROKOPIA_LISTEN", "127.0.0.1:0"),
        ("HTTP_TIMEOUT", "30s"),
    ];
    all.extend(settings);
    all
}

/// What a service says that does not even start.
pub(crate) fn refused(settings: &[(&str, &str)]) -> Output {
    command(settings).output().unwrap()
}

pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// Status and decision in one.
    pub(crate) fn decision(&self) -> (u16, String) {
        (self.status, self.json()["decision"].as_str().unwrap_or_default().to_owned())
    }
}

impl Server {
    /// Starts the service on a free port and waits until it listens.
    pub(crate) fn start(repository: &Path, settings: &[(&str, &str)]) -> Self {
        Self::start_with(repository, settings, &[])
    }

    /// [`Server::start`] with options.
    pub(crate) fn start_with(repository: &Path, settings: &[(&str, &str)], options: &[&str]) -> Self {
        Self::spawn(command(&usual(repository, settings)).args(options))
    }

    /// Starts the service as the last words of a command of root's, as [`USER`].
    pub(crate) fn start_inside(wrapper: &[&str], repository: &Path) -> Self {
        let mut words = Command::new(wrapper[0]);
        words.args(&wrapper[1..]).arg("setpriv").args(["--reuid", USER_NAME, "--regid", USER_NAME]);
        words.args(["--clear-groups", "--"]).arg(program());
        Self::spawn(&mut bare(words, &usual(repository, &[])))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        loop {
            first.clear();
            assert!(lines.read_line(&mut first).unwrap() > 0, "the service ended before it listened");
            log.lock().unwrap().push_str(&first);
            if first.contains("\"listening\"") {
                break;
            }
        }
        let line: Value = serde_json::from_str(&first).unwrap();
        let address = line["address"].as_str().unwrap().parse().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        collect(lines, &log);
        collect(errors, &log);
        Self { child, address, log }
    }

    /// Starts the service and waits until it is ready.
    pub(crate) fn ready(repository: &Path, settings: &[(&str, &str)]) -> Self {
        let server = Self::start(repository, settings);
        until("ready", || server.get("/readyz").status == 200);
        server
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[], "")
    }

    /// Status and decision of `/exists/{claim}`.
    pub(crate) fn ask(&self, claim: &str) -> (u16, String) {
        self.get(&format!("/exists/{claim}")).decision()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        self.send(method, path, headers, body).receive()
    }

    /// Sends a request and does not wait for its answer.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Open {
        let mut stream = self.connect();
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: service\r\nConnection: close\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        stream.write_all(text.as_bytes()).unwrap();
        Open(stream)
    }

    /// The value of a metric; the name includes the labels.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let text = self.get("/metrics").body;
        let value =
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        value.map(|value| value.parse().unwrap())
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A line of `/proc/…/status`, in KiB.
    pub(crate) fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let value = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':')).unwrap();
        value.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn signal(&self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
    }

    /// How the process ends by itself.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let mut status = None;
        until("the process ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the service:\n{}", self.log());
        }
    }
}

fn collect(mut lines: impl BufRead + Send + 'static, log: &Arc<Mutex<String>>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
            log.lock().unwrap().push_str(&line);
            line.clear();
        }
    });
}

/// A request whose answer is still to come.
pub(crate) struct Open(TcpStream);

impl Open {
    pub(crate) fn receive(mut self) -> Response {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Response { status, headers, body: body.to_owned() }
    }
}
