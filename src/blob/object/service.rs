//! What a kind of object storage has to say and do for itself.

use std::time::SystemTime;

use reqwest::Response;

pub(super) use crate::blob::remote::{Refusal, range_header};
use crate::blob::{Cause, Trouble};

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

/// A kind of object storage, with what it takes to talk to one bucket.
#[derive(Debug)]
pub(super) enum Service {
    #[cfg(feature = "s3")]
    S3(super::s3::S3),
    #[cfg(feature = "gcs")]
    Gcs(super::gcs::Gcs),
    #[cfg(feature = "azure")]
    Azure(super::azure::Azure),
}

impl Service {
    /// An object, or a range of it: where it begins, and its length.
    pub(super) async fn get(&self, key: &str, range: Option<(u64, usize)>) -> Result<Response, Refusal> {
        match self {
            #[cfg(feature = "s3")]
            Self::S3(s3) => s3.get(key, range).await,
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

/// An answer that is no list of what was asked for.
pub(super) fn not_a_listing(why: impl Into<String>) -> Trouble {
    Trouble::new(Cause::AnswerInvalid, why)
}
