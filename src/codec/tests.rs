//! Properties that hold for all decompressors: what an encoder wrote comes back, nothing else does, and nothing is
//! larger than it may be.

use std::io::Write;

use proptest::prelude::*;

use super::*;

const CODECS: [u32; 5] = [0x1000, 0x1100, 0x1200, 0x1400, 0x1500];

fn id(header: u32) -> CompressionId {
    CompressionId::from_header(header).unwrap()
}

/// Streams by encoders that are not ours, in the ways Kopia uses them.
fn compress(codec: Codec, data: &[u8]) -> Vec<u8> {
    match codec {
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Codec::Deflate => {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        // Streaming: without content size, with a checksum.
        Codec::Zstd => {
            let mut encoder = ::zstd::Encoder::new(Vec::new(), 3).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Codec::S2 => {
            let mut encoder = minlz::Writer::new(Vec::new());
            encoder.write_all(data).unwrap();
            encoder.flush().unwrap();
            encoder.get_ref().clone()
        }
        Codec::Lz4 => {
            let info = lz4_flex::frame::FrameInfo::new()
                .block_size(lz4_flex::frame::BlockSize::Max4MB)
                .content_checksum(true);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
    }
}

fn decompressed(header: u32, stream: &[u8], size: Size) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    decompress(id(header), stream, size, &mut out).map(|()| out)
}

/// Bytes that compress well (0), a bit (1), or not at all (2).
fn sample(kind: u8, length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length)
        .map(|i| match kind {
            0 => b"hello kopia "[i % 12],
            1 => random() & 3,
            _ => random(),
        })
        .collect()
}

#[test]
fn headers() {
    let mut names: Vec<_> =
        (0..0x2000).filter_map(|header| CompressionId::from_header(header).ok()).collect();
    assert_eq!(names.len(), 18);
    names.dedup_by_key(|id| id.name());
    assert_eq!(names.len(), 18);
    assert_eq!(id(0x1400).codec(), Codec::Lz4);
    assert_eq!(CompressionId::from_header(0), Err(Error::UnknownCompression { header: 0 }));
    assert_eq!(CompressionId::split(b"\0\0\x11"), Err(Error::UnknownCompression { header: 0 }));
    assert_eq!(CompressionId::split(b"\0\0\x11\x01xy"), Ok((id(0x1101), &b"xy"[..])));
}

#[test]
fn round_trips() {
    let mut out = Vec::new();
    for header in CODECS {
        for length in [0, 1, 13, 4000, 70_000, (1 << 20) + 5, (9 << 20) + 7] {
            for kind in 0..3 {
                let data = sample(kind, length);
                let stream = compress(id(header).codec(), &data);
                for size in [Size::Exact(length), Size::AtMost(length), Size::AtMost(usize::MAX)] {
                    decompress(id(header), &stream, size, &mut out).unwrap();
                    assert!(out == data, "{} {length} {kind} {size:?}", id(header));
                }
            }
        }
    }
}

#[test]
fn sizes_are_enforced() {
    for header in CODECS {
        for length in [1, 100, 300_000] {
            let stream = compress(id(header).codec(), &sample(1, length));
            for wrong in [0, length - 1, length + 1, length + (1 << 20)] {
                let error = decompressed(header, &stream, Size::Exact(wrong)).unwrap_err();
                assert!(matches!(error, Error::TooLarge { .. } | Error::WrongSize { .. }), "{error}");
            }
            for limit in [0, length - 1] {
                let error = decompressed(header, &stream, Size::AtMost(limit)).unwrap_err();
                assert_eq!(error, Error::TooLarge { codec: id(header).codec(), limit });
            }
        }
    }
}

#[test]
fn bombs_are_stopped_before_they_grow() {
    let zeros = vec![0; 64 << 20];
    for header in CODECS {
        let bomb = compress(id(header).codec(), &zeros);
        assert!(bomb.len() < zeros.len() / 20);
        for size in [Size::AtMost(1000), Size::Exact(1000), Size::AtMost(3 << 20)] {
            let mut out = Vec::new();
            let error = decompress(id(header), &bomb, size, &mut out).unwrap_err();
            assert_eq!(error.code(), "stream-too-large", "{error}");
            assert!(out.is_empty());
            // Vectors that grow may double.
            assert!(out.capacity() <= 7 << 20, "{} kept {} bytes", id(header), out.capacity());
        }
    }
}

#[test]
fn impossible_sizes_are_errors_not_aborts() {
    for header in CODECS {
        let stream = compress(id(header).codec(), b"x");
        let error = decompressed(header, &stream, Size::Exact(usize::MAX)).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. }) && error.is_retryable(), "{error}");
    }
}

#[test]
fn every_truncation_is_an_error() {
    for header in CODECS {
        for kind in 0..3 {
            let data = sample(kind, 3000);
            let stream = compress(id(header).codec(), &data);
            for length in 0..stream.len() {
                let cut = &stream[..length];
                assert!(
                    decompressed(header, cut, Size::Exact(data.len())).is_err(),
                    "{} {length}",
                    id(header)
                );
                // Without a known size, only the end of a whole chunk can pass for the end.
                if let Ok(out) = decompressed(header, cut, Size::AtMost(1 << 20)) {
                    assert!(
                        data.starts_with(&out)
                            && matches!(id(header).codec(), Codec::S2 | Codec::Lz4 | Codec::Zstd)
                    );
                    assert!(out.is_empty(), "{} {length}", id(header));
                }
            }
        }
    }
}

#[test]
fn flipped_bits_are_errors_or_do_not_matter() {
    for header in CODECS {
        for kind in 0..3 {
            let data = sample(kind, 1500);
            let stream = compress(id(header).codec(), &data);
            for bit in 0..stream.len() * 8 {
                let mut damaged = stream.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                for size in [Size::Exact(data.len()), Size::AtMost(1 << 20)] {
                    match decompressed(header, &damaged, size) {
                        // Raw DEFLATE has no checksum. What encryption lets through is not damaged, though.
                        Ok(out) if header == 0x1500 => assert!(out.len() <= 1 << 20),
                        Ok(out) if size == Size::Exact(data.len()) => {
                            assert!(out == data, "{} bit {bit}", id(header))
                        }
                        // An only chunk or frame that turned into one to be skipped.
                        Ok(out) => assert!(out == data || out.is_empty(), "{} bit {bit}", id(header)),
                        Err(error) => assert!(!error.is_retryable(), "{error}"),
                    }
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_streams_never_panic(
        codec in prop::sample::select(&CODECS[..]),
        stream in prop::collection::vec(any::<u8>(), 0..300),
        limit in 0..5000_usize,
    ) {
        for size in [Size::Exact(limit), Size::AtMost(limit)] {
            if let Ok(out) = decompressed(codec, &stream, size) {
                prop_assert!(out.len() <= limit);
            }
        }
    }

    #[test]
    fn mangled_streams_never_panic(
        codec in prop::sample::select(&CODECS[..]),
        kind in 0..3_u8,
        length in 0..20_000_usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let data = sample(kind, length);
        let mut stream = compress(id(codec).codec(), &data);
        for (at, byte) in edits {
            let at = at.index(stream.len() + 1);
            if at < stream.len() {
                stream[at] = byte;
            } else {
                stream.truncate(cut.index(at + 1));
            }
        }
        for size in [Size::Exact(length), Size::AtMost(2 * length)] {
            if let Ok(out) = decompressed(codec, &stream, size) {
                prop_assert!(out.len() <= 2 * length);
                prop_assert!(codec == 0x1500 || size != Size::Exact(length) || out == data);
            }
        }
    }
}
