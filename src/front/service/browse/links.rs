//! Addresses of pages.

use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::snapshot::Source;

/// What stays as it is in a part of an address.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// The address of a path in a snapshot, below one of `snapshot`, `file`, `archive/tar` and `archive/zip`.
pub(super) fn at(what: &str, snapshot: &str, path: &str) -> String {
    let mut href = format!("/browse/{what}/{}", encode(snapshot));
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let _ = write!(href, "/{}", encode(part));
    }
    href
}

/// The address of the page of a source.
pub(in crate::front::service) fn source(source: &Source) -> String {
    format!("/browse/source?of={}", encode(&source.to_string()))
}

/// The address of the history of a path. Any snapshot tells the source.
pub(super) fn history(snapshot: &str, path: &str) -> String {
    format!("/browse/history?snapshot={}&path={}", encode(snapshot), encode(path))
}

/// The address of the comparison of a file in two snapshots.
pub(super) fn compare(old: &str, new: &str, path: &str) -> String {
    format!("/browse/compare?old={}&new={}&path={}", encode(old), encode(new), encode(path))
}

/// Where to go on after logging in: a page of ours, whatever was asked for.
pub(super) fn then(asked: Option<&str>) -> &str {
    let ours = |then: &&str| {
        (*then == "/browse" || then.starts_with("/browse/") || then.starts_with("/browse?"))
            && !then.contains(['\\', '\r', '\n'])
            && then.is_ascii()
    };
    asked.filter(ours).unwrap_or("/browse")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_in_addresses() {
        assert_eq!(at("file", "ab", "a b/ü#?%/c"), "/browse/file/ab/a%20b/%C3%BC%23%3F%25/c");
        assert_eq!(at("snapshot", "ab", ""), "/browse/snapshot/ab");
    }

    #[test]
    fn nobody_is_sent_elsewhere_after_logging_in() {
        for elsewhere in
            ["https://evil.example", "//evil.example", "/browsers", "/\\evil", "/browse/\r\nSet-Cookie: x"]
        {
            assert_eq!(then(Some(elsewhere)), "/browse", "{elsewhere:?}");
        }
        assert_eq!(then(Some("/browse/source?of=x")), "/browse/source?of=x");
        assert_eq!(then(None), "/browse");
    }
}
