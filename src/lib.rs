//! rokopia opens repositories written by the Kopia backup tool, without Kopia, and never writes to them.

pub mod blob;
pub mod codec;
pub mod content;
pub mod crypto;
pub mod format;
pub mod index;
pub mod manifest;
pub mod object;
pub mod pack;
pub mod snapshot;
