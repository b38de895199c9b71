//! S2 streams, and with them Snappy's framing format, which they extend (format-spec/06-compression.md).

use super::Error;
use super::compression::Output;

const CHUNK_COMPRESSED: u8 = 0x00;
const CHUNK_UNCOMPRESSED: u8 = 0x01;
const CHUNK_IDENTIFIER: u8 = 0xff;
/// Chunk types from here on, but for the identifier, are skipped by those who do not know them.
const FIRST_SKIPPABLE: u8 = 0x80;

/// Largest chunk in bytes of output, by the identifier that opened the stream.
const S2: (&[u8], usize) = (b"S2sTwO", 4 << 20);
const SNAPPY: (&[u8], usize) = (b"sNaPpY", 64 << 10);

/// Decodes a stream. One of no bytes is what Kopia's writer makes of no input.
pub(super) fn decode(stream: &[u8], output: &mut Output<'_>) -> Result<(), Error> {
    let mut rest = stream;
    // None until the identifier came.
    let mut max_chunk = None;
    while !rest.is_empty() {
        let ([kind, length @ ..], after) = rest.split_first_chunk::<4>().ok_or_else(|| output.truncated())?;
        let [low, middle, high] = *length;
        let length = u32::from_le_bytes([low, middle, high, 0]) as usize;
        let (body, after) = after.split_at_checked(length).ok_or_else(|| output.truncated())?;
        rest = after;
        match (*kind, max_chunk) {
            (CHUNK_IDENTIFIER, _) => {
                let known = [S2, SNAPPY].into_iter().find(|(identifier, _)| *identifier == body);
                max_chunk = Some(known.ok_or_else(|| output.corrupt("unknown stream identifier"))?.1);
            }
            (_, None) => return Err(output.corrupt("no stream identifier at its start")),
            (CHUNK_COMPRESSED | CHUNK_UNCOMPRESSED, Some(max_chunk)) => {
                let (checksum, data) = body.split_first_chunk::<4>().ok_or_else(|| output.truncated())?;
                let start = output.bytes.len();
                if *kind == CHUNK_COMPRESSED {
                    block(data, max_chunk, output)?;
                } else if data.len() <= max_chunk {
                    output.append(data)?;
                } else {
                    return Err(output.corrupt("chunk too large"));
                }
                let decoded = output.bytes.get(start..).unwrap_or_default();
                if masked(crc32c::crc32c(decoded)) != u32::from_le_bytes(*checksum) {
                    return Err(output.checksum());
                }
            }
            (FIRST_SKIPPABLE.., Some(_)) => (),
            _ => return Err(output.corrupt("unknown chunk type")),
        }
    }
    Ok(())
}

/// Decodes one block onto the end of the output.
fn block(block: &[u8], max_chunk: usize, output: &mut Output<'_>) -> Result<(), Error> {
    let invalid = |output: &Output<'_>| output.corrupt("not a valid S2 block");
    let (length, _) = minlz::decode_len(block).map_err(|_| invalid(output))?;
    if length > max_chunk {
        return Err(output.corrupt("chunk too large"));
    }
    let room = output.append_zeros(length)?;
    let decoded = minlz::decode_into(room, block);
    if decoded != Ok(length) { Err(invalid(output)) } else { Ok(()) }
}

/// The form in which Snappy's framing stores CRCs: a CRC over data that holds CRCs would be weak.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}
