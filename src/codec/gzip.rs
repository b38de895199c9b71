//! gzip (RFC 1952): any number of members, each with its checksum.

use super::compression::{Output, Size, decode as decode_any};
use super::{Codec, Error, deflate};

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const METHOD_DEFLATE: u8 = 8;

const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0b1110_0000;

/// Decompresses a gzip stream of at most `limit` bytes of output, as manifest contents are, into `out`, whose former bytes are
/// dropped.
///
/// # Errors
/// Any [`Error`] of a decompressor.
pub fn gunzip(stream: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Error> {
    out.clear();
    decode_any(Codec::Gzip, stream, Size::AtMost(limit), out)
}

pub(super) fn decode(stream: &[u8], output: &mut Output<'_>) -> Result<(), Error> {
    let mut rest = stream;
    loop {
        rest = member(rest, output)?;
        if rest.is_empty() {
            return Ok(());
        }
    }
}

/// Decodes one member and returns what follows it.
fn member<'a>(stream: &'a [u8], output: &mut Output<'_>) -> Result<&'a [u8], Error> {
    let body = skip_header(stream, output)?;
    let start = output.bytes.len();
    let taken = deflate::inflate(body, output)?;

    let trailer = body.get(taken..).unwrap_or_default();
    let truncated = || output.truncated();
    let (crc, trailer) = trailer.split_first_chunk::<4>().ok_or_else(truncated)?;
    let (size, rest) = trailer.split_first_chunk::<4>().ok_or_else(truncated)?;
    let data = output.bytes.get(start..).unwrap_or_default();
    // The size is recorded modulo 2^32.
    if crc32fast::hash(data) != u32::from_le_bytes(*crc) || data.len() as u32 != u32::from_le_bytes(*size) {
        return Err(output.checksum());
    }
    Ok(rest)
}

/// Skips a member's header; its fields carry no meaning to Kopia.
fn skip_header<'a>(stream: &'a [u8], output: &Output<'_>) -> Result<&'a [u8], Error> {
    let truncated = || output.truncated();
    // Magic, method, flags, then time, extra flags and operating system.
    let (fixed, mut rest) = stream.split_first_chunk::<10>().ok_or_else(truncated)?;
    let [magic0, magic1, method, flags, ..] = *fixed;
    if [magic0, magic1] != MAGIC {
        return Err(output.corrupt("not a gzip header"));
    }
    if method != METHOD_DEFLATE || flags & FLAGS_RESERVED != 0 {
        return Err(output.corrupt("unknown method or flags"));
    }
    if flags & FLAG_EXTRA != 0 {
        let (length, after) = rest.split_first_chunk::<2>().ok_or_else(truncated)?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..).ok_or_else(truncated)?;
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        if flags & flag != 0 {
            let end = rest.iter().position(|&byte| byte == 0).ok_or_else(truncated)?;
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }
    if flags & FLAG_HEADER_CRC != 0 {
        let header = stream.get(..stream.len() - rest.len()).unwrap_or_default();
        let (crc, after) = rest.split_first_chunk::<2>().ok_or_else(truncated)?;
        // The low half of the CRC-32 of all that precedes it.
        if crc32fast::hash(header) as u16 != u16::from_le_bytes(*crc) {
            return Err(output.checksum());
        }
        rest = after;
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gunzip(stream: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
        let mut out = b"former".to_vec();
        super::gunzip(stream, limit, &mut out).map(|()| out)
    }

    /// A member with the given flags and what they announce, of the three bytes `abc`.
    fn member(flags: u8, fields: &[u8]) -> Vec<u8> {
        let mut member = vec![0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 255];
        member.extend_from_slice(fields);
        if flags & FLAG_HEADER_CRC != 0 {
            let crc = crc32fast::hash(&member) as u16;
            member.extend_from_slice(&crc.to_le_bytes());
        }
        member.extend_from_slice(&[0x4b, 0x4c, 0x4a, 0x06, 0x00]);
        member.extend_from_slice(&crc32fast::hash(b"abc").to_le_bytes());
        member.extend_from_slice(&3_u32.to_le_bytes());
        member
    }

    #[test]
    fn header_fields_are_skipped() {
        for (flags, fields) in [
            (0, &b""[..]),
            (1, b""),
            (FLAG_EXTRA, b"\x03\x00xyz"),
            (FLAG_NAME, b"name\0"),
            (FLAG_NAME | FLAG_COMMENT, b"\0comment\0"),
            (FLAG_HEADER_CRC, b""),
            (0x1f, b"\x00\x00name\0comment\0"),
        ] {
            assert_eq!(gunzip(&member(flags, fields), 10).unwrap(), b"abc", "{flags:#x}");
        }
        for flags in [0x20, 0x40, 0x80] {
            assert!(gunzip(&member(flags, b""), 10).is_err());
        }
        let mut wrong_crc = member(FLAG_HEADER_CRC, b"");
        wrong_crc[4] ^= 1;
        assert_eq!(gunzip(&wrong_crc, 10), Err(Error::Checksum { codec: Codec::Gzip }));
        let unfinished =
            [&member(0, b"")[..3], &[FLAG_NAME, 0, 0, 0, 0, 0, 0], b"name without an end"].concat();
        assert_eq!(gunzip(&unfinished, 10), Err(Error::Truncated { codec: Codec::Gzip }));
    }

    #[test]
    fn members_follow_each_other() {
        let two = [member(0, b""), member(FLAG_NAME, b"x\0")].concat();
        assert_eq!(gunzip(&two, 6).unwrap(), b"abcabc");
        assert_eq!(gunzip(&two, 5), Err(Error::TooLarge { codec: Codec::Gzip, limit: 5 }));
        // Anything else after a member is damage.
        for garbage in [&b"\0"[..], b"garbage, long enough for a header", b"\x1f\x8b"] {
            assert!(gunzip(&[&two, garbage].concat(), 10).is_err());
        }
    }

    #[test]
    fn both_halves_of_the_trailer_count() {
        let good = member(0, b"");
        for at in 1..=8 {
            let mut bad = good.clone();
            let at = bad.len() - at;
            bad[at] ^= 1;
            assert_eq!(gunzip(&bad, 10), Err(Error::Checksum { codec: Codec::Gzip }));
        }
    }
}
