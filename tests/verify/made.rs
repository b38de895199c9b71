//! Repositories made for the occasion.

use std::path::Path;

use rokopia::Repository;
use rokopia::snapshot::Source;
use rokopia::testkit::{Damage, Options, RepositoryWriter, Shape};
use rokopia::verify::{Ledger, Report, Settings, Verifier};

pub(crate) const PASSWORD: &str = "testkit";

pub(crate) fn source() -> Source {
    "data@apps:/data".parse().unwrap()
}

pub(crate) fn writer(dir: &Path, pack_size: usize) -> RepositoryWriter {
    RepositoryWriter::create(dir, Options { pack_size, ..Options::default() }).unwrap()
}

/// Adds a snapshot of a tree of about `bytes`, and its manifest ID.
pub(crate) fn add_snapshot(writer: &mut RepositoryWriter, bytes: u64, seed: u64) -> String {
    let root = writer.write_tree(&Shape::mixed(bytes).tree(seed).unwrap()).unwrap();
    let id = writer.snapshot(&source(), &root);
    writer.flush().unwrap();
    id
}

/// A repository with one snapshot of about `bytes`.
pub(crate) fn simple(dir: &Path, bytes: u64, pack_size: usize) {
    let mut writer = writer(dir, pack_size);
    add_snapshot(&mut writer, bytes, 1);
    writer.finish().unwrap();
}

pub(crate) fn open(dir: &Path) -> Repository {
    super::support::open(dir, PASSWORD).unwrap()
}

/// One run with a ledger.
pub(crate) fn with_ledger(repository: &Repository, ledger: &Path, settings: &Settings) -> Report {
    let ledger = Ledger::open(ledger, repository).unwrap();
    Verifier::new(repository, settings).ledger(&ledger).run().unwrap()
}

/// Flips a byte among the contents of a pack.
pub(crate) fn damage(dir: &Path, pack: &str) {
    Damage::open(dir).unwrap().flip(pack, 100, 1).unwrap();
}

pub(crate) fn packs(dir: &Path) -> Vec<String> {
    let damage = Damage::open(dir).unwrap();
    [damage.names("p").unwrap(), damage.names("q").unwrap()].concat()
}
