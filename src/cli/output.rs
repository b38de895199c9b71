//! Data on stdout: JSON for programs, escaped text for people.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, BufWriter, StdoutLock, Write};

use serde::Serialize;

use super::failure::Failure;

/// Buffered stdout whose failures become [`Failure`]s. Call [`Output::finish`] at the end, or what is buffered is lost.
pub(super) struct Output {
    inner: BufWriter<StdoutLock<'static>>,
}

impl Output {
    pub(super) fn new() -> Self {
        Self { inner: BufWriter::with_capacity(64 * 1024, io::stdout().lock()) }
    }

    /// One line of text.
    pub(super) fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.bytes(text.as_ref().as_bytes())?;
        self.bytes(b"\n")
    }

    /// One line of JSON.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.inner, value).map_err(|e| Failure::output(e.into()))?;
        self.bytes(b"\n")
    }

    /// An array of JSON objects, one a line.
    pub(super) fn json_array<T: Serialize>(
        &mut self,
        values: impl IntoIterator<Item = T>,
    ) -> Result<(), Failure> {
        let mut separator = "[\n ";
        for value in values {
            self.bytes(separator.as_bytes())?;
            serde_json::to_writer(&mut self.inner, &value).map_err(|e| Failure::output(e.into()))?;
            separator = ",\n ";
        }
        self.line(if separator.starts_with('[') { "[\n]" } else { "\n]" })
    }

    /// Bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.inner.write_all(bytes).map_err(Failure::output)
    }

    /// Writes what is buffered.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.inner.flush().map_err(Failure::output)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Text that is safe on a terminal: what would move the cursor, change colours or turn the direction of writing is
/// spelled out.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
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

/// [`escape`] for text that need not be UTF-8.
pub(super) fn escape_bytes(bytes: &[u8]) -> String {
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

/// A table with aligned columns: the first row is the heading, and columns listed in `right` are aligned to the right.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    right: &'static [usize],
}

impl Table {
    pub(super) fn new(heading: &[&str], right: &'static [usize]) -> Self {
        Self { rows: vec![heading.iter().map(ToString::to_string).collect()], right }
    }

    /// Adds a row; its texts are escaped.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| escape(&cell).into_owned()).collect());
    }

    pub(super) fn print(&self, out: &mut Output) -> Result<(), Failure> {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let padding = width.saturating_sub(cell.chars().count());
                if self.right.contains(&column) {
                    let _ = write!(line, "{:padding$}{cell}  ", "");
                } else {
                    let _ = write!(line, "{cell}{:padding$}  ", "");
                }
            }
            out.line(line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_as_a_command() {
        assert_eq!(escape("plain é 漢"), "plain é 漢");
        assert_eq!(escape("a\x1b[2Jb\n\u{9b}c\u{202e}"), "a\\u{1b}[2Jb\\n\\u{9b}c\\u{202e}");
        assert_eq!(escape_bytes(b"ok\xff\x1b\xc3"), "ok\\xff\\u{1b}\\xc3");
    }
}
