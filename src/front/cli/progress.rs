//! How far a command has come: a bar on a terminal, a line now and then in a log.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write, stderr, stdout};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::context::Context;
use super::output::escape;
use super::units::{human_size, human_span};
use crate::front::waiting::{self, Step};
use crate::index::{Loading, Stage};
use crate::os::signals;
use crate::os::sync::{Condvar, Mutex};
use crate::restore::{Change, EntryError, Progress, Status};
use crate::text::counted;

/// A log has a line this often, or for each tenth of the whole if these are further apart than `LEAST_INTERVAL`.
const INTERVAL: Duration = Duration::from_secs(30);
const LEAST_INTERVAL: Duration = Duration::from_secs(10);

/// What takes less than this shows no progress.
const SILENCE: Duration = Duration::from_secs(1);

const REDRAW: Duration = Duration::from_millis(200);

/// The message is cut to the width that the terminal has at the moment.
const WITH_TOTAL: &str = "{spinner} {bar:16} {wide_msg}";
const WITHOUT_TOTAL: &str = "{spinner} {wide_msg}";

/// What the bar says after a first Ctrl-C.
const STOPPING: &str = "stopping; Ctrl-C again stops at once";

/// The bar on the terminal, which talk on stderr must not be mixed with.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Standard error, written to while no bar is drawn.
pub(super) struct Talk;

impl Write for Talk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Taken out of its lock: drawing takes others.
        let bar = SHOWN.lock().clone();
        match bar {
            Some(bar) => bar.suspend(|| stderr().write_all(bytes))?,
            None => stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        stderr().flush()
    }
}

/// How far something has come.
#[derive(Debug, Clone, Copy, Default)]
struct Position {
    done: u64,
    total: Option<u64>,
    elapsed: Duration,
}

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    Bytes,
    /// Things of this name, such as `entry/entries`.
    Things(&'static str),
}

impl Unit {
    fn amount(self, count: u64) -> String {
        match self {
            Self::Bytes => human_size(count),
            Self::Things(name) => counted(count, name),
        }
    }

    /// What is done of how much, how fast, and how long the rest will take.
    fn describe(self, at: Position, more: &str) -> String {
        let Position { done, total, elapsed } = at;
        let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
        let total = total.filter(|total| *total > 0);
        let mut text = match total {
            None => self.amount(done),
            Some(total) => {
                let percent = u128::from(done.min(total)) * 100 / u128::from(total);
                let done = match self {
                    Self::Bytes => human_size(done),
                    Self::Things(_) => done.to_string(),
                };
                format!("{percent} %, {done} of {}", self.amount(total))
            }
        };
        if !more.is_empty() {
            text += &format!(", {more}");
        }
        if elapsed >= SILENCE {
            match self {
                Self::Bytes => text += &format!(", {}/s", human_size(rate as u64)),
                Self::Things(_) => text += &format!(", {rate:.0}/s"),
            }
        }
        if let Some(rest) = total.and_then(|total| total.checked_sub(done)).filter(|rest| *rest > 0)
            && rate >= 1.0
        {
            text += &format!(", {} left", human_span(Duration::from_secs_f64(rest as f64 / rate)));
        }
        text
    }
}

/// When a log was last told, and at which tenth of the whole.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    at: Duration,
    tenth: u64,
}

impl Told {
    /// Whether it is time for a line; notes that it is written.
    fn is_due(&mut self, at: Position) -> bool {
        let tenth = match at.total {
            Some(total) if total > 0 => {
                u64::try_from(u128::from(at.done) * 10 / u128::from(total)).unwrap_or(0)
            }
            _ => 0,
        };
        let since = at.elapsed.saturating_sub(self.at);
        let due = since >= INTERVAL || (tenth > self.tenth && since >= LEAST_INTERVAL);
        if due {
            *self = Self { at: at.elapsed, tenth };
        }
        due
    }
}

/// Where a command is, as it said last.
#[derive(Debug, Default)]
struct Latest {
    done: u64,
    total: Option<u64>,
    /// Put between the amount and the rate.
    more: String,
    told: Told,
    ended: bool,
}

