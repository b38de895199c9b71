//! Which contents exist and where their bytes are.
//!
//! [`IndexReader`] finds and reads index blobs, [`PackedIndex`] is one of them, [`ContentIndex`] all of them together,
//! and [`ManifestIndex`] only what names manifests.

mod active;
mod bytes;
mod cached;
mod content_index;
mod entry;
mod epochs;
mod error;
mod layout;
mod legacy;
mod loading;
mod manifest_index;
mod merge;
mod merged;
mod packed;
mod reader;
mod record;
mod sealed;
mod spill;
mod spilled;
mod store;
mod streamed;
#[cfg(test)]
mod vectors;

pub use crate::id::{ContentId, InvalidContentId};
pub use active::{ActiveSet, Doubt};
pub use content_index::{ContentIndex, Position};
pub use entry::{Entry, PackNumber};
pub use epochs::{PREFIX as EPOCHS_PREFIX, select as select_epochs};
pub use error::{Error, Malformed};
pub use loading::Loading;
pub(crate) use loading::Stage;
pub use manifest_index::ManifestIndex;
pub use packed::PackedIndex;
pub use reader::{IndexOptions, IndexReader};
pub use sealed::{Opened, open as open_sealed};
pub(crate) use spill::{Records, SpillFile};
