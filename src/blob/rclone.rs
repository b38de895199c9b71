//! Remotes of rclone: it is started, serves the remote over WebDAV on this machine, and ends with this process.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};

use super::folders::{Entry, Server};
use super::remote::{Hidden, Refusal};
use super::webdav::{WebDav, WebDavOptions};
use super::{Cause, Error, Folders, Hints, Traffic, Trouble};
use crate::os::companion::{self, Companion, NotSaid, Start};
use crate::os::sync::Mutex;

/// How long rclone may take until it serves, as in Kopia.
pub(crate) const STARTUP: Duration = Duration::from_secs(15);

/// How long rclone may repeat what it knows of a folder. Its own five minutes would hide backups of these minutes.
const KEPT: Duration = Duration::from_secs(1);

/// Who asks.
const USER: &str = "rokopia";

/// Settings of rclone that would make it serve elsewhere or otherwise, or not say where; and secrets that it needs not.
const WITHOUT: [&str; 22] = [
    "RCLONE_ADDR",
    "RCLONE_BASEURL",
    "RCLONE_HTPASSWD",
    "RCLONE_CERT",
    "RCLONE_KEY",
    "RCLONE_CLIENT_CA",
    "RCLONE_AUTH_PROXY",
    "RCLONE_DIR_CACHE_TIME",
    "RCLONE_DISABLE_DIR_LIST",
    "RCLONE_ETAG_HASH",
    "RCLONE_DRY_RUN",
    "RCLONE_LOG_FILE",
    "RCLONE_LOG_LEVEL",
    "RCLONE_LOG_SYSTEMD",
    "RCLONE_SYSLOG",
    "RCLONE_QUIET",
    "RCLONE_VERBOSE",
    "RCLONE_USE_JSON_LOG",
    "RCLONE_RC",
    "KOPIA_PASSWORD",
    "ROKOPIA_PASSWORD",
    "ROKOPIA_REPOSITORY",
];

const NO_RCLONE: &str = "it is read by the program rclone, and none is found: install rclone, or let it serve the remote elsewhere \
                         (rclone serve webdav --read-only REMOTE:PATH) and give webdav://host/folder";

/// A remote, and how rclone is started for it. Clones share the rclone that runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct RcloneOptions {
    /// `REMOTE:PATH`
    pub(crate) remote: String,
    /// The program; empty for the `rclone` in `PATH`.
    pub(crate) program: PathBuf,
    /// Arguments beside ours.
    pub(crate) arguments: Vec<String>,
    /// Variables beside those of this process, as `NAME=value`.
    pub(crate) variables: Vec<Hidden>,
    /// How long it may take until it serves.
    pub(crate) startup: Option<Duration>,
    pub(crate) running: Arc<Mutex<Running>>,
}

/// The rclone that runs, or why none does.
#[derive(Debug, Default)]
pub(crate) enum Running {
    #[default]
    NotYet,
    Serving(Arc<Serving>),
    Failed(NotStarted),
}

/// Why no rclone serves the remote.
#[derive(Debug, Clone)]
pub(crate) enum NotStarted {
    Missing,
    Failed(Trouble),
}

/// An rclone that serves.
#[derive(Debug)]
pub(crate) struct Serving {
    companion: Companion,
    /// `127.0.0.1:port`
    address: String,
    password: Hidden,
}

impl RcloneOptions {
    /// Starts rclone where it does not run yet. Later, in a sandbox, no program can be started; whether it worked, opening
    /// tells.
    pub(crate) fn prepare(&self) {
        let mut running = self.running.lock();
        if !matches!(&*running, Running::Serving(serving) if serving.companion.ended().is_none()) {
            *running =
                self.start().map_or_else(Running::Failed, |serving| Running::Serving(Arc::new(serving)));
        }
    }

    /// The remote as a store, whose requests are counted in `traffic`.
    pub(crate) fn open(&self, traffic: &Traffic) -> Result<Folders, Error> {
        let serving = self.serving().map_err(|failure| match failure {
            NotStarted::Missing => {
                Error::UnsupportedLocation { location: self.to_string(), reason: NO_RCLONE }
            }
            NotStarted::Failed(trouble) => Error::remote(trouble, format!("opening {self}")),
        })?;
        let options = WebDavOptions {
            host: serving.address.clone(),
            plain_http: true,
            username: USER.into(),
            password: serving.password.clone(),
            ..WebDavOptions::default()
        };
        let server =
            WebDav::new(&options, traffic).map(|inner| Remote { inner, serving, seen: Mutex::default() });
        Folders::new(server, self.to_string(), Hints::REMOTE)
    }

    fn serving(&self) -> Result<Arc<Serving>, NotStarted> {
        let mut running = self.running.lock();
        match std::mem::take(&mut *running) {
            Running::Serving(serving) if serving.companion.ended().is_none() => {
                *running = Running::Serving(Arc::clone(&serving));
                return Ok(serving);
            }
            // Told once; who asks again wants to know whether it is still so.
            Running::Failed(failure) => return Err(failure),
            Running::NotYet | Running::Serving(_) => {}
        }
        let serving = Arc::new(self.start()?);
        *running = Running::Serving(Arc::clone(&serving));
        Ok(serving)
    }

