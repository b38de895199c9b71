//! The same work for many items on several threads.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use crate::os::sync::Mutex;

/// How many threads can run at the same time, as far as the process may know. Found out once: what limits its control
/// group cannot be read any more from within the sandbox.
pub(crate) fn available_threads() -> usize {
    static AVAILABLE: OnceLock<usize> = OnceLock::new();
    *AVAILABLE.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Starts threads for the same work, or as many of them as the limits of the process and of its control group allow.
pub(crate) fn spawn_up_to<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    threads: usize,
    work: impl Fn() -> T + Copy + Send + 'scope,
) -> Vec<ScopedJoinHandle<'scope, T>> {
    (0..threads).map_while(|_| Builder::new().spawn_scoped(scope, work).ok()).collect()
}

/// Calls `each` once for every item, on up to `threads` threads and in no particular order.
///
/// # Errors
/// The first error; no new item is begun after it.
pub(crate) fn for_each<T: Sync, E: Send>(
    items: &[T],
    threads: usize,
    each: impl Fn(&T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let work = || {
        while !stop.load(Ordering::Relaxed)
            && let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
        {
            if let Err(e) = each(item) {
                stop.store(true, Ordering::Relaxed);
                failure.lock().get_or_insert(e);
            }
        }
    };
    let others = threads.min(items.len()).saturating_sub(1);
    std::thread::scope(|scope| {
        spawn_up_to(scope, others, work);
        work();
    });
    failure.into_inner().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_once() {
        let items: Vec<usize> = (0..100).collect();
        let sum = AtomicUsize::new(0);
        for_each(&items, 4, |item| {
            sum.fetch_add(*item, Ordering::Relaxed);
            Ok::<(), ()>(())
        })
        .unwrap();
        assert_eq!(sum.into_inner(), 4950);
    }

    #[test]
    fn the_first_error_stops_the_rest() {
        let calls = AtomicUsize::new(0);
        let result = for_each(&[1, 2, 3, 4, 5], 1, |item| {
            calls.fetch_add(1, Ordering::Relaxed);
            if *item == 3 { Err("third") } else { Ok(()) }
        });
        assert_eq!(result, Err("third"));
        assert_eq!(calls.into_inner(), 3);
    }
}
