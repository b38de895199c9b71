//! The compression identifiers and the way from an identifier to its decoder (format-spec/06-compression.md).

use std::fmt;

use super::{Codec, Error, deflate, gzip, lz4, s2, zstd};
use crate::os::zeros;

/// A known compression: the number in an index entry, and the four bytes before a compressed stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CompressionId {
    header: u32,
    name: &'static str,
    codec: Codec,
}

/// Every identifier Kopia ever gave out; numbers never changed.
const KNOWN: [CompressionId; 18] = [
    known(0x1000, "gzip", Codec::Gzip),
    known(0x1001, "gzip-best-speed", Codec::Gzip),
    known(0x1002, "gzip-best-compression", Codec::Gzip),
    known(0x1100, "zstd", Codec::Zstd),
    known(0x1101, "zstd-fastest", Codec::Zstd),
    known(0x1102, "zstd-better-compression", Codec::Zstd),
    known(0x1103, "zstd-best-compression", Codec::Zstd),
    known(0x1200, "s2-default", Codec::S2),
    known(0x1201, "s2-better", Codec::S2),
    known(0x1202, "s2-parallel-4", Codec::S2),
    known(0x1203, "s2-parallel-8", Codec::S2),
    known(0x1300, "pgzip", Codec::Gzip),
    known(0x1301, "pgzip-best-speed", Codec::Gzip),
    known(0x1302, "pgzip-best-compression", Codec::Gzip),
    known(0x1400, "lz4", Codec::Lz4),
    known(0x1500, "deflate-default", Codec::Deflate),
    known(0x1501, "deflate-best-speed", Codec::Deflate),
    known(0x1502, "deflate-best-compression", Codec::Deflate),
];

const fn known(header: u32, name: &'static str, codec: Codec) -> CompressionId {
    CompressionId { header, name, codec }
}

impl CompressionId {
    /// The compression with this number.
    ///
    /// # Errors
    /// [`Error::UnknownCompression`]. Zero, which means "not compressed", is no compression either.
    pub fn from_header(header: u32) -> Result<Self, Error> {
        KNOWN.into_iter().find(|id| id.header == header).ok_or(Error::UnknownCompression { header })
    }

    /// Splits the four-byte header off a compressed content: the compression, and the stream for [`decompress`].
    ///
    /// # Errors
    /// [`Error::UnknownCompression`], also for less than four bytes, which count as number 0.
    pub fn split(content: &[u8]) -> Result<(Self, &[u8]), Error> {
        match content.split_first_chunk::<4>() {
            Some((header, stream)) => Ok((Self::from_header(u32::from_be_bytes(*header))?, stream)),
            None => Err(Error::UnknownCompression { header: 0 }),
        }
    }

    /// Kopia's name of the compression.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The number.
    #[must_use]
    #[cfg_attr(not(feature = "testkit"), allow(dead_code, reason = "only tests ask for it"))]
    pub fn header(self) -> u32 {
        self.header
    }

    /// The family that decodes it.
    #[must_use]
    #[cfg_attr(not(feature = "testkit"), allow(dead_code, reason = "only tests ask for it"))]
    pub fn codec(self) -> Codec {
        self.codec
    }
}

impl fmt::Display for CompressionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What is known of the size of the output, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// It was recorded; anything else is damage. The caller has bounded it: address space for all of it is reserved
    /// up front.
    Exact(usize),
    /// It was not recorded; more than this is refused.
    AtMost(usize),
}

impl Size {
    fn limit(self) -> usize {
        match self {
            Self::Exact(size) | Self::AtMost(size) => size,
        }
    }
}

/// Decompresses a stream (without its four-byte header) into `out`, whose former bytes are dropped.
///
/// Decoding stops when the output passes the size; memory is touched only as output appears.
///
/// ```
/// use rokopia::codec::{CompressionId, Size, decompress};
///
/// let stream = [0x4b, 0x4c, 0x4a, 0x06, 0x00];
/// let mut out = Vec::new();
/// decompress(CompressionId::from_header(0x1500)?, &stream, Size::Exact(3), &mut out)?;
/// assert_eq!(out, b"abc");
/// # Ok::<(), rokopia::codec::Error>(())
/// ```
///
/// # Errors
/// Any [`Error`] but those of error correction. `out` is then empty.
pub fn decompress(id: CompressionId, stream: &[u8], size: Size, out: &mut Vec<u8>) -> Result<(), Error> {
    out.clear();
    let result = decode(id.codec, stream, size, out);
    if result.is_err() {
        out.clear();
    }
    result
}

