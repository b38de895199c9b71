//! Compressors, the other direction of `codec/`.

use super::error::{Error, Result};
use crate::codec::CompressionId;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use zstd::bulk::Compressor;

/// Header of `zstd-fastest`, the default for metadata (`format-spec/06-compression.md`).
pub(crate) const ZSTD_FASTEST: u32 = 0x1101;

/// Families of compressors: the second byte of the header.
const GZIP: u32 = 0x10;
const ZSTD: u32 = 0x11;
const S2: u32 = 0x12;
const PGZIP: u32 = 0x13;
const LZ4: u32 = 0x14;
const DEFLATE: u32 = 0x15;

/// The content form of `data`: header and stream.
pub(crate) fn compress(id: CompressionId, data: &[u8]) -> Result<Vec<u8>> {
    let header = id.header();
    let mut out = header.to_be_bytes().to_vec();
    let failed = |e: std::io::Error| Error::invalid(format!("cannot compress with {}: {e}", id.name()));
    let level = match header & 0xff {
        1 => flate2::Compression::fast(),
        2 => flate2::Compression::best(),
        _ => flate2::Compression::default(),
    };
    match header >> 8 {
        ZSTD => out.extend_from_slice(&zstd(header & 0xff, data).map_err(failed)?),
        GZIP | PGZIP => {
            let mut encoder = flate2::write::GzEncoder::new(out, level);
            encoder.write_all(data).map_err(failed)?;
            out = encoder.finish().map_err(failed)?;
        }
        DEFLATE => {
            let mut encoder = flate2::write::DeflateEncoder::new(out, level);
            encoder.write_all(data).map_err(failed)?;
            out = encoder.finish().map_err(failed)?;
        }
        LZ4 => {
            let info = lz4_flex::frame::FrameInfo::new().content_checksum(true);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, out);
            encoder.write_all(data).map_err(failed)?;
            out = encoder.finish().map_err(|e| failed(e.into()))?;
        }
        S2 => {
            let mut encoder = minlz::Writer::new(out);
            encoder.write_all(data).map_err(failed)?;
            encoder.flush().map_err(failed)?;
            out = encoder.reset(Vec::new());
        }
        _ => return Err(Error::invalid(format!("the testkit has no compressor {}", id.name()))),
    }
    Ok(out)
}

fn zstd(variant: u32, data: &[u8]) -> std::io::Result<Vec<u8>> {
    thread_local! {
        // Setting up a compressor costs more than compressing a small content.
        static COMPRESSORS: RefCell<BTreeMap<u32, Compressor<'static>>> = const { RefCell::new(BTreeMap::new()) };
    }
    COMPRESSORS.with_borrow_mut(|all| {
        let compressor = match all.entry(variant) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                let level = match variant {
                    1 => 1,
                    2 => 7,
                    3 => 11,
                    _ => 3,
                };
                let mut compressor = Compressor::new(level)?;
                compressor.include_checksum(true)?;
                new.insert(compressor)
            }
        };
        compressor.compress(data)
    })
}

/// A gzip stream, as every manifest content is.
pub(crate) fn gzip(data: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).map_err(Error::Data)?;
    encoder.finish().map_err(Error::Data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Size, decompress};
    use crate::testkit::{Data, DataKind};

    #[test]
    fn every_compressor_is_undone_by_its_decompressor() {
        let data = Data { kind: DataKind::Text, seed: 3, size: 3_000_000 }.to_vec();
        for header in [
            0x1000, 0x1001, 0x1002, 0x1100, 0x1101, 0x1102, 0x1103, 0x1200, 0x1201, 0x1202, 0x1203, 0x1300,
            0x1301, 0x1302, 0x1400, 0x1500, 0x1501, 0x1502,
        ] {
            let id = CompressionId::from_header(header).unwrap();
            for plain in [&data[..], &data[..100], &[]] {
                let stored = compress(id, plain).unwrap();
                let (head, stream) = stored.split_at(4);
                assert_eq!(head, header.to_be_bytes());
                let mut out = Vec::new();
                decompress(id, stream, Size::Exact(plain.len()), &mut out).unwrap();
                assert!(out == plain, "{}", id.name());
            }
            assert!(compress(id, &data).unwrap().len() < data.len() * 2 / 3, "{}", id.name());
        }
    }
}
