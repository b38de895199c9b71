//! Limits for the requests of a run to the storage, and how the requests are reported.

use crate::blob::{Counts, Limits, Traffic};
use crate::os::signals;
use crate::text::{counted, human_size, size_with_unit};

const BANDWIDTH: &str = "ROKOPIA_BANDWIDTH";
const REQUESTS: &str = "ROKOPIA_REQUESTS_PER_SECOND";
const STATS: &str = "ROKOPIA_STATS";

/// A limit that makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidLimit {
    /// The option or variable.
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) expected: &'static str,
}

/// The limits that were typed, or else those of the environment.
pub(crate) fn traffic(bandwidth: Option<&str>, requests: Option<&str>) -> Result<Traffic, InvalidLimit> {
    let of = |option, typed: Option<&str>, variable| match typed {
        Some(text) => Some((option, text.to_owned())),
        None => set(variable).map(|text| (variable, text)),
    };
    let limits = Limits {
        bytes_per_second: of("--bandwidth", bandwidth, BANDWIDTH).map(bytes).transpose()?,
        requests_per_second: of("--requests-per-second", requests, REQUESTS).map(number).transpose()?,
    };
    Ok(Traffic::limited_until(limits, signals::raised()))
}

/// The same where there are no options.
#[cfg(any(feature = "kopia-front", feature = "mover"))]
pub(crate) fn traffic_of_environment() -> Result<Traffic, InvalidLimit> {
    traffic(None, None)
}

/// Whether the environment asks to tell at the end what was asked of storage.
pub(crate) fn wants_stats() -> bool {
    set(STATS).is_some_and(|text| matches!(text.as_str(), "1" | "true" | "yes"))
}

/// In one line.
pub(crate) fn told(counts: &Counts) -> String {
    let Counts { lists, sizes, reads, bytes, retries } = *counts;
    format!(
        "storage: {}, {}, {}, {}, {}",
        counted(lists, "listing"),
        counted(sizes, "size question"),
        counted(reads, "read"),
        human_size(bytes),
        counted(retries, "retry/retries")
    )
}

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn bytes((name, text): (&'static str, String)) -> Result<u64, InvalidLimit> {
    let expected = "a size per second, such as 50MB/s or 8MiB/s";
    match size_with_unit(text.trim().trim_end_matches("/s")) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err(InvalidLimit { name, value: text, expected }),
    }
}

fn number((name, text): (&'static str, String)) -> Result<u64, InvalidLimit> {
    let expected = "a number from 1 on";
    match text.trim().parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(InvalidLimit { name, value: text, expected }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_a_size_and_a_number() {
        let name = "--bandwidth";
        assert_eq!(bytes((name, "8MiB/s".into())), Ok(8 << 20));
        assert_eq!(bytes((name, "50MB".into())), Ok(50_000_000));
        for text in ["5", "0MB", "fast", "", "5MB/h"] {
            let error = bytes((name, text.into())).unwrap_err();
            assert_eq!((error.name, error.value.as_str()), (name, text));
        }
        assert_eq!(number((name, "20".into())), Ok(20));
        for text in ["0", "-1", "2.5", ""] {
            assert!(number((name, text.into())).is_err(), "{text}");
        }
    }

    #[test]
    fn what_was_asked_is_told_in_a_line() {
        let counts = Counts { lists: 1, sizes: 0, reads: 3, bytes: 1536, retries: 2 };
        assert_eq!(told(&counts), "storage: 1 listing, 0 size questions, 3 reads, 1.5 KiB, 2 retries");
    }
}
