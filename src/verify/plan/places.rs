//! Contents in the order in which they are read: in memory, or, where there are too many, in a file.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::ops::Range;

use crate::blob::WritablePath;
use crate::index::{Position, Records, SpillFile};

/// Bytes of an item that is sorted, and of a place that is kept.
const ITEM: usize = 16;
const PLACE: usize = 8;

/// Items that are sorted at once at least: fewer would make many short runs.
const LEAST_RUN: usize = 4096;

/// Bytes of a run that are read at once, and of places that are written at once.
const MERGE_BUFFER: usize = 16 << 10;
const WRITE_BUFFER: usize = 256 << 10;

/// Bytes of places that are read at once.
const READ_BUFFER: usize = 4 << 10;

/// A content to be read: its pack, its offset there, and its place in the index, as one number that sorts in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Item(u128);

impl Item {
    pub(crate) fn new(pack: u32, offset: u32, position: Position) -> Self {
        let place = u64::from_be_bytes(position.to_bytes());
        Self(u128::from(pack) << 96 | u128::from(offset) << 64 | u128::from(place))
    }

    /// Number of the pack.
    pub(crate) fn pack(self) -> u32 {
        (self.0 >> 96) as u32
    }

    pub(crate) fn position(self) -> Position {
        Position::from_bytes((self.0 as u64).to_be_bytes())
    }

    /// The next one of a run.
    fn next(run: &mut Records<'_>) -> Option<Self> {
        Some(Self(u128::from_be_bytes(*run.next()?.first_chunk()?)))
    }
}

/// Brings items into their order within some memory.
pub(crate) struct Sorter<'a> {
    items: Vec<Item>,
    /// Items that are held.
    room: usize,
    directory: Option<&'a WritablePath>,
    /// Where sorted runs go, as soon as there are too many items.
    spilled: Option<(SpillFile, Vec<Range<u64>>)>,
}

impl<'a> Sorter<'a> {
    /// A sorter that takes some `memory` bytes, what becomes of the items included, and what needs more in a file without
    /// a name in `directory`. Without a directory everything stays in memory.
    pub(crate) fn new(memory: u64, directory: Option<&'a WritablePath>) -> Self {
        let room = usize::try_from(memory).unwrap_or(usize::MAX) / (ITEM + PLACE);
        Self { items: Vec::new(), room: room.max(LEAST_RUN), directory, spilled: None }
    }

    pub(crate) fn push(&mut self, item: Item) -> io::Result<()> {
        if self.items.len() >= self.room && self.directory.is_some() {
            self.spill()?;
        }
        self.items.push(item);
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        let Some(directory) = self.directory else { return Ok(()) };
        let (file, runs) = match &mut self.spilled {
            Some(spilled) => spilled,
            none => none.insert((SpillFile::create(directory)?, Vec::new())),
        };
        self.items.sort_unstable();
        let begin = file.reserve((self.items.len() * ITEM) as u64);
        let mut at = begin;
        let mut bytes = Vec::with_capacity(WRITE_BUFFER);
        for items in self.items.chunks(WRITE_BUFFER / ITEM) {
            bytes.clear();
            bytes.extend(items.iter().flat_map(|item| item.0.to_be_bytes()));
            file.write(at, &bytes)?;
            at += bytes.len() as u64;
        }
        runs.push(begin..at);
        self.items.clear();
        Ok(())
    }

    /// Gives all items in their order to `take`, which returns those whose places are kept.
    pub(crate) fn finish(mut self, mut take: impl FnMut(Item, &mut Places)) -> io::Result<Places> {
        if self.spilled.is_some() {
            self.spill()?;
        }
        let Some((file, runs)) = self.spilled else {
            self.items.sort_unstable();
            let mut places = Places::default();
            self.items.into_iter().for_each(|item| take(item, &mut places));
            places.held.shrink_to_fit();
            return Ok(places);
        };
        drop(self.items);
        let directory = self.directory.ok_or(io::ErrorKind::NotFound)?;
        let mut places = Places { file: Some(SpillFile::create(directory)?), ..Places::default() };
        let mut cursors: Vec<Records<'_>> =
            runs.into_iter().map(|run| Records::new(&file, run, ITEM, MERGE_BUFFER)).collect();
        let mut next: BinaryHeap<Reverse<(Item, usize)>> = BinaryHeap::new();
        for (number, cursor) in cursors.iter_mut().enumerate() {
            next.extend(Item::next(cursor).map(|item| Reverse((item, number))));
        }
        while let Some(Reverse((item, number))) = next.pop() {
            take(item, &mut places);
            places.flush_if_full()?;
            let following = cursors.get_mut(number).and_then(Item::next);
            next.extend(following.map(|item| Reverse((item, number))));
        }
        file.check()?;
        places.flush()?;
        places.held = Vec::new();
        Ok(places)
    }
}

