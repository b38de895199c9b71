//! LZ4 frames, which Kopia wrote until v0.22: any number of them, skippable ones too
//! (format-spec/06-compression.md).

use lz4_flex::block::{decompress_into, decompress_into_with_dict};
use twox_hash::XxHash32;

use super::Error;
use super::compression::Output;

const MAGIC: u32 = 0x184d_2204;
/// The low four bits are free.
const MAGIC_SKIPPABLE: u32 = 0x184d_2a50;

const FLAG_INDEPENDENT: u8 = 1 << 5;
const FLAG_BLOCK_CHECKSUMS: u8 = 1 << 4;
const FLAG_CONTENT_SIZE: u8 = 1 << 3;
const FLAG_CONTENT_CHECKSUM: u8 = 1 << 2;
const FLAG_RESERVED: u8 = 1 << 1;
const FLAG_DICTIONARY: u8 = 1;

/// In a block's length: its data are stored as they are.
const BLOCK_UNCOMPRESSED: u32 = 1 << 31;

/// How far back a block may reach into the ones before it.
const WINDOW: usize = 64 << 10;

/// No block inflates by more: each input byte adds at most 255 bytes of output.
const MAX_RATIO: usize = 255;

/// Decodes a stream. One of no bytes is what Kopia's writer makes of no input.
pub(super) fn decode(stream: &[u8], output: &mut Output<'_>) -> Result<(), Error> {
    let mut input = Input { rest: stream };
    while !input.rest.is_empty() {
        match input.u32(output)? {
            MAGIC => frame(&mut input, output)?,
            magic if magic & !0xf == MAGIC_SKIPPABLE => {
                let length = input.u32(output)?;
                input.take(length as usize, output)?;
            }
            _ => return Err(output.corrupt("not an LZ4 frame")),
        }
    }
    Ok(())
}

/// What a frame's descriptor says.
struct Descriptor {
    flags: u8,
    max_block: usize,
    content_size: Option<u64>,
}

