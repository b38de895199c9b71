//! Big-endian fields out of a bounded buffer.

use super::error::Malformed;

/// A cursor over the fixed fields of a header.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `N` bytes as an unsigned number.
    pub(super) fn number<const N: usize>(&mut self) -> Result<u64, Malformed> {
        let (field, rest) = self.rest.split_at_checked(N).ok_or(Malformed::Truncated("header"))?;
        self.rest = rest;
        Ok(big_endian(field))
    }
}

/// Up to eight bytes as one unsigned number.
#[inline]
pub(super) fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, &b| (n << 8) | u64::from(b))
}
