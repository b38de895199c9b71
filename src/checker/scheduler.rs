//! The thread that decides when the storage is read, and the threads that read it.
//!
//! The scheduler itself never touches the storage: each refresh runs on a thread of its own, which may hang for as long as
//! the storage does without anybody else waiting for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::clock::Tick;
use super::engine::{Engine, Refreshed, Refused};
use super::error::{Error, Reason};
use super::state::{Failure, Shared, State};
use super::view::{Inventory, View};
use crate::format::RepositoryFormat;
use crate::repository::Repository;
use crate::repository::Scan;

/// After a failure nothing is tried again for this long.
const PAUSE: Duration = Duration::from_millis(200);
const SCAN_PAUSE: Duration = Duration::from_secs(5);

/// After a failure the next refresh does not wait for its usual time: nobody may ask meanwhile, and what the service says of
/// itself would be wrong until then. Each failure doubles the wait, since opening derives a key.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(15);

/// The scheduler looks around at least this often, whatever it believes is due next.
const IDLE: Duration = Duration::from_secs(1);

/// Looking into packs takes long on a slow storage without anything being wrong.
const SCAN_PATIENCE: u32 = 10;

/// Schedules until the checker is dropped.
pub(super) fn run(shared: &Arc<Shared>) {
    let mut state = shared.lock();
    while !state.shutdown {
        let now = shared.clock.now();
        give_up_on_hung_threads(shared, &mut state, now);
        if refresh_is_due(shared, &state, now) {
            begin_refresh(shared, &mut state, now);
        }
        if scan_is_due(shared, &state, now) {
            begin_scan(shared, &mut state, now);
        }
        let wait = next_event(shared, &state, now);
        state = shared.changed.wait_timeout(state, wait);
    }
}

fn give_up_on_hung_threads(shared: &Shared, state: &mut State, now: Tick) {
    let limit = shared.settings.storage_timeout;
    if let Some(began) = state.refresh.abandon(now, limit) {
        tracing::warn!(code = "storage-hung", "the storage has not answered for {limit:?}, trying again");
        state.engine = None;
        let reason = Reason::new("storage-hung", format!("the storage has not answered for {limit:?}"));
        state.failure = Some(Failure { began, ended: now, reason, retryable: true });
        state.failed_in_a_row = state.failed_in_a_row.saturating_add(1);
        Shared::count(&shared.counters.failures);
        shared.announce();
    }
    if let Some(began) = state.scan_work.abandon(now, limit * SCAN_PATIENCE) {
        let reason = Reason::new("storage-hung", "the storage has not answered while packs were listed");
        state.scan_failure = Some(Failure { began, ended: now, reason, retryable: true });
        shared.announce();
    }
}

fn refresh_is_due(shared: &Shared, state: &State, now: Tick) -> bool {
    if state.refresh.running.is_some() || within(state.failure.as_ref(), now, PAUSE) {
        return false;
    }
    let Some(last) = state.refresh.last_began else { return true };
    let wanted = state.wanted.is_some_and(|wanted| !last.not_before(wanted));
    let interval = refresh_interval(shared.settings.refresh_interval, state.failed_in_a_row);
    wanted || interval.is_some_and(|interval| now.elapsed_since(last) >= interval)
}

/// How long after the last refresh began the next one is due, unless somebody asks.
fn refresh_interval(usual: Option<Duration>, failed_in_a_row: u32) -> Option<Duration> {
    let Some(doublings) = failed_in_a_row.checked_sub(1) else { return usual };
    let retry = 2_u32.checked_pow(doublings).and_then(|factor| RETRY_FIRST.checked_mul(factor));
    usual.map(|usual| usual.min(retry.unwrap_or(RETRY_LAST).min(RETRY_LAST)))
}

