//! How far a restore has come: a bar on a terminal, a line now and then in a log.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::context::Context;
use super::units::{human_duration, human_size};
use crate::restore::{EntryError, Progress, Status};
use crate::text::counted;

/// Seconds between lines in a log.
const INTERVAL: u64 = 10;

/// What takes less than this shows no progress.
const SILENCE: Duration = Duration::from_secs(1);

const REDRAW: Duration = Duration::from_millis(200);

/// Shows that a command is at work, once it has taken more than a second: on a terminal alone.
pub(super) struct Activity {
    bar: Option<ProgressBar>,
    started: Instant,
    drawn: Instant,
    what: &'static str,
    count: u64,
}

impl Activity {
    /// `what` is counted, such as `entries`.
    pub(super) fn new(context: &Context, what: &'static str) -> Self {
        let bar = (stderr().is_terminal() && !context.quiet).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        let now = Instant::now();
        Self { bar, started: now, drawn: now, what, count: 0 }
    }

    /// Counts one more.
    pub(super) fn step(&mut self) {
        self.count += 1;
        let Some(bar) = &self.bar else { return };
        // The clock is asked now and then alone: entries are many.
        if self.count % 64 != 1 && self.count > 1024 || self.drawn.elapsed() < REDRAW {
            return;
        }
        self.drawn = Instant::now();
        let elapsed = self.started.elapsed();
        if elapsed >= SILENCE {
            if bar.is_hidden() {
                bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            bar.set_message(format!("{} {}, {}", self.count, self.what, human_duration(elapsed)));
            bar.tick();
        }
    }

    /// Does something that prints, with the terminal clear of the progress.
    pub(super) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match self.bar.as_ref().filter(|bar| !bar.is_hidden()) {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows the progress of a restore on stderr, and names what goes wrong.
pub(super) struct Reporter {
    bar: Option<ProgressBar>,
    /// Intervals that have passed.
    told: AtomicU64,
}

impl Reporter {
    pub(super) fn new(context: &Context) -> Self {
        let bar = (stderr().is_terminal() && !context.quiet).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::default_bar());
            bar
        });
        Self { bar, told: AtomicU64::new(0) }
    }

    /// Takes the bar off the terminal.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn above_the_bar(&self, say: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }

    fn draw(bar: &ProgressBar, status: &Status) {
        if let Some(total) = status.total_bytes
            && bar.length() != Some(total)
            && let Ok(style) = ProgressStyle::with_template(
                "{wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left, {msg}",
            )
        {
            bar.set_length(total);
            bar.set_style(style);
        }
        bar.set_position(status.bytes);
        bar.set_message(match status.errors {
            0 => counted(status.files, "file"),
            errors => format!("{}, {}", counted(status.files, "file"), counted(errors, "error")),
        });
    }
}

impl Progress for Reporter {
    fn status(&self, status: &Status) {
        if let Some(bar) = &self.bar {
            return Self::draw(bar, status);
        }
        let interval = status.elapsed.as_secs() / INTERVAL;
        if interval > self.told.swap(interval, Ordering::Relaxed) {
            tracing::info!("{}", line(status));
        }
    }

    fn error(&self, error: &EntryError) {
        self.above_the_bar(|| tracing::error!("{:?}: {} [{}]", error.path, error.message, error.code));
    }

    fn warning(&self, message: &str) {
        self.above_the_bar(|| tracing::warn!("{message}"));
    }
}

fn line(status: &Status) -> String {
    let rate = status.bytes as f64 / status.elapsed.as_secs_f64().max(0.001);
    let mut line = human_size(status.bytes);
    if let Some(total) = status.total_bytes {
        line += &format!(" of {}", human_size(total));
    }
    line += &format!(", {}, {}/s", counted(status.files, "file"), human_size(rate as u64));
    if let Some(rest) = status.total_bytes.and_then(|total| total.checked_sub(status.bytes))
        && rate >= 1.0
    {
        line += &format!(", {} left", human_duration(Duration::from_secs_f64(rest as f64 / rate)));
    }
    if status.errors > 0 {
        line += &format!(", {}", counted(status.errors, "error"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_long_it_will_take() {
        let status = Status {
            files: 7,
            bytes: 10 << 20,
            total_bytes: Some(30 << 20),
            elapsed: Duration::from_secs(10),
            ..Status::default()
        };
        assert_eq!(line(&status), "10.0 MiB of 30.0 MiB, 7 files, 1.0 MiB/s, 20s left");
        let status = Status { total_bytes: None, errors: 2, ..status };
        assert_eq!(line(&status), "10.0 MiB, 7 files, 1.0 MiB/s, 2 errors");
    }
}
