//! XDR (RFC 4506), as much of it as calls and replies of NFS need.

/// Reads a call. `None` where it ends too early or has something that is too long.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn u32(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_at_checked(4)?;
        self.0 = rest;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_at_checked(8)?;
        self.0 = rest;
        Some(u64::from_be_bytes(bytes.try_into().ok()?))
    }

    /// Bytes with their length before them, and up to three of padding behind.
    pub(super) fn opaque(&mut self, most: usize) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok().filter(|length| *length <= most)?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest.get(padding(length)..)?;
        Some(bytes)
    }

    pub(super) fn text(&mut self, most: usize) -> Option<&'a str> {
        std::str::from_utf8(self.opaque(most)?).ok()
    }
}

/// Writes a reply.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn u32(&mut self, number: u32) -> &mut Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn u64(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn yes(&mut self, yes: bool) -> &mut Self {
        self.u32(u32::from(yes))
    }

    pub(super) fn opaque(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(bytes);
        self.0.extend(std::iter::repeat_n(0, padding(bytes.len())));
        self
    }
}

/// Bytes up to the next multiple of four.
fn padding(length: usize) -> usize {
    (4 - length % 4) % 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = Writer::default();
        writer.u32(7).opaque(b"abcde").u64(1 << 40).opaque(b"").yes(true);
        assert_eq!(writer.0.len() % 4, 0);
        let mut reader = Reader(&writer.0);
        assert_eq!((reader.u32(), reader.text(5), reader.u64()), (Some(7), Some("abcde"), Some(1 << 40)));
        assert_eq!((reader.opaque(0), reader.u32(), reader.u32()), (Some(&b""[..]), Some(1), None));
        assert_eq!(Reader(&[0xff; 8]).opaque(usize::MAX), None, "longer than the call");
        assert_eq!(Reader(&[0, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0]).opaque(4), None, "longer than allowed");
    }
}
