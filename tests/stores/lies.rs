//! A server that lies: never a wrong byte, never a false "no", never a wait without end.

use std::collections::BTreeMap;
use std::time::Duration;

use rokopia::blob::{BlobId, BlobStore, Error, FileSystem, Retry, RetryPolicy};
use rokopia::crypto::Password;
use rokopia::{Absence, Options, Repository};

use crate::common::{Case, say, testdata};
use crate::server::{LIES, Lie, Server};

/// Impatient, as tests are.
pub(crate) fn patience(attempts: u32) -> RetryPolicy {
    RetryPolicy { attempts, first_pause: Duration::from_millis(1), longest_pause: Duration::from_millis(2) }
}

/// The blobs of a directory.
pub(crate) fn truth(directory: &FileSystem) -> BTreeMap<BlobId, Vec<u8>> {
    let blobs = directory.list("").unwrap().into_iter();
    blobs.map(|blob| (blob.id.clone(), directory.read(&blob.id, u64::MAX).unwrap())).collect()
}

/// What came of questions to a server that lies.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) right: usize,
    pub(crate) errors: BTreeMap<&'static str, usize>,
}

impl Answers {
    /// Notes whether an answer was right. A wrong one ends the test, and so does a false "no".
    pub(crate) fn note(&mut self, lie: Lie, nth: usize, result: Result<bool, Error>) {
        match result {
            Ok(true) => self.right += 1,
            Ok(false) => panic!("{lie:?}, every {nth}: not what is stored"),
            Err(error) => {
                assert!(!error.is_not_found(), "{lie:?}, every {nth}: {error}");
                *self.errors.entry(error.code()).or_default() += 1;
            }
        }
    }
}

#[test]
fn whatever_a_server_answers_nothing_is_wrong_and_nothing_is_called_absent() {
    let directory = FileSystem::open(testdata().join("basic/repo")).unwrap();
    let truth = truth(&directory);
    let server = Server::with(&directory, "k/");
    let mut answers = Answers::default();
    for lie in LIES {
        for nth in [1, 2, 3, 5] {
            server.lie(lie, nth);
            let store = Retry::new(server.store("k/"), patience(2));
            let mut note = |result| answers.note(lie, nth, result);
            let listed = store.list("").map(|listed| {
                let sizes_lie = lie == Lie::WrongSizes && nth == 1;
                let mut names: Vec<(&BlobId, u64)> =
                    listed.iter().map(|blob| (&blob.id, blob.size)).collect();
                names.sort();
                names.iter().map(|(id, _)| *id).eq(truth.keys())
                    && (sizes_lie
                        || names.iter().map(|(_, size)| *size).eq(truth.values().map(|b| b.len() as u64)))
            });
            note(listed);
            for (id, bytes) in &truth {
                // What is garbled on the way is found out by whoever has the key.
                if lie != Lie::GarbageBytes {
                    note(store.read(id, u64::MAX).map(|read| read == *bytes));
                    let mut part = vec![0; bytes.len() / 2];
                    note(store.read_at(id, 1, &mut part).map(|()| part == bytes[1..=part.len()]));
                }
                note(store.size(id).map(|size| size == bytes.len() as u64));
            }
        }
    }
    let Answers { right, errors } = answers;
    assert!(right > 1000, "{right}");
    say(&format!("lies: {} kinds, {right} right answers, errors {errors:?}", LIES.len()));
}

#[test]
fn a_repository_on_a_lying_server_is_read_rightly_or_not_at_all() {
    let case = Case::load(&testdata().join("basic")).unwrap();
    let directory = FileSystem::open(case.repo()).unwrap();
    let password = Password::new(case.password());
    let expected = Repository::open(directory_of(&case), &password).unwrap().catalog().unwrap();
    let (snapshots, _) = expected.snapshots_and_problems();
    let names: Vec<String> = snapshots.iter().map(|snapshot| snapshot.id.to_string()).collect();
    let server = Server::with(&directory, "k/");
    let format = Repository::open(server.store("k/"), &password).unwrap().format().clone();
    let (mut read, mut refused) = (0, 0);
    for lie in LIES {
        for nth in [1, 2, 4, 7] {
            server.lie(lie, nth);
            let store = Retry::new(server.store("k/"), patience(3));
            let repository = Repository::with_format(store, format.clone(), Options::default());
            match repository.catalog() {
                Ok(catalog) => {
                    let (found, problems) = catalog.snapshots_and_problems();
                    let found: Vec<String> = found.iter().map(|snapshot| snapshot.id.to_string()).collect();
                    let certain =
                        problems.is_empty() && matches!(catalog.absence(None), Ok(Absence::Certain));
                    assert!(found == names || !certain, "{lie:?}, every {nth}: {found:?}");
                    read += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(read > 20, "{read}");
    say(&format!("lies: a catalog was read {read} times and refused {refused} times"));
}

fn directory_of(case: &Case) -> std::sync::Arc<FileSystem> {
    std::sync::Arc::new(FileSystem::open(case.repo()).unwrap())
}

#[test]
fn a_list_that_ends_early_without_saying_so_is_found_out() {
    let server = Server::start();
    server.put("kopia.repository", "x");
    for number in 0..30 {
        server.put(&format!("xn0_{number:032}"), "index");
    }
    let store = server.store("");
    assert_eq!(store.list("x").unwrap().len(), 30);
    server.lie(Lie::ShortList, 1);
    assert!(store.list("x").is_err());
}
