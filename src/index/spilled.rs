//! An index in a file: entries are looked up there, and only the first key of each page is in memory.

use std::io;
use std::sync::Arc;

use super::entry::{Entry, PackNumber};
use super::layout::Layout;
use super::merge::Merge;
use super::packed::{PackedIndex, search};
use super::record;
use super::spill::{Records, SpillFile};
use crate::blob::WritablePath;

/// Records between two keys in memory: what a look-up reads.
const PAGE: u32 = 64;

/// A page of the longest records fits in this.
const PAGE_BYTES: usize = PAGE as usize * record::stride(crate::id::MAX_HASH + 1);

/// Sequences merged at once: each needs a buffer.
const FAN_IN: usize = 512;

/// Bytes of such a buffer.
const LEAST_BUFFER: usize = 8 << 10;
const MOST_BUFFER: usize = 1 << 20;

/// Sorted records in a file.
pub(super) struct Run {
    coding: Coding,
    offset: u64,
    count: u32,
}

enum Coding {
    /// As in an index blob, with the number in the whole index for each of its packs.
    Stored(Layout, Vec<PackNumber>),
    /// As [`record`] has them, with keys of this size.
    Fixed(usize),
}

impl Coding {
    fn key_size(&self) -> usize {
        match self {
            Self::Stored(layout, _) => layout.key_size,
            Self::Fixed(key_size) => *key_size,
        }
    }

    fn stride(&self) -> usize {
        match self {
            Self::Stored(layout, _) => layout.stride,
            Self::Fixed(key_size) => record::stride(*key_size),
        }
    }

    fn entry(&self, record: &[u8]) -> Option<Entry> {
        match self {
            Self::Stored(layout, packs) => {
                let entry = layout.entry(record)?;
                Some(Entry { pack: *packs.get(entry.pack.0 as usize)?, ..entry })
            }
            Self::Fixed(key_size) => record::decode(record, *key_size),
        }
    }
}

/// The records of one index blob, which have gone to a file, and how to read them.
pub(super) struct Spilled {
    pub(super) layout: Layout,
    pub(super) offset: u64,
    pub(super) count: u32,
}

impl Spilled {
    /// Puts the records of an index into the file.
    pub(super) fn write(index: PackedIndex, file: &SpillFile) -> io::Result<Self> {
        let count = index.len();
        let (layout, records) = index.into_parts();
        let offset = file.reserve(records.len() as u64);
        file.write(offset, &records)?;
        Ok(Self { layout, offset, count })
    }

    /// The records as part of a whole in which its packs have these numbers.
    pub(super) fn numbered(self, packs: Vec<PackNumber>) -> Run {
        let Self { mut layout, offset, count } = self;
        layout.packs = Vec::new();
        Run { coding: Coding::Stored(layout, packs), offset, count }
    }
}

/// Merges runs into one index for each size of keys, in a file of its own in `directory`. Buffers take up to `memory`
/// bytes, or a little for each run where that is more.
pub(super) fn merge(
    file: &SpillFile,
    mut runs: Vec<Run>,
    directory: &WritablePath,
    memory: u64,
    wins: &impl Fn(&Entry, &Entry) -> bool,
) -> io::Result<Vec<SpilledIndex>> {
    let merged = Arc::new(SpillFile::create(directory)?);
    let mut sizes: Vec<usize> = runs.iter().map(|run| run.coding.key_size()).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut indexes = Vec::new();
    for key_size in sizes {
        let (mut same, rest): (Vec<Run>, _) =
            runs.into_iter().partition(|run| run.coding.key_size() == key_size);
        runs = rest;
        while same.len() > FAN_IN {
            let rest = same.split_off(FAN_IN);
            let part = merge_some(file, &same, file, key_size, memory, wins)?;
            same = rest;
            same.push(Run { coding: Coding::Fixed(key_size), offset: part.offset, count: part.count });
        }
        let Table { offset, count, samples } = merge_some(file, &same, &merged, key_size, memory, wins)?;
        indexes.push(SpilledIndex { file: Arc::clone(&merged), key_size, offset, count, samples });
    }
    Ok(indexes)
}

/// Fixed records in a file, and the first key of each page of them.
struct Table {
    offset: u64,
    count: u32,
    samples: Vec<u8>,
}

