//! What was proved when: one local file that is only ever appended to, so that nights of limited length cover a
//! repository together.

pub(super) mod compare;
mod record;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::error::Error;
use crate::blob::WritablePath;
use crate::format::RepositoryFormat;
use crate::os::sync::Mutex;
use crate::repository::Repository;
#[cfg(test)]
pub(super) use record::tests as examples;
pub(super) use record::{DamagedContent, Proof, SnapshotRecord, SourceRecord};
use record::{FORMAT, Record};

/// A ledger is written again when it has this many lines for each one that still counts.
const WASTE: usize = 8;

/// Ledgers of fewer lines are left alone.
const SMALL: usize = 10_000;

/// The proofs of one repository, on local disk.
///
/// A record is written after the pack it speaks of was read to its end, so that an interrupted run leaves out what it
/// did not prove.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    known: LedgerState,
    file: Mutex<Flock<File>>,
}

#[derive(Debug, Default)]
struct LedgerState {
    proofs: HashMap<Box<str>, Proof>,
    snapshots: Option<SnapshotRecord>,
}

impl Ledger {
    /// Opens the ledger of a repository, or begins one.
    ///
    /// # Errors
    /// [`Error::InRepository`], [`Error::LedgerTorn`], [`Error::LedgerForeign`], [`Error::LedgerOfOther`],
    /// [`Error::LedgerInUse`], and [`Error::LedgerIo`].
    pub fn open(path: impl AsRef<Path>, repository: &Repository) -> Result<Self, Error> {
        let path = repository.store().guard().writable(path.as_ref())?;
        Self::open_for(&path, &hex::encode(repository.format().unique_id()))
    }

