//! The index as the cache keeps it: the entries that count among those of a set of index blobs, as sorted pages of a
//! sealed file. Only the first key of each page is in memory.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use super::content_index::ContentIndex;
use super::entry::Entry;
use super::packed::search;
use super::record;
use crate::blob::BlobId;
use crate::cache::{PAGE_ROOM, Sealed, SealedWriter};
use crate::format::RepositoryFormat;
use crate::id::MAX_HASH;
use crate::os::sync::Mutex;

/// What these files are, for the keys that open them.
pub(super) const PURPOSE: &str = "rokopia index cache";

/// Bytes of a page in memory, with what belongs to it.
const PAGE_MEMORY: u64 = PAGE_ROOM as u64 + 64;

/// Bytes that one entry takes in a file, about.
pub(super) const ENTRY_SIZE: u64 = 46;

/// Index blobs and their sizes, in the order of their names.
pub(super) type BlobSet = Vec<(BlobId, u64)>;

/// What the table of a file says.
pub(super) struct Table {
    pub(super) blobs: BlobSet,
    pub(super) packs: Vec<BlobId>,
    parts: Vec<Part>,
}

/// The entries whose keys have one size.
struct Part {
    key_size: usize,
    count: u32,
    first_page: u64,
    /// The first key of each page.
    samples: Vec<u8>,
}

fn per_page(key_size: usize) -> u32 {
    (PAGE_ROOM / record::stride(key_size)) as u32
}

/// Writes what counts in `index` as the index of these blobs. Of the same blobs it always writes the same.
pub(super) fn write(
    index: &ContentIndex,
    blobs: &BlobSet,
    format: &RepositoryFormat,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut packs: Vec<(usize, &BlobId)> = index.packs().iter().enumerate().collect();
    packs.sort_by_key(|(_, name)| *name);
    let mut numbers = vec![0; packs.len()];
    for (number, (old, _)) in (0..).zip(&packs) {
        if let Some(place) = numbers.get_mut(*old) {
            *place = number;
        }
    }
    let mut writer = SealedWriter::begin(out, format, PURPOSE)?;
    let mut parts = Vec::new();
    for key_size in index.key_sizes() {
        let mut part = Part { key_size, count: 0, first_page: 0, samples: Vec::new() };
        let (most, mut page, mut held) = (per_page(key_size), Vec::with_capacity(PAGE_ROOM), 0);
        let mut first = None;
        for mut entry in index.effective(key_size) {
            let number = numbers.get(entry.pack.0 as usize);
            entry.pack.0 = *number.ok_or(io::ErrorKind::InvalidData)?;
            if held == most {
                first.get_or_insert(writer.page(&page)?);
                page.clear();
                held = 0;
            }
            if held == 0 {
                part.samples.extend_from_slice(entry.id.key());
            }
            record::encode(&entry, &mut page);
            held += 1;
            part.count = part.count.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
        }
        if held > 0 {
            first.get_or_insert(writer.page(&page)?);
        }
        part.first_page = first.unwrap_or_default();
        parts.push(part);
    }
    index.check().map_err(|e| io::Error::other(e.to_string()))?;
    let packs = packs.into_iter().map(|(_, name)| name);
    writer.finish(&encode(blobs, packs, &parts))
}

fn encode<'a>(blobs: &BlobSet, packs: impl ExactSizeIterator<Item = &'a BlobId>, parts: &[Part]) -> Vec<u8> {
    fn put_name(out: &mut Vec<u8>, name: &BlobId) {
        // No name is longer than 255 bytes.
        out.push(name.as_str().len() as u8);
        out.extend_from_slice(name.as_str().as_bytes());
    }
    let mut out = Vec::new();
    out.extend_from_slice(&(blobs.len() as u32).to_be_bytes());
    for (name, size) in blobs {
        put_name(&mut out, name);
        out.extend_from_slice(&size.to_be_bytes());
    }
    out.extend_from_slice(&(packs.len() as u32).to_be_bytes());
    packs.for_each(|name| put_name(&mut out, name));
    out.push(parts.len() as u8);
    for part in parts {
        out.push(part.key_size as u8);
        out.extend_from_slice(&part.count.to_be_bytes());
        out.extend_from_slice(&part.first_page.to_be_bytes());
        out.extend_from_slice(&part.samples);
    }
    out
}

/// Takes parts off the front of bytes.
struct Parser<'a>(&'a [u8]);

