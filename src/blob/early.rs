//! A listing that is begun before anybody asks for it.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::{BlobId, BlobMetadata, BlobStore, Error};

use crate::os::sync::Mutex;

type Listing = JoinHandle<Result<Vec<BlobMetadata>, Error>>;

/// Lists blobs while its owner still does something else, such as deriving keys: where each question costs a round trip,
/// a listing takes as long.
///
/// The first list of the prefix is the one that was begun with the store; every other goes to the store behind it.
pub struct Early<S> {
    inner: Arc<S>,
    prefix: &'static str,
    begun: Mutex<Option<Listing>>,
}

impl<S: BlobStore + 'static> Early<S> {
    /// Begins to list the blobs whose names begin with `prefix`.
    pub fn new(inner: S, prefix: &'static str) -> Self {
        let inner = Arc::new(inner);
        let store = Arc::clone(&inner);
        // Without a thread for it the list is made when it is asked for.
        let begun = std::thread::Builder::new().name("list".into()).spawn(move || store.list(prefix)).ok();
        Self { inner, prefix, begun: Mutex::new(begun) }
    }

    fn begun(&self, prefix: &str) -> Option<Listing> {
        if prefix != self.prefix {
            return None;
        }
        self.begun.lock().take()
    }
}

impl<S: BlobStore + 'static> BlobStore for Early<S> {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        match self.begun(prefix).map(JoinHandle::join) {
            Some(Ok(listed)) => listed,
            Some(Err(_)) | None => self.inner.list(prefix),
        }
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        self.inner.size(id)
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        self.inner.read(id, limit)
    }

    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.inner.read_at(id, offset, buffer)
    }

    pass_through!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{Count, FileSystem};

    #[test]
    fn the_first_list_is_the_one_that_was_begun() {
        let directory = tempfile::tempdir().unwrap();
        let add = |name: &str| std::fs::write(directory.path().join(format!("{name}.f")), "x").unwrap();
        add("xe0");
        let count = Count::new(Arc::new(FileSystem::open(directory.path()).unwrap()));
        let store = Early::new(count.clone(), "x");
        while store.begun.lock().as_ref().is_some_and(|begun| !begun.is_finished()) {
            std::thread::yield_now();
        }
        add("xe1");
        assert_eq!(store.list("xe").unwrap().len(), 2);
        let names = || -> Vec<String> { store.list("x").unwrap().iter().map(|b| b.id.to_string()).collect() };
        assert_eq!(names(), ["xe0"]);
        assert_eq!(names(), ["xe0", "xe1"]);
        assert_eq!(count.counts().lists, 3);
    }

    #[test]
    fn a_failure_is_that_of_the_first_list() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x.f");
        std::fs::write(&file, "x").unwrap();
        let store = FileSystem::open(directory.path()).unwrap();
        std::fs::remove_file(file).unwrap();
        std::fs::remove_dir(directory.path()).unwrap();
        let store = Early::new(store, "x");
        assert!(matches!(store.list("x"), Err(Error::List { .. })));
        std::fs::create_dir(directory.path()).unwrap();
        assert!(store.list("x").unwrap().is_empty());
    }
}
