//! What bounds a restore: buffers out of one budget, and permits.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use memmap2::MmapMut;

/// Capacities are multiples of this, so that buffers fit again.
const STEP: usize = 256 << 10;

/// Memory of a buffer: straight from the system where possible. An allocator would keep what is given back, and after
/// buffers of many sizes hold several times the budget.
type Bytes = Box<dyn DerefMut<Target = [u8]> + Send>;

fn allocate(length: usize) -> Bytes {
    match MmapMut::map_anon(length) {
        Ok(map) => Box::new(map),
        Err(_) => Box::new(vec![0; length]),
    }
}

/// Buffers that are used again and again: fresh memory costs more than what is done with it.
pub(super) struct Pool {
    state: Mutex<State>,
    freed: Condvar,
    limit: usize,
}

#[derive(Default)]
struct State {
    idle: Vec<Bytes>,
    /// Bytes of all buffers, idle and in use.
    total: usize,
    in_use: usize,
}

impl Pool {
    /// Buffers of `limit` bytes together, or one larger one.
    pub(super) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), freed: Condvar::new(), limit }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer of `length` bytes with anything in it. Waits until there is room.
    pub(super) fn take(&self, length: usize) -> Buffer<'_> {
        let capacity = length.next_multiple_of(STEP);
        let mut state = self.lock();
        loop {
            let fitting = state.idle.iter().enumerate().filter(|(_, bytes)| bytes.len() >= length);
            if let Some((at, _)) = fitting.min_by_key(|(_, bytes)| bytes.len()) {
                let bytes = state.idle.swap_remove(at);
                state.in_use += 1;
                return Buffer { pool: self, bytes: Some(bytes), length };
            }
            // The smallest go first: the largest fit whatever comes.
            state.idle.sort_unstable_by_key(|bytes| std::cmp::Reverse(bytes.len()));
            while state.total + capacity > self.limit
                && let Some(bytes) = state.idle.pop()
            {
                state.total -= bytes.len();
            }
            if state.total + capacity <= self.limit || state.in_use == 0 {
                state.total += capacity;
                state.in_use += 1;
                drop(state);
                return Buffer { pool: self, bytes: Some(allocate(capacity)), length };
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A buffer out of a [`Pool`].
pub(super) struct Buffer<'p> {
    pool: &'p Pool,
    /// Taken out only when it is dropped.
    bytes: Option<Bytes>,
    length: usize,
}

impl Deref for Buffer<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.as_ref().and_then(|bytes| bytes.get(..self.length)).unwrap_or_default()
    }
}

impl DerefMut for Buffer<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes.as_mut().and_then(|bytes| bytes.get_mut(..self.length)).unwrap_or_default()
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        let Some(bytes) = self.bytes.take() else { return };
        let mut state = self.pool.lock();
        state.in_use -= 1;
        if state.total > self.pool.limit {
            state.total -= bytes.len();
        } else {
            state.idle.push(bytes);
        }
        drop(state);
        self.pool.freed.notify_all();
    }
}

/// So many bytes at a time, wherever they lie.
pub(super) struct Allowance {
    used: Mutex<usize>,
    freed: Condvar,
    limit: usize,
}

impl Allowance {
    /// `limit` bytes together, or more for one alone.
    pub(super) fn new(limit: usize) -> Self {
        Self { used: Mutex::default(), freed: Condvar::new(), limit }
    }

    /// Waits until there is room for `bytes`, which are held as long as what is returned.
    pub(super) fn take(&self, bytes: usize) -> Allowed<'_> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |used: &mut usize| *used > 0 && used.saturating_add(bytes) > self.limit;
        let mut used = self.freed.wait_while(used, full).unwrap_or_else(PoisonError::into_inner);
        *used = used.saturating_add(bytes);
        Allowed { allowance: self, bytes }
    }
}

/// Bytes of an [`Allowance`].
pub(super) struct Allowed<'p> {
    allowance: &'p Allowance,
    bytes: usize,
}

impl Drop for Allowed<'_> {
    fn drop(&mut self) {
        *self.allowance.used.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.allowance.freed.notify_all();
    }
}

/// So many at a time.
pub(super) struct Permits {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Permits {
    pub(super) fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), freed: Condvar::new() }
    }

    /// Waits for a permit, which lasts as long as what is returned.
    pub(super) fn take(&self) -> Permit<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Permit(self)
    }
}

/// One of [`Permits`].
pub(super) struct Permit<'p>(&'p Permits);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn buffers_are_used_again() {
        let pool = Pool::new(4 * STEP);
        let first = pool.take(2 * STEP).as_ptr();
        assert_eq!(pool.take(100).as_ptr(), first);
        let (a, b) = (pool.take(STEP), pool.take(STEP));
        assert_eq!((a.len(), b.len()), (STEP, STEP));
        assert!(pool.lock().total <= 4 * STEP);
    }

    #[test]
    fn a_buffer_larger_than_the_budget_comes_alone() {
        let pool = Pool::new(STEP);
        let large = pool.take(10 * STEP);
        assert_eq!(large.len(), 10 * STEP);
        drop(large);
        drop(pool.take(STEP));
        assert!(pool.lock().total <= STEP);
    }

    #[test]
    fn what_is_allowed_is_shared_and_one_alone_may_have_more() {
        let allowance = Allowance::new(10);
        drop(allowance.take(100));
        let held = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for bytes in 1..=8 {
                let (allowance, held) = (&allowance, &held);
                scope.spawn(move || {
                    for _ in 0..50 {
                        let allowed = allowance.take(bytes);
                        assert!(held.fetch_add(bytes, Ordering::SeqCst) + bytes <= 10);
                        std::thread::yield_now();
                        held.fetch_sub(bytes, Ordering::SeqCst);
                        drop(allowed);
                    }
                });
            }
        });
        assert_eq!(*allowance.used.lock().unwrap(), 0);
    }

    #[test]
    fn nobody_exceeds_the_budget() {
        let pool = Pool::new(4 * STEP);
        let held = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for n in 1..=8 {
                let (pool, held) = (&pool, &held);
                scope.spawn(move || {
                    for _ in 0..50 {
                        let length = n % 3 * STEP + 1;
                        let buffer = pool.take(length);
                        assert!(held.fetch_add(length, Ordering::SeqCst) + length <= 4 * STEP);
                        std::thread::yield_now();
                        held.fetch_sub(length, Ordering::SeqCst);
                        drop(buffer);
                    }
                });
            }
        });
    }
}