pub(super) fn decode(codec: Codec, stream: &[u8], size: Size, out: &mut Vec<u8>) -> Result<(), Error> {
    let mut output = Output { codec, limit: size.limit(), bytes: out };
    if let Size::Exact(size) = size {
        output.reserve(size.saturating_add(1))?;
    }
    match (codec, size) {
        (Codec::Gzip, _) => gzip::decode(stream, &mut output)?,
        (Codec::Deflate, _) => deflate::decode(stream, &mut output)?,
        (Codec::Zstd, Size::Exact(_)) => zstd::decode_exact(stream, &mut output)?,
        (Codec::Zstd, Size::AtMost(_)) => zstd::decode_streaming(stream, &mut output)?,
        (Codec::S2, _) => s2::decode(stream, &mut output)?,
        (Codec::Lz4, _) => lz4::decode(stream, &mut output)?,
    }
    let actual = out.len();
    match size {
        Size::Exact(expected) if actual != expected => Err(Error::WrongSize { codec, expected, actual }),
        Size::AtMost(limit) | Size::Exact(limit) if actual > limit => Err(Error::TooLarge { codec, limit }),
        _ => Ok(()),
    }
}

/// Where a decoder puts its output: a vector that does not grow past its limit by more than the one byte with which
/// decoders find out that there is more.
pub(super) struct Output<'a> {
    pub(super) bytes: &'a mut Vec<u8>,
    pub(super) limit: usize,
    pub(super) codec: Codec,
}

impl Output<'_> {
    /// Bytes of output until the limit.
    pub(super) fn remaining(&self) -> usize {
        self.limit.saturating_sub(self.bytes.len())
    }

    /// Makes room for `more` bytes.
    pub(super) fn reserve(&mut self, more: usize) -> Result<(), Error> {
        self.bytes.try_reserve_exact(more).map_err(|_| Error::OutOfMemory { wanted: more })
    }

    /// Makes room for some more bytes, for decoders that do not know how many come.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if the limit is passed already.
    pub(super) fn grow(&mut self) -> Result<(), Error> {
        const LEAST: usize = 64 << 10;
        if self.bytes.len() > self.limit {
            return Err(self.too_large());
        }
        let more = self.bytes.len().max(LEAST).min(self.remaining().saturating_add(1));
        self.reserve(more)
    }

    /// Appends bytes that are stored as they are.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() > self.remaining() {
            return Err(self.too_large());
        }
        // Amortised, unlike reserve: chunks may be small and many.
        self.bytes.try_reserve(bytes.len()).map_err(|_| Error::OutOfMemory { wanted: bytes.len() })?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends `count` zeros for a decoder that writes into a slice, and returns them. May pass the limit by one.
    pub(super) fn append_zeros(&mut self, count: usize) -> Result<&mut [u8], Error> {
        if count > self.remaining().saturating_add(1) {
            return Err(self.too_large());
        }
        self.bytes.try_reserve(count).map_err(|_| Error::OutOfMemory { wanted: count })?;
        let start = self.bytes.len();
        zeros::resize(self.bytes, start + count);
        Ok(self.bytes.get_mut(start..).unwrap_or_default())
    }

    pub(super) fn too_large(&self) -> Error {
        Error::TooLarge { codec: self.codec, limit: self.limit }
    }

    pub(super) fn truncated(&self) -> Error {
        Error::Truncated { codec: self.codec }
    }

    pub(super) fn corrupt(&self, reason: &'static str) -> Error {
        Error::Corrupt { codec: self.codec, reason }
    }

    pub(super) fn checksum(&self) -> Error {
        Error::Checksum { codec: self.codec }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Vectors {
        vectors: Vec<Vector>,
    }

    #[derive(serde::Deserialize)]
    struct Vector {
        name: String,
        content: String,
        plaintext: String,
    }

    #[test]
    fn vectors() {
        let json = include_str!("../../format-spec/vectors/compression.json");
        let vectors: Vectors = serde_json::from_str(json).unwrap();
        assert_eq!(vectors.vectors.len(), 6);
        for vector in vectors.vectors {
            let content = hex::decode(vector.content).unwrap();
            let plaintext = hex::decode(vector.plaintext).unwrap();
            let (id, stream) = CompressionId::split(&content).unwrap();
            assert_eq!(id.name(), vector.name);
            let mut out = b"former bytes".to_vec();
            for size in [Size::Exact(plaintext.len()), Size::AtMost(plaintext.len()), Size::AtMost(1 << 30)] {
                decompress(id, stream, size, &mut out).unwrap();
                assert_eq!(out, plaintext, "{id} {size:?}");
            }
        }
    }
}
