//! The existence question: is there a backup of this volume?
//!
//! There are three answers, and the dangerous one is *no*: a false *no* lets an application start on an empty volume. It
//! is given only if a view of the whole repository is recent enough and free of doubt; otherwise the answer is *unknown*,
//! with a [`Reason`]. This module does not know about HTTP.
//!
//! A [`Checker`] keeps a [`View`] of the repository in memory. Its own threads read the storage, and callers choose how
//! long they wait for them.

mod answer;
mod clock;
mod engine;
mod error;
mod names;
mod scheduler;
mod settings;
mod state;
mod usage;
mod view;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;

pub use crate::repository::Suspect;
pub use answer::{Answer, Doubtful, State};
pub use clock::{Clock, Tick};
pub use engine::{FindPassword, OpenStore};
pub use error::{Error, Reason};
pub use names::{Candidates, InvalidName, InvalidTemplate, Question, Template};
pub use settings::Settings;
pub use state::Failure;
pub use usage::{BlobUsage, Usage};
pub use view::{RepositoryInfo, SnapshotInfo, SourceState, View};

use crate::os::sync::{Condvar, Mutex};
use crate::repository::Options;
use answer::{Verdict, consider};
use state::{Counters, Shared};

/// Answers the existence question for one repository.
pub struct Checker {
    shared: Arc<Shared>,
}

/// What the checker is doing.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Status {
    /// What it knows.
    pub view: Option<Arc<View>>,
    /// Why the last refresh failed, if it did.
    pub failure: Option<Failure>,
    /// How long the current refresh has been running.
    pub refreshing: Option<Duration>,
    /// Refreshes that succeeded.
    pub refreshes: u64,
    /// Refreshes that failed.
    pub failures: u64,
    /// Questions that were answered by the refresh of another question.
    pub followers: u64,
    /// Threads that hang in the storage and were abandoned.
    pub hung_threads: usize,
    /// Whether the packs that no index names have been looked at.
    pub scanned: bool,
    /// The size of the repository in its storage, measured within the last hours; `None` until it was measured.
    pub usage: Option<Arc<(Tick, Usage)>>,
}

debug_of!(Checker, "Checker", "settings" = |checker| &checker.shared.settings);

