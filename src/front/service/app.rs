//! What all requests share.

use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout_at};

use super::Config;
use super::latency::Latencies;
use super::metrics::Counters;
use super::stores::{Answered, Read};
use crate::checker::{Answer, Candidates, Checker, Reason};

pub(super) struct App {
    /// Where the first repository is.
    pub(super) location: String,
    /// The first repository, which the pages show.
    pub(super) checker: Checker,
    /// Others of the same data.
    pub(super) others: Vec<Read>,
    pub(super) config: Config,
    pub(super) counters: Counters,
    pub(super) latencies: Latencies,
    /// Held while all snapshots are listed.
    pub(super) listing: Mutex<()>,
    #[cfg(feature = "browse")]
    pub(super) browse: Option<super::browse::Browse>,
    changes: watch::Sender<()>,
}

impl App {
    pub(super) fn new(
        first: Read,
        others: Vec<Read>,
        config: Config,
        #[cfg(feature = "browse")] browse: Option<super::browse::Browse>,
    ) -> Self {
        let changes = watch::Sender::new(());
        for Read { checker, .. } in std::iter::once(&first).chain(&others) {
            let announced = changes.clone();
            checker.on_change(move || {
                announced.send_replace(());
            });
        }
        let Read { location, checker } = first;
        Self {
            location,
            checker,
            others,
            config,
            counters: Counters::default(),
            latencies: Latencies::default(),
            listing: Mutex::default(),
            #[cfg(feature = "browse")]
            browse,
            changes,
        }
    }

    /// All stores: the first one, and the others.
    pub(super) fn checkers(&self) -> impl Iterator<Item = &Checker> {
        std::iter::once(&self.checker).chain(self.others.iter().map(|other| &other.checker))
    }

    /// Where they are, in the same order.
    pub(super) fn locations(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.location)
            .chain(self.others.iter().map(|other| &other.location))
            .map(String::as_str)
    }

    /// Whether at least one store answers; if not, why the first one does not.
    pub(super) fn ready(&self) -> Result<(), Reason> {
        let ready = self.checker.ready();
        if self.others.iter().any(|other| other.checker.ready().is_ok()) { Ok(()) } else { ready }
    }

    /// The answer to a question that is asked now, after the configured time at the latest. A store that has answered by
    /// then counts, whatever the others do.
    pub(super) async fn ask(&self, candidates: &Candidates) -> Answered {
        let asked = self.checker.now();
        let deadline = self.config.timeout.map(|timeout| Instant::now() + timeout);
        let mut changes = self.changes.subscribe();
        let mut answers: Vec<Option<Answer>> = self.checkers().map(|_| None).collect();
        let mut first = true;
        loop {
            for (checker, answer) in self.checkers().zip(&mut answers) {
                if answer.is_none() {
                    *answer = checker.poll(candidates, asked, first);
                }
            }
            first = false;
            let waiting = answers.iter().any(Option::is_none);
            let in_time = waiting
                && match deadline {
                    Some(deadline) => timeout_at(deadline, changes.changed()).await.is_ok(),
                    None => changes.changed().await.is_ok(),
                };
            if !in_time {
                break;
            }
        }
        let given = |(checker, answer): (&Checker, Option<Answer>)| {
            answer.unwrap_or_else(|| checker.give_up(candidates))
        };
        let answers = self.checkers().zip(answers).map(given);
        if self.others.is_empty() {
            let mut answers = answers;
            return Answered::alone(answers.next().unwrap_or_else(|| self.checker.give_up(candidates)));
        }
        let stores = self.locations().map(ToOwned::to_owned).zip(answers).collect();
        Answered::together(stores).unwrap_or_else(|| Answered::alone(self.checker.give_up(candidates)))
    }
}
