//! Running the kopia binary.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::front::mover::environment::Environment;
use crate::front::mover::error::Error;
use crate::front::mover::log;
use crate::os::executable::next_kopia;
use crate::os::signals;

const POLL: Duration = Duration::from_millis(50);

/// Settings of the logs that kopia keeps, and the stock mover's defaults.
const LOG_SETTINGS: [(&str, &str, &str); 4] = [
    ("--log-level", "KOPIA_LOG_LEVEL", "info"),
    ("--file-log-level", "KOPIA_FILE_LOG_LEVEL", "info"),
    ("--log-dir-max-files", "KOPIA_LOG_DIR_MAX_FILES", "3"),
    ("--log-dir-max-age", "KOPIA_LOG_DIR_MAX_AGE", "4h"),
];
const CONTENT_LOG_SETTINGS: [(&str, &str); 2] =
    [("KOPIA_CONTENT_LOG_DIR_MAX_FILES", "3"), ("KOPIA_CONTENT_LOG_DIR_MAX_AGE", "4h")];

/// A kopia binary, and what every call of it is given.
pub(super) struct Kopia {
    binary: PathBuf,
    prefix: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    pub(super) cache: PathBuf,
}

/// `name=value` as one argument, whatever bytes the value has.
pub(super) fn option(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut option = OsString::from(name);
    option.push("=");
    option.push(value);
    option
}

impl Kopia {
    /// The first binary of that name on `PATH` that is not this very program, which answers to the same name.
    pub(super) fn find(environment: &Environment) -> Option<Self> {
        let binary = next_kopia(environment.raw("PATH")?)?;
        let cache = environment.raw("KOPIA_CACHE_DIR").map_or_else(|| PathBuf::from("/cache"), PathBuf::from);
        let mut prefix = vec![
            option("--config-file", cache.join("kopia.config")),
            option("--log-dir", cache.join("logs")),
        ];
        for (flag, variable, default) in LOG_SETTINGS {
            let value = environment.text(variable).unwrap_or(default.into());
            // Documented for the operator, but refused by kopia.
            let value = if value == "warn" { "warning" } else { value.as_ref() };
            prefix.push(option(flag, value));
        }
        let mut variables = vec![
            ("KOPIA_CACHE_DIRECTORY", cache.clone().into_os_string()),
            ("KOPIA_LOG_DIR", cache.join("logs").into_os_string()),
            ("KOPIA_CHECK_FOR_UPDATES", "false".into()),
        ];
        for (variable, default) in CONTENT_LOG_SETTINGS {
            variables.push((variable, environment.raw(variable).unwrap_or(OsStr::new(default)).to_owned()));
        }
        Some(Self { binary, prefix, variables, cache })
    }

    fn command(&self, arguments: &[OsString]) -> Command {
        let mut command = Command::new(&self.binary);
        // Kopia takes the operator's KOPIA_CONFIG_PATH for the default of --config-file.
        command.args(&self.prefix).args(arguments).env_remove("KOPIA_CONFIG_PATH");
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        command
    }

    /// Runs a command whose output goes into the log, and whose failure is one.
    pub(super) fn run(&self, what: &'static str, arguments: &[OsString]) -> Result<(), Error> {
        let status = run(&mut self.command(arguments), None)?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Kopia { what, reason: format!("kopia ended with {status}") })
    }

    /// Runs a command whose failure is only worth a line.
    pub(super) fn try_run(&self, what: &'static str, arguments: &[OsString]) -> Result<bool, Error> {
        match self.run(what, arguments) {
            Err(error @ Error::Kopia { .. }) => {
                log::warn(error);
                Ok(false)
            }
            result => result.map(|()| true),
        }
    }

    /// Standard output of a command that succeeds within `limit`.
    pub(super) fn output(&self, arguments: &[OsString], limit: Duration) -> Result<Option<String>, Error> {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = spawn(&mut command)?;
        let reader = child.stdout.take().map(|mut stdout| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                // What could be read of a command that is ended is of no interest.
                let _ = stdout.read_to_end(&mut text);
                text
            })
        });
        let succeeded = wait(&mut child, Some(limit))?.success();
        let text = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
        Ok(succeeded.then(|| String::from_utf8_lossy(&text).into_owned()))
    }
}

/// Runs a command to its end, or to `limit`.
pub(super) fn run(command: &mut Command, limit: Option<Duration>) -> Result<ExitStatus, Error> {
    wait(&mut spawn(command)?, limit)
}

fn spawn(command: &mut Command) -> Result<Child, Error> {
    let program = Path::new(command.get_program()).display().to_string();
    command.spawn().map_err(|source| Error::System { what: format!("start {program}"), source })
}

/// Waits, and passes a signal that ends us on to the child.
fn wait(child: &mut Child, limit: Option<Duration>) -> Result<ExitStatus, Error> {
    let _child_ends_first = signals::CleanUp::new();
    let started = Instant::now();
    let mut asked = false;
    loop {
        match child.try_wait() {
            Ok(Some(_)) if signals::exit_code().is_some() => return Err(Error::Stopped),
            Ok(Some(status)) => return Ok(status),
            Ok(None) => {}
            Err(source) => return Err(Error::System { what: "wait for a child".into(), source }),
        }
        let overdue = limit.is_some_and(|limit| started.elapsed() > limit);
        if (overdue || signals::exit_code().is_some())
            && !asked
            && let Ok(id) = i32::try_from(child.id())
        {
            asked = true;
            // It may have ended by now, which the next round finds.
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        std::thread::sleep(POLL);
    }
}
