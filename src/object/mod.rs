//! Objects: byte streams made of one or many contents.
//!
//! An [`ObjectId`] names a stream. [`Chunks`] resolves it to the contents it is made of, [`Reader`] reads it.

mod chunks;
mod error;
mod id;
mod reader;
mod table;

pub use chunks::{Chunk, Chunks, MAX_CHUNK, MAX_DEPTH};
pub use error::Error;
pub use id::{InvalidObjectId, ObjectId};
pub use reader::{Reader, read_all};
