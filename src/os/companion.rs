//! Another program that works for this one, and ends with it however this one ends.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::{CommandExt, parent_id};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

use super::sync::Mutex;

/// The name under which this program starts itself to become another one: only a process itself can ask the kernel to be
/// ended with its parent.
const NAME: &str = "rokopia-companion";

/// This very program, also where its file was replaced.
const OWN: &str = "/proc/self/exe";

/// Lines of what it said that are kept.
const KEPT: usize = 3;

/// No line is kept that is longer.
const MAX_LINE: usize = 300;

/// Lines that wait for who reads the first of them.
const WAITING: usize = 64;

/// What to start.
#[derive(Debug, Default)]
pub(crate) struct Start {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// Variables beside those of this process. What is secret stands here, and not in the list of processes.
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// Variables of this process that it does not get.
    pub(crate) without: Vec<OsString>,
}

/// A program that runs. It ends when this is dropped, and when this process ends.
#[derive(Debug)]
pub(crate) struct Companion {
    child: Arc<Mutex<Child>>,
    said: Arc<Mutex<Vec<String>>>,
    lines: Receiver<String>,
}

/// Why a line was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotSaid {
    /// It ended before.
    Ended,
    /// It was not said in time.
    InTime,
}

/// Becomes the program that a [`Companion`] is, where the process was started for that; comes back only where that fails.
pub(crate) fn become_companion(arguments: &[OsString]) -> Option<io::Error> {
    let [name, parent, program, rest @ ..] = arguments else { return None };
    if name != NAME {
        return None;
    }
    if let Err(error) = set_pdeathsig(Signal::SIGTERM) {
        return Some(error.into());
    }
    // It may have ended before this was asked for.
    if parent.to_str() != Some(parent_id().to_string().as_str()) {
        return Some(io::ErrorKind::BrokenPipe.into());
    }
    Some(Command::new(program).args(rest).exec())
}

impl Companion {
    /// Starts a program. Its standard error is read here, and goes nowhere else.
    pub(crate) fn start(start: Start) -> io::Result<Self> {
        let (lines_in, lines) = bounded(WAITING);
        let (started_in, started) = bounded(1);
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&said);
        // The kernel ends a process with the thread that started it. This one stays as long as the program.
        let watch = move || {
            let mut child = match command(start).spawn() {
                Ok(child) => child,
                Err(error) => return drop(started_in.send(Err(error))),
            };
            let errors = child.stderr.take();
            let child = Arc::new(Mutex::new(child));
            let _ = started_in.send(Ok(Arc::clone(&child)));
            drop(started_in);
            for line in errors.into_iter().flat_map(|errors| BufReader::new(errors).split(b'\n')) {
                let Ok(line) = line else { break };
                let line: String = String::from_utf8_lossy(&line).chars().take(MAX_LINE).collect();
                tracing::debug!("{line}");
                let mut kept = kept.lock();
                if kept.len() == KEPT {
                    kept.remove(0);
                }
                kept.push(line.clone());
                drop(kept);
                // Nobody reads them any more once the first ones were read.
                let _ = lines_in.try_send(line);
            }
            drop(lines_in);
            while matches!(child.lock().try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        std::thread::Builder::new().name("companion".into()).spawn(watch)?;
        let child = started.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))??;
        Ok(Self { child, said, lines })
    }

    /// What is found in the first of its lines in which something is found.
    pub(crate) fn wait_for<T>(
        &self,
        patience: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<T, NotSaid> {
        let until = crossbeam_channel::at(std::time::Instant::now() + patience);
        loop {
            crossbeam_channel::select! {
                recv(self.lines) -> line => match line {
                    Ok(line) => if let Some(found) = find(&line) {
                        return Ok(found);
                    },
                    Err(_) => return Err(NotSaid::Ended),
                },
                recv(until) -> _ => return Err(NotSaid::InTime),
            }
        }
    }

    /// How it ended, where it has.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().try_wait().ok().flatten()
    }

    /// The last that it said.
    pub(crate) fn last_words(&self) -> String {
        self.said.lock().join("; ")
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        // In a sandbox, signals reach no process outside: then it ends with this process.
        let _ = self.child.lock().kill();
    }
}

fn command(start: Start) -> Command {
    let mut command = Command::new(OWN);
    command
        .arg0(NAME)
        .arg(OsStr::new(&std::process::id().to_string()))
        .arg(start.program)
        .args(start.arguments)
        .envs(start.variables)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    for name in start.without {
        command.env_remove(name);
    }
    command
}

/// The first program of this name in the directories of `PATH`; a path with a slash is taken as it is.
pub(crate) fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return Some(program.to_owned()).filter(|path| super::executable::is_executable(path));
    }
    let directories = std::env::var_os("PATH")?;
    let mut candidates = std::env::split_paths(&directories).map(|directory| directory.join(program));
    candidates.find(|path| super::executable::is_executable(path))
}
