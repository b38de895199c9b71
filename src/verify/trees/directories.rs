//! Reading directories: which directories are in each, and which of its entries are lost.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::object::ObjectId;
use crate::os::sync::Mutex;
use crate::snapshot::{self, DirEntry, EffectiveEntries, Entries};
use crate::verify::trees::graph::{Graph, LostEntry};
use crate::verify::trees::objects::{Objects, Tracked};

/// Bytes of lost entries that are held, at most a quarter of the memory; more than a report lists. Others are counted.
const MAX_LOST: u64 = 96 << 20;

/// After this many subdirectories of one directory, the memory is checked.
const CHECK_EVERY: usize = 4096;

/// Bytes that a directory takes in the list of its parent: once in that list, and once where all lists come together.
const CHILD_BYTES: u64 = 2 * size_of::<u32>() as u64;

/// Reads directories into one graph.
pub(crate) struct Directories<'a> {
    pub(crate) objects: Objects<'a>,
    pub(crate) graph: Mutex<Graph>,
    /// Bytes of lost entries so far.
    lost: AtomicU64,
    /// Bytes of the lists of directories that are being read.
    listing: AtomicU64,
    /// Entries that have the name of a later one in their directory.
    repeated: AtomicU64,
}

/// Bytes that count towards a sum until this is dropped.
struct Counted<'s> {
    sum: &'s AtomicU64,
    bytes: u64,
}

impl Counted<'_> {
    fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.sum.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.sum.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What is in a directory.
pub(crate) struct Listed<'s> {
    /// The directories in it, by number.
    pub(crate) children: Vec<u32>,
    /// Whether entries that others of the same name hide are left out.
    pub(crate) effective: bool,
    pub(crate) lost: Vec<LostEntry>,
    pub(crate) more_lost: u64,
    counted: Counted<'s>,
}

/// Names of a directory, to count those that occur more than once.
#[derive(Default)]
struct Names {
    key: RandomState,
    hashes: Vec<u64>,
}

impl Names {
    /// Further names are not counted: each takes 8 bytes beside everything else.
    const MOST: usize = 1 << 20;

    fn add(&mut self, entry: &Result<DirEntry, snapshot::Error>) {
        if let Ok(entry) = entry
            && self.hashes.len() < Self::MOST
        {
            self.hashes.push(self.key.hash_one(&entry.raw_name));
        }
    }

    /// How many entries have the name of a later one.
    fn repeated(mut self) -> u64 {
        self.hashes.sort_unstable();
        let all = self.hashes.len();
        self.hashes.dedup();
        (all - self.hashes.len()) as u64
    }
}

impl<'a> Directories<'a> {
    pub(crate) fn new(objects: Objects<'a>) -> Self {
        Self {
            objects,
            graph: Mutex::default(),
            lost: AtomicU64::new(0),
            listing: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
        }
    }

    /// Ends the walk when the graph and everything beside it take more memory than is allowed.
    pub(crate) fn check_memory(&self, graph: &Graph) {
        let held = graph.memory() + self.listing.load(Ordering::Relaxed) + self.objects.findings.memory();
        self.objects.allowance.check(held);
    }

    /// What is in a directory, or why it cannot be read.
    pub(crate) fn read(&self, object: &ObjectId) -> Result<Listed<'_>, Vec<u32>> {
        let source = Tracked::new(&self.objects);
        let mut names = Names::default();
        let entries = Entries::open(&source, object).inspect(|entry| names.add(entry));
        let mut result = self.list(entries);
        self.repeated.fetch_add(names.repeated(), Ordering::Relaxed);
        if let Ok(listed) = &result
            && !listed.lost.is_empty()
        {
            self.lost.fetch_sub(listed.lost.iter().map(LostEntry::bytes).sum(), Ordering::Relaxed);
            // Of several entries with one name, a restore uses only one: is that the lost one?
            let effective = EffectiveEntries::open(&source, object).and_then(|entries| self.list(entries));
            result = effective.map(|listed| Listed { effective: true, ..listed });
        }
        let bad = source.into_findings();
        match result {
            Ok(listed) if bad.is_empty() => Ok(listed),
            Ok(_) => Err(bad),
            Err(_) if !bad.is_empty() => Err(bad),
            Err(e) => Err(vec![self.objects.of_snapshot_error(object, &e)]),
        }
    }

    fn list(
        &self,
        entries: impl Iterator<Item = Result<DirEntry, snapshot::Error>>,
    ) -> Result<Listed<'_>, snapshot::Error> {
        let mut listed = Listed {
            children: Vec::new(),
            effective: false,
            lost: Vec::new(),
            more_lost: 0,
            counted: Counted { sum: &self.listing, bytes: 0 },
        };
        for entry in entries {
            match entry {
                Ok(entry) => match entry.object.filter(|_| entry.is_directory()) {
                    Some(object) => {
                        let mut graph = self.graph.lock();
                        listed.children.push(graph.number(&object));
                        if listed.children.len().is_multiple_of(CHECK_EVERY) {
                            listed.counted.add(CHECK_EVERY as u64 * CHILD_BYTES);
                            self.check_memory(&graph);
                        }
                        if self.objects.allowance.is_exhausted() {
                            return Ok(listed);
                        }
                    }
                    None if self.objects.allowance.is_exhausted() => return Ok(listed),
                    None => {
                        let findings = self.objects.check_entry(&entry);
                        if !findings.is_empty() {
                            self.lose(&mut listed, entry.raw_name.into_boxed_str(), findings);
                        }
                    }
                },
                Err(e) if e.is_entry() => {
                    let name = e.path().unwrap_or("?").into();
                    let finding = e.object().map(|object| self.objects.of_snapshot_error(object, &e));
                    self.lose(&mut listed, name, finding.into_iter().collect());
                }
                Err(e) => return Err(e),
            }
        }
        Ok(listed)
    }

    fn lose(&self, listed: &mut Listed<'_>, name: Box<str>, findings: Vec<u32>) {
        let entry = LostEntry { name, findings };
        if self.lost.load(Ordering::Relaxed) < MAX_LOST.min(self.objects.allowance.bytes / 4) {
            self.lost.fetch_add(entry.bytes(), Ordering::Relaxed);
            listed.lost.push(entry);
        } else {
            listed.more_lost += 1;
        }
    }

    /// A warning about entries of one name in one directory, if there are any.
    pub(crate) fn warning_of_repeated_names(&self) -> Option<String> {
        let repeated = self.repeated.load(Ordering::Relaxed);
        let entries = if repeated == 1 { "entry has" } else { "entries have" };
        (repeated > 0).then(|| {
            format!(
                "{repeated} {entries} the name of another one in the same directory (names that are not UTF-8 become equal \
                 when they are saved): a restore calls them NAME~1, NAME~2 and so on [names-repeated]"
            )
        })
    }
}
