//! Blobs as objects of a bucket: S3 and all that speaks it, Google Cloud Storage, Azure.
//!
//! An object is named by a prefix, which is a string and no directory, and the name of the blob behind it. A directory of
//! blobs that was copied into a bucket, with its folders and endings, is read as well.

#[cfg(feature = "azure")]
mod azure;
mod connector;
#[cfg(feature = "gcs")]
mod gcs;
mod listing;
mod past;
mod prefix;
#[cfg(feature = "s3")]
mod s3;
mod service;
mod store;

#[cfg(feature = "azure")]
pub use azure::AzureOptions;
#[cfg(feature = "gcs")]
pub use gcs::GcsOptions;
#[cfg(feature = "s3")]
pub use s3::{Role, S3Options, b2_region};
pub use store::Objects;
