//! Reading ranges of packs, decoding what is in them and handing it to the files.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam_channel::Receiver;

use super::buffers::Pool;
use super::delta::{find_there, total_length};
use super::error::Error;
use super::job::Job;
use super::place::Session;
use super::plan::{Batch, Item, Planned, Use, plan};
use super::report::add;
use crate::content::{
    self, ContentSource, Decoder, MAX_BATCH, Scratch, ensure_buffers, next_batch, pack_of, read_error,
};
use crate::crypto::ContentHash;
use crate::index::Entry;
use crate::object::{self, Chunk, ObjectId};
use crate::os::adaptive_workers::{AdaptiveWorkers, Member};
use crate::os::sync::Semaphore;

/// After this many reads in a row that found nothing, the repository is taken for gone.
const MAX_MISSES: u32 = 200;

/// Bytes that a thread inflates and hashes together, and for which it keeps buffers, if the memory allows. A content that
/// is longer is rare, and does not keep its memory for the next one.
const MAX_ROUND: usize = 16 << 20;

/// What the threads that read and decode share.
///
/// Each thread reads a range and then decodes and writes it itself.
pub(super) struct Fetcher<'s> {
    session: &'s Session<'s>,
    pool: Pool,
    reading: Semaphore,
    crew: AdaptiveWorkers,
    /// Bytes that a thread inflates at a time, unless one content alone has more.
    round: usize,
    /// Bytes of those that have more.
    inflating: Semaphore,
    misses: AtomicU32,
}

/// A content that was read, and where it is used.
struct Piece<'b> {
    uses: &'b [Use],
    entry: Entry,
    stored: &'b mut [u8],
}

impl<'s> Fetcher<'s> {
    /// With `memory` bytes for ranges that were read and are not yet written.
    pub(super) fn new(session: &'s Session<'s>, memory: usize) -> Self {
        Self {
            session,
            pool: Pool::new(memory),
            reading: Semaphore::new(session.options.reads as u64),
            crew: AdaptiveWorkers::new(session.options.threads, session.options.reads),
            round: (memory / 2 / session.options.threads.max(1)).min(MAX_ROUND),
            inflating: Semaphore::new(memory as u64),
            misses: AtomicU32::new(0),
        }
    }

    /// Threads that can be of use.
    pub(super) fn threads(&self) -> usize {
        self.crew.size()
    }

    /// Takes items until there are no more.
    pub(super) fn work(&self, items: &Receiver<Item<'s>>) {
        let mut buffers = Vec::new();
        let member = self.crew.join();
        loop {
            // Before an item is taken: what a thread holds that is not wanted now would wait with it.
            member.stay();
            let Ok(item) = items.recv() else { break };
            if self.session.is_over() {
                continue;
            }
            match item {
                Item::Range { batch, range } => self.fetch(&member, &batch, &range, &mut buffers),
                Item::Compare(pieces) => self.compare(&member, pieces, &mut buffers),
                Item::Empty(job) => {
                    let _working = member.work();
                    job.done();
                }
            }
        }
    }

    /// Keeps the pieces that the file has already, and fetches and writes the others.
    fn compare(&self, member: &Member<'_>, mut pieces: Batch<'s>, buffers: &mut Vec<Scratch>) {
        let there = {
            let mut buffer = self.pool.take(total_length(&pieces));
            let _working = member.work();
            find_there(self.session.contents.format().hasher(), &pieces, &mut buffer)
        };
        let mut each = there.into_iter();
        pieces.uses.retain(|_| !each.next().unwrap_or_default());
        let hints = self.session.hints();
        let ranges = plan(&mut pieces.uses, self.session.longest_range(hints), hints.gap);
        for range in &ranges {
            if self.session.is_over() {
                return;
            }
            self.fetch(member, &pieces, range, buffers);
        }
    }