/// What the command and the thread that shows it share.
struct Shared {
    bar: Option<ProgressBar>,
    unit: Unit,
    started: Instant,
    latest: Mutex<Latest>,
    ended: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock()
    }

    /// Shows where the command is, again and again, also while one step of it takes long.
    fn run(&self) {
        let mut latest = self.lock();
        while !latest.ended {
            // Talk that must not be mixed with the bar waits for nothing that is held here.
            let wait = if self.bar.is_some() { REDRAW } else { SILENCE };
            latest = self.ended.wait_timeout(latest, wait);
            if !latest.ended && self.started.elapsed() >= SILENCE {
                self.show(&mut latest);
            }
        }
    }

    fn show(&self, latest: &mut Latest) {
        let at = Position { done: latest.done, total: latest.total, elapsed: self.started.elapsed() };
        let Some(bar) = &self.bar else {
            if latest.told.is_due(at) {
                tracing::info!("{}", self.unit.describe(at, &latest.more));
            }
            return;
        };
        if at.total.is_some() && bar.length() != at.total {
            bar.set_length(at.total.unwrap_or_default());
            bar.set_style(style(WITH_TOTAL));
        }
        bar.set_position(at.done);
        bar.set_message(match signals::is_raised() {
            true => STOPPING.to_owned(),
            false => self.unit.describe(at, &latest.more),
        });
        if bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            *SHOWN.lock() = Some(bar.clone());
        }
        bar.tick();
    }
}

/// Shows how far something is.
struct Meter {
    shared: Arc<Shared>,
}

impl Meter {
    fn new(context: &Context, unit: Unit) -> Self {
        Self::of(context.quiet, unit)
    }

    fn of(quiet: bool, unit: Unit) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let bar = (stderr().is_terminal() && !quiet && !dumb).then(|| {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_style(style(WITHOUT_TOTAL))
        });
        let shared =
            Shared { bar, unit, started: Instant::now(), latest: Mutex::default(), ended: Condvar::new() };
        let shared = Arc::new(shared);
        if !quiet {
            let shown = Arc::clone(&shared);
            // Without the thread there is no progress to see, and nothing else is missing.
            let _ = std::thread::Builder::new().name("progress".into()).spawn(move || shown.run());
        }
        Self { shared }
    }

    /// Notes where the command is.
    fn note(&self, done: u64, total: Option<u64>, more: impl FnOnce() -> String) {
        let mut latest = self.shared.lock();
        (latest.done, latest.total, latest.more) = (done, total, more());
    }

    /// Takes the bar off the terminal.
    fn finish(&self) {
        self.shared.lock().ended = true;
        self.shared.ended.notify_all();
        if let Some(bar) = &self.shared.bar {
            SHOWN.lock().take();
            bar.finish_and_clear();
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.finish();
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_spinner()).progress_chars("=> ")
}

/// Counts what a command does, and shows it once that has taken more than a second.
pub(super) struct Activity {
    meter: Meter,
    total: Option<u64>,
    drawn: Instant,
    count: u64,
    steps: u64,
}

impl Activity {
    /// Of a `total` that is known or not.
    pub(super) fn new(context: &Context, unit: Unit, total: Option<u64>) -> Self {
        Self { meter: Meter::new(context, unit), total, drawn: Instant::now(), count: 0, steps: 0 }
    }

    /// Counts one more.
    pub(super) fn step(&mut self) {
        self.advance(1);
    }

    /// Counts `count` more.
    pub(super) fn advance(&mut self, count: u64) {
        self.count += count;
        self.steps += 1;
        // The clock is asked now and then alone: entries are many.
        if (self.steps % 64 != 1 && self.steps > 1024) || self.drawn.elapsed() < REDRAW {
            return;
        }
        self.drawn = Instant::now();
        self.meter.note(self.count, self.total, String::new);
    }

    /// Does something that prints, with the terminal clear of the progress.
    pub(super) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match self.meter.shared.bar.as_ref().filter(|bar| !bar.is_hidden()) {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

/// Shows how far opening has come, which takes long where there are many index blobs and each read is slow.
#[derive(Clone)]
pub(super) struct Waiter {
    loading: Option<Loading>,
}

impl Waiter {
    /// For what is read with the options of this run.
    pub(super) fn new(context: &Context) -> Self {
        let loading = context.options().index.loading;
        Self { loading: loading.filter(|_| !context.quiet) }
    }

    /// Does the work that somebody waits for.
    pub(super) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let mut shown: Option<(Stage, Meter)> = None;
        let show = |Step { stage, done, total }| {
            if shown.as_ref().is_none_or(|(before, _)| *before != stage) {
                let unit = Unit::Things(match stage {
                    Stage::Index => "index blob",
                    Stage::Manifests => "manifest",
                });
                // One bar is taken away before the next is there.
                drop(shown.take());
                shown = Some((stage, Meter::of(false, unit)));
            }
            if let Some((_, meter)) = &shown {
                meter.note(done, Some(total), String::new);
            }
        };
        waiting::during(self.loading.as_ref(), REDRAW, show, work)
    }
}

/// Shows how far a verification is. Called from several threads.
#[cfg(feature = "verify")]
pub(super) struct Verifying(Meter);

#[cfg(feature = "verify")]
impl Verifying {
    pub(super) fn new(context: &Context) -> Self {
        Self(Meter::new(context, Unit::Bytes))
    }

