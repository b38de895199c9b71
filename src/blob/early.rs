//! A listing that is begun before anybody asks for it, and the blobs that will be asked for next.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};

use super::{BlobId, BlobMetadata, BlobStore, Error, FetchLimits};

use crate::os::parallel;
use crate::os::sync::{Condvar, Mutex};

/// Lists blobs while its owner still does something else, such as deriving keys: where each question costs a round trip,
/// a listing takes as long. With [`Following`], it also begins to read the blobs that will be needed next.
///
/// The first list of the prefix is the one that was begun with the store; every other goes to the store behind it. What
/// was read is given once. Reading stops when the owner reads the first of these blobs: from then on it does so itself.
pub struct Early<S> {
    inner: Arc<S>,
    prefix: &'static str,
    begun: Arc<Begun>,
}

/// Which blobs are read after the listing, and how much of them.
pub(crate) struct Following {
    /// Reads at a time, and bytes that are held.
    pub(crate) limits: FetchLimits,
    /// Those of a listing that will be asked for.
    pub(crate) choose: fn(&[BlobMetadata]) -> Vec<BlobMetadata>,
}

#[derive(Default)]
struct Begun {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    listing: Listing,
    blobs: HashMap<BlobId, Slot>,
    /// Bytes of those that are being read or were.
    held: u64,
    /// Whether no more are to be read.
    over: bool,
}

#[derive(Default)]
enum Listing {
    #[default]
    Pending,
    Made(Result<Vec<BlobMetadata>, Error>),
    /// It was given, or is not to be had.
    Gone,
}

enum Slot {
    Reading,
    Read(Vec<u8>),
}

impl<S: BlobStore + 'static> Early<S> {
    /// Begins to list the blobs whose names begin with `prefix`.
    pub fn new(inner: S, prefix: &'static str) -> Self {
        Self::begin(inner, prefix, None, None)
    }

    /// The same, and then reads some of them.
    pub(crate) fn reading(inner: S, prefix: &'static str, following: Following) -> Self {
        Self::begin(inner, prefix, None, Some(following))
    }

    fn begin(
        inner: S,
        prefix: &'static str,
        after: Option<Arc<Begun>>,
        following: Option<Following>,
    ) -> Self {
        let (inner, begun) = (Arc::new(inner), Arc::new(Begun::default()));
        let (store, shared) = (Arc::clone(&inner), Arc::clone(&begun));
        let work = move || {
            let ending = Ending(&shared);
            after.inspect(|before| drop(before.wait_for_listing()));
            let listed = store.list(prefix);
            let chosen = following.as_ref().zip(listed.as_ref().ok());
            let chosen = chosen.map(|(following, listed)| (following.limits, (following.choose)(listed)));
            shared.state.lock().listing = Listing::Made(listed);
            drop(ending);
            if let Some((limits, chosen)) = chosen {
                shared.read(&*store, &chosen, limits);
            }
        };
        // Without a thread for it the list is made when it is asked for.
        if std::thread::Builder::new().name("list".into()).spawn(work).is_err() {
            begun.state.lock().listing = Listing::Gone;
        }
        Self { inner, prefix, begun }
    }
}

impl<S: BlobStore + 'static> Early<Early<S>> {
    /// Lists the blobs with another prefix, once the first listing is made: that is needed earlier, and listings are work
    /// for a server.
    pub(crate) fn after(inner: Early<S>, prefix: &'static str) -> Self {
        let before = Arc::clone(&inner.begun);
        Self::begin(inner, prefix, Some(before), None)
    }
}

/// Nobody waits for a listing that ended without a result.
struct Ending<'b>(&'b Begun);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if matches!(state.listing, Listing::Pending) {
            state.listing = Listing::Gone;
        }
        drop(state);
        self.0.changed.notify_all();
    }
}

