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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Codec, CompressionId, Size, decompress};

    fn decode(chunks: &[Vec<u8>], limit: usize) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        let id = CompressionId::from_header(0x1200)?;
        decompress(id, &chunks.concat(), Size::AtMost(limit), &mut out).map(|()| out)
    }

    fn chunk(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32).to_le_bytes();
        [&[kind], &length[..3], body].concat()
    }

    fn plain(data: &[u8]) -> Vec<u8> {
        chunk(CHUNK_UNCOMPRESSED, &[&masked(crc32c::crc32c(data)).to_le_bytes(), data].concat())
    }

    fn packed(data: &[u8]) -> Vec<u8> {
        packed_as(data, &minlz::encode(data))
    }

    fn packed_as(data: &[u8], block: &[u8]) -> Vec<u8> {
        chunk(CHUNK_COMPRESSED, &[&masked(crc32c::crc32c(data)).to_le_bytes(), block].concat())
    }

    fn s2() -> Vec<u8> {
        chunk(CHUNK_IDENTIFIER, S2.0)
    }

    fn snappy() -> Vec<u8> {
        chunk(CHUNK_IDENTIFIER, SNAPPY.0)
    }

    fn corrupt(reason: &'static str) -> Result<Vec<u8>, Error> {
        Err(Error::Corrupt { codec: Codec::S2, reason })
    }

    #[test]
    fn chunks_of_all_kinds() {
        let skippable = [chunk(0x99, b"seek index"), chunk(0xfe, &[0; 100]), chunk(0x80, b"")].concat();
        let stream = [
            s2(),
            plain(b"one "),
            skippable.clone(),
            s2(),
            packed(b"two "),
            snappy(),
            plain(b"three"),
            skippable,
        ];
        assert_eq!(decode(&stream, 13).unwrap(), b"one two three");
        assert_eq!(decode(&stream, 12), Err(Error::TooLarge { codec: Codec::S2, limit: 12 }));
        assert_eq!(decode(&[], 0).unwrap(), b"");
    }

    #[test]
    fn rules_of_the_framing() {
        assert_eq!(decode(&[plain(b"x")], 9), corrupt("no stream identifier at its start"));
        assert_eq!(decode(&[chunk(0xfe, b""), s2()], 9), corrupt("no stream identifier at its start"));
        assert_eq!(decode(&[chunk(CHUNK_IDENTIFIER, b"S2sTwo")], 9), corrupt("unknown stream identifier"));
        for kind in 0x02..=0x7f {
            assert_eq!(decode(&[s2(), chunk(kind, b"")], 9), corrupt("unknown chunk type"));
        }
        for chunk in [chunk(CHUNK_COMPRESSED, b"crc"), chunk(CHUNK_UNCOMPRESSED, b"")] {
            assert_eq!(decode(&[s2(), chunk], 9), Err(Error::Truncated { codec: Codec::S2 }));
        }
        for mut chunk in [plain(b"data"), packed(b"data")] {
            chunk[5] ^= 1;
            assert_eq!(decode(&[s2(), chunk], 9), Err(Error::Checksum { codec: Codec::S2 }));
        }
    }

    #[test]
    fn chunks_have_a_largest_size() {
        for (identifier, max) in [(s2(), 4 << 20), (snappy(), 64 << 10)] {
            let data = vec![7; max + 1];
            for (just, over) in [(plain(&data[..max]), plain(&data)), (packed(&data[..max]), packed(&data))] {
                assert_eq!(decode(&[identifier.clone(), just], usize::MAX).unwrap().len(), max);
                assert_eq!(decode(&[identifier.clone(), over], usize::MAX), corrupt("chunk too large"));
            }
        }
    }

    #[test]
    fn repeated_offsets_as_only_s2_has_them() {
        // Literal "ab", copy of 4 from 2 back, then repeats with lengths in each of their four forms.
        let mut block = Vec::new();
        block.extend([0x80 | 50, 0x83, 0x04]); // 65970 bytes in all
        block.extend([1 << 2, b'a', b'b', 0b001, 2]);
        block.extend([4 << 2 | 1, 0]);
        block.extend([5 << 2 | 1, 0, 10]);
        block.extend([6 << 2 | 1, 0, 20, 0]);
        block.extend([7 << 2 | 1, 0, 98, 0, 0]);
        let length = 2 + 4 + 8 + 18 + 280 + 65638;
        let data: Vec<u8> = (0..length).map(|i| b"ab"[i % 2]).collect();
        block.splice(
            0..3,
            [(length & 0x7f) as u8 | 0x80, (length >> 7 & 0x7f) as u8 | 0x80, (length >> 14) as u8],
        );
        assert_eq!(decode(&[s2(), packed_as(&data, &block)], usize::MAX).unwrap(), data);

        // There is nothing to repeat yet.
        let block = [5, 0, b'a', 1, 0];
        assert_eq!(decode(&[s2(), packed_as(b"aaaaa", &block)], 9), corrupt("not a valid S2 block"));
    }

    #[test]
    fn blocks_that_lie_about_their_length() {
        let block = minlz::encode(b"data");
        for claimed in [0, 3, 5, 100] {
            let mut block = block.clone();
            block[0] = claimed;
            assert!(decode(&[s2(), packed_as(b"data", &block)], 1000).is_err());
        }
        assert!(decode(&[s2(), packed_as(b"", &[0x80; 12])], 1000).is_err());
        assert!(decode(&[s2(), packed_as(b"", b"")], 1000).is_err());
    }
}