fn scan_is_due(shared: &Shared, state: &State, now: Tick) -> bool {
    let Some(interval) = shared.settings.scan_interval else { return false };
    if state.scan_work.running.is_some()
        || state.repository.is_none()
        || within(state.scan_failure.as_ref(), now, SCAN_PAUSE)
    {
        return false;
    }
    match state.scanned {
        None => true,
        Some(scanned) => {
            now.elapsed_since(scanned) >= interval
                || state.scan_after.is_some_and(|after| !scanned.not_before(after))
        }
    }
}

fn within(failure: Option<&Failure>, now: Tick, pause: Duration) -> bool {
    failure.is_some_and(|failure| now.elapsed_since(failure.ended) < pause)
}

/// How long nothing can become due, in real time.
fn next_event(shared: &Shared, state: &State, now: Tick) -> Duration {
    let paused =
        within(state.failure.as_ref(), now, PAUSE) || within(state.scan_failure.as_ref(), now, SCAN_PAUSE);
    let mut wait = if paused { PAUSE } else { IDLE };
    let interval = refresh_interval(shared.settings.refresh_interval, state.failed_in_a_row);
    if let (Some(last), Some(interval)) = (state.refresh.last_began, interval) {
        wait = wait.min(interval.saturating_sub(now.elapsed_since(last)));
    }
    shared.clock.real(wait).max(Duration::from_millis(1))
}

fn begin_refresh(shared: &Arc<Shared>, state: &mut State, now: Tick) {
    let engine = state.engine.take().unwrap_or_else(|| {
        Engine::new(Arc::clone(&shared.open_store), Arc::clone(&shared.password), shared.options.clone())
    });
    let expected = shared.settings.expected_id.clone().or_else(|| state.pinned.clone());
    let generation = state.refresh.begin(now);
    let thread = Arc::clone(shared);
    let spawned = std::thread::Builder::new()
        .name("refresh".into())
        .spawn(move || refresh(&thread, engine, expected.as_deref(), generation));
    if let Err(e) = spawned {
        state.refresh.running = None;
        fail(
            shared,
            state,
            now,
            Reason::new("out-of-threads", format!("no thread can be started: {e}")),
            true,
        );
    }
}

fn refresh(shared: &Shared, mut engine: Engine, expected: Option<&str>, generation: u64) {
    let outcome = catch_unwind(AssertUnwindSafe(|| engine.refresh(expected)));
    let mut state = shared.lock();
    let Some(began) = state.refresh.end(generation) else { return };
    match outcome {
        Ok(Ok(Refreshed { inventory, repository })) => {
            state.engine = Some(engine);
            state.repository = Some(repository);
            state.pinned.get_or_insert_with(|| inventory.repository.unique_id.clone());
            state.failure = None;
            state.failed_in_a_row = 0;
            Shared::count(&shared.counters.refreshes);
            publish(shared, &mut state, began, inventory);
        }
        Ok(Err(Refused { reason, forget, retryable })) => {
            state.engine = Some(engine);
            if forget {
                shared.view.store(None);
                state.scan = None;
                state.scanned = None;
            }
            fail(shared, &mut state, began, reason, retryable);
        }
        Err(_) => {
            let reason =
                Reason::new("internal-error", "reading the repository ended in a panic; this is a bug");
            fail(shared, &mut state, began, reason, true);
        }
    }
    drop(state);
    shared.announce();
}

fn fail(shared: &Shared, state: &mut State, began: Tick, reason: Reason, retryable: bool) {
    // Without refreshes in the background, somebody is waiting for the answer, which says why.
    if shared.settings.refresh_interval.is_some() {
        tracing::warn!(code = reason.code(), "refresh failed: {reason}");
    }
    Shared::count(&shared.counters.failures);
    state.failed_in_a_row = state.failed_in_a_row.saturating_add(1);
    state.failure = Some(Failure { began, ended: shared.clock.now(), reason, retryable });
}