    pub(super) fn show(&self, progress: &crate::verify::Progress) {
        self.0.note(progress.bytes, Some(progress.of_bytes), || {
            let mut more = format!("{} of {}", progress.packs, counted(progress.of_packs, "pack"));
            if progress.damaged > 0 {
                more += &format!(", {}", counted(progress.damaged, "damaged content"));
            }
            if progress.packs == progress.of_packs {
                more += ", now the snapshots";
            }
            more
        });
    }

    /// Takes the bar off the terminal.
    pub(super) fn finish(&self) {
        self.0.finish();
    }
}

/// Shows the progress of a restore on stderr, and names what goes wrong.
pub(super) struct Reporter {
    meter: Meter,
    /// Where what became of each entry is listed.
    list: Option<Mutex<List>>,
}

/// Lines on standard output, and the first error of writing them.
struct List {
    lines: BufWriter<Stdout>,
    /// A bar may be drawn where they are read.
    on_terminal: bool,
    result: io::Result<()>,
}

impl Reporter {
    /// With `lists`, what becomes of each entry goes to standard output, a line each.
    pub(super) fn new(context: &Context, lists: bool) -> Self {
        let list = lists.then(|| {
            let (lines, on_terminal) = (BufWriter::new(stdout()), stdout().is_terminal());
            Mutex::new(List { lines, on_terminal, result: Ok(()) })
        });
        Self { meter: Meter::new(context, Unit::Bytes), list }
    }

    /// Takes the bar off the terminal, and writes what is left of the list.
    ///
    /// # Errors
    /// The first one of writing the list.
    pub(super) fn finish(&self) -> io::Result<()> {
        self.meter.finish();
        let Some(list) = &self.list else { return Ok(()) };
        let List { lines, result, .. } = &mut *list.lock();
        std::mem::replace(result, Ok(())).and_then(|()| lines.flush())
    }
}

impl Progress for Reporter {
    fn status(&self, status: &Status) {
        self.meter.note(status.bytes, status.total_bytes, || {
            let mut more = counted(status.files, "file");
            if status.errors > 0 {
                more += &format!(", {}", counted(status.errors, "error"));
            }
            more
        });
    }

    fn wants_changes(&self) -> bool {
        self.list.is_some()
    }

    fn change(&self, change: Change, path: &str) {
        let Some(list) = &self.list else { return };
        let what = match change {
            Change::New => "new",
            Change::Updated => "updated",
            Change::Unchanged => "unchanged",
            Change::Deleted => "deleted",
            Change::Leftover => "leftover",
        };
        let List { lines, on_terminal, result } = &mut *list.lock();
        let line = format!("{what:<9} {}\n", escape(path));
        let mut write = || {
            let written = lines.write_all(line.as_bytes());
            if *on_terminal { written.and_then(|()| lines.flush()) } else { written }
        };
        let shown = on_terminal.then(|| SHOWN.lock().clone()).flatten();
        let written = match shown {
            Some(bar) => bar.suspend(write),
            None => write(),
        };
        if result.is_ok() {
            *result = written;
        }
    }

    fn error(&self, error: &EntryError) {
        tracing::error!("{:?}: {} [{}]", error.path, error.message, error.code);
    }

    fn warning(&self, message: &str) {
        tracing::warn!("{message}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(done: u64, total: Option<u64>, seconds: u64) -> Position {
        Position { done, total, elapsed: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_line_says_how_long_it_will_take() {
        for (unit, position, more, line) in [
            (
                Unit::Bytes,
                at(10 << 20, Some(30 << 20), 10),
                "7 files",
                "33 %, 10.0 MiB of 30.0 MiB, 7 files, 1.0 MiB/s, 20s left",
            ),
            (Unit::Bytes, at(10 << 20, None, 10), "2 errors", "10.0 MiB, 2 errors, 1.0 MiB/s"),
            (
                Unit::Things("entry/entries"),
                at(50, Some(200), 10),
                "",
                "25 %, 50 of 200 entries, 5/s, 30s left",
            ),
            (Unit::Things("difference"), at(1, None, 0), "", "1 difference"),
            // Totals of snapshots are what a client once counted.
            (Unit::Things("entry/entries"), at(9, Some(3), 1), "", "100 %, 9 of 3 entries, 9/s"),
            (Unit::Bytes, at(0, Some(0), 5), "", "0 B, 0 B/s"),
        ] {
            assert_eq!(unit.describe(position, more), line);
        }
    }

    #[test]
    fn a_log_has_a_line_each_half_minute_or_tenth() {
        let mut told = Told::default();
        let mut due = |done, seconds| told.is_due(at(done, Some(100), seconds));
        assert!(!due(1, 1) && !due(15, 9), "too early");
        assert!(due(15, 10), "a tenth");
        assert!(!due(19, 21) && due(20, 22) && !due(29, 51) && due(29, 52));
        assert!(!due(60, 53) && due(60, 62));
    }
}
