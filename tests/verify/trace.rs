//! What was read from a store, and what happens after so many reads of packs.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rokopia::Repository;
use rokopia::blob::{BlobId, FileSystem};
use rokopia::crypto::Password;
use rokopia::testkit::{Hooked, Request};

use super::made::PASSWORD;

/// One read of a part of a blob.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) blob: BlobId,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

type Act = Mutex<Option<Box<dyn FnOnce() + Send>>>;

#[derive(Default)]
pub(crate) struct Trace {
    reads: Mutex<Vec<Read>>,
    count: AtomicUsize,
    /// After this many reads `stop` is raised.
    limit: Option<usize>,
    pub(crate) stop: AtomicBool,
    /// Done once, before the first read of a pack.
    before_packs: Act,
    /// Done once, before everything is listed, which is after the indexes were read.
    before_listing: Act,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn limit(self, reads: usize) -> Self {
        Self { limit: Some(reads), ..self }
    }

    pub(crate) fn before_packs(self, act: impl FnOnce() + Send + 'static) -> Self {
        *self.before_packs.lock().unwrap() = Some(Box::new(act));
        self
    }

    pub(crate) fn before_listing(self, act: impl FnOnce() + Send + 'static) -> Self {
        *self.before_listing.lock().unwrap() = Some(Box::new(act));
        self
    }

    /// Opens a repository whose reads are traced from now on.
    pub(crate) fn open(self, dir: &Path) -> (Repository, Arc<Self>) {
        let trace = Arc::new(self);
        let noted = Arc::clone(&trace);
        let store = Hooked::new(FileSystem::open(dir).unwrap()).before(move |request| {
            noted.note(request);
            Ok(())
        });
        (Repository::open(store, &Password::new(PASSWORD)).unwrap(), trace)
    }

    fn note(&self, request: Request<'_>) {
        let act = match request {
            Request::List("") => self.before_listing.lock().unwrap().take(),
            Request::ReadAt(..) => self.before_packs.lock().unwrap().take(),
            _ => None,
        };
        if let Some(act) = act {
            act();
        }
        if let Request::ReadAt(blob, offset, length) = request {
            let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
            if self.limit.is_some_and(|limit| count >= limit) {
                self.stop.store(true, Ordering::SeqCst);
            }
            self.reads.lock().unwrap().push(Read { blob: blob.clone(), offset, length: length as u64 });
        }
    }

    /// Reads of parts of packs so far, in order.
    pub(crate) fn reads(&self) -> Vec<Read> {
        self.reads.lock().unwrap().clone()
    }
}
