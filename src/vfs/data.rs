//! File data, kept by content and read ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Sender, bounded};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::Error;
use crate::content::ContentSource;
use crate::index::ContentId;
use crate::object::{Chunk, Chunks, ObjectId, Reader};
use crate::os::zeros;

/// The table of a file of more chunks (some terabytes) is not kept: each read then searches the object from its start.
const MAX_CHUNKS: usize = 1 << 20;

/// How many chunks ahead of a reader that goes forward are read.
const DEPTH: usize = 4;

/// Requests waiting for a thread that reads ahead; more are of no use.
const QUEUE: usize = 64;

/// What tells one piece of data from another.
type Key = (ContentId, bool);

/// The data that is kept, and where it comes from.
pub(super) struct Data {
    source: Arc<dyn ContentSource>,
    kept: Cache<Key, Arc<Vec<u8>>, Bytes>,
}

/// Weighs kept data by its bytes.
#[derive(Clone)]
pub(crate) struct Bytes;

impl<K> Weighter<K, Arc<Vec<u8>>> for Bytes {
    fn weight(&self, _: &K, data: &Arc<Vec<u8>>) -> u64 {
        data.len().max(1) as u64
    }
}

impl Data {
    pub(super) fn new(source: Arc<dyn ContentSource>, memory: u64) -> Self {
        Self { source, kept: Cache::with_weighter(256, memory, Bytes) }
    }

    /// The bytes of a chunk. Who asks for one that is being read waits for that.
    fn chunk(&self, chunk: &Chunk, object: &ObjectId) -> Result<Arc<Vec<u8>>, Error> {
        let key = (chunk.content, chunk.compressed);
        self.kept.get_or_insert_with(&key, || Ok(Arc::new(chunk.fetch(&*self.source, object)?)))
    }
}

/// Threads that read what will be asked for next. They end when the last clone of this is dropped.
#[derive(Clone)]
pub(super) struct Ahead(Sender<(Chunk, ObjectId)>);

impl Ahead {
    pub(super) fn start(data: &Arc<Data>, threads: usize) -> Self {
        let (sender, receiver) = bounded::<(Chunk, ObjectId)>(QUEUE);
        for _ in 0..threads.max(1) {
            let (data, receiver) = (Arc::clone(data), receiver.clone());
            let work = move || {
                for (chunk, object) in receiver {
                    // Who reads it meets the same error.
                    let _ = data.chunk(&chunk, &object);
                }
            };
            // With fewer threads, or none, data is read when it is asked for.
            let _ = std::thread::Builder::new().name("read ahead".into()).spawn(work);
        }
        Self(sender)
    }
}

/// An open file.
pub struct File {
    data: Arc<Data>,
    ahead: Ahead,
    object: ObjectId,
    /// `None` where there are too many.
    chunks: Option<Vec<Chunk>>,
    /// One more than the number of the chunk that was read last.
    next: AtomicUsize,
}

debug_of!(File, "File", "object" = |this| this.object);

impl File {
    pub(super) fn open(data: Arc<Data>, ahead: Ahead, object: &ObjectId) -> Result<Self, Error> {
        let mut chunks = Some(Vec::new());
        for chunk in Chunks::new(&*data.source, object) {
            let chunk = chunk?;
            if chunk.length == Some(0) {
                continue;
            }
            match &mut chunks {
                Some(chunks) if chunks.len() < MAX_CHUNKS => chunks.push(chunk),
                _ => {
                    chunks = None;
                    break;
                }
            }
        }
        Ok(Self { data, ahead, object: *object, chunks, next: AtomicUsize::new(0) })
    }

    /// Up to `size` bytes from `offset` on, fewer only at the end of the file.
    ///
    /// # Errors
    /// Data that cannot be read.
    pub fn read_at(&self, offset: u64, size: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::with_capacity(size);
        match &self.chunks {
            Some(chunks) => self.read_chunks(chunks, offset, size, &mut bytes)?,
            None => {
                let mut reader = Reader::new(&*self.data.source, &self.object);
                reader.seek_to(offset);
                zeros::resize(&mut bytes, size);
                let mut filled = 0;
                while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                    match reader.read_some(rest)? {
                        0 => break,
                        count => filled += count,
                    }
                }
                bytes.truncate(filled);
            }
        }
        Ok(bytes)
    }

    /// Bytes that it takes beside its data.
    pub fn memory(&self) -> u64 {
        let chunks = self.chunks.as_ref().map_or(0, Vec::len);
        (size_of::<Self>() + chunks * size_of::<Chunk>()) as u64
    }

    fn read_chunks(
        &self,
        chunks: &[Chunk],
        mut offset: u64,
        size: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let ends_before = |chunk: &Chunk| {
            chunk.length.and_then(|length| chunk.offset.checked_add(length)).is_some_and(|end| end <= offset)
        };
        let first = chunks.partition_point(ends_before);
        for (number, chunk) in chunks.iter().enumerate().skip(first) {
            if bytes.len() >= size {
                break;
            }
            self.look_ahead(chunks, number);
            let data = self.data.chunk(chunk, &self.object)?;
            let from = usize::try_from(offset.saturating_sub(chunk.offset)).unwrap_or(usize::MAX);
            let rest = data.get(from..).unwrap_or_default();
            let taken = rest.get(..rest.len().min(size - bytes.len())).unwrap_or_default();
            bytes.extend_from_slice(taken);
            offset += taken.len() as u64;
        }
        Ok(())
    }

    /// Asks for the next chunks where the reader goes forward.
    fn look_ahead(&self, chunks: &[Chunk], number: usize) {
        let expected = self.next.swap(number + 1, Ordering::Relaxed);
        if number != expected {
            return;
        }
        // The first time that a reader arrives at a chunk; later it finds the rest under way.
        let ahead = chunks.iter().skip(number + 1).take(DEPTH);
        for chunk in ahead.filter(|chunk| self.data.kept.peek(&(chunk.content, chunk.compressed)).is_none()) {
            // A full queue means that enough is under way.
            let _ = self.ahead.0.try_send((*chunk, self.object));
        }
    }
}
