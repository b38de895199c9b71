//! The names of things in a repository. Every layer knows them, and they know none.

mod blob;
mod content;
mod manifest;

pub use blob::{BlobId, InvalidBlobId};
pub(crate) use content::MAX_HASH;
pub use content::{ContentId, InvalidContentId};
pub use manifest::ManifestId;
