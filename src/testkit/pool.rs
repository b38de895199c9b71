//! Buffers that are used again: fresh memory costs more time than encrypting into it.

use crate::os::sync::Mutex;

/// Below this a buffer is not worth keeping, in bytes.
const WORTH_KEEPING: usize = 1 << 20;

/// Buffers of all threads. At most as many are kept as were in use at once.
#[derive(Default)]
pub(crate) struct Pool {
    free: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    /// An empty buffer with room for `size` bytes.
    pub(crate) fn take(&self, size: usize) -> Vec<u8> {
        let used = if size < WORTH_KEEPING { None } else { self.lock().pop() };
        let mut buffer = used.unwrap_or_default();
        buffer.reserve(size);
        buffer
    }

    /// Gives a buffer back.
    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() >= WORTH_KEEPING {
            buffer.clear();
            self.lock().push(buffer);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock()
    }
}
