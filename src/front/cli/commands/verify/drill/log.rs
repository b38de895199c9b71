//! `--drill-log`: which source was drilled when, with what, one line each.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::blob::Guard;
use crate::front::cli::failure::{Exit, Failure};
use crate::snapshot::UtcTimestamp;

/// A log beyond this is not read.
const MOST: u64 = 64 << 20;

/// One drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) time: String,
    pub(super) source: String,
    pub(super) snapshot: String,
    pub(super) root: String,
    pub(super) result: String,
}

impl Record {
    /// When it was; a time that cannot be read is long ago.
    pub(super) fn at(&self) -> UtcTimestamp {
        self.time.parse().unwrap_or_default()
    }
}

/// The drills of the past, and where new ones are written.
pub(super) struct Log {
    file: std::fs::File,
    last: HashMap<String, Record>,
}

impl Log {
    pub(super) fn open(path: &Path, guard: &Guard) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| {
            Failure::new(Exit::Unknown, "ledger-io", format!("the log of drills {}: {e}", path.display()))
        };
        let file = guard.writable(path)?.append().map_err(failed)?;
        let mut last = HashMap::new();
        let mut lines = BufReader::new(file.try_clone().map_err(failed)?.take(MOST));
        let (mut line, mut number) = (String::new(), 0);
        while lines.read_line(&mut line).map_err(failed)? > 0 {
            number += 1;
            match serde_json::from_str::<Record>(&line) {
                Ok(record) => drop(last.insert(record.source.clone(), record)),
                Err(error) => {
                    let what = format!("line {number} of the log of drills {}: {error}", path.display());
                    return Err(Failure::new(Exit::Unknown, "ledger-torn", what)
                        .with_help("rename the file: the next drill starts a new one"));
                }
            }
            line.clear();
        }
        Ok(Self { file, last })
    }

    /// The last drill of a source.
    pub(super) fn last(&self, source: &str) -> Option<&Record> {
        self.last.get(source)
    }

    /// Writes a drill down.
    pub(super) fn add(&mut self, record: &Record) -> Result<(), Failure> {
        let failed = |e: std::io::Error| {
            Failure::new(Exit::Partial, "ledger-io", format!("writing the log of drills: {e}"))
        };
        let mut line = serde_json::to_vec(record).map_err(|e| failed(e.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).and_then(|()| self.file.sync_data()).map_err(failed)
    }
}