/// Makes an inventory the view.
fn publish(shared: &Shared, state: &mut State, began: Tick, inventory: Arc<Inventory>) {
    let previous = shared.view.load_full();
    let same = previous.as_ref().filter(|view| Arc::ptr_eq(&view.inventory, &inventory));
    if let Some(previous) = previous.as_ref().filter(|_| same.is_none())
        && previous.inventory.indexed.named.iter().any(|pack| !inventory.indexed.named.contains(pack))
    {
        state.scan_after = Some(began);
    }
    let unindexed = match same.and_then(|view| view.unindexed.clone()) {
        Some(known) => Some(known),
        None => state
            .scan
            .as_ref()
            .filter(|_| state.scan_counts())
            .map(|scan| Arc::new(scan.compare(&inventory.indexed))),
    };
    let finished = shared.clock.now();
    shared.view.store(Some(Arc::new(View { started: began, finished, inventory, unindexed })));
}

fn begin_scan(shared: &Arc<Shared>, state: &mut State, now: Tick) {
    let (Some(repository), Some(view)) = (state.repository.clone(), shared.view.load_full()) else { return };
    let known = state.scan.clone().unwrap_or_default();
    let generation = state.scan_work.begin(now);
    let thread = Arc::clone(shared);
    let spawned = std::thread::Builder::new().name("scan".into()).spawn(move || {
        let named = &view.inventory.indexed.named;
        let scan = catch_unwind(AssertUnwindSafe(|| {
            still_there(&repository)?;
            let scan = Scan::run(&repository, named, &known)?;
            still_there(&repository).map(|()| scan)
        }));
        drop(view);
        finish_scan(&thread, scan.ok(), generation);
        thread.meter.measure(repository.store(), &thread.clock);
    });
    if spawned.is_err() {
        state.scan_work.running = None;
    }
}

/// A directory in which another repository, or nothing, is mounted has none of our packs either.
fn still_there(repository: &Repository) -> Result<(), Error> {
    let found = RepositoryFormat::unique_id_in(&RepositoryFormat::read_blob(repository.store())?)?;
    if found == repository.format().unique_id() {
        return Ok(());
    }
    Err(Error::Changed { location: repository.store().describe() })
}

fn finish_scan(shared: &Shared, scan: Option<Result<Scan, Error>>, generation: u64) {
    let mut state = shared.lock();
    let Some(began) = state.scan_work.end(generation) else { return };
    match scan {
        Some(Ok(scan)) => {
            state.scanned = Some(began);
            state.scan_failure = None;
            // Packs that have lost their entries meanwhile were passed over as named.
            if state.scan_counts()
                && let Some(view) = shared.view.load_full()
            {
                let unindexed = Some(Arc::new(scan.compare(&view.inventory.indexed)));
                shared.view.store(Some(Arc::new(View { unindexed, ..(*view).clone() })));
            }
            state.scan = Some(Arc::new(scan));
        }
        failed => {
            let reason = match &failed {
                Some(Err(e)) => Reason::from(e),
                _ => Reason::new("internal-error", "looking into packs ended in a panic; this is a bug"),
            };
            tracing::warn!(code = reason.code(), "looking for packs that no index names failed: {reason}");
            state.scan_failure = Some(Failure { began, ended: shared.clock.now(), reason, retryable: true });
        }
    }
    drop(state);
    shared.announce();
}

/// What has been counted so far.
pub(super) fn counted(counter: &std::sync::atomic::AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_refresh_is_tried_again_soon_and_then_less_often() {
        let usual = Some(Duration::from_secs(90));
        let waits: Vec<u64> =
            [0, 1, 2, 3, 4, 5, 40, u32::MAX].map(|n| refresh_interval(usual, n).unwrap().as_secs()).into();
        assert_eq!(waits, [90, 1, 2, 4, 8, 15, 15, 15]);
        assert_eq!(refresh_interval(Some(Duration::from_millis(500)), 3), Some(Duration::from_millis(500)));
        assert_eq!(refresh_interval(None, 3), None, "never without being asked");
    }
}
