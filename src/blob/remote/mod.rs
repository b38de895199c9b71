//! What all storages over the network share: connections, TLS, bodies of answers, and waiting for them.

mod body;
mod client;
mod hidden;
mod late;
mod refusal;
mod runtime;
mod tls;
mod xml;

#[cfg(feature = "webdav")]
pub(crate) use body::body;
pub(crate) use body::{error_text, fill, whole};
pub(crate) use client::{Answer, Client, header, is_skewed, retry_after};
pub use hidden::Hidden;
pub(crate) use refusal::{Refusal, range_header};
pub(crate) use runtime::wait;
pub use tls::Tls;
pub(crate) use xml::Element;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// A value of a query, encoded.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// A path, encoded; slashes stay.
pub(crate) fn encoded_path(text: &str) -> String {
    utf8_percent_encode(text, RESERVED_IN_PATH).to_string()
}

/// A query of names and values.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.join("&")
}
