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
