//! Data on stdout: JSON for programs, escaped text for people.

use std::fmt::Write as _;
use std::io::{self, BufWriter, StdoutLock, Write};

use serde::Serialize;

use super::failure::Failure;
use crate::blob::Counts;
pub(super) use crate::text::{escape, escape_bytes};

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

    /// The one object that a command prints, with what was asked of the storage where that is to be told.
    pub(super) fn json_report(
        &mut self,
        storage: Option<Counts>,
        value: &impl Serialize,
    ) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Report<'a, T> {
            #[serde(flatten)]
            value: &'a T,
            storage: Counts,
        }
        match storage {
            Some(storage) => self.json(&Report { value, storage }),
            None => self.json(value),
        }
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

/// A table with aligned columns: the first row is the heading, and columns listed in `right` are aligned to the right.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    right: &'static [usize],
    indent: &'static str,
}

/// The first digits of an ID, or all of one that is shorter.
pub(super) fn short_id(id: &str, digits: usize) -> &str {
    id.get(..digits).unwrap_or(id)
}

/// A text as one word of a shell.
pub(super) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=~".contains(c);
    match !text.is_empty() && text.chars().all(plain) && !text.starts_with(['-', '~']) {
        true => text.to_owned(),
        false => format!("'{}'", escape(text).replace('\'', r"'\''")),
    }
}

impl Table {
    pub(super) fn new(heading: &[&str], right: &'static [usize]) -> Self {
        Self { rows: vec![heading.iter().map(ToString::to_string).collect()], right, indent: "" }
    }

    /// The same, each line after this many blanks.
    pub(super) fn indented(self, indent: &'static str) -> Self {
        Self { indent, ..self }
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
            let mut line = String::from(self.indent);
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
