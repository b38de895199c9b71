//! The last bytes of a pack: where its local index is (`format-spec/07-packs.md`).

/// Longest hash that names a local index.
const MAX_IV: u64 = 32;

const VERSION: u64 = 1;
const CHECKSUM: usize = 4;

/// What the end of a pack says of its local index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postamble {
    /// Hash of the local index in clear, and initialisation vector of its encryption.
    pub iv: Vec<u8>,
    /// Where the encrypted local index begins in the pack.
    pub offset: u64,
    /// Length of the encrypted local index.
    pub length: u64,
    /// Bytes of the postamble itself, with its length byte.
    pub size: u64,
}

impl Postamble {
    /// Longest postamble: its length is stored in one byte.
    #[cfg_attr(not(feature = "testkit"), allow(dead_code, reason = "only tests ask for it"))]
    pub const MAX_SIZE: u64 = 256;

    /// Reads the postamble from the end of a pack; `tail` needs its last [`Postamble::MAX_SIZE`] bytes, or all.
    pub fn parse(tail: &[u8]) -> Option<Self> {
        let (&length, before) = tail.split_last()?;
        let start = before.len().checked_sub(usize::from(length))?;
        let (body, checksum) = before.get(start..)?.split_last_chunk::<CHECKSUM>()?;
        if crc32fast::hash(body) != u32::from_be_bytes(*checksum) {
            return None;
        }
        let mut rest = body;
        if uvarint(&mut rest)? != VERSION {
            return None;
        }
        let iv_length = uvarint(&mut rest).filter(|n| *n <= MAX_IV)?;
        let (iv, tail) = rest.split_at_checked(usize::try_from(iv_length).ok()?)?;
        rest = tail;
        Some(Self {
            iv: iv.to_vec(),
            offset: uvarint(&mut rest)?,
            length: uvarint(&mut rest)?,
            size: u64::from(length) + 1,
        })
    }
}

/// Unsigned LEB128 of at most 64 bits.
fn uvarint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        value |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tail of a pack of the miniature repository in `format-spec/vectors`.
    const TAIL: &str = "0110ebd3a18eb4221db8be91ac3b1b6f71398020d80136a3080b1a";

    #[test]
    fn a_real_postamble() {
        let tail = hex::decode(TAIL).unwrap();
        let postamble = Postamble::parse(&tail).unwrap();
        assert_eq!(hex::encode(&postamble.iv), "ebd3a18eb4221db8be91ac3b1b6f7139");
        assert_eq!((postamble.offset, postamble.length, postamble.size), (4096, 216, 27));
        let mut longer = vec![7; 300];
        longer.extend(&tail);
        assert_eq!(Postamble::parse(&longer), Some(postamble));
    }

    #[test]
    fn anything_else_is_refused() {
        let tail = hex::decode(TAIL).unwrap();
        for length in 0..tail.len() {
            assert_eq!(Postamble::parse(&tail[..length]), None);
        }
        for bit in 0..tail.len() * 8 {
            let mut flipped = tail.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Postamble::parse(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let parse = |bytes: &[u8]| uvarint(&mut { bytes });
        assert_eq!(parse(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), Some(u64::MAX));
        assert_eq!(parse(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), None);
        assert_eq!(parse(&[0x80; 11]), None);
        assert_eq!(parse(&[0x80]), None);
    }
}