impl Checker {
    /// Starts reading the repository in the background.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        settings: Settings,
        clock: Clock,
        options: Options,
        open_store: OpenStore,
        password: FindPassword,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            settings,
            clock,
            open_store,
            password,
            options,
            view: ArcSwapOption::empty(),
            state: Mutex::default(),
            changed: Condvar::new(),
            listener: OnceLock::new(),
            counters: Counters::default(),
            meter: usage::Meter::default(),
        });
        let scheduled = Arc::clone(&shared);
        std::thread::Builder::new().name("scheduler".into()).spawn(move || scheduler::run(&scheduled))?;
        Ok(Self { shared })
    }

    /// Calls `listener` whenever a new answer may be available. It must not block. Only the first listener is called.
    pub fn on_change(&self, listener: impl Fn() + Send + Sync + 'static) {
        let _ = self.shared.listener.set(Box::new(listener));
    }

    /// The settings in use.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// The current time of the checker's clock.
    pub fn now(&self) -> Tick {
        self.shared.clock.now()
    }

    /// The current view, however old.
    pub fn view(&self) -> Option<Arc<View>> {
        self.shared.view.load_full()
    }

    /// The answer to a question that was asked at `asked`, if there is one yet. With `first`, a refresh is requested if
    /// there is none.
    ///
    /// Blocks only for a lookup in memory.
    pub fn poll(&self, candidates: &Candidates, asked: Tick, first: bool) -> Option<Answer> {
        let now = self.now();
        let settings = &self.shared.settings;
        let view = self.view();
        let as_of = view.as_ref().map(|view| view.started());
        let mut scan_missing = false;
        if let Some(view) = view.as_deref() {
            let recent = |limit: Duration| {
                view.started().not_before(asked)
                    || now.since(view.started()).is_some_and(|age| !limit.is_zero() && age <= limit)
            };
            match consider(view, candidates, settings, now) {
                Verdict::Found(answer) if recent(settings.positive_max_age) => return Some(answer),
                Verdict::Doubt(answer) if recent(settings.negative_max_age) => return Some(answer),
                Verdict::Nothing { answer, scanned } if recent(settings.negative_max_age) => {
                    if scanned {
                        return Some(answer);
                    }
                    scan_missing = true;
                }
                _ => {}
            }
        }
        let mut state = self.shared.lock();
        let failure = if scan_missing { &state.scan_failure } else { &state.failure };
        if let Some(failure) = failure.as_ref().filter(|failure| failure.began.not_before(asked)) {
            return Some(Answer::unknown(candidates.asked.clone(), failure.reason.clone(), as_of));
        }
        if first {
            let requested = state.wanted.is_some_and(|wanted| {
                state.refresh.last_began.is_none_or(|last| !last.not_before(wanted))
                    || state.refresh.running.is_some()
            });
            if requested {
                Shared::count(&self.shared.counters.followers);
            }
            state.wanted = Some(state.wanted.map_or(asked, |wanted| wanted.max(asked)));
            drop(state);
            self.shared.changed.notify_all();
        }
        None
    }

    /// The answer to give when the time for waiting is over.
    pub fn give_up(&self, candidates: &Candidates) -> Answer {
        let as_of = self.view().map(|view| view.started());
        let state = self.shared.lock();
        let reason = match (&state.failure, as_of) {
            (Some(failure), _) => failure.reason.clone(),
            (None, None) => Reason::new("not-ready", "the repository has not been read yet"),
            (None, Some(_)) => Reason::new("storage-timeout", "the storage did not answer in time"),
        };
        Answer::unknown(candidates.asked.clone(), reason, as_of)
    }

    /// Asks, and waits for the answer at most this long (by the checker's clock).
    pub fn ask(&self, candidates: &Candidates, patience: Duration) -> Answer {
        let asked = self.now();
        let mut first = true;
        loop {
            if let Some(answer) = self.poll(candidates, asked, first) {
                return answer;
            }
            first = false;
            let waited = self.now().elapsed_since(asked);
            let Some(left) = patience.checked_sub(waited).filter(|left| !left.is_zero()) else {
                return self.give_up(candidates);
            };
            // Between the look above and this wait something may have changed: never wait for long at a stretch.
            let nap = self.shared.clock.real(left).min(Duration::from_millis(20));
            drop(self.shared.changed.wait_timeout(self.shared.lock(), nap));
        }
    }

    /// What the checker is doing.
    pub fn status(&self) -> Status {
        let now = self.now();
        let view = self.view();
        let counters = &self.shared.counters;
        let state = self.shared.lock();
        Status {
            scanned: view.as_ref().is_some_and(|view| view.unindexed.is_some()),
            view,
            failure: state.failure.clone(),
            refreshing: state.refresh.running.map(|began| now.elapsed_since(began)),
            refreshes: scheduler::counted(&counters.refreshes),
            failures: scheduler::counted(&counters.failures),
            followers: scheduler::counted(&counters.followers),
            usage: self.shared.meter.usage(),
            hung_threads: state.refresh.abandoned + state.scan_work.abandoned,
        }
    }

    /// Whether questions are being answered, and if not, why. A failure that may be temporary counts only when the
    /// answers in memory have expired, too.
    pub fn ready(&self) -> Result<(), Reason> {
        let now = self.now();
        let Status { view, failure, refreshing, .. } = self.status();
        let settings = &self.shared.settings;
        let Some(view) = view else {
            let reason = Reason::new("not-ready", "the repository has not been read yet");
            return Err(failure.map_or(reason, |failure| failure.reason));
        };
        let old = now.elapsed_since(view.started()) > settings.positive_max_age;
        if let Some(failure) = failure.filter(|failure| !failure.retryable || old) {
            return Err(failure.reason);
        }
        let hung = settings.positive_max_age.max(settings.storage_timeout);
        if refreshing.is_some_and(|since| since >= hung) {
            return Err(Reason::new("storage-hung", "the storage does not answer"));
        }
        Ok(())
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.shared.lock().shutdown = true;
        self.shared.changed.notify_all();
    }
}
