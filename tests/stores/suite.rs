//! What every store does alike: directories, a bucket, and what stands around them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rokopia::blob::{
    BlobId, BlobStore, Count, Early, Error, FileSystem, Interruptible, Retry, RetryPolicy, Throttle, Traffic,
};

use crate::common::{memory::Memory, testdata};
use crate::server::Server;

const LARGE: &str = "pffffffffffffffffffffffffffffffff";

/// Small blobs of many names, some with a common beginning, and a large one.
pub(crate) fn blobs() -> BTreeMap<String, Vec<u8>> {
    let mut blobs: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    blobs.insert("kopia.repository".into(), b"{\"version\":1}".to_vec());
    for number in 0..40_u8 {
        blobs.insert(
            format!("p{number:02}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            vec![number; usize::from(number) * 100],
        );
        blobs.insert(format!("xn{}_{number:02}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", number % 3), vec![number; 10]);
    }
    blobs.insert(LARGE.to_owned(), (0..3_000_000_u32).map(|n| (n % 251) as u8).collect());
    blobs
}

fn id(name: &str) -> BlobId {
    BlobId::new(name).unwrap()
}

/// The behaviour that everything above relies on.
pub(crate) fn behaves(store: &dyn BlobStore, blobs: &BTreeMap<String, Vec<u8>>) {
    for prefix in ["", "p", "xn", "xn1", "xn1_", "p07a", LARGE, "kopia.", "q", "zz"] {
        let mut listed: Vec<(String, u64)> =
            store.list(prefix).unwrap().into_iter().map(|blob| (blob.id.to_string(), blob.size)).collect();
        listed.sort();
        let expected: Vec<(String, u64)> = blobs
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(name, bytes)| (name.clone(), bytes.len() as u64))
            .collect();
        assert_eq!(listed, expected, "{} {prefix:?}", store.describe());
    }
    for name in
        ["kopia.repository", "p00aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "p09aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", LARGE]
    {
        let (blob, bytes) = (id(name), &blobs[name]);
        let size = bytes.len() as u64;
        assert_eq!(store.size(&blob).unwrap(), size, "{name}");
        store.read_at(&blob, size, &mut []).unwrap();
        let mut beyond = [0; 9];
        if size == 0 {
            assert!(matches!(store.read(&blob, 9), Err(Error::Empty { .. })), "{name}");
            assert!(matches!(store.read_at(&blob, 0, &mut beyond), Err(Error::Empty { .. })), "{name}");
            assert!(matches!(store.read_at(&blob, 3, &mut beyond), Err(Error::Empty { .. })), "{name}");
            continue;
        }
        assert_eq!(&store.read(&blob, size).unwrap(), bytes, "{name}");
        assert!(matches!(store.read(&blob, size - 1), Err(Error::TooLarge { .. })), "{name}");
        assert!(
            matches!(store.read_at(&blob, size, &mut beyond), Err(Error::ShortRead { got: 0, .. })),
            "{name}"
        );
        if size > 4 {
            assert!(matches!(
                store.read_at(&blob, size - 4, &mut beyond),
                Err(Error::ShortRead { got: 4, .. })
            ));
            store.read_at(&blob, size - 9, &mut beyond).unwrap();
            assert_eq!(beyond, bytes[bytes.len() - 9..]);
        }
    }
    for missing in ["q1", "p07a", "xn9_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        assert!(store.size(&id(missing)).unwrap_err().is_not_found(), "{missing}");
        assert!(store.read(&id(missing), 1).unwrap_err().is_not_found(), "{missing}");
        assert!(store.read_at(&id(missing), 0, &mut [0]).unwrap_err().is_not_found(), "{missing}");
    }
    let large = &blobs[LARGE];
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            scope.spawn(move || {
                for step in 0..20 {
                    let (offset, mut buffer) = (thread * 300_000 + step * 1000, vec![0; 50_000]);
                    store.read_at(&id(LARGE), offset as u64, &mut buffer).unwrap();
                    assert!(buffer == large[offset..offset + 50_000]);
                }
            });
        }
    });
    assert!(!store.is_empty().unwrap());
}

fn policy() -> RetryPolicy {
    RetryPolicy::default()
}

