//! Locks and a semaphore.
//!
//! A panic ends the whole job, and its result is never used. So a lock that a panicking thread held is not refused to the
//! others: they only have to come to their ends.

use std::sync::{self, MutexGuard, PoisonError};
use std::time::Duration;

/// A mutex whose lock always succeeds.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A condition variable for a [`Mutex`].
#[derive(Debug, Default)]
pub(crate) struct Condvar(sync::Condvar);

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(sync::Condvar::new())
    }

    pub(crate) fn wait<'m, T>(&self, guard: MutexGuard<'m, T>) -> MutexGuard<'m, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as `condition` holds.
    pub(crate) fn wait_while<'m, T>(
        &self,
        guard: MutexGuard<'m, T>,
        condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'m, T> {
        self.0.wait_while(guard, condition).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a notification, and no longer than `timeout`.
    pub(crate) fn wait_timeout<'m, T>(
        &self,
        guard: MutexGuard<'m, T>,
        timeout: Duration,
    ) -> MutexGuard<'m, T> {
        self.0.wait_timeout(guard, timeout).unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Bounds how much is in use at the same time: bytes, reads, or anything else that can be counted.
pub(crate) struct Semaphore {
    used: Mutex<u64>,
    freed: Condvar,
    limit: u64,
}

impl Semaphore {
    pub(crate) const fn new(limit: u64) -> Self {
        Self { used: Mutex::new(0), freed: Condvar::new(), limit }
    }

    /// Waits until `amount` fits below the limit. A larger amount than the limit waits until nothing else is in use.
    pub(crate) fn acquire(&self, amount: u64) -> Permit<'_> {
        let full = |used: &mut u64| *used > 0 && used.saturating_add(amount) > self.limit;
        let mut used = self.freed.wait_while(self.used.lock(), full);
        *used = used.saturating_add(amount);
        Permit { semaphore: self, amount }
    }
}

/// What was acquired from a [`Semaphore`]; released when it is dropped.
pub(crate) struct Permit<'s> {
    semaphore: &'s Semaphore,
    amount: u64,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.semaphore.used.lock() -= self.amount;
        self.semaphore.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_semaphore_is_never_exceeded_except_by_one_large_amount_alone() {
        let semaphore = Semaphore::new(10);
        drop(semaphore.acquire(100));
        let held = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for amount in 1..=8 {
                let (semaphore, held) = (&semaphore, &held);
                scope.spawn(move || {
                    for _ in 0..50 {
                        let permit = semaphore.acquire(amount);
                        assert!(held.fetch_add(amount, Ordering::SeqCst) + amount <= 10);
                        std::thread::yield_now();
                        held.fetch_sub(amount, Ordering::SeqCst);
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!(*semaphore.used.lock(), 0);
    }

    #[test]
    fn a_mutex_can_be_locked_after_a_panic() {
        let mutex = Mutex::new(1);
        std::thread::scope(|scope| {
            let panicked = scope.spawn(|| {
                let _guard = mutex.lock();
                std::panic::resume_unwind(Box::new(()));
            });
            assert!(panicked.join().is_err());
        });
        *mutex.lock() += 1;
        assert_eq!(mutex.into_inner(), 2);
    }
}
