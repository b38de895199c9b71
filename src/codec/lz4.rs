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
