//! Buffers of a restore, out of one budget.

use std::ops::{Deref, DerefMut};
use std::sync::MutexGuard;

use memmap2::MmapMut;

use crate::os::sync::{Condvar, Mutex};

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
        self.state.lock()
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
            state = self.freed.wait(state);
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