#[test]
fn a_directory_behaves() {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in blobs() {
        std::fs::write(directory.path().join(format!("{name}.f")), bytes).unwrap();
    }
    std::fs::write(directory.path().join(".shards"), "{\"default\":[],\"maxNonShardedLength\":20}").unwrap();
    behaves(&FileSystem::open(directory.path()).unwrap(), &blobs());
}

#[test]
fn blobs_in_memory_behave() {
    let blobs = blobs();
    behaves(&Memory(blobs.iter().map(|(name, bytes)| (id(name), bytes.clone().into())).collect()), &blobs);
}

fn bucket(prefix: &str) -> Server {
    let server = Server::start();
    for (name, bytes) in blobs() {
        server.put(&format!("{prefix}{name}"), bytes);
    }
    server
}

#[test]
fn a_bucket_behaves_whatever_its_prefix_and_whatever_else_is_in_it() {
    for prefix in ["", "p/", "kopia-", "a b/ü%+&=/", "a//b/"] {
        let server = bucket(prefix);
        for foreign in [".storageconfig", "folder/p1", "p99/inner", "p not a blob", "x..y"] {
            server.put(&format!("{prefix}{foreign}"), "foreign");
        }
        server.put("0other/kopia.repository", "foreign");
        behaves(&server.store(prefix), &blobs());
    }
}

#[test]
fn a_directory_that_was_copied_into_a_bucket_behaves() {
    for (shards, sharded) in [
        (Some("{\"default\":[1,3],\"maxNonShardedLength\":20}"), true),
        (None, true),
        (Some("{\"default\":[3,3],\"maxNonShardedLength\":20}"), false),
    ] {
        let server = Server::start();
        for (name, bytes) in blobs() {
            let path = match name.len() > 20 && sharded {
                true => format!("{}/{}/{}", &name[..1], &name[1..4], &name[4..]),
                false => name,
            };
            server.put(&format!("copy/{path}.f"), bytes);
        }
        server.put("copy/README.txt", "foreign");
        if let Some(shards) = shards {
            server.put("copy/.shards", shards);
        }
        let store = server.store("copy/");
        store.list("").unwrap();
        behaves(&store, &blobs());
    }
}

#[test]
fn what_stands_around_a_store_changes_nothing() {
    let server = bucket("p/");
    behaves(&Retry::new(server.store("p/"), policy()), &blobs());
    behaves(&Count::new(Arc::new(server.store("p/"))), &blobs());
    behaves(&Early::new(server.store("p/"), "x"), &blobs());
    behaves(&Interruptible::new(server.store("p/"), Arc::new(AtomicBool::new(false))), &blobs());
    behaves(&Throttle::to_rate(server.store("p/"), 1 << 40), &blobs());
    let boxed: Arc<dyn BlobStore> = Arc::new(server.store("p/"));
    behaves(&boxed, &blobs());
}

#[test]
fn a_prefix_with_nothing_is_empty_and_a_folder_is_something() {
    let server = Server::start();
    assert!(server.store("").is_empty().unwrap() && server.store("p/").is_empty().unwrap());
    server.put("p/folder/foreign", "x");
    assert!(!server.store("").is_empty().unwrap() && !server.store("p/").is_empty().unwrap());
    assert!(server.store("q/").is_empty().unwrap());
    let mut options = server.options("");
    options.bucket = "other".into();
    assert_eq!(options.open(&Traffic::default()).unwrap().is_empty().unwrap_err().code(), "bucket-missing");
}

#[test]
fn prefixes_that_would_change_on_the_way_are_refused() {
    let server = Server::start();
    for prefix in ["../", "a/../b/", "./", "a\n/"] {
        assert!(server.options(prefix).open(&Traffic::default()).is_err(), "{prefix:?}");
    }
}

#[test]
fn a_recorded_repository_in_a_bucket_is_what_it_is_in_a_directory() {
    let directory = FileSystem::open(testdata().join("basic/repo")).unwrap();
    let server = Server::with(&directory, "k/");
    let copy = Memory::copy_of(&directory).unwrap();
    let store = server.store("k/");
    let names = |store: &dyn BlobStore| {
        let mut names: Vec<_> =
            store.list("").unwrap().into_iter().map(|blob| (blob.id, blob.size)).collect();
        names.sort();
        names
    };
    assert_eq!(names(&store), names(&copy));
}
