//! Zstandard (RFC 8878): any number of frames, skippable ones too, with or without a recorded content size.

use std::cell::RefCell;

use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::Error;
use super::compression::Output;

/// Largest window for which a streaming decoder allocates memory: 64 MiB. Kopia's own writers never used more than
/// 32 MiB.
const MAX_WINDOW_LOG: u32 = 26;

thread_local! {
    /// A context is 160 KiB of tables: kept, not allocated for each content.
    static CONTEXT: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

fn new_context() -> Result<DCtx<'static>, Error> {
    DCtx::try_create().ok_or(Error::OutOfMemory { wanted: DCtx::out_size() })
}

/// Decodes into the room the output already has. Without a copy through a window, and so without memory for one.
pub(super) fn decode_exact(stream: &[u8], output: &mut Output<'_>) -> Result<(), Error> {
    CONTEXT.with_borrow_mut(|slot| {
        let context = match slot {
            Some(context) => context,
            None => slot.insert(new_context()?),
        };
        context.decompress(output.bytes, stream).map_err(|code| failure(code, output))?;
        Ok(())
    })
}

/// Decodes a stream whose size is not known, growing the output as it comes.
pub(super) fn decode_streaming(stream: &[u8], output: &mut Output<'_>) -> Result<(), Error> {
    // Not the kept context: it would hold on to a window of up to 64 MiB.
    let mut context = new_context()?;
    context.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG)).map_err(|code| failure(code, output))?;
    let mut input = InBuffer::around(stream);
    let mut frame_open = false;
    while input.pos() < stream.len() || frame_open {
        if output.bytes.len() == output.bytes.capacity() {
            output.grow()?;
        }
        let position = output.bytes.len();
        let mut buffer = OutBuffer::around_pos(output.bytes, position);
        let hint = context.decompress_stream(&mut buffer, &mut input);
        frame_open = hint.map_err(|code| failure(code, output))? != 0;
        if output.bytes.len() > output.limit {
            return Err(output.too_large());
        }
        let stuck = input.pos() == stream.len() && output.bytes.len() < output.bytes.capacity();
        if frame_open && stuck {
            return Err(output.truncated());
        }
    }
    Ok(())
}

fn failure(code: usize, output: &Output<'_>) -> Error {
    let is = |error: ZSTD_ErrorCode| code == (error as usize).wrapping_neg();
    if is(ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) {
        output.too_large()
    } else if is(ZSTD_ErrorCode::ZSTD_error_srcSize_wrong) {
        output.truncated()
    } else if is(ZSTD_ErrorCode::ZSTD_error_checksum_wrong) {
        output.checksum()
    } else {
        output.corrupt(get_error_name(code))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crate::codec::{CompressionId, Error, Size, decompress};

    fn decode(stream: &[u8], size: Size) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        decompress(CompressionId::from_header(0x1101)?, stream, size, &mut out).map(|()| out)
    }

    fn frame(data: &[u8], window_log: u32) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn frames_follow_each_other_and_some_are_skipped() {
        let skippable = b"\x53\x2a\x4d\x18\x05\0\0\0skip!";
        let stream =
            [&skippable[..], &frame(b"one ", 20), skippable, &frame(b"two", 20), &frame(b"", 20), skippable]
                .concat();
        for size in [Size::Exact(7), Size::AtMost(7), Size::AtMost(100)] {
            assert_eq!(decode(&stream, size).unwrap(), b"one two");
        }
        assert_eq!(decode(skippable, Size::AtMost(9)).unwrap(), b"");
        assert!(decode(&stream[..stream.len() - 1], Size::Exact(7)).is_err());
        assert!(decode(&[&stream[..], b"garbage"].concat(), Size::Exact(7)).is_err());
        assert!(decode(&[&stream[..], b"garbage"].concat(), Size::AtMost(7)).is_err());
    }

    #[test]
    fn nothing_comes_of_nothing() {
        // Kopia's encoder writes no frame for an empty input.
        assert_eq!(decode(b"", Size::Exact(0)).unwrap(), b"");
        assert_eq!(decode(b"", Size::AtMost(0)).unwrap(), b"");
        assert!(decode(b"", Size::Exact(1)).is_err());
    }

    #[test]
    fn windows_cost_memory_only_where_the_size_is_unknown() {
        for (window_log, possible) in [(26, true), (27, false)] {
            let stream = frame(b"data", window_log);
            assert_eq!(decode(&stream, Size::Exact(4)).unwrap(), b"data");
            assert_eq!(decode(&stream, Size::AtMost(4)).is_ok(), possible, "{window_log}");
        }
    }

    #[test]
    fn a_failure_leaves_no_trace_in_the_context() {
        let good = frame(b"data", 20);
        for length in 0..good.len() {
            assert!(decode(&good[..length], Size::Exact(4)).is_err());
            assert_eq!(decode(&good, Size::Exact(4)).unwrap(), b"data");
        }
    }

    #[test]
    fn wrong_checksums_are_told_apart() {
        let mut stream = zstd::Encoder::new(Vec::new(), 1).unwrap();
        stream.include_checksum(true).unwrap();
        stream.write_all(b"data").unwrap();
        let mut stream = stream.finish().unwrap();
        *stream.last_mut().unwrap() ^= 1;
        for size in [Size::Exact(4), Size::AtMost(4)] {
            assert_eq!(decode(&stream, size).unwrap_err().code(), "stream-checksum");
        }
    }
}
