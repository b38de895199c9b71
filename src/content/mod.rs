//! From a content ID to its plaintext.

mod contents;
mod decoder;
mod error;
mod hashed;
mod repairs;
mod source;

pub(crate) use contents::read_with;
pub use contents::{Contents, pack_of, read_error, read_one};
pub use decoder::{Decoded, Decoder, MAX_CONTENT, Scratch};
pub(crate) use decoder::{MAX_BATCH, ensure_buffers, next_batch};
pub use error::Error;
pub use hashed::Hashed;
pub use repairs::Repairs;
pub use source::ContentSource;