/// Places in the index, counted from 0 on in the order in which they were pushed.
#[derive(Default)]
pub(crate) struct Places {
    /// All of them, or, where there is a file, those that are still to be written to it.
    held: Vec<Position>,
    file: Option<SpillFile>,
    /// How many are in the file.
    written: usize,
}

impl Places {
    pub(crate) fn push(&mut self, position: Position) {
        self.held.push(position);
    }

    pub(crate) fn len(&self) -> usize {
        self.written + self.held.len()
    }

    fn flush_if_full(&mut self) -> io::Result<()> {
        if self.held.len() >= WRITE_BUFFER / PLACE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            let bytes: Vec<u8> = self.held.iter().flat_map(|position| position.to_bytes()).collect();
            file.write(file.reserve(bytes.len() as u64), &bytes)?;
            self.written += self.held.len();
            self.held.clear();
        }
        Ok(())
    }

    /// The places of a range. Where they cannot be read they end, which [`check`](Self::check) then says.
    pub(crate) fn iter(&self, range: Range<usize>) -> impl Iterator<Item = Position> + '_ {
        let held = if self.file.is_none() { self.held.get(range.clone()) } else { None };
        let bytes = (range.start * PLACE) as u64..(range.end * PLACE) as u64;
        let file = self.file.as_ref().into_iter().flat_map(move |file| {
            let mut places = Records::new(file, bytes.clone(), PLACE, READ_BUFFER);
            std::iter::from_fn(move || Some(Position::from_bytes(*places.next()?.first_chunk()?)))
        });
        held.unwrap_or_default().iter().copied().chain(file)
    }

    /// Whether every read so far succeeded.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), SpillFile::check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items in no order, some of them twice.
    fn items(count: u64) -> Vec<Item> {
        let number = |at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (count - 1);
        let item =
            |n: u64| Item::new((n / 100) as u32, (n % 7) as u32, Position::from_bytes(n.to_be_bytes()));
        (0..count).map(|at| item(number(at))).collect()
    }

    fn sorted(items: &[Item], memory: u64, directory: Option<&WritablePath>) -> (Vec<Item>, Places) {
        let mut sorter = Sorter::new(memory, directory);
        items.iter().for_each(|item| sorter.push(*item).unwrap());
        let mut seen = Vec::new();
        let places = sorter.finish(|item, places| {
            seen.push(item);
            if item.pack() % 3 != 1 {
                places.push(item.position());
            }
        });
        (seen, places.unwrap())
    }

    #[test]
    fn a_file_keeps_the_order_that_memory_has() {
        let directory = tempfile::tempdir().unwrap();
        let writable = crate::blob::Guard::default().writable(directory.path()).unwrap();
        let given = items(100_003);
        let mut expected = given.clone();
        expected.sort_unstable();
        let kept: Vec<Position> =
            expected.iter().filter(|item| item.pack() % 3 != 1).map(|item| item.position()).collect();
        let ways = [(u64::MAX, Some(&writable)), (0, None), (0, Some(&writable))];
        for (way, (memory, directory)) in ways.into_iter().enumerate() {
            let (seen, places) = sorted(&given, memory, directory);
            assert!(seen == expected, "{way}");
            assert_eq!((places.len(), places.file.is_some()), (kept.len(), way == 2));
            for range in [0..kept.len(), 0..0, 5..6, 511..1025, 30_000..30_001, kept.len() - 3..kept.len()] {
                assert!(
                    places.iter(range.clone()).eq(kept[range.clone()].iter().copied()),
                    "{way}: {range:?}"
                );
            }
            assert!(places.check().is_ok());
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let writable = crate::blob::Guard::default().writable(directory.path()).unwrap();
        let (_, places) = sorted(&items(20_000), 0, Some(&writable));
        let beyond = places.len() - 1..places.len() + 2;
        assert!(places.iter(beyond).next().is_none());
        assert!(places.check().is_err());
    }
}
