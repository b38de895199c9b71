//! Opening a repository for a command: within a budget, and without waiting for what can be listed meanwhile.

use super::{Budget, Error, Options, Repository};
use crate::blob::{BlobKind, BlobStore, Early};
use crate::crypto::Password;
use crate::index::EPOCHS_PREFIX;

/// What a command does with a repository first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It lists or chooses snapshots.
    Snapshots,
    /// It reads the index.
    Index,
}

/// Everything that decides how a repository is opened but the store.
///
/// Retries are the store's; giving up rights is a step of its own, which comes after the store was opened and before the
/// first byte is parsed.
#[derive(Debug, Clone)]
pub struct Opening<'a> {
    /// The password.
    pub password: &'a Password,
    /// How it is read.
    pub options: Options,
    /// The memory that indexes and manifests share with what comes after.
    pub budget: Budget,
    /// What comes first.
    pub access: Access,
}

impl Opening<'_> {
    /// Opens the repository. The index blobs are listed while keys are derived, and so are the packs of metadata where
    /// snapshots come first.
    ///
    /// # Errors
    /// As [`Repository::open`].
    pub fn open(self, store: impl BlobStore + 'static) -> Result<Repository, Error> {
        let options = self.budget.bound(self.options);
        let store = Early::new(store, EPOCHS_PREFIX);
        match self.access {
            Access::Snapshots => Repository::open_with(
                Early::new(store, BlobKind::MetadataPack.prefix()),
                self.password,
                options,
            ),
            Access::Index => Repository::open_with(store, self.password, options),
        }
    }
}
