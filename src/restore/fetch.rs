//! Reading ranges of packs, decoding what is in them and handing it to the files.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam_channel::Receiver;

use super::Error;
use super::buffers::{Allowance, Permits, Pool};
use super::job::Job;
use super::plan::{Batch, Item, Planned, Use};
use super::report::add;
use super::session::Session;
use crate::content::{self, ContentSource, Decoder, Scratch, pack_of, read_error};
use crate::crew::{Crew, Member};
use crate::index::Entry;
use crate::object::{self, Chunk, ObjectId};

/// After so many reads in a row that found nothing, the repository is taken for gone.
const MAX_MISSES: u32 = 200;

/// Contents that are hashed together.
const LANES: usize = 8;

/// Contents that are longer are rare, and do not keep their memory for the next one.
const LARGE: u32 = 8 << 20;

/// What the threads that read and decode share.
///
/// Each thread reads a range and then decodes and writes it itself.
pub(super) struct Fetcher<'s> {
    pub(super) session: &'s Session<'s>,
    pub(super) pool: Pool,
    reading: Permits,
    crew: Crew,
    /// Bytes that large contents inflate to.
    inflating: Allowance,
    misses: AtomicU32,
}

impl<'s> Fetcher<'s> {
    /// With `memory` bytes for ranges that were read and are not yet written.
    pub(super) fn new(session: &'s Session<'s>, memory: usize) -> Self {
        Self {
            session,
            pool: Pool::new(memory),
            reading: Permits::new(session.options.reads),
            crew: Crew::new(session.options.threads, session.options.reads),
            inflating: Allowance::new(memory),
            misses: AtomicU32::new(0),
        }
    }

    /// Threads that can be of use.
    pub(super) fn threads(&self) -> usize {
        self.crew.size()
    }

    /// Takes items until there are no more.
    pub(super) fn work(&self, items: &Receiver<Item<'s>>) {
        let mut scratch = Scratch::default();
        let member = self.crew.join();
        loop {
            // Before an item is taken: what a thread holds that is not wanted now would wait with it.
            member.stay();
            let Ok(item) = items.recv() else { break };
            if self.session.is_over() {
                continue;
            }
            match item {
                Item::Range { batch, range } => self.fetch(&member, &batch, &range, &mut scratch),
                Item::Compare(pieces) => self.compare(&member, pieces, &mut scratch),
                Item::Empty(job) => {
                    let _working = member.work();
                    job.done();
                }
            }
        }
    }

    /// Reads a range and delivers what is in it.
    pub(super) fn fetch(
        &self,
        member: &Member<'_>,
        batch: &Batch<'s>,
        range: &Planned,
        scratch: &mut Scratch,
    ) {
        let (offset, length) = (range.offset, range.length);
        let uses = batch.uses.get(range.uses.clone()).unwrap_or_default();
        let Some(first) = uses.first() else { return };
        let reading = self.reading.take();
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
                self.decode(batch, uses, offset, &mut buffer, scratch);
            }
            // The pack may have been replaced by maintenance, or only part of the range may be unreadable.
            Err(error) => {
                tracing::debug!(%error, "reading the contents of a range one by one");
                drop(buffer);
                self.one_by_one(batch, uses);
            }
        }
    }

    fn decode(&self, batch: &Batch<'s>, uses: &[Use], start: u64, buffer: &mut [u8], scratch: &mut Scratch) {
        let groups = uses.chunk_by(|a, b| a.entry.id == b.entry.id);
        if self.session.options.verify {
            let groups: Vec<&[Use]> = groups.collect();
            let mut rest = buffer;
            let mut position = start;
            let mut groups = groups.as_slice();
            while !groups.is_empty() {
                let lanes;
                (lanes, groups) = groups.split_at(lanes_of(groups));
                (rest, position) = self.decode_verified(batch, lanes, position, rest);
            }
            return;
        }
        for group in groups {
            let Some(entry) = group.first().map(|piece| piece.entry) else { continue };
            if group.iter().any(|piece| batch.job(piece).is_some_and(|job| !job.is_over())) {
                let at = (u64::from(entry.offset) - start) as usize;
                let stored = buffer.get_mut(at..at + entry.packed_length as usize).unwrap_or_default();
                let large = entry.original_length > LARGE;
                let _inflating = large.then(|| self.inflating.take(entry.original_length as usize));
                match self.open(batch, &entry, stored, scratch) {
                    Ok(plaintext) => deliver(batch, group, plaintext),
                    Err(error) => fail(batch, group, error),
                }
                if large {
                    *scratch = Scratch::default();
                }
            }
            finish(batch, group);
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

    /// Decodes some contents and hashes them together, which is faster than one after the other. Returns what follows
    /// them in the range, and where that begins.
    fn decode_verified<'b>(
        &self,
        batch: &Batch<'s>,
        groups: &[&[Use]],
        start: u64,
        buffer: &'b mut [u8],
    ) -> (&'b mut [u8], u64) {
        let bytes = inflated(groups);
        let _inflating = (bytes > LARGE as usize).then(|| self.inflating.take(bytes));
        let mut scratches: Vec<Scratch> = groups.iter().map(|_| Scratch::default()).collect();
        let (mut rest, mut position) = (buffer, start);
        let mut opened = Vec::new();
        for (group, scratch) in groups.iter().zip(&mut scratches) {
            let Some(entry) = group.first().map(|piece| piece.entry) else { continue };
            let gap = u64::from(entry.offset).saturating_sub(position) as usize;
            let end = gap + entry.packed_length as usize;
            let Some((piece, after)) = std::mem::take(&mut rest).split_at_mut_checked(end) else { break };
            (rest, position) = (after, entry.end());
            match self.open(batch, &entry, piece.get_mut(gap..).unwrap_or_default(), scratch) {
                Ok(plaintext) => opened.push((*group, entry, plaintext)),
                Err(error) => {
                    fail(batch, group, error);
                    finish(batch, group);
                }
            }
        }
        let plaintexts: Vec<&[u8]> = opened.iter().map(|(_, _, plaintext)| *plaintext).collect();
        let hashes = self.session.contents.format().hasher().hash_many(&plaintexts);
        for ((group, entry, plaintext), hash) in opened.into_iter().zip(hashes) {
            if hash.as_bytes() == entry.id.hash() {
                deliver(batch, group, plaintext);
            } else {
                fail(batch, group, wrong_hash(batch, &entry));
            }
            finish(batch, group);
        }
        (rest, position)
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

/// How many of the contents of `groups`, from the first on, are hashed together: few if they are large.
fn lanes_of(groups: &[&[Use]]) -> usize {
    let fits = |count: &usize| inflated(groups.get(..*count).unwrap_or_default()) <= LARGE as usize;
    (2..=LANES.min(groups.len())).take_while(fits).last().unwrap_or(1)
}

fn inflated(groups: &[&[Use]]) -> usize {
    groups.iter().filter_map(|group| Some(group.first()?.entry.original_length as usize)).sum()
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
