//! Objects: data cut into contents, and tables of contents when there is more than one.

use super::data::Data;
use super::error::{Error, Result};
use super::keys::{Keys, Sealed};
use super::rng::derive_name;
use super::writer::RepositoryWriter;
use crate::index::ContentId;
use rayon::prelude::*;
use serde::Serialize;
use std::borrow::Borrow;
use std::io::Read;

/// Data prepared at once: enough for all threads, few enough to stay small.
pub(crate) const BATCH_BYTES: usize = 32 << 20;
pub(crate) const BATCH_JOBS: usize = 8192;

/// An object in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenObject {
    /// Object ID as text: `I` for each level of tables, then a content ID.
    pub id: String,
    /// Its length in bytes.
    pub length: u64,
}

/// A line of the table of an indirect object. Nothing is checked: gaps, overlaps and lies are allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IndirectEntry {
    /// Offset in the object.
    #[serde(rename = "s", skip_serializing_if = "is_zero")]
    pub start: i64,
    /// Length of this part.
    #[serde(rename = "l", skip_serializing_if = "is_zero")]
    pub length: i64,
    /// Object ID of this part.
    #[serde(rename = "o")]
    pub object: String,
}

pub(crate) fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// A content to be made from bytes at hand or from a seed.
pub(crate) enum Job {
    Bytes(Vec<u8>),
    Generated { data: Data, offset: u64, length: usize },
}

impl Job {
    pub(crate) fn len(&self) -> usize {
        match self {
            Job::Bytes(bytes) => bytes.len(),
            Job::Generated { length, .. } => *length,
        }
    }

    fn seal(&self, keys: &Keys, prefix: Option<u8>, buffer: &mut Vec<u8>) -> Result<Sealed> {
        match self {
            Job::Bytes(bytes) => keys.seal(prefix, bytes),
            Job::Generated { data, offset, length } => {
                buffer.resize(*length, 0);
                data.fill(*offset, buffer);
                keys.seal(prefix, buffer)
            }
        }
    }
}

/// Hashes and encrypts on all cores, in order.
pub(crate) fn seal_all(
    keys: &Keys,
    prefix: Option<u8>,
    jobs: &[impl Borrow<Job> + Sync],
) -> Result<Vec<Sealed>> {
    jobs.par_iter().map_init(Vec::new, |buffer, job| job.borrow().seal(keys, prefix, buffer)).collect()
}

/// The contents of an object as they are written.
#[derive(Default)]
pub(crate) struct Parts {
    table: Vec<IndirectEntry>,
    length: u64,
}

impl Parts {
    pub(crate) fn push(&mut self, id: ContentId, length: u64) {
        self.table.push(IndirectEntry {
            start: self.length as i64,
            length: length as i64,
            object: id.to_string(),
        });
        self.length += length;
    }
}

impl RepositoryWriter {
    /// Stores a file's data as an object.
    pub fn write_object(&mut self, reader: &mut dyn Read) -> Result<WrittenObject> {
        self.write_prefixed_object(None, reader)
    }

    /// Stores data as an object whose contents have a prefix: `k` for a directory.
    pub fn write_prefixed_object(
        &mut self,
        prefix: Option<u8>,
        reader: &mut dyn Read,
    ) -> Result<WrittenObject> {
        let seed = derive_name(self.options.seed, b"chunks");
        let mut parts = Parts::default();
        let mut index = 0;
        let mut ended = false;
        while !ended {
            let (mut jobs, mut bytes) = (Vec::new(), 0);
            while !ended && bytes < BATCH_BYTES {
                let wanted = self.options.chunks.length(seed, index);
                let mut chunk = Vec::new();
                reader.take(wanted as u64).read_to_end(&mut chunk).map_err(Error::Data)?;
                ended = chunk.len() < wanted;
                bytes += chunk.len();
                if !chunk.is_empty() || index == 0 {
                    jobs.push(Job::Bytes(chunk));
                }
                index += 1;
            }
            for (sealed, job) in seal_all(&self.keys, prefix, &jobs)?.into_iter().zip(&jobs) {
                parts.push(self.append(sealed)?, job.len() as u64);
            }
        }
        self.finish_object(prefix, parts)
    }

    /// Stores the table of an object's parts, if it has more than one.
    pub(crate) fn finish_object(&mut self, prefix: Option<u8>, parts: Parts) -> Result<WrittenObject> {
        match parts.table.as_slice() {
            [only] => Ok(WrittenObject { id: only.object.clone(), length: parts.length }),
            table => {
                let id = self.write_indirect(prefix, table)?;
                Ok(WrittenObject { id, length: parts.length })
            }
        }
    }

    /// Stores a table of parts, as it stands, and returns the ID of the object it describes. The table's contents
    /// have the prefix of the data, `x` if it has none.
    pub fn write_indirect(&mut self, prefix: Option<u8>, table: &[IndirectEntry]) -> Result<String> {
        #[derive(Serialize)]
        struct Indirect<'a> {
            stream: &'static str,
            entries: &'a [IndirectEntry],
        }
        let mut json = serde_json::to_vec(&Indirect { stream: "kopia:indirect", entries: table })?;
        json.push(b'\n');
        let object = self.write_prefixed_object(prefix.or(Some(b'x')), &mut json.as_slice())?;
        Ok(format!("I{}", object.id))
    }
}
