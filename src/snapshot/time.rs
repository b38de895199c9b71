//! Times of snapshots and entries (`format-spec/13-snapshots.md`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer};
use serde::{Serialize, Serializer};

use crate::gojson::time::GoTime;
use crate::text::human_span;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Nanoseconds since 1970-01-01T00:00:00Z, from 1677 to 2262. What lies outside wraps around, as in Kopia: year 1
/// becomes 1754-08-30T22:43:41.128654848Z, which real repositories hold.
///
/// ```
/// use rokopia::UtcTimestamp;
/// let time: UtcTimestamp = "2024-01-02T03:04:05.100+02:00".parse().unwrap();
/// assert_eq!(time.to_string(), "2024-01-02T01:04:05.1Z");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UtcTimestamp(pub i64);

/// Text that is not an RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time: {0:?}")]
pub struct InvalidTime(pub String);

/// A clock that is ahead by no more than this is no finding: clocks of a cluster differ by seconds.
pub(crate) const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

impl UtcTimestamp {
    /// Now, by the system's clock.
    pub fn now() -> UtcTimestamp {
        UtcTimestamp::from(std::time::SystemTime::now())
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub fn as_nanos(self) -> i64 {
        self.0
    }

    /// Seconds since 1970-01-01T00:00:00Z rounded down, and the nanoseconds of that second.
    pub fn to_unix(self) -> (i64, u32) {
        let nanos = self.0.rem_euclid(NANOS_PER_SECOND);
        (self.0.div_euclid(NANOS_PER_SECOND), u32::try_from(nanos).unwrap_or_default())
    }

    /// Seconds from `earlier` to this time, rounded towards zero.
    pub fn seconds_since(self, earlier: UtcTimestamp) -> i64 {
        let nanos = i128::from(self.0) - i128::from(earlier.0);
        i64::try_from(nanos / i128::from(NANOS_PER_SECOND)).unwrap_or_default()
    }

    /// What is wrong where a snapshot of this time was begun after `now`: one of two clocks.
    pub fn clock_problem(self, now: UtcTimestamp) -> Option<String> {
        let ahead = u64::try_from(self.seconds_since(now)).unwrap_or(0);
        (ahead > CLOCK_TOLERANCE.as_secs()).then(|| {
            format!(
                "it was begun {} in the future, at {self}: the clock of this machine is wrong, or that of the machine that \
                 made the snapshot was",
                human_span(Duration::from_secs(ahead))
            )
        })
    }
}

impl From<GoTime> for UtcTimestamp {
    fn from(time: GoTime) -> Self {
        UtcTimestamp(time.wrapping_unix_nanos())
    }
}

impl From<std::time::SystemTime> for UtcTimestamp {
    /// Saturates at the ends of the range.
    fn from(time: std::time::SystemTime) -> Self {
        UtcTimestamp(match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
        })
    }
}

impl FromStr for UtcTimestamp {
    type Err = InvalidTime;

    /// Parses RFC 3339 as strictly, or leniently, as Go does.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        GoTime::parse(text).map(Self::from).ok_or_else(|| InvalidTime(text.chars().take(80).collect()))
    }
}

impl fmt::Display for UtcTimestamp {
    /// RFC 3339 in UTC with as many fractional digits as needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = self.to_unix();
        GoTime::from_unix(seconds, nanos).fmt(f)
    }
}

impl fmt::Debug for UtcTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for UtcTimestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UtcTimestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        GoTime::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_and_prints_like_kopia() {
        // What Kopia stored for the dates a client asked for.
        for (asked, stored) in [
            ("2300-01-01T00:00:00Z", "1715-06-13T00:25:26.290448384Z"),
            ("9999-12-31T23:59:59Z", "1816-03-30T05:56:07.066277376Z"),
            ("1600-01-01T00:00:00Z", "2184-07-20T23:34:33.709551616Z"),
            ("0001-01-01T00:00:00Z", "1754-08-30T22:43:41.128654848Z"),
            ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z"),
            ("2262-04-11T23:47:16Z", "2262-04-11T23:47:16Z"),
        ] {
            assert_eq!(asked.parse::<UtcTimestamp>().unwrap().to_string(), stored);
        }
        assert_eq!(UtcTimestamp(i64::MIN).to_string(), "1677-09-21T00:12:43.145224192Z");
        assert_eq!(UtcTimestamp(i64::MAX).to_string(), "2262-04-11T23:47:16.854775807Z");
    }

    #[test]
    fn json_null_is_the_zero_time_of_go() {
        let time: UtcTimestamp = serde_json::from_str("null").unwrap();
        assert_eq!(time.0, -6_795_364_578_871_345_152);
        assert_eq!(serde_json::to_string(&UtcTimestamp(1)).unwrap(), "\"1970-01-01T00:00:00.000000001Z\"");
        for text in ["1", "\"\"", "\"yesterday\"", "[]"] {
            assert!(serde_json::from_str::<UtcTimestamp>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_in_the_future_is_a_problem_of_clocks() {
        let at = |seconds: i64| UtcTimestamp(seconds * NANOS_PER_SECOND);
        assert_eq!(at(1000).clock_problem(at(1000)), None);
        assert_eq!(at(1300).clock_problem(at(1000)), None);
        assert!(at(1301).clock_problem(at(1000)).unwrap().contains("5m 1s in the future"));
        assert_eq!(UtcTimestamp(i64::MIN).clock_problem(UtcTimestamp(i64::MAX)), None);
    }

    #[test]
    fn arithmetic_does_not_overflow() {
        let (low, high) = (UtcTimestamp(i64::MIN), UtcTimestamp(i64::MAX));
        assert_eq!(high.seconds_since(low), 18_446_744_073);
        assert_eq!(UtcTimestamp(-1).to_unix(), (-1, 999_999_999));
        assert_eq!(UtcTimestamp::from(std::time::UNIX_EPOCH), UtcTimestamp(0));
        let before = std::time::UNIX_EPOCH - std::time::Duration::from_nanos(5);
        assert_eq!(UtcTimestamp::from(before), UtcTimestamp(-5));
    }
}
