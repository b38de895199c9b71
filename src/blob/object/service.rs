//! What a kind of object storage has to say and do for itself.

use std::time::SystemTime;

pub(super) use crate::blob::remote::{Answer, Refusal, range_header};
use crate::blob::{Cause, Protection, Trouble};

/// An object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) key: String,
    pub(super) size: u64,
    pub(super) modified: Option<SystemTime>,
}

/// One answer of a listing, checked to be one of what was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    /// How to ask for the next page; `None` after the last.
    pub(super) next: Option<String>,
    /// Folders that were not opened.
    pub(super) folders: usize,
}

/// Which page of which listing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    /// What all names begin with.
    pub(super) prefix: &'a str,
    /// Whether what lies behind a further slash is left out.
    pub(super) flat: bool,
    /// From the page before.
    pub(super) token: Option<&'a str>,
    /// Only names behind this one.
    pub(super) after: Option<&'a str>,
}

/// A version of an object, or its deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) key: String,
    pub(super) id: String,
    pub(super) size: u64,
    pub(super) modified: jiff::Timestamp,
    pub(super) deleted: bool,
    /// Whether it holds now: nothing of the same name is newer.
    pub(super) latest: bool,
}

/// Where a list of versions goes on: behind this version, or behind all of this name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct VersionMarker {
    pub(super) key: String,
    pub(super) id: Option<String>,
}

/// Which page of which list of versions.
#[derive(Debug, Clone, Copy)]
pub(super) struct VersionAsk<'a> {
    pub(super) prefix: &'a str,
    pub(super) flat: bool,
    pub(super) marker: Option<&'a VersionMarker>,
}

/// One answer of a list of versions, those of one name newest first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct VersionPage {
    pub(super) versions: Vec<Version>,
    pub(super) next: Option<VersionMarker>,
}

/// A kind of object storage, with what it takes to talk to one bucket.
#[derive(Debug)]
pub(super) enum Service {
    #[cfg(feature = "s3")]
    S3(Box<super::s3::S3>),
    #[cfg(feature = "gcs")]
    Gcs(super::gcs::Gcs),
    #[cfg(feature = "azure")]
    Azure(super::azure::Azure),
}

impl Service {
    /// An object, or a range of it: where it begins, and its length. Without a version, the one of now.
    pub(super) async fn get(
        &self,
        key: &str,
        version: Option<&str>,
        range: Option<(u64, usize)>,
    ) -> Result<Answer, Refusal> {
        match self {
            #[cfg(feature = "s3")]
            Self::S3(s3) => s3.get(key, version, range).await,
            #[cfg(any(feature = "gcs", feature = "azure"))]
            _ if version.is_some() => Err(no_versions().into()),
            #[cfg(feature = "gcs")]
            Self::Gcs(gcs) => gcs.get(key, range).await,
            #[cfg(feature = "azure")]
            Self::Azure(azure) => azure.get(key, range).await,
        }
    }

    /// A page of a listing.
    pub(super) async fn page(&self, ask: Ask<'_>) -> Result<Page, Trouble> {
        match self {
            #[cfg(feature = "s3")]
            Self::S3(s3) => s3.page(ask).await,
            #[cfg(feature = "gcs")]
            Self::Gcs(gcs) => gcs.page(ask).await,
            #[cfg(feature = "azure")]
            Self::Azure(azure) => azure.page(ask).await,
        }
    }

    /// A page of a list of versions.
    pub(super) async fn versions(&self, ask: VersionAsk<'_>) -> Result<VersionPage, Trouble> {
        match self {
            #[cfg(feature = "s3")]
            Self::S3(s3) => s3.versions(ask).await,
            #[cfg(any(feature = "gcs", feature = "azure"))]
            _ => Err(no_versions()),
        }
    }

    /// Whether versions are kept of what is replaced or deleted.
    pub(super) async fn keeps_versions(&self) -> Result<bool, Trouble> {
        match self {
            #[cfg(feature = "s3")]
            Self::S3(s3) => s3.keeps_versions().await,
            #[cfg(any(feature = "gcs", feature = "azure"))]
            _ => Err(no_versions()),
        }
    }

    /// What keeps objects from being lost, as far as the storage tells.
    pub(super) async fn protection(&self) -> Option<Protection> {
        match self {
            #[cfg(feature = "s3")]
            Self::S3(s3) => Some(s3.protection().await),
            #[cfg(any(feature = "gcs", feature = "azure"))]
            _ => None,
        }
    }

    /// Whether a listing can begin behind a name.
    pub(super) fn lists_after(&self) -> bool {
        match self {
            #[cfg(feature = "s3")]
            Self::S3(_) => true,
            #[cfg(feature = "gcs")]
            Self::Gcs(_) => false,
            #[cfg(feature = "azure")]
            Self::Azure(_) => false,
        }
    }
}

#[cfg(any(feature = "gcs", feature = "azure"))]
fn no_versions() -> Trouble {
    Trouble::new(Cause::VersionsMissing, "only buckets of S3 are read as they were")
}

/// An answer that is no list of what was asked for.
pub(super) fn not_a_listing(why: impl Into<String>) -> Trouble {
    Trouble::new(Cause::AnswerInvalid, why)
}