fn merge_some(
    from: &SpillFile,
    runs: &[Run],
    to: &SpillFile,
    key_size: usize,
    memory: u64,
    wins: &impl Fn(&Entry, &Entry) -> bool,
) -> io::Result<Table> {
    let most = runs.iter().map(|run| u64::from(run.count)).sum::<u64>();
    let offset = to.reserve(most * record::stride(key_size) as u64);
    let share = usize::try_from(memory / (runs.len() as u64 + 1)).unwrap_or(usize::MAX);
    let buffer = share.clamp(LEAST_BUFFER, MOST_BUFFER);
    let sources = runs.iter().map(|run| Cursor::new(from, run, buffer)).collect();
    let mut table = Table { offset, count: 0, samples: Vec::new() };
    let mut out = Vec::with_capacity(buffer + record::stride(key_size));
    let mut at = offset;
    for entry in Merge::new(sources, wins) {
        if table.count.is_multiple_of(PAGE) {
            table.samples.extend_from_slice(entry.id.key());
        }
        table.count = table.count.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
        record::encode(&entry, &mut out);
        if out.len() >= buffer {
            to.write(at, &out)?;
            at += out.len() as u64;
            out.clear();
        }
    }
    from.check()?;
    to.write(at, &out)?;
    table.samples.shrink_to_fit();
    Ok(table)
}

/// Reads the entries of a run in order.
struct Cursor<'a> {
    records: Records<'a>,
    coding: &'a Coding,
}

impl<'a> Cursor<'a> {
    fn new(file: &'a SpillFile, run: &'a Run, buffer: usize) -> Self {
        let stride = run.coding.stride();
        let range = run.offset..run.offset + u64::from(run.count) * stride as u64;
        Self { records: Records::new(file, range, stride, buffer), coding: &run.coding }
    }
}

impl Iterator for Cursor<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.coding.entry(self.records.next()?)
    }
}

/// Entries of one key size, sorted, one per content, in a file.
pub(super) struct SpilledIndex {
    file: Arc<SpillFile>,
    key_size: usize,
    offset: u64,
    count: u32,
    /// The first key of each page.
    samples: Vec<u8>,
}

impl SpilledIndex {
    /// An index of one entry whose file cannot be read.
    #[cfg(test)]
    pub(super) fn unreadable(key: &[u8]) -> Self {
        let file = Arc::new(
            SpillFile::create(&crate::blob::Guard::default().writable(&std::env::temp_dir()).unwrap())
                .unwrap(),
        );
        Self { file, key_size: key.len(), offset: 0, count: 1, samples: key.to_vec() }
    }

    pub(super) fn key_size(&self) -> usize {
        self.key_size
    }

    pub(super) fn len(&self) -> u32 {
        self.count
    }

    pub(super) fn memory(&self) -> u64 {
        self.samples.len() as u64
    }

    pub(super) fn check(&self) -> io::Result<()> {
        self.file.check()
    }

    fn sample(&self, page: u32) -> &[u8] {
        let start = page as usize * self.key_size;
        self.samples.get(start..start + self.key_size).unwrap_or_default()
    }

    /// Reads records from a position on.
    fn read(&self, position: u32, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read(self.offset + u64::from(position) * record::stride(self.key_size) as u64, buffer)
    }

    /// The entry of a content and its position.
    pub(super) fn find(&self, key: &[u8]) -> io::Result<Option<(u32, Entry)>> {
        let page = match search(self.count.div_ceil(PAGE), key, |page| self.sample(page)) {
            Ok(page) => page,
            Err(0) => return Ok(None),
            Err(after) => after - 1,
        };
        let first = page * PAGE;
        let count = PAGE.min(self.count - first);
        let stride = record::stride(self.key_size);
        let mut buffer = [0; PAGE_BYTES];
        let Some(records) = buffer.get_mut(..count as usize * stride) else { return Ok(None) };
        self.read(first, records)?;
        let record = |at: u32| records.get(at as usize * stride..).and_then(|rest| rest.get(..stride));
        let at = search(count, key, |at| record(at).and_then(|r| r.get(..self.key_size)).unwrap_or_default());
        let found = at.ok().and_then(|at| Some((first + at, record::decode(record(at)?, self.key_size)?)));
        Ok(found)
    }

    pub(super) fn entry(&self, position: u32) -> Option<Entry> {
        let mut buffer = [0; PAGE_BYTES / PAGE as usize];
        let record = buffer.get_mut(..record::stride(self.key_size)).filter(|_| position < self.count)?;
        self.read(position, record).ok()?;
        record::decode(record, self.key_size)
    }

    /// All entries in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        let stride = record::stride(self.key_size);
        let range = self.offset..self.offset + u64::from(self.count) * stride as u64;
        let mut records = Records::new(&self.file, range, stride, MOST_BUFFER);
        std::iter::from_fn(move || record::decode(records.next()?, self.key_size))
    }
}
