//! `--exec`: what the user runs in the restored tree.

use std::io::stderr;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::Problem;
use crate::front::cli::units::human_span;
use crate::snapshot::Snapshot;

/// What it may know of the environment: nothing with a secret in it.
const PASSED: [&str; 8] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "TERM"];

const TICK: Duration = Duration::from_millis(20);

/// Runs the command with a shell in the restored tree, and waits for it. Its output goes to stderr.
pub(super) fn run(
    command: &str,
    tree: &Path,
    snapshot: &Snapshot,
    timeout: Duration,
    cancelled: &AtomicBool,
) -> Result<(), Problem> {
    let failed = |reason: String| Problem::new("drill-command", format!("{command}: {reason}"));
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).current_dir(tree).process_group(0).stdin(Stdio::null());
    shell.env_clear();
    for name in PASSED {
        if let Some(value) = std::env::var_os(name) {
            shell.env(name, value);
        }
    }
    shell.env("ROKOPIA_DRILL_DIR", tree);
    shell.env("ROKOPIA_DRILL_SOURCE", snapshot.source.to_string());
    shell.env("ROKOPIA_DRILL_SNAPSHOT", snapshot.id.to_string());
    shell.env("ROKOPIA_DRILL_TIME", snapshot.start_time.to_string());
    // Data alone is on stdout.
    for stream in [Command::stdout, Command::stderr] {
        let output = stderr().as_fd().try_clone_to_owned().map_err(|e| failed(e.to_string()))?;
        stream(&mut shell, Stdio::from(output));
    }
    let child = shell.spawn().map_err(|e| failed(e.to_string()))?;
    let begun = Instant::now();
    let status = wait(child, || cancelled.load(Ordering::SeqCst) || begun.elapsed() >= timeout);
    match status.map_err(|e| failed(e.to_string()))? {
        None if cancelled.load(Ordering::SeqCst) => Err(failed("it was interrupted".to_owned())),
        None => Err(failed(format!("it did not end within {}", human_span(timeout)))),
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(failed(ended(status))),
    }
}

/// Waits until the command ends, or kills it and all that it started.
fn wait(mut child: Child, give_up: impl Fn() -> bool) -> std::io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if give_up() {
            let group = i32::try_from(child.id()).map(Pid::from_raw);
            if let Ok(group) = group {
                // It may have ended just now.
                let _ = killpg(group, Signal::SIGKILL);
            }
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(TICK);
    }
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it failed".to_owned(),
    }
}
