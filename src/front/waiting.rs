//! Says how far opening a repository has come, while somebody waits for it.

use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::index::{Loading, Stage};
use crate::text::grouped;

/// Seconds between lines in a log.
pub(super) const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// How far it has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) stage: Stage,
    pub(super) done: u64,
    pub(super) total: u64,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.stage {
            Stage::Index => "index",
            Stage::Manifests => "manifests",
        };
        write!(f, "{what} {} of {}", grouped(self.done), grouped(self.total))
    }
}

/// Does some work, and says how far it has come each time that `every` has passed.
pub(super) fn during<T>(
    loading: Option<&Loading>,
    every: Duration,
    mut say: impl FnMut(Step) + Send,
    work: impl FnOnce() -> T,
) -> T {
    let Some(loading) = loading else { return work() };
    let (done, waiting) = channel::<()>();
    std::thread::scope(|scope| {
        let watch = move || {
            while waiting.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                if let Some((stage, done, total)) = loading.status() {
                    say(Step { stage, done, total });
                }
            }
        };
        // Without a thread for it nothing is said.
        let watcher = std::thread::Builder::new().name("progress".into()).spawn_scoped(scope, watch);
        let result = work();
        drop(done);
        if let Ok(watcher) = watcher {
            // It has nothing to tell but what it said.
            let _ = watcher.join();
        }
        result
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn what_takes_long_is_told() {
        let loading = Loading::default();
        loading.expect(Stage::Index, 2045);
        (0..1204).for_each(|_| loading.step(Stage::Index));
        let said = Mutex::new(Vec::new());
        let say = |step: Step| said.lock().unwrap().push(step.to_string());
        let result = during(Some(&loading), Duration::from_millis(1), say, || {
            while said.lock().unwrap().is_empty() {
                std::thread::yield_now();
            }
            (1204..2045).for_each(|_| loading.step(Stage::Index));
            7
        });
        assert_eq!((result, said.lock().unwrap()[0].as_str()), (7, "index 1,204 of 2,045"));
        assert_eq!(during(None, Duration::ZERO, |_| (), || 8), 8);
    }
}
