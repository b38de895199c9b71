//! What is open, by handle.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fuser::FileHandle;

use crate::os::sync::Mutex;

pub(super) struct Handles<T> {
    open: Mutex<HashMap<u64, Arc<T>>>,
    next: AtomicU64,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self { open: Mutex::default(), next: AtomicU64::new(1) }
    }
}

impl<T> Handles<T> {
    pub(super) fn add(&self, value: T) -> FileHandle {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.lock().insert(handle, Arc::new(value));
        FileHandle(handle)
    }

    pub(super) fn get(&self, handle: FileHandle) -> Option<Arc<T>> {
        self.open.lock().get(&handle.0).cloned()
    }

    pub(super) fn remove(&self, handle: FileHandle) {
        self.open.lock().remove(&handle.0);
    }
}
