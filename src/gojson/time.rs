//! Instants as Go's `time.Time` marshals them: RFC 3339 with up to nine fractional digits.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar. `month` is 1 to 12, `day` counts from 1 and
/// may lie outside the month.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March have their leap day at the end, which makes month lengths a linear function.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a number of days since 1970-01-01; inverse of [`days_from_civil`].
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// An instant between the years 0 and 9999 with nanoseconds, as manifests store it. Compared as an instant; a
/// numeric offset in the input is applied and forgotten.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoTime {
    seconds: i64,
    nanos: u32,
}

impl GoTime {
    /// Go's zero time, 0001-01-01T00:00:00Z: what a missing or `null` time is.
    pub const ZERO: GoTime = GoTime { seconds: -62_135_596_800, nanos: 0 };

    /// An instant from seconds since 1970-01-01T00:00:00Z and nanoseconds below 10⁹.
    pub(crate) fn from_unix(seconds: i64, nanos: u32) -> GoTime {
        GoTime { seconds, nanos }
    }

    /// Seconds since 1970-01-01T00:00:00Z, rounded down.
    pub fn seconds(&self) -> i64 {
        self.seconds
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z in 64 bits. Times outside about 1678 to 2262 wrap, as they do in
    /// Go's `UnixNano`.
    pub fn wrapping_unix_nanos(&self) -> i64 {
        self.seconds.wrapping_mul(1_000_000_000).wrapping_add(i64::from(self.nanos))
    }

    /// Parses what Go's `time.Time` accepts in JSON: RFC 3339, also with a comma before the fraction, a one-digit
    /// hour, and more than nine fractional digits (cut off).
    pub fn parse(text: &str) -> Option<GoTime> {
        let mut scan = Scan(text.as_bytes());
        let year = scan.digits(4)?;
        scan.byte(b'-')?;
        let month = scan.digits(2)?;
        scan.byte(b'-')?;
        let day = scan.digits(2)?;
        scan.byte(b'T')?;
        let hour = scan.digits(2).or_else(|| scan.digits(1))?;
        scan.byte(b':')?;
        let minute = scan.digits(2)?;
        scan.byte(b':')?;
        let second = scan.digits(2)?;
        let nanos = scan.fraction()?;
        let offset = scan.offset()?;
        let valid = (1..=12).contains(&month)
            && day >= 1
            && day <= days_in_month(year, month)
            && hour <= 23
            && minute <= 59
            && second <= 59
            && scan.0.is_empty();
        let seconds =
            days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
        valid.then_some(GoTime { seconds, nanos })
    }
}

/// What is left to read of a time.
struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    fn byte(&mut self, expected: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        (*first == expected).then(|| self.0 = rest)
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let mut value = 0;
        for digit in digits {
            value = value * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
        }
        self.0 = rest;
        Some(value)
    }

    fn fraction(&mut self) -> Option<u32> {
        if self.byte(b'.').or_else(|| self.byte(b',')).is_none() {
            return Some(0);
        }
        let length = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        let nanos = digits.iter().chain(std::iter::repeat(&b'0')).take(9);
        (length > 0).then(|| nanos.fold(0, |value, digit| value * 10 + u32::from(digit - b'0')))
    }

    /// Seconds east of UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.byte(b'Z').is_some() {
            return Some(0);
        }
        let sign = if self.byte(b'+').is_some() { 1 } else { self.byte(b'-').map(|()| -1)? };
        let hours = self.digits(2)?;
        self.byte(b':')?;
        let minutes = self.digits(2)?;
        // Go lets 24 hours and 60 minutes pass.
        (hours <= 24 && minutes <= 60).then_some(sign * (hours * 3_600 + minutes * 60))
    }
}

impl Default for GoTime {
    fn default() -> Self {
        GoTime::ZERO
    }
}

impl fmt::Display for GoTime {
    /// RFC 3339 in UTC, trailing zeros of the fraction trimmed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.seconds.div_euclid(86_400));
        let of_day = self.seconds.rem_euclid(86_400);
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos != 0 {
            let digits = format!("{:09}", self.nanos);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl fmt::Debug for GoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for GoTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rfc3339;
        impl Visitor<'_> for Rfc3339 {
            type Value = GoTime;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time")
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<GoTime, E> {
                Ok(GoTime::ZERO)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<GoTime, E> {
                GoTime::parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Rfc3339)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_go_parses() {
        for (text, printed) in [
            ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
            ("2024-01-02T03:04:05.1Z", "2024-01-02T03:04:05.1Z"),
            ("2024-01-02T03:04:05,120Z", "2024-01-02T03:04:05.12Z"),
            ("2024-01-02T03:04:05.0000000019Z", "2024-01-02T03:04:05.000000001Z"),
            ("2024-01-02T3:04:05Z", "2024-01-02T03:04:05Z"),
            ("2024-01-02T03:04:05+02:00", "2024-01-02T01:04:05Z"),
            ("2024-01-02T03:04:05-04:30", "2024-01-02T07:34:05Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("0000-12-31T23:59:59Z", "0000-12-31T23:59:59Z"),
            ("1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999999Z"),
            ("9999-12-31T23:59:59.5Z", "9999-12-31T23:59:59.5Z"),
        ] {
            assert_eq!(GoTime::parse(text).unwrap().to_string(), printed, "{text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in [
            "",
            "2024-01-02",
            "2024-01-02 03:04:05Z",
            "2024-01-02t03:04:05Z",
            "2024-01-02T03:04:05",
            "2024-01-02T03:04:05z",
            "2024-13-02T03:04:05Z",
            "2024-00-02T03:04:05Z",
            "2023-02-29T03:04:05Z",
            "2024-01-00T03:04:05Z",
            "2024-01-02T24:00:00Z",
            "2024-01-02T03:60:05Z",
            "2024-01-02T03:04:60Z",
            "2024-01-02T03:04:05.Z",
            "2024-01-02T03:04:05Zx",
            "2024-01-02T03:04:05+2:00",
            "2024-01-02T03:04:05+25:00",
            "+024-01-02T03:04:05Z",
            "20240-1-02T03:04:05Z",
        ] {
            assert_eq!(GoTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn wraps_like_unix_nano() {
        assert_eq!(GoTime::ZERO.wrapping_unix_nanos(), -6_795_364_578_871_345_152);
        assert_eq!(GoTime::parse("0001-01-01T00:00:00Z"), Some(GoTime::ZERO));
    }

    #[test]
    fn calendar_round_trips() {
        for days in (-800_000..3_000_000).step_by(37) {
            let (year, month, day) = civil_from_days(days);
            assert!((1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day));
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn orders_by_instant() {
        let earlier = GoTime::parse("2024-01-02T03:04:05.000000001+02:00").unwrap();
        let later = GoTime::parse("2024-01-02T01:04:05.000000002Z").unwrap();
        assert!(GoTime::ZERO < earlier && earlier < later);
    }
}
