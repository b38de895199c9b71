//! Text for people: what is safe to print, and how sizes and durations are written.

use std::borrow::Cow;
use std::fmt::{Display, Write};
use std::time::Duration;

/// Text that is safe on a terminal: what would move the cursor, change colours or turn the direction of writing is
/// spelled out.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// [`escape`] for text in a page: it does not become markup either.
pub(crate) fn escape_html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 16);
    for c in escape(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// [`escape`] for text that need not be UTF-8.
pub(crate) fn escape_bytes(bytes: &[u8]) -> String {
    let mut safe = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        safe.push_str(&escape(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(safe, "\\x{byte:02x}");
        }
    }
    safe
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A number with commas between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number and its noun: `1 file`, `2 files`. A noun whose plural is not made with an `s` is given with it after a
/// slash: `entry/entries`.
pub(crate) fn counted(count: impl Display + PartialEq + From<u8>, noun: &str) -> String {
    let is_one = count == 1.into();
    match noun.split_once('/') {
        Some((one, _)) if is_one => format!("{count} {one}"),
        Some((_, many)) => format!("{count} {many}"),
        None if is_one => format!("{count} {noun}"),
        None => format!("{count} {noun}s"),
    }
}

/// Reads a size in bytes: `1048576`, `256MiB`, `1.5GB`, `64k`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(at)?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1000_u64.pow(2),
        "g" | "gb" => 1000_u64.pow(3),
        "t" | "tb" => 1000_u64.pow(4),
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        "ti" | "tib" => 1 << 40,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let value = number.parse::<f64>().ok()? * factor as f64;
    (number.starts_with(|c: char| c.is_ascii_digit()) && value < u64::MAX as f64).then_some(value as u64)
}

/// As [`size`], with a unit: `--rate 5` is not meant to be 5 bytes.
pub(crate) fn size_with_unit(text: &str) -> Option<u64> {
    size(text).filter(|_| text.trim_end().ends_with(|c: char| c.is_ascii_alphabetic()))
}

/// Writes a size with three or four digits: `1.5 MiB`.
pub(crate) fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// `rwxr-sr-x`.
pub(crate) fn permissions(mode: u32) -> String {
    let special = [(0o4000, 0o100, 's'), (0o2000, 0o010, 's'), (0o1000, 0o001, 't')];
    let mut text: Vec<char> = (0..9)
        .map(|bit| {
            if mode & (0o400 >> bit) == 0 {
                '-'
            } else {
                ['r', 'w', 'x'].get(bit % 3).copied().unwrap_or('-')
            }
        })
        .collect();
    for (position, (bit, execute, letter)) in [2, 5, 8].into_iter().zip(special) {
        if mode & bit != 0
            && let Some(place) = text.get_mut(position)
        {
            *place = if mode & execute == 0 { letter.to_ascii_uppercase() } else { letter };
        }
    }
    text.into_iter().collect()
}

/// Reads a duration: `2h30m`, `3d`, `90s`, `1w`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, after) = tail.split_at_checked(letters)?;
        let seconds: u64 = match unit {
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 7 * 86_400,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(seconds)?)?;
        rest = after;
    }
    (!text.trim().is_empty()).then(|| Duration::from_secs(total))
}

/// Writes a length of time in its two largest units, the second only where it is not zero: `1d 2h`, `5m`, `0.2s`.
pub(crate) fn human_span(length: Duration) -> String {
    let seconds = length.as_secs();
    let two = |(first, unit), (second, smaller)| match second {
        0 => format!("{first}{unit}"),
        _ => format!("{first}{unit} {second}{smaller}"),
    };
    match seconds {
        0..10 if length.subsec_nanos() > 0 => format!("{:.1}s", length.as_secs_f64()),
        0..60 => format!("{seconds}s"),
        60..3600 => two((seconds / 60, 'm'), (seconds % 60, 's')),
        3600..86_400 => two((seconds / 3600, 'h'), (seconds % 3600 / 60, 'm')),
        _ => two((seconds / 86_400, 'd'), (seconds % 86_400 / 3600, 'h')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn nothing_reaches_the_terminal_as_a_command() {
        assert_eq!(escape("plain é 漢"), "plain é 漢");
        assert_eq!(escape("a\x1b[2Jb\n\u{9b}c\u{202e}"), "a\\u{1b}[2Jb\\n\\u{9b}c\\u{202e}");
        assert_eq!(escape_bytes(b"ok\xff\x1b\xc3"), "ok\\xff\\u{1b}\\xc3");
    }

    #[test]
    fn one_is_singular() {
        assert_eq!(
            [counted(0, "file"), counted(1, "file"), counted(2, "file")],
            ["0 files", "1 file", "2 files"]
        );
        assert_eq!([counted(1, "entry/entries"), counted(9, "entry/entries")], ["1 entry", "9 entries"]);
        assert_eq!(counted(2, "thing is wrong/things are wrong"), "2 things are wrong");
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!(human_size(1023), "1023 B");
        assert_eq!(human_size(1536), "1.5 KiB");
        assert_eq!(human_size(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn spans_for_people() {
        for (millis, text) in [
            (0, "0s"),
            (250, "0.2s"),
            (1000, "1s"),
            (12_700, "12s"),
            (67_000, "1m 7s"),
            (9_000_000, "2h 30m"),
            (86_400_000, "1d"),
            (93_600_000, "1d 2h"),
        ] {
            assert_eq!(human_span(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn modes_look_as_in_ls() {
        for (mode, text) in [
            (0o644, "rw-r--r--"),
            (0o4755, "rwsr-xr-x"),
            (0o2644, "rw-r-Sr--"),
            (0o1777, "rwxrwxrwt"),
            (0, "---------"),
        ] {
            assert_eq!(permissions(mode), text);
        }
    }
}
