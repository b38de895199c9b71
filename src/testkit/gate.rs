//! A storage that hangs when a test says so, as a network file system does whose server is gone.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use crate::blob::{BlobId, BlobMetadata, BlobStore, Error};

/// Names the file of [`Gate::from_env`].
const VARIABLE: &str = "ROKOPIA_TESTKIT_GATE";
const POLL: Duration = Duration::from_millis(2);

/// Says how many times faster than real time the service's clocks run.
const CLOCK_VARIABLE: &str = "ROKOPIA_TESTKIT_CLOCK";

/// What `ROKOPIA_TESTKIT_CLOCK` says, if anything: a day can be had in seconds, for tests of the real process.
#[must_use]
pub fn clock_factor() -> Option<u32> {
    std::env::var(CLOCK_VARIABLE).ok()?.parse().ok()
}

/// Holds up every operation for as long as a file exists.
pub struct Gate<S> {
    inner: S,
    closed: PathBuf,
}

impl<S: BlobStore> Gate<S> {
    /// Holds up `inner` while `closed` exists.
    pub fn new(inner: S, closed: PathBuf) -> Self {
        Self { inner, closed }
    }

    fn pass(&self) -> &S {
        while self.closed.exists() {
            sleep(POLL);
        }
        &self.inner
    }
}

impl Gate<Arc<dyn BlobStore>> {
    /// The store itself, or held up by the file that `ROKOPIA_TESTKIT_GATE` names: for tests of the real process.
    pub fn from_env(store: Arc<dyn BlobStore>) -> Arc<dyn BlobStore> {
        match std::env::var_os(VARIABLE) {
            Some(closed) => Arc::new(Self::new(store, closed.into())),
            None => store,
        }
    }
}

impl<S: BlobStore> BlobStore for Gate<S> {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        self.pass().list(prefix)
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        self.pass().size(id)
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        self.pass().read(id, limit)
    }

    fn read_at(&self, id: &BlobId, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        self.pass().read_at(id, offset, buf)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
