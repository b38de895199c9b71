//! Data on stdout.

use std::io::{self, BufWriter, StdoutLock, Write};

use super::failure::Failure;
use super::grammar::{Flag, Typed};
use super::json;

/// The flags of commands that can print JSON.
pub(super) const JSON: &[Flag] =
    &[Flag::switch("json"), Flag::switch("json-indent"), Flag::switch("json-verbose")];

/// Buffered stdout. Call [`Output::finish`] at the end, or what is buffered is lost.
pub(super) struct Output {
    inner: BufWriter<StdoutLock<'static>>,
}

impl Output {
    pub(super) fn new() -> Self {
        Self { inner: BufWriter::with_capacity(64 * 1024, io::stdout().lock()) }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.inner.write_all(bytes).map_err(|e| Failure::output(&e))
    }

    pub(super) fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.bytes(text.as_ref().as_bytes())?;
        self.bytes(b"\n")
    }

    /// One line of JSON, or many with `--json-indent`.
    pub(super) fn json(&mut self, typed: &Typed, json: &str) -> Result<(), Failure> {
        self.line(shaped(typed, json))
    }

    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.inner.flush().map_err(|e| Failure::output(&e))
    }
}

fn shaped(typed: &Typed, json: &str) -> String {
    if typed.on("json-indent") { json::indent(json, "") } else { json.to_owned() }
}

/// A list of JSON objects, one a line, without a newline at its end; or nothing at all unless `--json` is given.
pub(super) struct List {
    /// What comes before the next item; `None` when JSON is not wanted.
    separator: Option<&'static str>,
    indented: bool,
}

impl List {
    pub(super) fn begin(typed: &Typed, out: &mut Output) -> Result<Self, Failure> {
        if !typed.on("json") {
            return Ok(Self { separator: None, indented: false });
        }
        out.bytes(b"[")?;
        let indented = typed.on("json-indent");
        Ok(Self { separator: Some(if indented { "" } else { "\n " }), indented })
    }

    pub(super) fn item(&mut self, out: &mut Output, json: &str) -> Result<(), Failure> {
        out.bytes(self.separator.unwrap_or_default().as_bytes())?;
        self.separator = Some(if self.indented { "," } else { ",\n " });
        if self.indented { out.bytes(json::indent(json, "").as_bytes()) } else { out.bytes(json.as_bytes()) }
    }

    pub(super) fn end(self, out: &mut Output) -> Result<(), Failure> {
        match self.separator {
            Some(_) if self.indented => out.bytes(b"]"),
            Some(_) => out.bytes(b"\n]"),
            None => Ok(()),
        }
    }
}