impl<'a> Parser<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<usize> {
        self.take(1)?.first().map(|byte| usize::from(*byte))
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_be_bytes)
    }

    fn name(&mut self) -> Option<BlobId> {
        let length = self.byte()?;
        BlobId::new(std::str::from_utf8(self.take(length)?).ok()?).ok()
    }
}

impl Table {
    /// Reads the table of a file with this many pages.
    pub(super) fn parse(bytes: &[u8], pages: u64) -> Option<Self> {
        let mut parser = Parser(bytes);
        let mut blobs = Vec::new();
        for _ in 0..parser.u32()? {
            blobs.push((parser.name()?, parser.u64()?));
        }
        let mut packs = Vec::new();
        for _ in 0..parser.u32()? {
            packs.push(parser.name()?);
        }
        let mut parts = Vec::new();
        for _ in 0..parser.byte()? {
            let key_size = parser.byte().filter(|size| (1..=MAX_HASH + 1).contains(size))?;
            let (count, first_page) = (parser.u32()?, parser.u64()?);
            let held = count.div_ceil(per_page(key_size));
            first_page.checked_add(u64::from(held)).filter(|end| *end <= pages)?;
            let samples = parser.take(key_size.checked_mul(held as usize)?)?.to_vec();
            parts.push(Part { key_size, count, first_page, samples });
        }
        parser.0.is_empty().then_some(Self { blobs, packs, parts })
    }
}

/// Makes the file again, after a page of it was found to be changed.
pub(super) type Rebuild = dyn Fn() -> io::Result<(Sealed, Vec<u8>)> + Send + Sync;

/// A page in memory and its number.
type Slot = Mutex<Option<(u64, Arc<[u8]>)>>;

/// The pages of one file, of which some are kept in memory.
pub(super) struct Pages {
    file: Mutex<Arc<Sealed>>,
    /// What the table was, which a new file has to have as well.
    table: [u8; 32],
    rebuild: Box<Rebuild>,
    slots: Vec<Slot>,
    failure: OnceLock<String>,
}

impl Pages {
    /// The pages of a file that was opened, of which up to `memory` bytes are kept.
    pub(super) fn new(file: Sealed, table: &[u8], memory: u64, rebuild: Box<Rebuild>) -> Self {
        let slots = (memory / PAGE_MEMORY).min(file.pages()).max(1);
        Self {
            file: Mutex::new(Arc::new(file)),
            table: Sha256::digest(table).into(),
            rebuild,
            slots: (0..slots).map(|_| Mutex::default()).collect(),
            failure: OnceLock::new(),
        }
    }

    fn file(&self) -> Arc<Sealed> {
        Arc::clone(&self.file.lock())
    }

    /// A page from the file. If it is not what was written, all of the file is made again.
    fn read(&self, number: u64) -> io::Result<Vec<u8>> {
        let file = self.file();
        let result = file.page(number).or_else(|error| {
            let mut current = self.file.lock();
            if Arc::ptr_eq(&current, &file) {
                tracing::warn!("the cached index is damaged ({error}); it is made again from the repository");
                let (fresh, table) = (self.rebuild)()?;
                if <[u8; 32]>::from(Sha256::digest(&table)) != self.table {
                    return Err(io::Error::other("the index blobs have changed meanwhile"));
                }
                *current = Arc::new(fresh);
            }
            current.page(number)
        });
        result.inspect_err(|error| {
            self.failure.get_or_init(|| error.to_string());
        })
    }

    /// A page, from memory where it is there.
    fn page(&self, number: u64) -> io::Result<Arc<[u8]>> {
        let slot = self.slots.get((number % self.slots.len() as u64) as usize);
        let mut slot = slot.ok_or(io::ErrorKind::NotFound)?.lock();
        if let Some((held, page)) = &*slot
            && *held == number
        {
            return Ok(Arc::clone(page));
        }
        drop(std::mem::take(&mut *slot));
        let page: Arc<[u8]> = self.read(number)?.into();
        *slot = Some((number, Arc::clone(&page)));
        Ok(page)
    }

    fn check(&self) -> io::Result<()> {
        self.failure.get().map_or(Ok(()), |why| Err(io::Error::other(why.as_str())))
    }
}

/// Entries of one key size, sorted, one per content, in a file of the cache.
pub(super) struct CachedIndex {
    pages: Arc<Pages>,
    part: Part,
}