impl Begun {
    fn wait_for_listing(&self) -> MutexGuard<'_, State> {
        let pending = |state: &mut State| matches!(state.listing, Listing::Pending);
        self.changed.wait_while(self.state.lock(), pending)
    }

    /// The listing, once it is made; `None` where it has to be made again.
    fn listing(&self) -> Option<Result<Vec<BlobMetadata>, Error>> {
        let mut state = self.wait_for_listing();
        match std::mem::replace(&mut state.listing, Listing::Gone) {
            Listing::Made(listed) => Some(listed),
            Listing::Pending | Listing::Gone => None,
        }
    }

    /// Reads until there is no more room, or the owner reads. What cannot be read is left to the owner, who then learns why.
    fn read(&self, store: &dyn BlobStore, chosen: &[BlobMetadata], limits: FetchLimits) {
        let _ = parallel::for_each(chosen, limits.reads, |blob| {
            {
                let mut state = self.state.lock();
                if state.over || state.held.saturating_add(blob.size) > limits.bytes {
                    return Err(());
                }
                state.held += blob.size;
                state.blobs.insert(blob.id.clone(), Slot::Reading);
            }
            let reading = Reading { begun: self, blob };
            if let Ok(bytes) = store.read(&blob.id, blob.size) {
                self.state.lock().blobs.insert(blob.id.clone(), Slot::Read(bytes));
            }
            drop(reading);
            Ok(())
        });
    }

    /// A blob that was read, or is being read now.
    fn take(&self, id: &BlobId) -> Option<Vec<u8>> {
        let mut state = self.state.lock();
        state.over = true;
        let reading = |state: &mut State| matches!(state.blobs.get(id), Some(Slot::Reading));
        state = self.changed.wait_while(state, reading);
        match state.blobs.remove(id)? {
            Slot::Read(bytes) => Some(bytes),
            Slot::Reading => None,
        }
    }
}

/// Nobody waits for a blob whose reading has ended.
struct Reading<'b> {
    begun: &'b Begun,
    blob: &'b BlobMetadata,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut state = self.begun.state.lock();
        if matches!(state.blobs.get(&self.blob.id), Some(Slot::Reading)) {
            state.blobs.remove(&self.blob.id);
        }
        drop(state);
        self.begun.changed.notify_all();
    }
}

impl<S> Drop for Early<S> {
    fn drop(&mut self) {
        self.begun.state.lock().over = true;
    }
}

impl<S: BlobStore + 'static> BlobStore for Early<S> {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        let begun = if prefix == self.prefix { self.begun.listing() } else { None };
        begun.unwrap_or_else(|| self.inner.list(prefix))
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        self.inner.size(id)
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        let held = if id.as_str().starts_with(self.prefix) { self.begun.take(id) } else { None };
        match held {
            Some(bytes) if bytes.len() as u64 <= limit => Ok(bytes),
            _ => self.inner.read(id, limit),
        }
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
        drop(store.begun.wait_for_listing());
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

    type Counted = Count<Arc<FileSystem>>;

    fn limits(bytes: u64) -> FetchLimits {
        FetchLimits { reads: 3, bytes }
    }

    /// A store with these blobs of four bytes each that reads them early, once that has come to its end.
    fn read_early(names: &[&str], bytes: u64) -> (tempfile::TempDir, Early<Counted>, Counted) {
        let directory = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(directory.path().join(format!("{name}.f")), name).unwrap();
        }
        let count = Count::new(Arc::new(FileSystem::open(directory.path()).unwrap()));
        let choose = |listed: &[BlobMetadata]| listed.to_vec();
        let store = Early::reading(count.clone(), "x", Following { limits: limits(bytes), choose });
        // The thread holds the store and the state until it ends.
        while Arc::strong_count(&store.inner) > 1 {
            std::thread::yield_now();
        }
        (directory, store, count)
    }

    fn id(name: &str) -> BlobId {
        BlobId::new(name).unwrap()
    }

    #[test]
    fn what_was_read_early_is_given_once() {
        let (_directory, store, count) = read_early(&["xe01", "xe02", "p003"], 100);
        assert_eq!(count.counts().reads, 2);
        assert_eq!(store.read(&id("xe01"), 100).unwrap(), b"xe01");
        assert_eq!(store.read(&id("p003"), 100).unwrap(), b"p003");
        assert_eq!(count.counts().reads, 3);
        assert_eq!(store.read(&id("xe01"), 100).unwrap(), b"xe01");
        assert!(matches!(store.read(&id("xe02"), 3), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn no_more_is_held_than_there_is_room_for() {
        let names: Vec<String> = (10..40).map(|n| format!("xe{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (_directory, store, count) = read_early(&names, 17);
        assert!((1..=4).contains(&count.counts().reads));
        for name in names {
            assert_eq!(store.read(&id(name), 100).unwrap(), name.as_bytes());
        }
        assert_eq!(count.counts().reads, 30);
    }

    #[test]
    fn what_could_not_be_read_early_fails_for_its_own_reason() {
        let (directory, store, _) = read_early(&["xe01"], 0);
        std::fs::remove_file(directory.path().join("xe01.f")).unwrap();
        assert!(store.read(&id("xe01"), 100).unwrap_err().is_not_found());
    }
}
