//! Opening a repository for a command: within a budget, and without waiting for what can be listed meanwhile.

use std::sync::Arc;

use super::kept_format::KeptFormat;
use super::{Budget, Error, Options, Repository};
use crate::blob::{BlobKind, BlobMetadata, BlobStore, Early, FetchLimits, Following};
use crate::crypto::Password;
use crate::format::RepositoryFormat;
use crate::index::{self, EPOCHS_PREFIX};

/// What will be read first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub enum Access {
    /// The list of snapshots.
    Snapshots,
    /// The full index.
    Index,
}

/// How a repository is opened: everything except the store.
///
/// Retries are part of the store. Entering a sandbox is a separate step, after the store was opened and before the first
/// byte is parsed.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Opening<'a> {
    /// The password.
    pub password: &'a Password,
    /// How the repository is read.
    pub options: Options,
    /// The memory that indexes and manifests share with everything else.
    pub budget: Budget,
    /// What is read first.
    pub access: Access,
}

impl<'a> Opening<'a> {
    /// Opening with this password, and defaults for all else.
    pub fn new(password: &'a Password) -> Self {
        Self { password, options: Options::default(), budget: Budget::default(), access: Access::Index }
    }

    /// Opens the repository. The index blobs are listed while keys are derived, and so are the packs of metadata where
    /// snapshots come first. Where each request takes long, index blobs are also read meanwhile.
    ///
    /// # Errors
    /// As [`Repository::open`].
    pub fn open(self, store: impl BlobStore + 'static) -> Result<Repository, Error> {
        let options = self.budget.bound(self.options);
        let kept = KeptFormat::open(&options, &store).map_err(index::Error::from)?;
        open_ahead(store, self.password, options, self.access, kept.as_ref())
    }
}

/// Opens a repository for which the budget was made up.
pub(crate) fn open_within(
    store: impl BlobStore + 'static,
    password: &Password,
    options: Options,
    access: Access,
) -> Result<Repository, Error> {
    open_ahead(store, password, options, access, None)
}

fn open_ahead(
    store: impl BlobStore + 'static,
    password: &Password,
    options: Options,
    access: Access,
    kept: Option<&KeptFormat>,
) -> Result<Repository, Error> {
    let expected = kept.and_then(KeptFormat::bytes).is_some();
    let packs = BlobKind::MetadataPack.prefix();
    // Where the format blob was kept, the index most likely was too: then only listings take time.
    if expected || !store.hints().asks_ahead() {
        let store = Early::new(store, EPOCHS_PREFIX);
        return match access {
            Access::Snapshots => opened(Early::new(store, packs), password, options, kept),
            Access::Index => opened(store, password, options, kept),
        };
    }
    let limits = FetchLimits { reads: options.index.reads_of(&store), bytes: options.index.in_flight() };
    let store = Early::reading(store, EPOCHS_PREFIX, Following { limits, choose: index_blobs });
    match access {
        Access::Snapshots => opened(Early::after(store, packs), password, options, kept),
        Access::Index => opened(store, password, options, kept),
    }
}

fn opened(
    store: impl BlobStore + 'static,
    password: &Password,
    options: Options,
    kept: Option<&KeptFormat>,
) -> Result<Repository, Error> {
    let expected = kept.and_then(KeptFormat::bytes);
    let (format, blob) = RepositoryFormat::open_expecting(&store, password, options.open, expected)?;
    if let Some((kept, blob)) = kept.zip(blob) {
        kept.keep(&blob);
    }
    Ok(Repository::with_format(store, Arc::new(format), options))
}

/// The index blobs of a listing that count.
fn index_blobs(listed: &[BlobMetadata]) -> Vec<BlobMetadata> {
    index::select_epochs(listed).blobs
}
