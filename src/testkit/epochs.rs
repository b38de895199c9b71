//! Index epochs: their blobs, markers and compactions (`format-spec/09-index-sets.md`).

use super::error::{Error, Result};
use super::index::{IndexEntry, encode_index, merge};
use super::writer::RepositoryWriter;
use std::collections::BTreeMap;

/// What was written into one epoch.
#[derive(Default)]
struct Epoch {
    blobs: Vec<String>,
    entries: Vec<IndexEntry>,
    /// Whether an `xs` or `xr` set covers it.
    compacted: bool,
}

/// The epochs so far.
#[derive(Default)]
pub(crate) struct EpochLog {
    current: u32,
    epochs: BTreeMap<u32, Epoch>,
    /// First epoch that no range covers.
    range_start: u32,
}

impl EpochLog {
    /// Entries written so far, newest epoch first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &IndexEntry> {
        self.epochs.values().rev().flat_map(|epoch| epoch.entries.iter().rev())
    }

    fn epoch(&mut self, number: u32) -> &mut Epoch {
        self.epochs.entry(number).or_default()
    }
}

impl RepositoryWriter {
    /// The epoch that flushes write into.
    pub fn epoch(&self) -> u32 {
        self.epochs.current
    }

    /// Encrypts index bytes, true or not, into a blob `<prefix><hash><suffix>`; its name.
    pub fn put_index_blob(&mut self, prefix: &str, suffix: &str, plain: &[u8]) -> Result<String> {
        let (hash, body) = self.keys.seal_blob(plain)?;
        let name = format!("{prefix}{hash}{suffix}");
        self.blobs.put(&name, &body)?;
        Ok(name)
    }

    /// Writes index bytes, true or not, as an index blob of the current epoch; its name.
    pub fn put_epoch_index(&mut self, plain: &[u8]) -> Result<String> {
        let (prefix, suffix) = (format!("xn{}_", self.epochs.current), format!("-{}-c1", self.session));
        let name = self.put_index_blob(&prefix, &suffix, plain)?;
        let current = self.epochs.current;
        self.epochs.epoch(current).blobs.push(name.clone());
        Ok(name)
    }

    /// Writes the entries of one flush into the current epoch, and moves on when it is full.
    pub(super) fn write_epoch_index(&mut self, entries: Vec<IndexEntry>) -> Result<()> {
        let current = self.epochs.current;
        let count = self.options.epochs.blobs_per_flush.max(1).min(entries.len() as u32);
        let suffix = format!("-{}-c{count}", self.session);
        for number in 0..count {
            let share: Vec<IndexEntry> =
                entries.iter().skip(number as usize).step_by(count as usize).cloned().collect();
            let name = self.put_index_blob(&format!("xn{current}_"), &suffix, &encode_index(&share)?)?;
            self.epochs.epoch(current).blobs.push(name);
        }
        if self.options.deduplicate || self.options.epochs.compact {
            self.epochs.epoch(current).entries.extend(entries);
        }
        let limit = self.options.epochs.advance_at;
        if limit > 0 && self.epochs.epoch(current).blobs.len() >= limit as usize {
            self.advance_epoch()?;
        }
        Ok(())
    }

    /// Begins the next epoch: the marker `xe<N>`, and the compactions that the options ask for.
    pub fn advance_epoch(&mut self) -> Result<()> {
        self.epochs.current += 1;
        let current = self.epochs.current;
        self.blobs.put(&format!("xe{current}"), b"epoch-marker")?;
        let wanted = self.options.epochs;
        let Some(settled) = current.checked_sub(2) else { return Ok(()) };
        if wanted.compact {
            self.compact_epoch(settled)?;
            self.remove_superseded(settled, settled)?;
        }
        let start = self.epochs.range_start;
        if wanted.compact && wanted.range_of > 0 && settled + 1 - start >= wanted.range_of.max(2) {
            self.compact_range(start, settled)?;
        }
        Ok(())
    }

    /// Merges an epoch's index blobs into one `xs` blob, which readers use once the epoch has settled.
    pub fn compact_epoch(&mut self, number: u32) -> Result<()> {
        let entries = self.entries_of(number, number)?;
        if !entries.is_empty() {
            self.put_compaction(&format!("xs{number}_"), &entries)?;
        }
        self.epochs.epoch(number).compacted = true;
        Ok(())
    }

    /// Merges the epochs `first` to `last` into one `xr` blob.
    pub fn compact_range(&mut self, first: u32, last: u32) -> Result<()> {
        let entries = self.entries_of(first, last)?;
        if !entries.is_empty() {
            self.put_compaction(&format!("xr{first}_{last}_"), &entries)?;
        }
        for number in first..=last {
            self.epochs.epoch(number).compacted = true;
        }
        if first == self.epochs.range_start {
            self.epochs.range_start = last + 1;
        }
        Ok(())
    }

    fn entries_of(&mut self, first: u32, last: u32) -> Result<Vec<IndexEntry>> {
        let epochs = self.epochs.epochs.range(first..=last);
        if epochs.clone().any(|(_, epoch)| epoch.entries.is_empty() && !epoch.blobs.is_empty()) {
            return Err(Error::invalid("epochs cannot be compacted: their entries were not remembered"));
        }
        let mut entries: Vec<IndexEntry> =
            epochs.flat_map(|(_, epoch)| epoch.entries.iter().cloned()).collect();
        merge(&mut entries);
        Ok(entries)
    }

    /// A compaction has a session of its own without the month, and random bytes behind the index.
    fn put_compaction(&mut self, prefix: &str, entries: &[IndexEntry]) -> Result<()> {
        let mut plain = encode_index(entries)?;
        plain.extend(self.rng.bytes::<32>());
        let session = hex::encode(self.rng.bytes::<8>());
        self.put_index_blob(prefix, &format!("-s{session}-c1"), &plain)?;
        Ok(())
    }

    /// Removes the `xn` blobs of compacted epochs, as maintenance does some hours later.
    pub fn remove_superseded(&mut self, first: u32, last: u32) -> Result<()> {
        for (_, epoch) in self.epochs.epochs.range_mut(first..=last) {
            for blob in epoch.blobs.drain(..).filter(|_| epoch.compacted) {
                self.blobs.remove(&blob)?;
            }
        }
        Ok(())
    }

    /// Writes a deletion watermark: deleted entries up to this time (seconds since 1970) do not exist any more.
    pub fn set_watermark(&mut self, time: u64) -> Result<()> {
        self.put_blob(&format!("xw{time}"), b"deletion-watermark")
    }

    /// Writes any blob under any name: foreign `xe`, `xs`, poison, or nonsense.
    pub fn put_blob(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.blobs.put(name, bytes)
    }
}