    /// As [`Ledger::open`], of a repository whose guard has made the path.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_at(path: &WritablePath, format: &RepositoryFormat) -> Result<Self, Error> {
        Self::open_for(path, &hex::encode(format.unique_id()))
    }

    /// As [`Ledger::open`], but a file that is torn or no ledger is moved aside, to its name with `.old`, and a new one
    /// begun. A ledger of another repository is still refused.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_or_reset(path: impl AsRef<Path>, repository: &Repository) -> Result<Self, Error> {
        match Self::open(&path, repository) {
            Err(Error::LedgerTorn { path, .. } | Error::LedgerForeign { path }) => {
                let writable = repository.store().guard().writable(&path)?;
                writable.rename(&writable.with_suffix(".old")).map_err(io_error(&path))?;
                Self::open(&path, repository)
            }
            result => result,
        }
    }

    /// Merges several ledgers of a repository; for each pack, the latest record is used. Nothing is written.
    ///
    /// # Errors
    /// As [`Ledger::open`], for any of them; one that does not exist is an error as well.
    pub fn merged<P: AsRef<Path>>(
        paths: impl IntoIterator<Item = P>,
        format: &RepositoryFormat,
    ) -> Result<MergedLedgers, Error> {
        let repository = hex::encode(format.unique_id());
        let mut merged = LedgerState::default();
        for path in paths {
            let path = path.as_ref();
            let text = read(&mut File::open(path).map_err(io_error(path))?, path)?;
            let (known, _) = LedgerState::parse(path, &text, &repository)?;
            let mut proofs: Vec<Proof> = known.proofs.into_values().collect();
            proofs.extend(std::mem::take(&mut merged.proofs).into_values());
            proofs.sort_by_key(|proof| proof.time);
            proofs.into_iter().for_each(|proof| merged.take_in(Record::Pack(proof)));
            let newer =
                |seen: &SnapshotRecord| merged.snapshots.as_ref().is_none_or(|known| known.time < seen.time);
            if let Some(seen) = known.snapshots.filter(newer) {
                merged.snapshots = Some(seen);
            }
        }
        Ok(MergedLedgers(merged))
    }

    fn open_for(writable: &WritablePath, repository: &str) -> Result<Self, Error> {
        let path = writable.as_path();
        let open = || writable.append().map_err(io_error(path));
        let lock = |file: File| {
            Flock::lock(file, FlockArg::LockExclusiveNonblock)
                .map_err(|_| Error::LedgerInUse { path: path.to_path_buf() })
        };
        let mut file = lock(open()?)?;
        let text = read(&mut file, path)?;
        if text.is_empty() {
            let header = Record::Ledger { format: FORMAT, repository: repository.to_owned() };
            append(&mut *file, &header).map_err(io_error(path))?;
            return Ok(Self {
                path: path.to_path_buf(),
                known: LedgerState::default(),
                file: Mutex::new(file),
            });
        }
        let (known, lines) = LedgerState::parse(path, &text, repository)?;
        if lines > SMALL && lines > WASTE * known.proofs.len() {
            known.write_anew(writable, repository).map_err(io_error(path))?;
            file = lock(open()?)?;
        }
        Ok(Self { path: path.to_path_buf(), known, file: Mutex::new(file) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down that a pack was read.
    pub(super) fn note_pack(&self, proof: Proof) -> Result<(), Error> {
        self.append(&Record::Pack(proof))
    }

    /// Writes down which snapshots there are.
    pub(super) fn note_snapshots(&self, seen: SnapshotRecord) -> Result<(), Error> {
        self.append(&Record::Snapshots(seen))
    }

    /// Makes sure that all records survive a power failure.
    pub(super) fn sync(&self) -> Result<(), Error> {
        let file = self.file.lock();
        file.sync_data().map_err(io_error(&self.path))
    }

    fn append(&self, record: &Record) -> Result<(), Error> {
        let mut file = self.file.lock();
        append(&mut **file, record).map_err(io_error(&self.path))
    }
}

/// The records of several ledgers together.
#[derive(Debug)]
pub struct MergedLedgers(LedgerState);

/// Knowledge from former runs, as of the beginning of this one.
pub(super) trait ProofHistory: Sync {
    /// What is known of a pack.
    fn proof(&self, pack: &str) -> Option<&Proof>;

    /// The snapshots that the last complete run saw.
    fn snapshots(&self) -> Option<&SnapshotRecord>;
}

impl ProofHistory for Ledger {
    fn proof(&self, pack: &str) -> Option<&Proof> {
        self.known.proofs.get(pack)
    }

    fn snapshots(&self) -> Option<&SnapshotRecord> {
        self.known.snapshots.as_ref()
    }
}

impl ProofHistory for MergedLedgers {
    fn proof(&self, pack: &str) -> Option<&Proof> {
        self.0.proofs.get(pack)
    }

    fn snapshots(&self) -> Option<&SnapshotRecord> {
        self.0.snapshots.as_ref()
    }
}

impl LedgerState {
    fn parse(path: &Path, text: &str, repository: &str) -> Result<(Self, usize), Error> {
        let foreign = || Error::LedgerForeign { path: path.to_path_buf() };
        let mut known = Self::default();
        let mut lines = 0;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            lines = number + 1;
            let record = line.strip_suffix('\n').and_then(Record::parse);
            match record {
                Some(Record::Ledger { format: FORMAT, repository: of }) if number == 0 => {
                    if of != repository {
                        return Err(Error::LedgerOfOther { path: path.to_path_buf(), repository: of });
                    }
                }
                _ if number == 0 => return Err(foreign()),
                Some(Record::Ledger { .. }) | None => {
                    return Err(Error::LedgerTorn { path: path.to_path_buf(), line: lines });
                }
                Some(record) => known.take_in(record),
            }
        }
        Ok((known, lines))
    }

    fn take_in(&mut self, record: Record) {
        match record {
            Record::Ledger { .. } => {}
            Record::Snapshots(seen) => self.snapshots = Some(seen),
            Record::Pack(proof) => {
                let known = self.proofs.get(&proof.pack);
                if known.is_none_or(|known| proof.replaces(known)) {
                    self.proofs.insert(proof.pack.clone(), proof);
                }
            }
        }
    }

    /// Replaces the file by one that has only what counts.
    fn write_anew(&self, path: &WritablePath, repository: &str) -> std::io::Result<()> {
        path.replace_with(None, |file| {
            let mut file = std::io::BufWriter::new(file);
            append(&mut file, &Record::Ledger { format: FORMAT, repository: repository.to_owned() })?;
            for proof in self.proofs.values() {
                append(&mut file, &Record::Pack(proof.clone()))?;
            }
            if let Some(seen) = &self.snapshots {
                append(&mut file, &Record::Snapshots(seen.clone()))?;
            }
            file.flush()
        })
    }
}

/// One write each, so that no other writer and no end of the process can come in between.
fn append(file: &mut impl Write, record: &Record) -> std::io::Result<()> {
    file.write_all(&record.to_line()?)
}

fn read(file: &mut File, path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(io_error(path))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(e) => {
            let line = e.as_bytes().get(..e.utf8_error().valid_up_to()).unwrap_or_default();
            match line.iter().filter(|byte| **byte == b'\n').count() {
                0 => Err(Error::LedgerForeign { path: path.to_path_buf() }),
                lines => Err(Error::LedgerTorn { path: path.to_path_buf(), line: lines + 1 }),
            }
        }
    }
}

fn io_error(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |source| Error::LedgerIo { path: path.to_path_buf(), source }
}

#[cfg(test)]
mod tests;
