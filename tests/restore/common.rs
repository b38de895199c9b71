//! A repository with one tree in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rokopia::Repository;
use rokopia::blob::{BlobStore, FileSystem};
use rokopia::content::Contents;
use rokopia::crypto::{KeyDerivation, Password};
use rokopia::restore::{Restore, Summary};
use rokopia::snapshot::{DirEntry, Snapshot, Snapshots};
use rokopia::testkit::{Chunks, Compare, Options, RepositoryWriter, Tree};
use tempfile::TempDir;

/// Options that are quick: small packs, and objects of many contents.
pub(crate) fn quick() -> Options {
    Options {
        key_derivation: KeyDerivation::Pbkdf2Sha256_600000,
        chunks: Chunks::Between { min: 20_000, max: 60_000 },
        pack_size: 400_000,
        ..Options::default()
    }
}

pub(crate) struct Sample {
    pub(crate) dir: TempDir,
}

impl Sample {
    pub(crate) fn new(tree: &Tree) -> Self {
        Self::with(quick(), |writer| {
            let root = writer.write_tree(tree).unwrap();
            writer.snapshot(&"u@h:/p".parse().unwrap(), &root);
        })
    }

    pub(crate) fn with(options: Options, write: impl FnOnce(&mut RepositoryWriter)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = RepositoryWriter::create(&dir.path().join("repo"), options).unwrap();
        write(&mut writer);
        writer.finish().unwrap();
        Self { dir }
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.dir.path().join("target")
    }

    pub(crate) fn open(&self) -> Opened {
        Self::opened_in(&self.repo())
    }

    pub(crate) fn opened_in(repo: &Path) -> Opened {
        Opened::new(FileSystem::open(repo).unwrap())
    }

    /// Restores into the target as `describe` says.
    pub(crate) fn restore(&self, describe: impl FnOnce(Restore<'_>) -> Restore<'_>) -> Summary {
        let opened = self.open();
        describe(opened.restore()).run(self.target(), &()).unwrap()
    }
}

/// The newest snapshot of a repository.
pub(crate) struct Opened {
    pub(crate) contents: Contents,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) root: DirEntry,
}

impl Opened {
    pub(crate) fn new(store: impl BlobStore + 'static) -> Self {
        let repository = Repository::open(Arc::new(store), &Password::new("testkit")).unwrap();
        let catalog = repository.catalog().unwrap();
        let snapshot = Snapshots::new(catalog.manifests()).all().latest().unwrap();
        let root = snapshot.root.clone().unwrap();
        Self { contents: repository.contents().unwrap(), snapshot, root }
    }

    pub(crate) fn restore(&self) -> Restore<'_> {
        Restore::new(&self.contents, &self.root)
    }

    /// The entry at a path of the tree.
    pub(crate) fn entry(&self, path: &str) -> DirEntry {
        rokopia::snapshot::Tree::of_snapshot(&self.contents, &self.snapshot).unwrap().entry(path).unwrap()
    }
}

/// Fails unless `target` holds exactly `tree`.
pub(crate) fn assert_same(tree: &Tree, target: &Path) {
    let differences = tree.compare(target, Compare::default()).unwrap();
    assert!(differences.is_empty(), "{differences:#?}");
}

/// All paths below a directory, links not followed.
pub(crate) fn paths(root: &Path) -> Vec<String> {
    let mut found: Vec<String> = walkdir::WalkDir::new(root)
        .min_depth(1)
        .into_iter()
        .map(|entry| entry.unwrap().path().strip_prefix(root).unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    found
}
