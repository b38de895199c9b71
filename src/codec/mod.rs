//! Decompressors and error correction: bytes in, bytes out, no keys.

mod compression;
mod deflate;
mod ecc;
mod error;
mod gzip;
mod lz4;
mod s2;
#[cfg(test)]
mod tests;
mod zstd;

pub use compression::{CompressionId, Size, decompress};
pub use ecc::{Corrected, ReedSolomonCrc};
pub use error::{Codec, Error};
pub use gzip::gunzip;
