//! Times as people write them: each means all of its last digit.

use jiff::Zoned;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::UtcTimestamp;
use crate::gojson::time::days_from_civil;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// All instants that a written time means: `2026-11-21T08:00:30Z` is a whole second, `2026-11-21` a whole day.
///
/// Tools print times to the second, while snapshots have nanoseconds. Who types what was printed means the snapshot
/// that began within that second.
///
/// ```
/// use rokopia::snapshot::Period;
/// let second = Period::rfc3339("2026-11-21T08:00:30Z").unwrap();
/// assert_eq!(second.first().to_string(), "2026-11-21T08:00:30Z");
/// assert_eq!(second.last().to_string(), "2026-11-21T08:00:30.999999999Z");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    first: UtcTimestamp,
    last: UtcTimestamp,
}

impl Period {
    /// A period of one instant.
    pub fn instant(time: UtcTimestamp) -> Self {
        Self { first: time, last: time }
    }

    /// Reads a date and a time of RFC 3339 with its zone, in either case: a second, or a part of one with as many digits
    /// as are given. What lies outside the years 1677 to 2262 becomes the nearest time that a snapshot can have.
    pub fn rfc3339(text: &str) -> Option<Self> {
        let written = Written::parse(text.trim())?;
        (written.separator != Some(' ') && written.unit <= Unit::Second).then_some(())?;
        written.at(written.offset?)
    }

    /// Reads what people write: RFC 3339, `2026-11-21`, `2026-11`, `2026`, `2026-11-21 08`, `2026-11-21 08:00`,
    /// `2026-11-21 08:00:30`, each with a zone (`Z`, `+02:00`) or else in the zone of `now`.
    pub fn parse(text: &str, now: &Zoned) -> Option<Self> {
        let written = Written::parse(text.trim())?;
        match written.offset {
            Some(offset) => written.at(offset),
            None => written.local(now.time_zone()),
        }
    }

    /// Its first instant.
    pub fn first(self) -> UtcTimestamp {
        self.first
    }

    /// Its last instant.
    pub fn last(self) -> UtcTimestamp {
        self.last
    }

    fn from_nanos(first: i128, last: i128) -> Self {
        let clamp = |nanos: i128| {
            UtcTimestamp(i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX }))
        };
        Self { first: clamp(first), last: clamp(last) }
    }
}

/// What the last part of a written time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    /// A part of a second, in nanoseconds.
    Fraction(i64),
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Year,
}

/// A written time, taken apart. Parts that were not written are the least possible.
struct Written {
    year: i16,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
    unit: Unit,
    separator: Option<char>,
    /// Seconds east of UTC, where a zone was written.
    offset: Option<i64>,
}

impl Written {
    fn parse(text: &str) -> Option<Self> {
        let mut scan = Scan(text);
        let mut written = Self {
            year: scan.digits(4)? as i16,
            month: 1,
            day: 1,
            hour: 0,
            minute: 0,
            second: 0,
            nanos: 0,
            unit: Unit::Year,
            separator: None,
            offset: None,
        };
        if scan.take(&['-']).is_some() {
            (written.month, written.unit) = (scan.digits(2)? as i8, Unit::Month);
            if scan.take(&['-']).is_some() {
                (written.day, written.unit) = (scan.digits(2)? as i8, Unit::Day);
                written.separator = scan.take(&['T', 't', ' ']);
            }
        }
        if written.separator.is_some() {
            (written.hour, written.unit) = (scan.digits(2)? as i8, Unit::Hour);
            if scan.take(&[':']).is_some() {
                (written.minute, written.unit) = (scan.digits(2)? as i8, Unit::Minute);
                if scan.take(&[':']).is_some() {
                    (written.second, written.unit) = (scan.digits(2)? as i8, Unit::Second);
                    if scan.take(&['.', ',']).is_some() {
                        let (nanos, unit) = scan.fraction()?;
                        (written.nanos, written.unit) = (nanos, Unit::Fraction(unit));
                    }
                }
            }
            written.offset = scan.offset()?;
        }
        // A leap second: no clock that snapshots are made by shows one.
        written.second = if written.second == 60 { 59 } else { written.second };
        (scan.0.is_empty() && written.civil().is_some()).then_some(written)
    }

    /// Its first moment, as calendars and clocks show it.
    fn civil(&self) -> Option<DateTime> {
        let Self { year, month, day, hour, minute, second, nanos, .. } = *self;
        DateTime::new(year, month, day, hour, minute, second, nanos).ok()
    }