    /// Reads a range and delivers what is in it.
    fn fetch(&self, member: &Member<'_>, batch: &Batch<'s>, range: &Planned, buffers: &mut Vec<Scratch>) {
        let (offset, length) = (range.offset, range.length);
        let uses = batch.uses.get(range.uses.clone()).unwrap_or_default();
        let Some(first) = uses.first() else { return };
        let reading = self.reading.acquire(1);
        let mut buffer = self.pool.take(length);
        let read = pack_of(&batch.index, &first.entry).and_then(|pack| {
            let read = member.read(|| self.session.contents.store().read_at(pack, offset, &mut buffer));
            read.map_err(|e| read_error(first.entry.id, e))
        });
        drop(reading);
        let _working = member.work();
        if self.session.is_over() {
            return;
        }
        match read {
            Ok(()) => {
                self.misses.store(0, Ordering::Relaxed);
                add(&self.session.report.fetched, length as u64);
                self.decode(batch, split(uses, offset, &mut buffer), buffers);
            }
            // The pack may have been replaced by maintenance, or only part of the range may be unreadable.
            Err(error) => {
                tracing::debug!(%error, "reading the contents of a range one by one");
                drop(buffer);
                self.one_by_one(batch, uses);
            }
        }
    }

    /// Decodes what was read, one content at a time, or several where they are hashed: that is faster together.
    fn decode(&self, batch: &Batch<'s>, mut pieces: Vec<Piece<'_>>, buffers: &mut Vec<Scratch>) {
        let verify = self.session.options.verify;
        if verify {
            // Those of one length are neighbours in the lanes.
            pieces.sort_by_key(|piece| Reverse(piece.entry.original_length));
        }
        let decoder = Decoder::new(self.session.contents.format());
        let mut rest = pieces.as_mut_slice();
        while !rest.is_empty() {
            let sizes = rest.iter().map(|piece| decoder.inflated(&piece.entry));
            let (count, bytes) = next_batch(sizes, if verify { MAX_BATCH } else { 1 }, self.round);
            let Some((pieces, others)) = rest.split_at_mut_checked(count) else { break };
            rest = others;
            let _inflating = (bytes > self.round).then(|| self.inflating.acquire(bytes as u64));
            ensure_buffers(buffers, count, self.round);
            self.decode_together(batch, pieces, buffers);
            if bytes > self.round {
                buffers.clear();
            }
        }
    }

    fn decode_together(&self, batch: &Batch<'s>, pieces: &mut [Piece<'_>], buffers: &mut [Scratch]) {
        let mut opened = Vec::with_capacity(pieces.len());
        for (Piece { uses, entry, stored }, scratch) in pieces.iter_mut().zip(buffers) {
            let wanted = jobs(batch, uses).any(|(_, job)| !job.is_over());
            match wanted.then(|| self.open(batch, entry, stored, scratch)) {
                Some(Ok(plaintext)) => opened.push((*uses, *entry, plaintext)),
                Some(Err(error)) => {
                    fail(batch, uses, error);
                    finish(batch, uses);
                }
                None => finish(batch, uses),
            }
        }
        let hashes = self.session.options.verify.then(|| {
            let plaintexts: Vec<&[u8]> = opened.iter().map(|(_, _, plaintext)| *plaintext).collect();
            self.session.contents.format().hasher().hash_many(&plaintexts)
        });
        for (at, (uses, entry, plaintext)) in opened.into_iter().enumerate() {
            let named = |hash: &ContentHash| hash.as_bytes() == entry.id.hash();
            if hashes.as_ref().is_none_or(|hashes| hashes.get(at).is_some_and(named)) {
                deliver(batch, uses, plaintext);
            } else {
                fail(batch, uses, wrong_hash(batch, &entry));
            }
            finish(batch, uses);
        }
    }

    fn open<'b>(
        &self,
        batch: &Batch<'s>,
        entry: &Entry,
        stored: &'b mut [u8],
        scratch: &'b mut Scratch,
    ) -> Result<&'b [u8], content::Error> {
        let pack = pack_of(&batch.index, entry)?;
        let decoder = Decoder::new(self.session.contents.format());
        let decoded = decoder.decode(entry, pack, stored, scratch)?;
        self.session.contents.repairs().note(pack, decoded.repaired.len());
        Ok(decoded.plaintext)
    }

    /// Reads each content by itself, with indexes that are read again if its pack is gone.
    fn one_by_one(&self, batch: &Batch<'s>, uses: &[Use]) {
        let contents = self.session.contents;
        for group in uses.chunk_by(|a, b| a.entry.id == b.entry.id) {
            let Some(entry) = group.first().map(|piece| &piece.entry) else { continue };
            if !self.session.is_over() {
                let decoder = Decoder::new(contents.format());
                match contents.get(&entry.id) {
                    Ok(plaintext)
                        if self.session.options.verify && !decoder.is_named(&entry.id, &plaintext) =>
                    {
                        fail(batch, group, wrong_hash(batch, entry));
                    }
                    Ok(plaintext) => {
                        self.misses.store(0, Ordering::Relaxed);
                        add(&self.session.report.fetched, entry.packed_length.into());
                        deliver(batch, group, &plaintext);
                    }
                    Err(error) => {
                        let gone = matches!(error, content::Error::Index(_))
                            || self.misses.fetch_add(1, Ordering::Relaxed) >= MAX_MISSES;
                        fail(batch, group, error);
                        if gone {
                            self.session.report.warning("the repository cannot be read any more, giving up");
                            self.session.report.stop();
                        }
                    }
                }
            }
            finish(batch, group);
        }
    }
}

