//! How the restore goes, in a few lines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::front::mover::log;
use crate::os::signals;
use crate::restore::{self, EntryError, Status};
use crate::text::human_size;

/// Time between two lines, and after how many lines it doubles: an hour has some thirty.
const INTERVAL: Duration = Duration::from_secs(10);

/// Entries whose failure gets a line of its own.
const NAMED: u64 = 100;

/// Writes progress and failures of entries into the log.
#[derive(Default)]
pub(super) struct Progress {
    lines: AtomicU64,
    errors: AtomicU64,
}

impl Progress {
    /// Whether it is time for a line, which counts as written then.
    fn is_due(&self, elapsed: Duration) -> bool {
        let lines = self.lines.load(Ordering::Relaxed);
        let due = INTERVAL * u32::try_from(lines * (lines + 1) / 2 + 1).unwrap_or(u32::MAX);
        let is_due = elapsed >= due;
        if is_due {
            self.lines.store(lines + 1, Ordering::Relaxed);
        }
        is_due
    }
}

impl restore::Progress for Progress {
    fn status(&self, status: &Status) {
        if self.is_due(status.elapsed) {
            log::info(line(status));
        }
    }

    fn error(&self, error: &EntryError) {
        // What was under way when a signal came is not at fault.
        if signals::exit_code().is_some() {
            return;
        }
        let EntryError { path, code, message } = error;
        match self.errors.fetch_add(1, Ordering::Relaxed) {
            ..NAMED => log::line(format_args!("ERROR: {path}: {message} [{code}]")),
            NAMED => log::line("ERROR: more entries could not be restored; they are counted at the end"),
            _ => {}
        }
    }

    fn warning(&self, message: &str) {
        log::warn(message);
    }
}

fn line(status: &Status) -> String {
    let total = |number: Option<String>| number.map_or_else(String::new, |number| format!(" of {number}"));
    let seconds = status.elapsed.as_secs_f64();
    let rate = if seconds > 0.0 { status.bytes as f64 / seconds } else { 0.0 };
    format!(
        "{}{} files, {}{}, {}/s after {seconds:.0} s",
        status.files,
        total(status.total_files.map(|files| files.to_string())),
        human_size(status.bytes),
        total(status.total_bytes.map(human_size)),
        human_size(rate as u64),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_rarer() {
        let progress = Progress::default();
        let lines = |seconds: std::ops::Range<u64>| {
            seconds.filter(|second| progress.is_due(Duration::from_secs(*second))).count()
        };
        assert_eq!(lines(0..60), 3);
        assert_eq!(lines(60..3600), 24);
        assert!(lines(3600..24 * 3600) < 120);
    }

    #[test]
    fn one_line_says_how_far_it_is() {
        let status = Status {
            files: 3,
            total_files: Some(9),
            bytes: 2048,
            total_bytes: Some(1 << 20),
            elapsed: Duration::from_secs(2),
            ..Status::default()
        };
        assert_eq!(line(&status), "3 of 9 files, 2.0 KiB of 1.0 MiB, 1.0 KiB/s after 2 s");
    }
}