/// Where a key is, or would be, and the page in which that is.
struct Place {
    position: Result<u32, u32>,
    page: Option<Arc<[u8]>>,
}

impl CachedIndex {
    /// The entries of a file, and the names that its table has besides.
    pub(super) fn all(table: Table, pages: Pages) -> (BlobSet, Vec<BlobId>, Vec<Self>) {
        let pages = Arc::new(pages);
        let index = |part| Self { pages: Arc::clone(&pages), part };
        (table.blobs, table.packs, table.parts.into_iter().map(index).collect())
    }

    pub(super) fn key_size(&self) -> usize {
        self.part.key_size
    }

    pub(super) fn len(&self) -> u32 {
        self.part.count
    }

    /// Bytes of memory for the keys of this part, and for the pages that all parts of the file share.
    pub(super) fn memory(&self) -> u64 {
        self.part.samples.len() as u64 + self.pages.slots.len() as u64 * PAGE_MEMORY
    }

    pub(super) fn check(&self) -> io::Result<()> {
        self.pages.check()
    }

    fn per_page(&self) -> u32 {
        per_page(self.part.key_size)
    }

    fn page_count(&self) -> u32 {
        self.part.count.div_ceil(self.per_page())
    }

    fn sample(&self, page: u32) -> &[u8] {
        let start = page as usize * self.part.key_size;
        self.part.samples.get(start..start + self.part.key_size).unwrap_or_default()
    }

    fn number(&self, page: u32) -> u64 {
        self.part.first_page + u64::from(page)
    }

    fn record<'p>(&self, page: &'p [u8], at: u32) -> &'p [u8] {
        let stride = record::stride(self.part.key_size);
        page.get(at as usize * stride..).and_then(|rest| rest.get(..stride)).unwrap_or_default()
    }

    fn search(&self, key: &[u8]) -> io::Result<Place> {
        let page = match search(self.page_count(), key, |page| self.sample(page)) {
            Ok(page) => page,
            Err(0) => return Ok(Place { position: Err(0), page: None }),
            Err(after) => after - 1,
        };
        let first = page * self.per_page();
        let count = self.per_page().min(self.part.count - first);
        let bytes = self.pages.page(self.number(page))?;
        let key_at = |at| self.record(&bytes, at).get(..self.part.key_size).unwrap_or_default();
        let found = search(count, key, key_at);
        let position = found.map(|at| first + at).map_err(|at| first + at);
        Ok(Place { position, page: Some(bytes) })
    }

    /// The entry of a content and its position.
    pub(super) fn find(&self, key: &[u8]) -> io::Result<Option<(u32, Entry)>> {
        let Place { position: Ok(position), page: Some(page) } = self.search(key)? else { return Ok(None) };
        let record = self.record(&page, position % self.per_page());
        Ok(record::decode(record, self.part.key_size).map(|entry| (position, entry)))
    }

    pub(super) fn entry(&self, position: u32) -> Option<Entry> {
        if position >= self.part.count {
            return None;
        }
        let page = self.pages.page(self.number(position / self.per_page())).ok()?;
        record::decode(self.record(&page, position % self.per_page()), self.part.key_size)
    }

    /// The entries at these positions, in order.
    fn range(&self, positions: std::ops::Range<u32>) -> impl Iterator<Item = (u32, Entry)> + '_ {
        let mut held: Option<(u32, Vec<u8>)> = None;
        positions.map_while(move |position| {
            let page = position / self.per_page();
            if held.as_ref().is_none_or(|(number, _)| *number != page) {
                held = Some((page, self.pages.read(self.number(page)).ok()?));
            }
            let (_, bytes) = held.as_ref()?;
            let record = self.record(bytes, position % self.per_page());
            Some((position, record::decode(record, self.part.key_size)?))
        })
    }

    /// All entries in order, with their positions.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, Entry)> + '_ {
        self.range(0..self.part.count)
    }

    /// The entries of the contents with one prefix letter.
    pub(super) fn with_prefix(&self, prefix: u8) -> impl Iterator<Item = Entry> + '_ {
        let first = |key: &[u8]| self.search(key).map(|place| place.position.unwrap_or_else(|at| at));
        let end = prefix.checked_add(1).map_or(Ok(self.part.count), |next| first(&[next]));
        // What cannot be read is remembered, and said when the index is checked.
        let positions = first(&[prefix]).and_then(|start| Ok(start..end?)).unwrap_or(0..0);
        self.range(positions).map(|(_, entry)| entry)
    }
}
