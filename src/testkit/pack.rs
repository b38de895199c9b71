//! Pack blobs, written (`format-spec/07-packs.md`).

use super::blobs::BlobDirectory;
use super::error::{Error, Result};
use super::index::{IndexEntry, encode_index, merge};
use super::keys::{Keys, Sealed};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Random bytes at the beginning of every pack, and at the end of every local index.
const PREAMBLE: usize = 32;
/// The local index begins at a multiple of this.
const ALIGNMENT: usize = 4096;

/// A pack being filled.
pub(crate) struct Pack {
    name: Arc<str>,
    bytes: Vec<u8>,
    entries: Vec<IndexEntry>,
}

impl Pack {
    /// Begins a pack. `format_copy` goes in front unless the repository allows changes of its password.
    pub(crate) fn new(keys: &Keys, name: &str, format_copy: Option<&[u8]>, capacity: usize) -> Result<Pack> {
        // Contents overshoot the pack size by one at most; a buffer that must grow for it keeps its new size.
        let mut bytes = keys.packs.take(capacity + capacity / 4);
        if let Some(format) = format_copy {
            append_format_copy(&mut bytes, format)?;
        }
        let mut preamble = [0; PREAMBLE];
        keys.filler(name.as_bytes(), &mut preamble);
        bytes.extend_from_slice(&preamble);
        Ok(Pack { name: name.into(), bytes, entries: Vec::new() })
    }

    /// Adds a content; its index entry.
    pub(crate) fn push(&mut self, sealed: &Sealed, time: u64) -> Result<IndexEntry> {
        let offset =
            u32::try_from(self.bytes.len()).map_err(|_| Error::invalid("a pack has less than 4 GiB"))?;
        self.bytes.extend_from_slice(&sealed.stored);
        let entry = IndexEntry {
            id: sealed.id,
            time,
            deleted: false,
            pack: self.name.clone(),
            offset,
            packed_length: super::keys::length(&sealed.stored)?,
            original_length: sealed.original_length,
            compression: sealed.compression,
            format_version: 3,
            key_id: 0,
        };
        self.entries.push(entry.clone());
        Ok(entry)
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Padding, local index and postamble; the whole blob.
    fn finish(mut self, keys: &Keys) -> Result<(Arc<str>, Vec<u8>)> {
        let padding = ALIGNMENT - self.bytes.len() % ALIGNMENT;
        let start = self.bytes.len();
        self.bytes.resize(start + padding, 0);
        if let Some(padding) = self.bytes.get_mut(start..) {
            keys.filler(format!("{}/padding", self.name).as_bytes(), padding);
        }
        merge(&mut self.entries);
        let mut index = encode_index(&self.entries)?;
        let mut tail = [0; PREAMBLE];
        keys.filler(format!("{}/index", self.name).as_bytes(), &mut tail);
        index.extend_from_slice(&tail);
        let (iv, sealed) = keys.seal_local_index(&index)?;
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(&sealed);

        let postamble = postamble(&iv, offset as u64, sealed.len() as u64);
        self.bytes.extend_from_slice(&postamble);
        Ok((self.name, self.bytes))
    }
}

/// The end of a pack: where its local index is, a checksum, and its own length.
fn postamble(iv: &[u8], offset: u64, length: u64) -> Vec<u8> {
    let mut out = vec![1];
    put_uvarint(&mut out, iv.len() as u64);
    out.extend_from_slice(iv);
    put_uvarint(&mut out, offset);
    put_uvarint(&mut out, length);
    let checksum = crc32fast::hash(&out);
    out.extend(checksum.to_be_bytes());
    out.push(out.len() as u8);
    out
}

/// The copy of `kopia.repository` in front of a pack, with lengths (little-endian) and a checksum around it.
fn append_format_copy(out: &mut Vec<u8>, format: &[u8]) -> Result<()> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(b"kopia-repository")
        .map_err(|_| Error::invalid("HMAC takes keys of any length"))?;
    mac.update(format);
    let checksum = mac.finalize().into_bytes();
    let length = u16::try_from(format.len() + checksum.len())
        .map_err(|_| Error::invalid("the format blob is too long to be copied"))?;
    out.extend(length.to_le_bytes());
    out.extend_from_slice(format);
    out.extend_from_slice(&checksum);
    out.extend(length.to_le_bytes());
    Ok(())
}

fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Finishes and stores packs in the background.
pub(crate) struct PackStore {
    queue: Option<SyncSender<Pack>>,
    worker: Option<JoinHandle<Result<()>>>,
}

/// Packs waiting to be written; each may have the full pack size.
const QUEUE: usize = 2;

impl PackStore {
    pub(crate) fn start(keys: Arc<Keys>, blobs: Arc<BlobDirectory>) -> PackStore {
        let (queue, packs): (_, Receiver<Pack>) = sync_channel(QUEUE);
        let worker = std::thread::spawn(move || {
            for pack in packs {
                let (name, bytes) = pack.finish(&keys)?;
                blobs.put(&name, &bytes)?;
                keys.packs.give(bytes);
            }
            Ok(())
        });
        PackStore { queue: Some(queue), worker: Some(worker) }
    }

    /// Hands over a full pack.
    pub(crate) fn put(&mut self, pack: Pack) -> Result<()> {
        let sent = self.queue.as_ref().is_some_and(|queue| queue.send(pack).is_ok());
        if sent { Ok(()) } else { self.finish().and(Err(Error::WorkerGone)) }
    }

    /// Waits until all packs are stored; ends the worker.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.queue = None;
        match self.worker.take() {
            Some(worker) => worker.join().map_err(|_| Error::WorkerGone)?,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Vectors {
        postambles: Postambles,
    }

    #[derive(Deserialize)]
    struct Postambles {
        valid: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        hex: String,
        iv: String,
        local_index_offset: u64,
        local_index_length: u64,
    }

    #[test]
    fn packs_end_as_kopia_ends_them() {
        let vectors: Vectors =
            serde_json::from_str(include_str!("../../format-spec/vectors/pack.json")).unwrap();
        let wanted = ["miniature-p", "miniature-q", "iv-28", "iv-32"];
        let found: Vec<&Vector> =
            vectors.postambles.valid.iter().filter(|vector| wanted.contains(&vector.name.as_str())).collect();
        assert_eq!(found.len(), wanted.len());
        for vector in found {
            let iv = hex::decode(&vector.iv).unwrap();
            let made = postamble(&iv, vector.local_index_offset, vector.local_index_length);
            assert_eq!(hex::encode(made), vector.hex, "{}", vector.name);
        }
    }
}
