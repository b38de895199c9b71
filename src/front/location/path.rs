//! Locations as they are typed: schemes, paths, escapes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// What stands before and after `://`, where that is a scheme.
pub(super) fn split_scheme(text: &OsStr) -> Option<(String, &[u8])> {
    let bytes = text.as_bytes();
    let at = bytes.windows(3).position(|window| window == b"://")?;
    let (scheme, rest) = bytes.split_at_checked(at)?;
    let valid = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    let scheme = std::str::from_utf8(scheme).ok().filter(|_| valid)?;
    Some((scheme.to_ascii_lowercase(), rest.get(3..)?))
}

/// The path of a file URL: no host or this one, percent signs decoded.
pub(super) fn directory(rest: &[u8]) -> Option<PathBuf> {
    let path = rest.strip_prefix(b"localhost").filter(|path| path.starts_with(b"/")).unwrap_or(rest);
    path.starts_with(b"/").then(|| PathBuf::from(OsString::from_vec(percent_decoded(path))))
}

pub(super) fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = tail.split_at_checked(2).filter(|_| first == b'%').and_then(|(digits, after)| {
            let byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some((byte, after))
        });
        let (byte, after) = escaped.unwrap_or((first, tail));
        decoded.push(byte);
        rest = after;
    }
    decoded
}
