//! What NFS servers do to a reader (`docs/nfs.md`), done by a store that fails on purpose.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::errno::Errno;
use rokopia::Repository;
use rokopia::blob::{BlobId, BlobMetadata, BlobStore, FileSystem, Retry, RetryPolicy};
use rokopia::crypto::Password;
use rokopia::snapshot::{Snapshots, Tree};
use rokopia::testkit::{Hooked, Request};

use crate::world::{PASSWORD, World, source, tree};

/// Fails the first so many requests of each kind for each name, and counts all.
fn failing(world: &World, errno: Errno, times: usize) -> (Hooked<FileSystem>, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let (failed, counted) = (Mutex::<HashMap<String, usize>>::default(), Arc::clone(&calls));
    let store = Hooked::new(FileSystem::open(world.repo()).unwrap()).before(move |request| {
        counted.fetch_add(1, Ordering::SeqCst);
        let asked = match request {
            Request::ReadAt(blob, ..) => format!("{blob} in parts"),
            request => format!("{request:?}"),
        };
        let mut failed = failed.lock().unwrap();
        let count = failed.entry(asked).or_default();
        *count += 1;
        if *count <= times { request.fail(io::Error::from_raw_os_error(errno as i32)) } else { Ok(()) }
    });
    (store, calls)
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
        let store = Retry::new(failing(&world, errno, 3).0, POLICY);
        assert_eq!(read_hello(store).unwrap(), hello(), "{errno}");
    }
}

#[test]
fn what_does_not_pass_is_an_error_and_never_absence() {
    let world = World::new();
    for errno in [Errno::ESTALE, Errno::EIO, Errno::ETIMEDOUT] {
        let error = read_hello(Retry::new(failing(&world, errno, usize::MAX).0, POLICY)).unwrap_err();
        assert_eq!(error.code(), "storage-error", "{errno}");
        assert!(error.is_retryable());
    }
}

#[test]
fn root_squash_is_not_retried() {
    let world = World::new();
    let (store, calls) = failing(&world, Errno::EACCES, usize::MAX);
    let error = read_hello(Retry::new(store, POLICY)).unwrap_err();
    assert!(!error.is_retryable() && error.to_string().contains("denied"), "{error}");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

/// Lists an index blob that is gone, as a client's directory cache does for a while.
fn old_listing(world: &World, times: usize) -> Hooked<FileSystem> {
    let lists = AtomicUsize::new(0);
    Hooked::new(FileSystem::open(world.repo()).unwrap()).listed(move |prefix, found| {
        if "xn0_".starts_with(prefix) && lists.fetch_add(1, Ordering::SeqCst) < times {
            let id = BlobId::new("xn0_00000000000000000000000000000000-s0000000000000000147-c1").unwrap();
            found.push(BlobMetadata { id, size: 100, modified: None });
        }
    })
}

#[test]
fn an_old_listing_is_asked_for_again() {
    let world = World::new();
    assert_eq!(read_hello(old_listing(&world, 2)).unwrap(), hello());
    assert!(read_hello(old_listing(&world, usize::MAX)).is_err());
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
