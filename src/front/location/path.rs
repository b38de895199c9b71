//! Locations as they are typed: schemes, paths, escapes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use percent_encoding::percent_decode;

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
    path.starts_with(b"/").then(|| PathBuf::from(OsString::from_vec(percent_decode(path).collect())))
}
