//! Raw DEFLATE (RFC 1951).

use std::cell::RefCell;

use flate2::{Decompress, FlushDecompress, Status};

use super::Error;
use super::compression::Output;

thread_local! {
    /// Its window and tables are some 40 KiB, too much to allocate for each content.
    static INFLATE: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// Decodes a stream. Bytes after the final block are ignored, as Kopia does.
pub(super) fn decode(stream: &[u8], output: &mut Output<'_>) -> Result<(), Error> {
    inflate(stream, output).map(|_| ())
}

/// Decodes the DEFLATE data at the start of `stream`, appending to the output, and returns how many bytes it took.
pub(super) fn inflate(stream: &[u8], output: &mut Output<'_>) -> Result<usize, Error> {
    INFLATE.with_borrow_mut(|inflate| {
        inflate.reset(false);
        loop {
            if output.bytes.len() == output.bytes.capacity() {
                output.grow()?;
            }
            let taken = usize::try_from(inflate.total_in()).unwrap_or(usize::MAX);
            let rest = stream.get(taken..).unwrap_or_default();
            let status = inflate
                .decompress_vec(rest, output.bytes, FlushDecompress::Finish)
                .map_err(|_| output.corrupt("not valid DEFLATE data"))?;
            if output.bytes.len() > output.limit {
                return Err(output.too_large());
            }
            match status {
                Status::StreamEnd => return Ok(usize::try_from(inflate.total_in()).unwrap_or(usize::MAX)),
                // All input is taken and there is room left, so the end is missing.
                _ if output.bytes.len() < output.bytes.capacity() => return Err(output.truncated()),
                _ => (),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::codec::{CompressionId, Size, decompress};

    #[test]
    fn bytes_after_the_final_block_are_ignored() {
        let stream = [&[0x4b, 0x4c, 0x4a, 0x06, 0x00][..], b"whatever"].concat();
        let mut out = Vec::new();
        decompress(CompressionId::from_header(0x1500).unwrap(), &stream, Size::Exact(3), &mut out).unwrap();
        assert_eq!(out, b"abc");
    }
}