impl Descriptor {
    fn parse(input: &mut Input<'_>, output: &Output<'_>) -> Result<Self, Error> {
        let start = input.rest;
        let [flags, block] = *input.array(output)?;
        if flags >> 6 != 1 || flags & FLAG_RESERVED != 0 {
            return Err(output.corrupt("unknown version or flags"));
        }
        let max_block = match block {
            0x40 => 64 << 10,
            0x50 => 256 << 10,
            0x60 => 1 << 20,
            0x70 => 4 << 20,
            _ => return Err(output.corrupt("unknown block size")),
        };
        let content_size = match flags & FLAG_CONTENT_SIZE {
            0 => None,
            _ => Some(u64::from_le_bytes(*input.array(output)?)),
        };
        if flags & FLAG_DICTIONARY != 0 {
            return Err(output.corrupt("it needs a dictionary"));
        }
        let descriptor = start.get(..start.len() - input.rest.len()).unwrap_or_default();
        let [checksum] = *input.array(output)?;
        if (XxHash32::oneshot(0, descriptor) >> 8) as u8 != checksum {
            return Err(output.checksum());
        }
        Ok(Self { flags, max_block, content_size })
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

fn frame(input: &mut Input<'_>, output: &mut Output<'_>) -> Result<(), Error> {
    let descriptor = Descriptor::parse(input, output)?;
    let start = output.bytes.len();
    loop {
        let length = input.u32(output)?;
        // The end mark.
        if length == 0 {
            break;
        }
        let data = input.take((length & !BLOCK_UNCOMPRESSED) as usize, output)?;
        if data.len() > descriptor.max_block {
            return Err(output.corrupt("block too large"));
        }
        if descriptor.has(FLAG_BLOCK_CHECKSUMS) && XxHash32::oneshot(0, data) != input.u32(output)? {
            return Err(output.checksum());
        }
        if length & BLOCK_UNCOMPRESSED != 0 {
            output.append(data)?;
        } else {
            block(data, &descriptor, start, output)?;
        }
    }
    let content = output.bytes.get(start..).unwrap_or_default();
    if descriptor.content_size.is_some_and(|size| size != content.len() as u64) {
        return Err(output.corrupt("wrong content size"));
    }
    if descriptor.has(FLAG_CONTENT_CHECKSUM) && XxHash32::oneshot(0, content) != input.u32(output)? {
        return Err(output.checksum());
    }
    Ok(())
}

/// Decodes one block onto the end of the output; the frame's output begins at `frame_start`.
fn block(
    data: &[u8],
    descriptor: &Descriptor,
    frame_start: usize,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let start = output.bytes.len();
    // One byte more than allowed shows that there is more.
    let allowed = output.remaining().saturating_add(1);
    let room = descriptor.max_block.min(data.len().saturating_mul(MAX_RATIO)).min(allowed);
    output.append_zeros(room)?;
    let invalid = output.corrupt("not a valid LZ4 block");

    let (before, into) = output.bytes.split_at_mut_checked(start).ok_or_else(|| invalid.clone())?;
    let decoded = if descriptor.has(FLAG_INDEPENDENT) {
        decompress_into(data, into)
    } else {
        let window = before.get(frame_start.max(start.saturating_sub(WINDOW))..).unwrap_or_default();
        decompress_into_with_dict(data, into, window)
    };
    match decoded {
        Ok(length) => output.bytes.truncate(start + length),
        Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) if room == allowed => {
            return Err(output.too_large());
        }
        Err(_) => return Err(invalid),
    }
    if output.bytes.len() > output.limit { Err(output.too_large()) } else { Ok(()) }
}

/// What is left of the stream.
struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, length: usize, output: &Output<'_>) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| output.truncated())?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, output: &Output<'_>) -> Result<&'a [u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(|| output.truncated())?;
        self.rest = rest;
        Ok(taken)
    }

    fn u32(&mut self, output: &Output<'_>) -> Result<u32, Error> {
        self.array(output).map(|bytes| u32::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

    use super::*;
    use crate::codec::{Codec, CompressionId, Size, decompress};

    fn decode(stream: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        decompress(CompressionId::from_header(0x1400)?, stream, Size::AtMost(limit), &mut out).map(|()| out)
    }

    fn frame(info: FrameInfo, data: &[u8]) -> Vec<u8> {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    /// A descriptor with its checksum.
    fn descriptor(flags: u8, block: u8, rest: &[u8]) -> Vec<u8> {
        let fields = [&[flags, block], rest].concat();
        let checksum = (XxHash32::oneshot(0, &fields) >> 8) as u8;
        [&MAGIC.to_le_bytes(), &fields[..], &[checksum]].concat()
    }

    #[test]
    fn frames_of_all_kinds() {
        let data: Vec<u8> = (0..400_000_u32).flat_map(|i| (i / 7 % 5003).to_le_bytes()).collect();
        for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
            for mode in [BlockMode::Independent, BlockMode::Linked] {
                for checks in [false, true] {
                    let info = FrameInfo::new()
                        .block_size(size)
                        .block_mode(mode)
                        .block_checksums(checks)
                        .content_checksum(checks)
                        .content_size(checks.then_some(data.len() as u64));
                    let stream = frame(info, &data);
                    assert!(stream.len() < data.len());
                    assert!(decode(&stream, data.len()).unwrap() == data, "{size:?} {mode:?} {checks}");
                }
            }
        }
    }

    #[test]
    fn frames_follow_each_other_and_some_are_skipped() {
        let linked = FrameInfo::new().block_mode(BlockMode::Linked);
        let skippable = b"\x5f\x2a\x4d\x18\x05\0\0\0skip!";
        let stream =
            [&skippable[..], &frame(linked.clone(), b"one "), skippable, &frame(linked, b"two"), skippable]
                .concat();
        assert_eq!(decode(&stream, 7).unwrap(), b"one two");
        assert_eq!(decode(&stream, 6), Err(Error::TooLarge { codec: Codec::Lz4, limit: 6 }));
        assert_eq!(decode(b"", 0).unwrap(), b"");
        assert!(decode(&stream[..stream.len() - 1], 7).is_err());
        assert!(decode(&[&stream[..], b"garbage"].concat(), 7).is_err());
        // A frame without its end mark.
        assert!(decode(&descriptor(0x60, 0x40, b""), 7).is_err());
    }

    #[test]
    fn a_frame_does_not_reach_into_the_one_before() {
        // A block that copies four bytes from one byte back, then ends with five of its own.
        let block = b"\x09\0\0\0\x00\x01\x00\x50zzzzz\0\0\0\0";
        let stored = b"\x01\0\0\x80y";
        let start = descriptor(0x40, 0x40, b"");
        let within = [&start[..], stored, block].concat();
        assert_eq!(decode(&within, 100).unwrap(), b"yyyyyzzzzz");
        let before = frame(FrameInfo::new(), b"some bytes");
        assert!(decode(&[&before, &start[..], block].concat(), 100).is_err());
    }

    #[test]
    fn rules_of_the_descriptor() {
        let empty = |flags, block, rest: &[u8]| [descriptor(flags, block, rest), vec![0; 4]].concat();
        assert_eq!(decode(&empty(0x60, 0x40, b""), 0).unwrap(), b"");
        assert_eq!(decode(&empty(0x68, 0x40, &0_u64.to_le_bytes()), 0).unwrap(), b"");
        for (flags, block, rest) in [
            (0x20, 0x40, &b""[..]),
            (0xa0, 0x40, b""),
            (0x62, 0x40, b""),
            (0x60, 0x30, b""),
            (0x60, 0x41, b""),
            (0x60, 0xc0, b""),
            (0x61, 0x40, b"dict"),
            (0x68, 0x40, &1_u64.to_le_bytes()),
        ] {
            let error = decode(&empty(flags, block, rest), 0).unwrap_err();
            assert_eq!(error.code(), "corrupt-stream", "{flags:#x} {block:#x}");
        }
        let mut wrong = empty(0x60, 0x40, b"");
        wrong[6] ^= 1;
        assert_eq!(decode(&wrong, 0), Err(Error::Checksum { codec: Codec::Lz4 }));
    }

    #[test]
    fn blocks_have_a_largest_size() {
        let block = |length: usize| {
            let header = (length as u32 | BLOCK_UNCOMPRESSED).to_le_bytes();
            [&descriptor(0x60, 0x40, b"")[..], &header, &vec![7; length], &[0; 4]].concat()
        };
        assert_eq!(decode(&block(64 << 10), 1 << 20).unwrap().len(), 64 << 10);
        assert!(decode(&block((64 << 10) + 1), 1 << 20).is_err());
        // The same for what comes out of a compressed one.
        let data = lz4_flex::block::compress(&vec![7; (64 << 10) + 1]);
        let stream =
            [&descriptor(0x60, 0x40, b"")[..], &(data.len() as u32).to_le_bytes(), &data, &[0; 4]].concat();
        assert_eq!(decode(&stream, 1 << 20).unwrap_err().code(), "corrupt-stream");
    }

    #[test]
    fn both_checksums_count() {
        let info = FrameInfo::new().block_checksums(true).content_checksum(true);
        let stream = frame(info, b"some data");
        for at in [stream.len() - 1, stream.len() - 4 - 4 - 1] {
            let mut wrong = stream.clone();
            wrong[at] ^= 1;
            assert_eq!(decode(&wrong, 9), Err(Error::Checksum { codec: Codec::Lz4 }), "{at}");
        }
    }
}
