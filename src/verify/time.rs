//! Unix time, as reports show it.

use std::time::{SystemTime, UNIX_EPOCH};

/// The current Unix time.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// A Unix time in RFC 3339.
pub(super) fn rfc3339(unix: i64) -> String {
    jiff::Timestamp::from_second(unix).map_or_else(|_| "1970-01-01T00:00:00Z".into(), |time| time.to_string())
}
