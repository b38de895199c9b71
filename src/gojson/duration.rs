//! Durations as Go writes them: `300ms`, `7s`, `5m`, `1h30m`, `-1.5s`.

use std::str::FromStr;
use std::time::Duration;

/// A duration as Go reads it, which may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GoDuration {
    negative: bool,
    magnitude: Duration,
}

/// Text that is not a duration, with Go's words for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidDuration {
    /// Not a number with a unit.
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    /// A number without a unit.
    #[error("time: missing unit in duration {0:?}")]
    NoUnit(String),
    /// A unit that does not exist.
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The text.
        text: String,
    },
}

impl GoDuration {
    /// The duration, when it is longer than nothing.
    pub(crate) fn positive(self) -> Option<Duration> {
        Some(self.magnitude).filter(|magnitude| !self.negative && !magnitude.is_zero())
    }

    /// In nanoseconds, of which Go has no more either.
    pub(crate) fn as_nanos(self) -> i64 {
        let nanos = i64::try_from(self.magnitude.as_nanos()).unwrap_or(i64::MAX);
        if self.negative { -nanos } else { nanos }
    }

    /// Whether it is shorter than nothing.
    pub(crate) fn is_negative(self) -> bool {
        self.negative && !self.magnitude.is_zero()
    }
}

impl FromStr for GoDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidDuration::Invalid(text.to_owned());
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if unsigned == "0" {
            return Ok(Self { negative: false, magnitude: Duration::ZERO });
        }
        if unsigned.is_empty() {
            return Err(invalid());
        }
        let mut rest = unsigned;
        let mut nanos = 0_i64;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, tail) = rest.split_at_checked(digits).ok_or_else(invalid)?;
            let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, after) = tail.split_at_checked(letters).ok_or_else(invalid)?;
            if !number.bytes().any(|b| b.is_ascii_digit()) {
                return Err(invalid());
            }
            let scale = match unit {
                "" => return Err(InvalidDuration::NoUnit(text.to_owned())),
                "ns" => 1,
                "us" | "µs" | "μs" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                _ => {
                    let (unit, text) = (unit.to_owned(), text.to_owned());
                    return Err(InvalidDuration::UnknownUnit { unit, text });
                }
            };
            let part = scaled(number, scale).ok_or_else(invalid)?;
            nanos = nanos.checked_add(part).ok_or_else(invalid)?;
            rest = after;
        }
        let magnitude = Duration::from_nanos(u64::try_from(nanos).map_err(|_| invalid())?);
        Ok(Self { negative, magnitude })
    }
}

/// A decimal number of units of `scale` nanoseconds.
fn scaled(number: &str, scale: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(scale)?;
    let mut unit = scale;
    for digit in fraction.bytes() {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        unit /= 10;
        nanos = nanos.checked_add(unit.checked_mul(digit.into())?)?;
    }
    Some(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_reads() {
        let millis = |text: &str| text.parse::<GoDuration>().unwrap().magnitude.as_millis();
        for (text, expected) in [
            ("0", 0),
            ("300ms", 300),
            ("7s", 7_000),
            ("1h30m", 5_400_000),
            ("+1.5s", 1_500),
            ("-1.5h", 5_400_000),
            (".5s", 500),
            ("1.s", 1_000),
            ("1000us", 1),
            ("1000µs", 1),
        ] {
            assert_eq!(millis(text), expected, "{text}");
        }
        assert!("-1s".parse::<GoDuration>().unwrap().is_negative());
        assert!(!"-0s".parse::<GoDuration>().unwrap().is_negative());
    }

    #[test]
    fn what_go_refuses_and_how_it_says_so() {
        let error = |text: &str| text.parse::<GoDuration>().unwrap_err().to_string();
        for text in ["", "x", "-", ".", ".s", "1..2s", "1h 2m", "9999999h", "é"] {
            assert!(error(text).starts_with("time: "), "{text}");
        }
        assert_eq!(error("x"), "time: invalid duration \"x\"");
        assert_eq!(error("3"), "time: missing unit in duration \"3\"");
        assert_eq!(error("3d"), "time: unknown unit \"d\" in duration \"3d\"");
    }
}
