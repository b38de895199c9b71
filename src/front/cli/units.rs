//! Sizes, durations and times as people write and read them.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::context::wrong_value;
use super::failure::Failure;
use crate::snapshot::{Period, UtcTimestamp};
use crate::text::counted;
pub(super) use crate::text::{duration, human_size, human_span, size, size_with_unit};

/// Reads a time: one that [`Period`] knows, or a duration, which means so long before `now`.
pub(super) fn period(text: &str, now: &Zoned) -> Option<Period> {
    match text {
        "today" => return Period::parse(&now.strftime("%Y-%m-%d").to_string(), now),
        "yesterday" => {
            return Period::parse(&now.yesterday().ok()?.strftime("%Y-%m-%d").to_string(), now);
        }
        _ => {}
    }
    match duration(text) {
        Some(ago) => {
            let time = now.timestamp().checked_sub(ago).ok()?;
            let nanos = i64::try_from(time.as_nanosecond()).unwrap_or(i64::MIN);
            Some(Period::instant(UtcTimestamp(nanos)))
        }
        None => Period::parse(text, now),
    }
}

/// Reads an owner and a group: `1000:1000`, the value of `--owner`.
#[cfg(any(feature = "mount", feature = "nfs"))]
pub(super) fn owner(text: &str) -> Result<(u32, u32), Failure> {
    let numbers = text.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
    numbers.ok_or_else(|| wrong_value("--owner", text, "two numbers such as 1000:1000"))
}

/// A time for people: to the second, in the local zone.
pub(super) fn human_time(time: UtcTimestamp) -> String {
    match Timestamp::from_nanosecond(time.as_nanos().into()) {
        Ok(time) => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        Err(_) => time.to_string(),
    }
}

/// [`human_time`] for a column of a table, without the zone: as `@TIME` takes it.
pub(super) fn table_time(time: UtcTimestamp) -> String {
    match Timestamp::from_nanosecond(time.as_nanos().into()) {
        Ok(time) => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => time.to_string(),
    }
}

/// How long ago a time was, for people: `5 hours ago`. A time in the future is called that: one of the clocks is wrong.
pub(super) fn ago(time: UtcTimestamp, now: UtcTimestamp) -> String {
    match u64::try_from(now.seconds_since(time)) {
        Ok(seconds) => {
            let (count, unit) = age(seconds);
            format!("{} ago", counted(count, unit))
        }
        Err(_) => "in the future: check the clocks".to_owned(),
    }
}

/// [`ago`] for a column of a table: `5h`.
pub(super) fn short_age(time: UtcTimestamp, now: UtcTimestamp) -> String {
    match u64::try_from(now.seconds_since(time)) {
        Ok(seconds) => {
            let (count, unit) = age(seconds);
            format!("{count}{}", unit.chars().next().unwrap_or_default())
        }
        Err(_) => "future".to_owned(),
    }
}

/// An age in one unit, which is large but not coarse: from two of it on.
fn age(seconds: u64) -> (u64, &'static str) {
    match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("1048576", 1 << 20),
            ("256MiB", 256 << 20),
            ("1.5GB", 1_500_000_000),
            ("0.5 KiB", 512),
            ("64k", 64_000),
            ("2Ti", 2 << 40),
            ("17179869183GiB", 17_179_869_183 << 30),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        assert_eq!((size_with_unit("5MB"), size_with_unit("5b ")), (Some(5_000_000), Some(5)));
        assert_eq!((size_with_unit("5"), size_with_unit("1.5"), size_with_unit("X")), (None, None, None));
        for text in ["", "MiB", "-1", "1X", "1.2.3", ".5", "1e3", "99999999999999999999", "17179869184GiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn durations() {
        let seconds = |text| duration(text).map(|d| d.as_secs());
        assert_eq!(seconds("2h30m"), Some(9000));
        assert_eq!(seconds("3d"), Some(259_200));
        assert_eq!(seconds("1w1s"), Some(604_801));
        for text in ["", "3", "d", "3x", "h3", "-3d", "99999999999999999w"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn ages() {
        let at = |seconds: i64| UtcTimestamp(seconds * 1_000_000_000);
        assert_eq!(ago(at(0), at(1)), "1 second ago");
        assert_eq!(ago(at(0), at(7199)), "119 minutes ago");
        assert_eq!(ago(at(0), at(172_799)), "47 hours ago");
        assert_eq!(
            (ago(at(0), at(259_200)), short_age(at(0), at(259_200))),
            ("3 days ago".into(), "3d".into())
        );
        assert_eq!(
            (ago(at(9), at(0)), short_age(at(9), at(0))),
            ("in the future: check the clocks".into(), "future".into())
        );
    }

    #[test]
    fn times() {
        let now: Zoned = "2026-11-21T12:00:00+01:00[Europe/Paris]".parse().unwrap();
        let shown = |text| period(text, &now).map(|p| format!("{} {}", p.first(), p.last()));
        assert_eq!(shown("yesterday"), shown("2026-11-20"));
        assert_eq!(shown("today"), shown("2026-11-21"));
        assert_eq!(shown("3d").as_deref(), Some("2026-11-18T11:00:00Z 2026-11-18T11:00:00Z"));
        assert_eq!(
            shown("2026-11-21 08:00").as_deref(),
            Some("2026-11-21T07:00:00Z 2026-11-21T07:00:59.999999999Z")
        );
        assert_eq!((shown(""), shown("yesteryear"), shown("99999999w")), (None, None, None));
    }
}
