//! Many sources, snapshots and index blobs: a repository that a cluster has used for months.

use super::data::{Data, DataKind};
use super::directory::DirectoryBuilder;
use super::error::{Error, Result};
use super::rng::derive;
use super::tree::Attributes;
use super::writer::RepositoryWriter;
use crate::snapshot::Source;

/// Seconds between two snapshots.
const INTERVAL: u64 = 600;

/// Bytes of the one file that each snapshot holds.
const FILE_SIZE: u64 = 100;

/// How much to write. Snapshot `i` is one of source `i % sources`, taken ten minutes after the one before; it holds
/// one file of 100 bytes that no other has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fleet {
    /// Different sources: `volume-00017@cluster:/data` is number 17.
    pub sources: u32,
    /// Snapshots of all sources together.
    pub snapshots: u32,
    /// Index blobs over which they are spread evenly. If there are more than snapshots, some hold a data content only.
    /// As many are in use afterwards, if the writer's epochs are not compacted and each flush makes one blob.
    pub index_blobs: u32,
}

impl Fleet {
    /// Source number `number`.
    pub fn source(number: u32) -> Source {
        Source::new(format!("volume-{number:05}"), "cluster", "/data")
    }
}

impl RepositoryWriter {
    /// Writes a fleet's snapshots, oldest first.
    pub fn write_fleet(&mut self, fleet: &Fleet) -> Result<()> {
        self.write_fleet_of(fleet, Fleet::source)
    }

    /// The same with other sources than [`Fleet::source`] gives.
    pub fn write_fleet_of(&mut self, fleet: &Fleet, source: impl Fn(u32) -> Source) -> Result<()> {
        let Fleet { sources, snapshots, index_blobs } = *fleet;
        if sources == 0 || index_blobs == 0 {
            return Err(Error::invalid("a fleet has at least one source and one index blob"));
        }
        let begin = self.now();
        let before = |blob: u32| (u64::from(blob) * u64::from(snapshots) / u64::from(index_blobs)) as u32;
        for blob in 0..index_blobs {
            let numbers = before(blob)..before(blob + 1);
            if numbers.is_empty() {
                self.write_content(None, format!("index blob {blob}").as_bytes())?;
            }
            for number in numbers {
                let start = begin + u64::from(number) * INTERVAL;
                self.set_now(start);
                let seed = derive(self.options.seed, u64::from(number));
                let data = Data { kind: DataKind::Noise, seed, size: FILE_SIZE };
                let file = self.write_content(None, &data.to_vec())?;
                let mtime_ns = i64::try_from(start).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
                let attributes = Attributes { mode: 0o644, mtime_ns, uid: 0, gid: 0 };
                let mut directory = DirectoryBuilder::new();
                directory.file("data.bin", &attributes, FILE_SIZE, &file.to_string());
                let root = self.write_directory(directory, Attributes { mode: 0o755, ..attributes })?;
                self.snapshot(&source(number % sources), &root);
            }
            self.flush()?;
        }
        Ok(())
    }
}
