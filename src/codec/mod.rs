//! Decompressors and error correction: bytes in, bytes out, no keys.

mod compression;
mod deflate;
mod error;
mod gzip;
mod lz4;
mod s2;
mod zstd;

pub use compression::{CompressionId, Size, decompress};
pub use error::{Codec, Error};
pub use gzip::gunzip;