    /// Its first day and the first day after it.
    fn days(&self) -> Option<(i64, i64)> {
        let (year, month, day) = (i64::from(self.year), i64::from(self.month), i64::from(self.day));
        let next = match self.unit {
            Unit::Year => days_from_civil(year + 1, 1, 1),
            Unit::Month if month == 12 => days_from_civil(year + 1, 1, 1),
            Unit::Month => days_from_civil(year, month + 1, 1),
            _ => days_from_civil(year, month, day + 1),
        };
        Some((days_from_civil(year, month, day), next))
    }

    /// Nanoseconds from its first moment to the one after its last.
    fn length(&self) -> Option<i128> {
        Some(match self.unit {
            Unit::Fraction(nanos) => nanos.into(),
            Unit::Second => NANOS_PER_SECOND,
            Unit::Minute => 60 * NANOS_PER_SECOND,
            Unit::Hour => 3_600 * NANOS_PER_SECOND,
            Unit::Day | Unit::Month | Unit::Year => {
                let (first, next) = self.days()?;
                i128::from(next - first) * 86_400 * NANOS_PER_SECOND
            }
        })
    }

    /// The period at a distance from UTC.
    fn at(&self, offset: i64) -> Option<Period> {
        let (days, _) = self.days()?;
        let of_day = i64::from(self.hour) * 3_600 + i64::from(self.minute) * 60 + i64::from(self.second);
        let seconds = days * 86_400 + of_day - offset;
        let first = i128::from(seconds) * NANOS_PER_SECOND + i128::from(self.nanos);
        Some(Period::from_nanos(first, first + self.length()? - 1))
    }

    /// The period by the clocks of a zone. A time that they showed twice means both.
    fn local(&self, zone: &TimeZone) -> Option<Period> {
        let first = self.civil()?;
        // The last nanosecond as the clocks show it: the units from the day up have a varying length.
        let last = match self.unit {
            Unit::Day | Unit::Month | Unit::Year => {
                let (_, next) = self.days()?;
                let (year, month, day) = crate::gojson::time::civil_from_days(next - 1);
                let date = Date::new(i16::try_from(year).ok()?, month as i8, day as i8).ok()?;
                date.at(23, 59, 59, 999_999_999)
            }
            _ => {
                let length = i64::try_from(self.length()? - 1).ok()?;
                first.checked_add(jiff::SignedDuration::from_nanos(length)).ok()?
            }
        };
        match (instant(zone, first, false), instant(zone, last, true)) {
            (Some(first), Some(last)) => Some(Period::from_nanos(first, last)),
            // At the ends of the calendar, where no snapshot can be.
            _ => self.at(0),
        }
    }
}

/// The instant at which the clocks of a zone show a time: of two the first or the last, of none the one that it would
/// have been without the jump.
fn instant(zone: &TimeZone, time: DateTime, last: bool) -> Option<i128> {
    let ambiguous = zone.to_ambiguous_zoned(time);
    let zoned = match ambiguous.offset() {
        AmbiguousOffset::Fold { .. } if last => ambiguous.later(),
        _ => ambiguous.compatible(),
    };
    Some(zoned.ok()?.timestamp().as_nanosecond())
}

/// What is left to read.
struct Scan<'a>(&'a str);

