//! Sizes, times, durations and modes as Kopia prints them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::grammar::Typed;
use crate::gojson::duration::GoDuration;
use crate::snapshot::{DirEntry, EntryType, UtcTimestamp};

/// A size with a unit: powers of 1000, or of 1024 where the environment says so.
pub(super) fn bytes(count: i64) -> String {
    let truth = ["1", "t", "T", "TRUE", "true", "True"];
    let binary =
        std::env::var("KOPIA_BYTES_STRING_BASE_2").is_ok_and(|value| truth.contains(&value.as_str()));
    bytes_in(count, binary)
}

fn bytes_in(count: i64, binary: bool) -> String {
    const DECIMAL: [&str; 7] = ["B", "KB", "MB", "GB", "TB", "PB", "EB"];
    const BINARY: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (step, units) = if binary { (1024.0, BINARY) } else { (1000.0, DECIMAL) };
    scaled(count, step, units)
}

/// A number in thousands, millions and so on.
pub(super) fn count(count: i64) -> String {
    scaled(count, 1000.0, ["", "K", "M", "G", "T", "P", "E"])
}

#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn scaled(count: i64, step: f64, units: [&str; 7]) -> String {
    let mut value = count as f64;
    let mut shown = "";
    for unit in units {
        if !shown.is_empty() || unit != units[0] {
            value /= step;
        }
        shown = unit;
        if value < 0.9 * step {
            break;
        }
    }
    let number = format!("{value:.1}");
    format!("{} {shown}", number.trim_end_matches('0').trim_end_matches('.'))
}

/// A size with a unit, or as it is.
pub(super) fn maybe_bytes(human: bool, count: i64) -> String {
    if human { bytes(count) } else { count.to_string() }
}

/// How much smaller `packed` is than `original`.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub(super) fn compression(original: i64, packed: i64) -> String {
    if packed >= original || original == 0 {
        return "0%".to_owned();
    }
    format!("{:.1}%", 100.0 * (1.0 - packed as f64 / original as f64))
}

/// The zone in which times are shown.
pub(super) struct Times {
    zone: TimeZone,
}

impl Times {
    /// As `--timezone` says; the local zone otherwise.
    pub(super) fn new(typed: &Typed) -> Self {
        let zone = match typed.text("timezone") {
            None | Some("local") => TimeZone::system(),
            Some("utc" | "original") => TimeZone::UTC,
            Some(name) => TimeZone::get(name).unwrap_or(TimeZone::UTC),
        };
        Self { zone }
    }

    /// To the second.
    pub(super) fn show(&self, time: impl Into<UtcTimestamp>) -> String {
        self.format(time.into(), "%Y-%m-%d %H:%M:%S %Z")
    }

    /// To the millisecond.
    pub(super) fn precise(&self, time: impl Into<UtcTimestamp>) -> String {
        let time = time.into();
        let millis = time.to_unix().1 / 1_000_000;
        self.format(time, &format!("%Y-%m-%d %H:%M:%S.{millis:03} %Z"))
    }

    fn format(&self, time: UtcTimestamp, format: &str) -> String {
        match Timestamp::from_nanosecond(time.as_nanos().into()) {
            Ok(instant) => instant.to_zoned(self.zone.clone()).strftime(format).to_string(),
            Err(_) => time.to_string(),
        }
    }
}

/// A time in JSON where Kopia writes the local one: `2026-01-01T04:00:00.0629+01:00`.
pub(super) fn local_json(time: UtcTimestamp) -> String {
    json_in(time, TimeZone::system())
}

fn json_in(time: UtcTimestamp, zone: TimeZone) -> String {
    let Ok(instant) = Timestamp::from_nanosecond(time.as_nanos().into()) else { return time.to_string() };
    let zoned = instant.to_zoned(zone);
    let fraction = format!(".{:09}", time.as_nanos().rem_euclid(1_000_000_000));
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let offset = if zoned.offset().is_zero() { "Z".to_owned() } else { zoned.strftime("%:z").to_string() };
    format!("{}{fraction}{offset}", zoned.strftime("%Y-%m-%dT%H:%M:%S"))
}

/// A duration as Go prints it: `1h0m0s`, `1m30s`, `1.5s`, `20ms`.
pub(super) fn duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let fraction = |value: u64, unit: u64| {
        let digits = unit.ilog10() as usize;
        let text = format!("{}.{:0digits$}", value / unit, value % unit);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{nanos}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", fraction(nanos, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", fraction(nanos, 1_000_000)),
        _ => {
            let minutes = nanos / 60_000_000_000;
            let seconds = fraction(nanos % 60_000_000_000, 1_000_000_000);
            match minutes {
                0 => format!("{sign}{seconds}s"),
                1..60 => format!("{sign}{minutes}m{seconds}s"),
                _ => format!("{sign}{}h{}m{seconds}s", minutes / 60, minutes % 60),
            }
        }
    }
}

