//! What NFS servers do to a reader (`docs/nfs.md`), done by a store that fails on purpose.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use rokopia::Repository;
use rokopia::blob::{BlobId, BlobMetadata, BlobStore, Error, FileSystem, Retry, RetryPolicy};
use rokopia::crypto::Password;
use rokopia::snapshot::{Snapshots, Tree};

use crate::world::{PASSWORD, World, source, tree};

/// Fails the first so many operations of each kind on each name.
struct Failing {
    inner: FileSystem,
    errno: Errno,
    times: usize,
    failed: Mutex<HashMap<(&'static str, String), usize>>,
    calls: AtomicUsize,
}

impl Failing {
    fn new(world: &World, errno: Errno, times: usize) -> Self {
        let inner = FileSystem::open(world.repo()).unwrap();
        Self { inner, errno, times, failed: Mutex::default(), calls: AtomicUsize::new(0) }
    }

    fn fails(&self, kind: &'static str, name: &str) -> Option<io::Error> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mut failed = self.failed.lock().unwrap();
        let count = failed.entry((kind, name.to_owned())).or_default();
        *count += 1;
        (*count <= self.times).then(|| io::Error::from_raw_os_error(self.errno as i32))
    }

    fn on_blob(&self, kind: &'static str, id: &BlobId) -> Result<(), Error> {
        self.fails(kind, id.as_str()).map_or(Ok(()), |source| Err(Error::Read { blob: id.clone(), source }))
    }
}

impl BlobStore for Failing {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        match self.fails("list", prefix) {
            Some(source) => Err(Error::List { path: self.inner.root().join(prefix), source }),
            None => self.inner.list(prefix),
        }
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        self.on_blob("size", id)?;
        self.inner.size(id)
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        self.on_blob("read", id)?;
        self.inner.read(id, limit)
    }

    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.on_blob("read_at", id)?;
        self.inner.read_at(id, offset, buffer)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

const POLICY: RetryPolicy = RetryPolicy {
    attempts: 4,
    first_pause: Duration::from_millis(1),
    longest_pause: Duration::from_millis(4),
};

/// Reads a file of the newest snapshot, all the way from the format blob.
fn read_hello(store: impl BlobStore + 'static) -> Result<Vec<u8>, rokopia::Error> {
    let repository = Repository::open(store, &Password::new(PASSWORD))?;
    let catalog = repository.catalog()?;
    let snapshot = Snapshots::new(catalog.manifests()).of(&source("app@ns:/data")).latest().unwrap();
    let contents = repository.contents()?;
    let tree = Tree::of_snapshot(&contents, &snapshot)?;
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut tree.open("hello.txt")?, &mut bytes).unwrap();
    Ok(bytes)
}

fn hello() -> Vec<u8> {
    let tree = tree(3);
    let file = tree.directories()[0].files().find(|file| file.name == "hello.txt").unwrap();
    file.data.to_vec()
}

#[test]
fn what_passes_is_waited_for() {
    let world = World::new();
    for errno in [Errno::ESTALE, Errno::EIO, Errno::ETIMEDOUT, Errno::EAGAIN] {
        let store = Retry::new(Failing::new(&world, errno, 3), POLICY);
        assert_eq!(read_hello(store).unwrap(), hello(), "{errno}");
    }
}

#[test]
fn what_does_not_pass_is_an_error_and_never_absence() {
    let world = World::new();
    for errno in [Errno::ESTALE, Errno::EIO, Errno::ETIMEDOUT] {
        let error = read_hello(Retry::new(Failing::new(&world, errno, usize::MAX), POLICY)).unwrap_err();
        assert_eq!(error.code(), "storage-error", "{errno}");
        assert!(error.is_retryable());
    }
}

#[test]
fn root_squash_is_not_retried() {
    let world = World::new();
    let store = std::sync::Arc::new(Failing::new(&world, Errno::EACCES, usize::MAX));
    let error = read_hello(Retry::new(std::sync::Arc::clone(&store), POLICY)).unwrap_err();
    assert!(!error.is_retryable() && error.to_string().contains("denied"), "{error}");
    assert_eq!(store.calls.load(Ordering::SeqCst), 1);
}

/// Lists an index blob that is gone, as a client's directory cache does for a while.
struct OldListing {
    inner: FileSystem,
    lists: AtomicUsize,
    old_for: usize,
}

impl BlobStore for OldListing {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        let mut found = self.inner.list(prefix)?;
        if "xn0_".starts_with(prefix) && self.lists.fetch_add(1, Ordering::SeqCst) < self.old_for {
            let id = BlobId::new("xn0_00000000000000000000000000000000-s0000000000000000147-c1").unwrap();
            found.push(BlobMetadata { id, size: 100, modified: None });
        }
        Ok(found)
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

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

#[test]
fn an_old_listing_is_asked_for_again() {
    let world = World::new();
    let store = |old_for| OldListing {
        inner: FileSystem::open(world.repo()).unwrap(),
        lists: AtomicUsize::new(0),
        old_for,
    };
    assert_eq!(read_hello(store(2)).unwrap(), hello());
    assert!(read_hello(store(usize::MAX)).is_err());
}

#[test]
fn leftovers_of_clients_and_servers_are_no_blobs() {
    let world = World::new();
    for directory in [".", "p", "q", "x"].map(|name| world.repo().join(name)) {
        if directory.is_dir() {
            fs::write(directory.join(".nfs000000000123abcd00000001"), "junk").unwrap();
            fs::create_dir_all(directory.join("@eaDir")).unwrap();
            fs::create_dir_all(directory.join(".snapshot/hourly")).unwrap();
        }
    }
    world.run().ended(0);
    world.holds(&tree(3));
}