/// The pieces of a range, which starts at `start` of its pack.
fn split<'b>(uses: &'b [Use], start: u64, buffer: &'b mut [u8]) -> Vec<Piece<'b>> {
    let (mut rest, mut position) = (buffer, start);
    let mut pieces = Vec::new();
    for uses in uses.chunk_by(|a, b| a.entry.id == b.entry.id) {
        let Some(entry) = uses.first().map(|piece| piece.entry) else { continue };
        let gap = u64::from(entry.offset).saturating_sub(position) as usize;
        let end = gap + entry.packed_length as usize;
        let Some((bytes, after)) = std::mem::take(&mut rest).split_at_mut_checked(end) else { break };
        (rest, position) = (after, entry.end());
        pieces.push(Piece { uses, entry, stored: bytes.get_mut(gap..).unwrap_or_default() });
    }
    pieces
}

fn wrong_hash(batch: &Batch<'_>, entry: &Entry) -> content::Error {
    match pack_of(&batch.index, entry) {
        Ok(pack) => content::Error::WrongHash { content: entry.id, blob: pack.clone(), offset: entry.offset },
        Err(error) => error,
    }
}

fn jobs<'b, 's>(batch: &'b Batch<'s>, group: &'b [Use]) -> impl Iterator<Item = (&'b Use, &'b Arc<Job<'s>>)> {
    group.iter().filter_map(|piece| Some((piece, batch.job(piece)?)))
}

fn deliver(batch: &Batch<'_>, group: &[Use], plaintext: &[u8]) {
    for (piece, job) in jobs(batch, group) {
        deliver_chunk(job, &piece.chunk, plaintext);
    }
}

/// Writes a chunk, given the plaintext of its content.
fn deliver_chunk(job: &Job<'_>, chunk: &Chunk, plaintext: &[u8]) {
    let object = || ObjectId::direct(chunk.content);
    if chunk.compressed {
        match chunk.decode(plaintext.to_vec(), &object()) {
            Ok(data) => job.write(chunk.offset, &data),
            Err(error) => job.fail(&error.into()),
        }
    } else if chunk.length.is_none_or(|length| length == plaintext.len() as u64) {
        job.write(chunk.offset, plaintext);
    } else {
        job.fail(&Error::from(object::Error::ChunkLength {
            object: object(),
            content: chunk.content,
            expected: chunk.length.unwrap_or_default(),
            found: plaintext.len() as u64,
        }));
    }
}

fn fail(batch: &Batch<'_>, group: &[Use], error: content::Error) {
    let error = Error::from(error);
    for (_, job) in jobs(batch, group) {
        job.fail(&error);
    }
}

fn finish(batch: &Batch<'_>, group: &[Use]) {
    for (_, job) in jobs(batch, group) {
        job.done();
    }
}
