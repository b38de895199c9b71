//! A repository, opened: the way in for users of the crate.

mod budget;
mod catalog;
mod certainty;
mod error;
mod kept_format;
#[cfg(feature = "cli")]
pub(crate) mod maintenance;
mod manifest_cache;
mod opening;
mod recovered;
mod unindexed;
#[cfg(test)]
mod vectors;

pub use budget::Budget;
pub(crate) use budget::TooSmall;
pub use catalog::Catalog;
pub use certainty::{Absence, Reason};
pub(crate) use certainty::{Evidence, doubt_about_question};
pub use error::Error;
pub(crate) use opening::open_within;
pub use opening::{Access, Opening};
pub use recovered::Recovered;
pub(crate) use unindexed::{Indexed, Scan, Sessions, Unindexed};
pub use unindexed::{Suspect, Unlisted};

use std::sync::Arc;

use crate::blob::BlobStore;
use crate::content::Contents;
use crate::crypto::Password;
use crate::format::{OpenOptions, RepositoryFormat};
use crate::index::IndexOptions;

/// How a repository is opened and read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Options {
    /// How the format blob is opened.
    pub open: OpenOptions,
    /// How indexes are read.
    pub index: IndexOptions,
    /// Bytes of memory for all manifests; while one of their contents is read, it may take as much again.
    pub manifests: u64,
    /// Whether each content that holds manifests is hashed and compared with its name. Default: no.
    pub hash_manifests: bool,
}

impl Default for Options {
    /// Without limits of memory.
    fn default() -> Self {
        Self {
            open: OpenOptions::default(),
            index: IndexOptions::default(),
            manifests: u64::MAX,
            hash_manifests: false,
        }
    }
}

/// An opened repository: its format is known and its keys are derived, and nothing else was read.
#[derive(Clone)]
pub struct Repository {
    store: Arc<dyn BlobStore>,
    format: Arc<RepositoryFormat>,
    options: Options,
}

debug_of!(Repository, "Repository", "store" = |repository| repository.store.describe());

impl Repository {
    /// Opens a repository: one read and one key derivation.
    ///
    /// # Errors
    /// Everything that prevents reading it: see [`crate::format::Error`].
    pub fn open(store: impl BlobStore + 'static, password: &Password) -> Result<Self, Error> {
        Self::open_with(store, password, Options::default())
    }

    /// Opens a repository with options.
    ///
    /// # Errors
    /// As [`Repository::open`].
    pub fn open_with(
        store: impl BlobStore + 'static,
        password: &Password,
        options: Options,
    ) -> Result<Self, Error> {
        let format = RepositoryFormat::open(&store, password, options.open)?;
        Ok(Self { store: Arc::new(store), format: Arc::new(format), options })
    }

    /// A repository whose format blob was read before: no read, no key derivation.
    pub fn with_format(
        store: impl BlobStore + 'static,
        format: Arc<RepositoryFormat>,
        options: Options,
    ) -> Self {
        Self { store: Arc::new(store), format, options }
    }

    /// What the repository is.
    pub fn format(&self) -> &Arc<RepositoryFormat> {
        &self.format
    }

    /// Where its blobs are.
    pub fn store(&self) -> &Arc<dyn BlobStore> {
        &self.store
    }

    /// How it is read.
    pub fn options(&self) -> Options {
        self.options.clone()
    }

    /// The same repository, read with other index options.
    #[must_use]
    pub fn with_index_options(&self, index: IndexOptions) -> Self {
        Self { options: Options { index, ..self.options }, ..self.clone() }
    }

    /// Reads the manifests: all that listing and choosing snapshots needs.
    ///
    /// # Errors
    /// Any index blob or manifest content that cannot be read, unless reading degraded.
    pub fn catalog(&self) -> Result<Catalog, Error> {
        Catalog::load(Arc::clone(&self.store), Arc::clone(&self.format), self.options.clone())
    }

    /// Loads the full index: needed to read anything but snapshot lists.
    ///
    /// # Errors
    /// As [`crate::index::IndexReader::load`].
    pub fn contents(&self) -> Result<Contents, Error> {
        Ok(Contents::load(Arc::clone(&self.store), Arc::clone(&self.format), self.options.index.clone())?)
    }

    /// Reads the manifests, and also loads the full index if it fits into memory, so that each index blob is read only
    /// once.
    ///
    /// # Errors
    /// As [`Repository::catalog`].
    pub fn catalog_and_contents(&self) -> Result<(Catalog, Option<Contents>), Error> {
        let (store, format) = (Arc::clone(&self.store), Arc::clone(&self.format));
        let contents = Contents::load_if_it_fits(store, format, self.options.index.clone())?;
        match contents.map(|contents| (Catalog::of(&contents, self.options.clone()), contents)) {
            Some((Ok(catalog), contents)) => Ok((catalog, Some(contents))),
            // A catalog read by itself knows how to go on where manifests have moved meanwhile.
            Some((Err(_), _)) | None => Ok((self.catalog()?, None)),
        }
    }
}