/// Reads a duration as Go writes them, in nanoseconds.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    text.parse::<GoDuration>().ok().map(GoDuration::as_nanos)
}

/// The mode of an entry as Go prints it: `drwxr-xr-x`, `Lrwxrwxrwx`, `dtrwxrwxrwx`.
pub(super) fn mode(entry: &DirEntry) -> String {
    // Go's letters for the bits from the highest down.
    const LETTERS: &str = "dalTLDpSugct?";
    const DIRECTORY: u32 = 1 << 31;
    const SYMLINK: u32 = 1 << 27;
    let bits = match entry.kind {
        EntryType::Directory => entry.mode.bits() | DIRECTORY,
        EntryType::Symlink => entry.mode.bits() | SYMLINK,
        EntryType::File => entry.mode.bits(),
        EntryType::Unknown => 0,
    };
    let set = |bit: usize| bits & 1_u32.checked_shl(31 - bit as u32).unwrap_or(0) != 0;
    let mut shown: String =
        LETTERS.chars().enumerate().filter(|(bit, _)| set(*bit)).map(|(_, c)| c).collect();
    if shown.is_empty() {
        shown.push('-');
    }
    let permissions = "rwxrwxrwx".chars().enumerate();
    shown.extend(permissions.map(|(i, c)| if bits & (0o400 >> i) != 0 { c } else { '-' }));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::GoMode;

    #[test]
    fn sizes() {
        for (size, decimal, binary) in [
            (0, "0 B", "0 B"),
            (899, "899 B", "899 B"),
            (900, "0.9 KB", "900 B"),
            (27_038, "27 KB", "26.4 KiB"),
            (899_949, "899.9 KB", "878.9 KiB"),
            (3_230_125, "3.2 MB", "3.1 MiB"),
            (20_971_520, "21 MB", "20 MiB"),
            (i64::MAX, "9.2 EB", "8 EiB"),
            (-5, "-5 B", "-5 B"),
        ] {
            assert_eq!(bytes_in(size, false), decimal);
            assert_eq!(bytes_in(size, true), binary);
        }
        assert_eq!(count(1_234_567), "1.2 M");
        assert_eq!(compression(1127, 450), "60.1%");
        assert_eq!(compression(10, 38), "0%");
    }

    #[test]
    fn durations() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (20_000_000, "20ms"),
            (1_500_000_000, "1.5s"),
            (90_000_000_000, "1m30s"),
            (900_000_000_000, "15m0s"),
            (86_400_000_000_000, "24h0m0s"),
            (-3_600_000_000_000, "-1h0m0s"),
        ] {
            assert_eq!(duration(nanos), text);
            assert_eq!(parse_duration(text), Some(nanos));
        }
        assert_eq!(parse_duration("1.5h"), Some(5_400_000_000_000));
        assert_eq!(parse_duration("300ms"), Some(300_000_000));
        for text in ["", "5", "h", "1d", "1h-1m", "9999999999h", "1.2.3s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn modes() {
        let shown =
            |kind, posix| mode(&DirEntry { kind, mode: GoMode::from_posix(posix), ..DirEntry::default() });
        assert_eq!(shown(EntryType::Directory, 0o755), "drwxr-xr-x");
        assert_eq!(shown(EntryType::Directory, 0o1777), "dtrwxrwxrwx");
        assert_eq!(shown(EntryType::File, 0o4755), "urwxr-xr-x");
        assert_eq!(shown(EntryType::File, 0o600), "-rw-------");
        assert_eq!(shown(EntryType::Symlink, 0o777), "Lrwxrwxrwx");
    }

    #[test]
    fn times_in_a_zone() {
        let paris = Times { zone: TimeZone::get("Europe/Paris").unwrap() };
        let time: UtcTimestamp = "2026-01-01T03:00:00.0629Z".parse().unwrap();
        assert_eq!(paris.show(time), "2026-01-01 04:00:00 CET");
        assert_eq!(paris.precise(time), "2026-01-01 04:00:00.062 CET");
        assert_eq!(json_in(time, paris.zone.clone()), "2026-01-01T04:00:00.0629+01:00");
        assert_eq!(json_in(time, TimeZone::UTC), time.to_string());
        assert_eq!(json_in(UtcTimestamp::default(), TimeZone::UTC), "1970-01-01T00:00:00Z");
    }
}
