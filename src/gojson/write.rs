//! Writes JSON byte for byte as Go's encoder does: compact, with HTML-sensitive characters escaped.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

/// Serialises `value` compactly as Go's `json.Marshal` would, given fields in the same order. Beside what JSON
/// requires, `<`, `>`, `&`, U+2028 and U+2029 are escaped.
pub(crate) fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    let mut out = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut out, GoFormatter))?;
    String::from_utf8(out).map_err(serde::ser::Error::custom)
}

/// A `serde_json` formatter with Go's escaping rules.
#[derive(Clone, Copy, Default, Debug)]
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) =
            rest.char_indices().find(|(_, c)| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'))
        {
            let (plain, tail) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            write!(writer, "\\u{:04x}", u32::from(c))?;
            rest = tail.get(c.len_utf8()..).unwrap_or_default();
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::to_string;

    #[test]
    fn escapes_like_go() {
        assert_eq!(
            to_string("a<b>&c\u{2028}\u{2029}\"\\\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}é").unwrap(),
            r#""a\u003cb\u003e\u0026c\u2028\u2029\"\\\b\f\n\r\t\u0001\u001f"#.to_owned() + "\u{7f}é\""
        );
        assert_eq!(to_string(&[("<", 1)]).unwrap(), r#"[["\u003c",1]]"#);
        assert_eq!(to_string("").unwrap(), r#""""#);
    }
}