    fn start(&self) -> Result<Serving, NotStarted> {
        let program = if self.program.as_os_str().is_empty() { Path::new("rclone") } else { &self.program };
        let program = companion::find(program).ok_or(NotStarted::Missing)?;
        let failed = |why: String| NotStarted::Failed(Trouble::new(Cause::ProgramEnded, why));
        let mut random = [0; 24];
        SystemRandom::new().fill(&mut random).map_err(|_| failed("no random numbers".into()))?;
        let password = Hidden::new(hex::encode(random));
        let kept = format!("{}s", KEPT.as_secs());
        let ours = [
            "serve",
            "webdav",
            "--read-only",
            "--addr",
            "127.0.0.1:0",
            "--vfs-cache-mode",
            "off",
            "--poll-interval",
            "0",
            "--dir-cache-time",
            &kept,
            "--log-level",
            "NOTICE",
            "--ask-password=false",
        ];
        let ours = ours.into_iter().map(OsString::from);
        let given = self.variables.iter().filter_map(|given| given.expose().split_once('='));
        let given = given.map(|(name, value)| (name.into(), value.into()));
        // In the environment, which others cannot read.
        let credentials = [("RCLONE_USER", USER), ("RCLONE_PASS", password.expose())];
        let start = Start {
            program,
            arguments: ours
                .chain(self.arguments.iter().map(OsString::from))
                .chain(["--".into(), self.remote.clone().into()])
                .collect(),
            variables: given.chain(credentials.map(|(name, value)| (name.into(), value.into()))).collect(),
            without: WITHOUT.map(OsString::from).to_vec(),
        };
        let companion = Companion::start(start).map_err(|e| failed(format!("starting it: {e}")))?;
        let patience = self.startup.unwrap_or(STARTUP);
        match companion.wait_for(patience, address) {
            Ok(address) => Ok(Serving { companion, address, password }),
            Err(NotSaid::Ended) => Err(failed(companion.last_words())),
            Err(NotSaid::InTime) => {
                let why = format!("not within {} s; {}", patience.as_secs(), companion.last_words());
                Err(failed(why))
            }
        }
    }
}

impl fmt::Display for RcloneOptions {
    /// As the location that names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is given beside the name of a remote may be a secret: `:s3,access_key_id=…:bucket`.
        match self.remote.split_once(',') {
            Some((name, _)) => write!(f, "rclone:{name},…"),
            None => write!(f, "rclone:{}", self.remote),
        }
    }
}

/// The address in a line such as `… WebDav Server started on [http://127.0.0.1:34567/]`. Only rclone knows which port the
/// system gave it, and says it nowhere else.
fn address(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("http://127.0.0.1:")?;
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    port.parse::<u16>().ok().map(|port| format!("127.0.0.1:{port}"))
}

/// What is asked of the rclone that serves.
struct Remote {
    inner: WebDav,
    serving: Arc<Serving>,
    /// When a listing was begun that showed the remote.
    seen: Mutex<Option<Instant>>,
}

impl Remote {
    /// An answer; where rclone has ended, that and its last words instead of a connection that failed.
    fn of<T>(&self, answer: Result<T, Refusal>) -> Result<T, Refusal> {
        match (&answer, self.serving.companion.ended()) {
            (Err(Refusal::Trouble(_)), Some(status)) => {
                let why = format!("{status}; {}", self.serving.companion.last_words());
                Err(Trouble::new(Cause::ProgramEnded, why).into())
            }
            _ => answer,
        }
    }

    fn list_remote(&self) -> Result<Vec<Entry>, Refusal> {
        let entries = self.of(self.inner.list(""))?;
        if entries.is_empty() {
            let why = "rclone shows nothing there, as of a folder that is not there";
            return Err(Trouble::new(Cause::BucketMissing, why).into());
        }
        Ok(entries)
    }

    /// Fails unless the remote was there after this moment.
    fn was_there_after(&self, moment: Instant) -> Result<(), Refusal> {
        let mut seen = self.seen.lock();
        let known_until = moment + KEPT;
        if seen.is_some_and(|seen| seen >= known_until) {
            return Ok(());
        }
        std::thread::sleep(known_until.saturating_duration_since(Instant::now()));
        let begun = Instant::now();
        self.list_remote()?;
        *seen = Some(begun);
        Ok(())
    }
}

impl Server for Remote {
    /// rclone takes a folder that is not there for an empty one, also where the whole remote has gone. So an empty one
    /// counts only when the remote is there afterwards, by a listing that rclone makes anew.
    fn list(&self, folder: &str) -> Result<Vec<Entry>, Refusal> {
        if folder.is_empty() {
            return self.list_remote();
        }
        let entries = self.of(self.inner.list(folder))?;
        if entries.is_empty() {
            self.was_there_after(Instant::now())?;
        }
        Ok(entries)
    }

    fn size(&self, path: &str) -> Result<u64, Refusal> {
        self.of(self.inner.size(path))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Result<Vec<u8>, u64>, Refusal> {
        self.of(self.inner.read(path, limit))
    }

    fn fill(&self, path: &str, offset: u64, buffer: &mut [u8]) -> Result<usize, Refusal> {
        self.of(self.inner.fill(path, offset, buffer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_one_that_rclone_says() {
        for line in [
            "2026/12/01 12:46:20 NOTICE: Local file system at /r: WebDav Server started on http://127.0.0.1:40871/",
            "2026/12/01 NOTICE: Local file system at /r: WebDav Server started on [http://127.0.0.1:40871/]",
        ] {
            assert_eq!(address(line).as_deref(), Some("127.0.0.1:40871"));
        }
        assert_eq!(address("NOTICE: Config file \"/none\" not found - using defaults"), None);
    }

    #[test]
    fn what_is_given_beside_the_name_of_a_remote_is_not_shown() {
        let shown = |remote: &str| RcloneOptions { remote: remote.into(), ..Default::default() }.to_string();
        assert_eq!(shown("drive:kopia"), "rclone:drive:kopia");
        assert_eq!(shown(":s3,secret_access_key=hunter2:bucket"), "rclone::s3,…");
    }
}