impl Scan<'_> {
    fn take(&mut self, expected: &[char]) -> Option<char> {
        let first = self.0.chars().next().filter(|first| expected.contains(first))?;
        self.0 = self.0.get(first.len_utf8()..)?;
        Some(first)
    }

    fn digits(&mut self, count: usize) -> Option<i32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let value = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
        self.0 = rest;
        Some(value)
    }

    /// Nanoseconds, and how many of them the last digit counts. Digits beyond nine are cut off.
    fn fraction(&mut self) -> Option<(i32, i64)> {
        let length = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.0.split_at_checked(length).filter(|_| length > 0)?;
        let padded: String = digits.chars().chain(std::iter::repeat('0')).take(9).collect();
        self.0 = rest;
        Some((padded.parse().ok()?, 10_i64.pow(9 - length.min(9) as u32)))
    }

    /// `Some(None)` where no zone follows.
    fn offset(&mut self) -> Option<Option<i64>> {
        if self.0.is_empty() {
            return Some(None);
        }
        if self.take(&['Z', 'z']).is_some() {
            return Some(Some(0));
        }
        let sign = if self.take(&['+', '-'])? == '+' { 1 } else { -1 };
        let hours = i64::from(self.digits(2)?);
        let minutes = if self.0.is_empty() {
            0
        } else {
            self.take(&[':']);
            i64::from(self.digits(2)?)
        };
        (hours <= 24 && minutes <= 60).then_some(Some(sign * (hours * 3_600 + minutes * 60)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn now(zone: &str) -> Zoned {
        jiff::Timestamp::UNIX_EPOCH.to_zoned(TimeZone::get(zone).unwrap())
    }

    fn shown(text: &str, zone: &str) -> String {
        match Period::parse(text, &now(zone)) {
            Some(Period { first, last }) => format!("{first} {}", UtcTimestamp(last.0 + 1)),
            None => "none".into(),
        }
    }

    #[test]
    fn every_unit_is_meant_as_a_whole_in_every_zone() {
        for (zone, text, expected) in [
            ("UTC", "2026", "2026-01-01T00:00:00Z 2027-01-01T00:00:00Z"),
            ("UTC", "2026-12", "2026-12-01T00:00:00Z 2027-01-01T00:00:00Z"),
            ("UTC", "2024-02", "2024-02-01T00:00:00Z 2024-03-01T00:00:00Z"),
            ("UTC", "2026-11-21", "2026-11-21T00:00:00Z 2026-11-22T00:00:00Z"),
            ("UTC", "2026-11-21 08", "2026-11-21T08:00:00Z 2026-11-21T09:00:00Z"),
            ("UTC", "2026-11-21 08:00", "2026-11-21T08:00:00Z 2026-11-21T08:01:00Z"),
            ("UTC", "2026-11-21T08:00:30", "2026-11-21T08:00:30Z 2026-11-21T08:00:31Z"),
            ("UTC", "2026-11-21 08:00:30.5", "2026-11-21T08:00:30.5Z 2026-11-21T08:00:30.6Z"),
            ("UTC", "2026-11-21 08:00:30.123", "2026-11-21T08:00:30.123Z 2026-11-21T08:00:30.124Z"),
            (
                "UTC",
                "2026-11-21 08:00:30.123456789",
                "2026-11-21T08:00:30.123456789Z 2026-11-21T08:00:30.12345679Z",
            ),
            ("Europe/Paris", "2026-11-21", "2026-11-20T23:00:00Z 2026-11-21T23:00:00Z"),
            ("Europe/Paris", "2026-07-01 08:00", "2026-07-01T06:00:00Z 2026-07-01T06:01:00Z"),
            ("Europe/Paris", "2026-07-01 08:00Z", "2026-07-01T08:00:00Z 2026-07-01T08:01:00Z"),
            ("Europe/Paris", "2026-07-01T08:00:00-0330", "2026-07-01T11:30:00Z 2026-07-01T11:30:01Z"),
            ("Asia/Kathmandu", "2026-11-21 08", "2026-11-21T02:15:00Z 2026-11-21T03:15:00Z"),
            // A day of 23 hours and one of 25.
            ("Europe/Paris", "2026-03-29", "2026-03-28T23:00:00Z 2026-03-29T22:00:00Z"),
            ("Europe/Paris", "2026-10-25", "2026-10-24T22:00:00Z 2026-10-25T23:00:00Z"),
            // Shown twice, and never.
            ("Europe/Paris", "2026-10-25 02:30", "2026-10-25T00:30:00Z 2026-10-25T01:31:00Z"),
            ("Europe/Paris", "2026-03-29 02:30", "2026-03-29T01:30:00Z 2026-03-29T01:31:00Z"),
            // Midnight is skipped.
            ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z 2018-11-05T02:00:00Z"),
        ] {
            assert_eq!(shown(text, zone), expected, "{text} in {zone}");
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "yesterday",
            "26-11-21",
            "2026-13",
            "2026-13-01",
            "2026-02-30",
            "2026-1-1",
            "2026-11-21 25:00",
            "12:00",
            "2026-11-21 08:00 CET",
            "2026-11-21 08:00:30.",
            "2026-11-21T",
            "2026-11-21Z",
            "2026-11-21 08:61",
            "1767225600",
            "2026-11-21T08:00:00+2",
            "2026-11-21T08:00:00+99:00",
            "2026-11-21T08:00:00Zx",
            "é026-11-21",
        ] {
            assert_eq!(shown(text, "UTC"), "none", "{text}");
        }
        for text in ["2026-11-21", "2026-11-21 08:00:00Z", "2026-11-21T08:00Z", "2026-11-21T08:00:00"] {
            assert_eq!(Period::rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn times_that_no_snapshot_has_become_the_nearest() {
        let clamped = |text| Period::rfc3339(text).map(|period| (period.first.0, period.last.0));
        assert_eq!(clamped("9999-12-31T23:59:59Z"), Some((i64::MAX, i64::MAX)));
        assert_eq!(clamped("0001-01-01T00:00:00Z"), Some((i64::MIN, i64::MIN)));
        assert_eq!(clamped(" 2262-04-11t23:47:16z"), Some((i64::MAX / SECOND * SECOND, i64::MAX)));
        let ends = Period::parse("9999-12-31 23:59", &now("America/New_York")).unwrap();
        assert_eq!(ends.last.0, i64::MAX);
        assert_eq!(Period::parse("0000-01-01", &now("Asia/Tokyo")).unwrap().first.0, i64::MIN);
    }
}
