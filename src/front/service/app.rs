//! What all requests share.

use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout_at};

use super::Config;
use super::latency::Latencies;
use super::metrics::Counters;
use crate::checker::{Answer, Candidates, Checker};

pub(super) struct App {
    pub(super) checker: Checker,
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
        checker: Checker,
        config: Config,
        #[cfg(feature = "browse")] browse: Option<super::browse::Browse>,
    ) -> Self {
        let changes = watch::Sender::new(());
        let announced = changes.clone();
        checker.on_change(move || {
            announced.send_replace(());
        });
        Self {
            checker,
            config,
            counters: Counters::default(),
            latencies: Latencies::default(),
            listing: Mutex::default(),
            #[cfg(feature = "browse")]
            browse,
            changes,
        }
    }

    /// The answer to a question that is asked now, after the configured time at the latest.
    pub(super) async fn ask(&self, candidates: &Candidates) -> Answer {
        let asked = self.checker.now();
        let deadline = self.config.timeout.map(|timeout| Instant::now() + timeout);
        let mut changes = self.changes.subscribe();
        let mut first = true;
        loop {
            if let Some(answer) = self.checker.poll(candidates, asked, first) {
                return answer;
            }
            first = false;
            let in_time = match deadline {
                Some(deadline) => timeout_at(deadline, changes.changed()).await.is_ok(),
                None => changes.changed().await.is_ok(),
            };
            if !in_time {
                return self.checker.give_up(candidates);
            }
        }
    }
}
