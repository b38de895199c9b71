//! From damaged contents to objects, paths and snapshots: one walk over all trees, in which each directory object is
//! read once however many snapshots share it.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use crate::content::{self, ContentSource, Contents, Decoder};
use crate::index::{ContentId, ContentIndex, Entry, Position};
use crate::object::{self, Chunks, ObjectId};
use crate::snapshot::{self, DirEntry, EffectiveEntries, Entries, EntryType, MAX_DEPTH};
use crate::verify::findings::{Cause, Failures};
use crate::verify::lookup::look_up;
use crate::verify::trees::graph::{Damage, Graph};
use crate::verify::trees::tree::{Fault, LostEntry, Root, Trees};

/// Directories read before somebody is asked whether to stop.
const ROUND: usize = 4096;

/// Faults that are held one by one, if there is memory: as many as paths are listed. Of the others, those of one code are
/// one fault together.
const MAX_FAULTS: u64 = 200_000;

/// What a fault takes, with all that is made of it for a report.
const FAULT_BYTES: u64 = 1024;

/// What it takes to know an object of several contents.
const SEEN_BYTES: u64 = 128;

/// Bytes of lost entries that are held, at most a quarter of the memory; more than a report lists. Others are counted.
const MAX_LOST: u64 = 96 << 20;

/// Directories in a directory after which it is looked at how much memory is left.
const CHECKED: usize = 4096;

/// What a directory takes in the list of what is in another: once there, and once where all of them come together.
const LISTED_BYTES: u64 = 2 * size_of::<u32>() as u64;

/// A walk over the trees of some snapshots.
pub(crate) struct Walk<'a> {
    contents: &'a Contents,
    index: Arc<ContentIndex>,
    failures: &'a Failures,
    /// Whether to decompress what is compressed at the object layer, to know its length.
    thorough: bool,
    /// Bytes that what is known of the trees may take.
    memory: u64,
    max_faults: usize,
    max_seen: usize,
    graph: Mutex<Graph>,
    /// Whether it took more.
    exhausted: AtomicBool,
    faults: Mutex<Faults>,
    /// What is known of objects of several contents.
    seen: Mutex<HashMap<ObjectId, Arc<[u32]>>>,
    warnings: Mutex<Vec<String>>,
    /// Bytes of lost entries so far.
    lost: AtomicU64,
    /// Bytes of the lists of directories that are being read.
    listing: AtomicU64,
    /// Where the contents are that the trees are made of, when that is asked for.
    used: Option<Used>,
    /// Entries that have the name of a later one in their directory.
    repeated: AtomicU64,
}

/// Contents by their places in the index.
pub(crate) type Used = Arc<Mutex<HashSet<Position>>>;

#[derive(Default)]
struct Faults {
    list: Vec<Fault>,
    by_content: HashMap<ContentId, u32>,
    by_object: HashMap<(ObjectId, &'static str), u32>,
    without_object: Option<u32>,
    /// Those of which there are too many.
    by_code: HashMap<&'static str, u32>,
}

/// Bytes that count among those of a sum as long as this is there.
struct Counted<'w> {
    sum: &'w AtomicU64,
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
struct Listed<'w> {
    /// The directories in it, by number.
    children: Vec<u32>,
    counted: Counted<'w>,
    /// Whether the names tell entries of one name apart.
    winners: bool,
    lost: Vec<LostEntry>,
    more_lost: u64,
}

/// Names of a directory, to count those that occur more than once.
#[derive(Default)]
struct Names {
    key: RandomState,
    hashes: Vec<u64>,
}

impl Names {
    /// Names beyond these are not looked at: 8 bytes for each have to fit beside everything else.
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

impl<'a> Walk<'a> {
    /// A walk that takes up to `memory` bytes for what it comes by.
    pub(crate) fn new(contents: &'a Contents, failures: &'a Failures, thorough: bool, memory: u64) -> Self {
        let index = contents.index();
        Self {
            contents,
            index,
            failures,
            thorough,
            memory,
            max_faults: MAX_FAULTS.min(memory / 4 * 3 / FAULT_BYTES) as usize,
            max_seen: (memory / 4 / SEEN_BYTES) as usize,
            graph: Mutex::default(),
            exhausted: AtomicBool::new(failures.overflowed()),
            faults: Mutex::default(),
            seen: Mutex::default(),
            warnings: Mutex::default(),
            lost: AtomicU64::new(0),
            listing: AtomicU64::new(0),
            used: None,
            repeated: AtomicU64::new(0),
        }
    }

    /// Notes in the set given back what the walk comes by. It may take half of the memory.
    pub(crate) fn collect(&mut self) -> Used {
        self.memory /= 2;
        Arc::clone(self.used.get_or_insert_default())
    }

    /// Walks from the roots given, on `threads` threads.
    pub(crate) fn run(
        self,
        roots: &[Option<&DirEntry>],
        threads: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Trees {
        let mut starts = Vec::with_capacity(roots.len());
        for root in roots {
            starts.push(match root {
                Some(entry) if entry.is_directory() => match entry.object {
                    Some(object) => {
                        let mut graph = self.graph();
                        let number = graph.number(&object);
                        graph.queue(number);
                        Root::Directory(number)
                    }
                    None => Root::File(vec![self.no_object(entry)]),
                },
                Some(entry) => Root::File(self.check_entry(entry)),
                None => Root::File(vec![self.no_root()]),
            });
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build().ok();
        let mut stopped = false;
        // Level by level: what lies at several depths is come to at the least of them.
        for depth in 0.. {
            let level = self.graph().take_queued();
            if level.is_empty() || stopped {
                break;
            }
            for round in level.chunks(ROUND) {
                stopped = stopped || self.is_exhausted() || stop();
                if stopped {
                    break;
                }
                let visit = || round.par_iter().for_each(|number| self.visit(*number, depth));
                match &pool {
                    Some(pool) => pool.install(visit),
                    None => visit(),
                }
            }
        }
        let unseen = self.is_exhausted().then(|| self.no_memory());
        self.warn_of_repeated_names();
        Trees {
            graph: self.graph.into_inner().unwrap_or_else(PoisonError::into_inner),
            roots: starts,
            faults: self.faults.into_inner().unwrap_or_else(PoisonError::into_inner).list,
            warnings: self.warnings.into_inner().unwrap_or_else(PoisonError::into_inner),
            stopped,
            unseen,
        }
    }

    fn is_exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed)
    }

    /// Reads a directory and takes in what is in it, unless there is no memory for that.
    fn visit(&self, number: u32, depth: usize) {
        let Some(object) = self.graph().object(number).filter(|_| !self.is_exhausted()) else { return };
        let read = if depth < MAX_DEPTH { self.read(&object) } else { Err(vec![self.too_deep(&object)]) };
        let mut graph = self.graph();
        if self.is_exhausted() {
            return;
        }
        match read {
            Ok(Listed { children, winners, lost, more_lost, .. }) => {
                graph.fill(number, &children, winners, Damage { lost, more_lost, unreadable: Vec::new() });
            }
            Err(unreadable) => graph.fill(number, &[], false, Damage { unreadable, ..Damage::default() }),
        }
        self.look_at_memory(&graph);
    }

    /// Takes down where a content is, if that is asked for; there may be many millions.
    fn note_used(&self, position: Position) {
        let Some(used) = &self.used else { return };
        let mut used = used.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(position);
        // One byte of control beside each place, and an eighth stays free.
        let bytes = (used.capacity() * (size_of::<Position>() + 1) / 7 * 8) as u64;
        if bytes > self.memory {
            self.exhausted.store(true, Ordering::Relaxed);
        }
    }

    fn look_at_memory(&self, graph: &Graph) {
        let faults = self.faults().list.len() as u64 * FAULT_BYTES;
        if graph.memory() + self.listing.load(Ordering::Relaxed) + faults > self.memory {
            self.exhausted.store(true, Ordering::Relaxed);
        }
    }

    /// What no restore goes down to.
    fn too_deep(&self, object: &ObjectId) -> u32 {
        let detail = format!("directory {object} lies more than {MAX_DEPTH} levels down");
        self.plain_fault("directory-too-deep", Some(object), &detail)
    }

    /// What is in a directory, or why it cannot be read.
    fn read(&self, object: &ObjectId) -> Result<Listed<'_>, Vec<u32>> {
        let source = Tracked { walk: self, bad: Mutex::default() };
        let mut names = Names::default();
        let entries = Entries::open(&source, object).inspect(|entry| names.add(entry));
        let mut result = self.entries(entries);
        self.repeated.fetch_add(names.repeated(), Ordering::Relaxed);
        if let Ok(listed) = &result
            && !listed.lost.is_empty()
        {
            self.lost.fetch_sub(listed.lost.iter().map(LostEntry::bytes).sum(), Ordering::Relaxed);
            // Of several entries with one name, which is it that is lost?
            let winners = EffectiveEntries::open(&source, object).and_then(|entries| self.entries(entries));
            result = winners.map(|listed| Listed { winners: true, ..listed });
        }
        let bad = source.bad.into_inner().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(listed) if bad.is_empty() => Ok(listed),
            Ok(_) => Err(bad),
            Err(_) if !bad.is_empty() => Err(bad),
            Err(e) => Err(vec![self.snapshot_fault(object, &e)]),
        }
    }

    fn entries(
        &self,
        entries: impl Iterator<Item = Result<DirEntry, snapshot::Error>>,
    ) -> Result<Listed<'_>, snapshot::Error> {
        let mut listed = Listed {
            children: Vec::new(),
            counted: Counted { sum: &self.listing, bytes: 0 },
            winners: false,
            lost: Vec::new(),
            more_lost: 0,
        };
        let lose = |listed: &mut Listed<'_>, name: Box<str>, faults: Vec<u32>| {
            let entry = LostEntry { name, faults };
            if self.lost.load(Ordering::Relaxed) < MAX_LOST.min(self.memory / 4) {
                self.lost.fetch_add(entry.bytes(), Ordering::Relaxed);
                listed.lost.push(entry);
            } else {
                listed.more_lost += 1;
            }
        };
        for entry in entries {
            match entry {
                Ok(entry) => match entry.object {
                    Some(object) if entry.is_directory() => {
                        let mut graph = self.graph();
                        listed.children.push(graph.number(&object));
                        if listed.children.len().is_multiple_of(CHECKED) {
                            listed.counted.add(CHECKED as u64 * LISTED_BYTES);
                            self.look_at_memory(&graph);
                        }
                        if self.is_exhausted() {
                            return Ok(listed);
                        }
                    }
                    _ if self.is_exhausted() => return Ok(listed),
                    _ => {
                        let faults = self.check_entry(&entry);
                        if !faults.is_empty() {
                            lose(&mut listed, entry.raw_name.into_boxed_str(), faults);
                        }
                    }
                },
                Err(e) if e.is_entry() => {
                    let name = e.path().unwrap_or("?").into();
                    let fault = e.object().map(|object| self.snapshot_fault(object, &e));
                    lose(&mut listed, name, fault.into_iter().collect());
                }
                Err(e) => return Err(e),
            }
        }
        Ok(listed)
    }

    /// What keeps a file or link from being brought back.
    fn check_entry(&self, entry: &DirEntry) -> Vec<u32> {
        let Some(object) = entry.object else { return vec![self.no_object(entry)] };
        if object.indirections() == 0 && !object.is_compressed() {
            if entry.size == 0 && entry.kind == EntryType::File && self.is_empty(object.content()) {
                return Vec::new();
            }
            let (faults, length) = self.check_content(object.content());
            if let Some(length) = length {
                self.compare_size(entry, &object, length);
            }
            return faults;
        }
        if let Some(known) = self.seen().get(&object) {
            return known.to_vec();
        }
        let (faults, length) = self.check_object(&object);
        if let Some(length) = length {
            self.compare_size(entry, &object, length);
        }
        let mut seen = self.seen();
        if seen.len() < self.max_seen {
            seen.insert(object, faults.as_slice().into());
        }
        faults
    }

    /// Whether a content has no bytes, so that a restore makes the file without reading it.
    fn is_empty(&self, content: &ContentId) -> bool {
        let possible = |entry: &Entry| {
            let pack = self.index.pack(entry.pack);
            pack.is_some_and(|pack| Decoder::new(self.contents.format()).check(entry, pack).is_ok())
        };
        let Some((position, entry)) = look_up(&self.index, content) else { return false };
        self.note_used(position);
        entry.original_length == 0 && possible(&entry)
    }

    /// Checks all contents of an object; gives its length where nothing is wrong.
    fn check_object(&self, object: &ObjectId) -> (Vec<u32>, Option<u64>) {
        let source = Tracked { walk: self, bad: Mutex::default() };
        let mut faults = Vec::new();
        let mut length = 0;
        for chunk in Chunks::new(&source, object) {
            match chunk {
                Ok(chunk) if chunk.length == Some(0) => {}
                Ok(chunk) => {
                    let (found, original) = self.check_content(&chunk.content);
                    let whole = found.is_empty();
                    faults.extend(found);
                    let got = if chunk.compressed {
                        if !(whole && self.thorough) {
                            length += chunk.length.unwrap_or(0);
                            continue;
                        }
                        match chunk.fetch(&source, object) {
                            Ok(data) => Some(data.len() as u64),
                            Err(e) => {
                                faults.push(self.object_fault(object, &e));
                                None
                            }
                        }
                    } else {
                        original
                    };
                    if let (Some(got), Some(expected)) = (got, chunk.length)
                        && got != expected
                    {
                        let error = object::Error::ChunkLength {
                            object: *object,
                            content: chunk.content,
                            expected,
                            found: got,
                        };
                        faults.push(self.object_fault(object, &error));
                    }
                    length += got.or(chunk.length).unwrap_or(0);
                }
                Err(e) => {
                    if source.bad().is_empty() {
                        faults.push(self.object_fault(object, &e));
                    }
                    break;
                }
            }
        }
        faults.extend(source.bad().iter());
        faults.sort_unstable();
        faults.dedup();
        let length = faults.is_empty().then_some(length);
        (faults, length)
    }

    /// What is known against a content, and its length where it is there.
    fn check_content(&self, content: &ContentId) -> (Vec<u32>, Option<u64>) {
        let Some((position, entry)) = look_up(&self.index, content) else {
            let cause = Cause::of(&content::Error::Missing { content: *content });
            return (vec![self.content_fault(content, &cause)], None);
        };
        self.note_used(position);
        match self.failures.cause(content, self.index.pack(entry.pack)) {
            Some(cause) => (vec![self.content_fault(content, &cause)], None),
            None => (Vec::new(), Some(entry.original_length.into())),
        }
    }

    /// An incomplete snapshot may hold less of a file than it names; of anything else it is odd, but what is there can
    /// be brought back.
    fn compare_size(&self, entry: &DirEntry, object: &ObjectId, length: u64) {
        const WARNINGS: usize = 100;
        if entry.size != length && !entry.raw_name.starts_with(".checkpointed.") {
            let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
            if warnings.len() < WARNINGS {
                let name = &entry.raw_name;
                let size = entry.size;
                warnings.push(format!("{name:?} says {size} bytes, its object {object} has {length}"));
            }
        }
    }

    fn warn_of_repeated_names(&self) {
        let repeated = self.repeated.load(Ordering::Relaxed);
        if repeated > 0 {
            let entries = if repeated == 1 { "entry has" } else { "entries have" };
            let warning = format!(
                "{repeated} {entries} the name of another one in the same directory (names that are not UTF-8 become equal \
                 when they are saved): a restore calls them NAME~1, NAME~2 and so on [names-repeated]"
            );
            self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
        }
    }

    fn no_object(&self, entry: &DirEntry) -> u32 {
        // One for all: there may be millions of such entries. Their paths are listed.
        let known = self.faults().without_object;
        known.unwrap_or_else(|| {
            let name: String = entry.raw_name.chars().take(300).collect();
            let detail = format!("entry {name:?} names no object");
            let fault = self.plain_fault("entry-without-object", None, &detail);
            *self.faults().without_object.get_or_insert(fault)
        })
    }

    /// What there is no memory for is neither good nor bad.
    fn no_memory(&self) -> u32 {
        let detail = match self.failures.overflowed() {
            true => "more contents are damaged than the memory budget has room for: which of what is in these is lost was \
                     not looked at"
                .to_owned(),
            false => format!(
                "the directories of the snapshots take more than the {} KiB that are left of the memory budget: what is \
                 in these was not looked at",
                self.memory >> 10
            ),
        };
        let (blob, content, object) = (None, None, None);
        let fault =
            Fault { code: "memory-budget", blob, content, object, detail: detail.into(), unchecked: true };
        push(&mut self.faults().list, fault)
    }

    fn no_root(&self) -> u32 {
        self.plain_fault("snapshot-without-root", None, "the snapshot has no root entry")
    }

    fn snapshot_fault(&self, object: &ObjectId, error: &snapshot::Error) -> u32 {
        match error {
            snapshot::Error::Object(e) => self.object_fault(object, e),
            e => self.plain_fault(e.code(), Some(object), &e.to_string()),
        }
    }

    fn object_fault(&self, object: &ObjectId, error: &object::Error) -> u32 {
        match error {
            object::Error::Content { source, .. } => match source.content() {
                Some(content) => self.content_fault(&content, &Cause::of(source)),
                None => self.plain_fault(source.code(), Some(object), &error.to_string()),
            },
            e => self.plain_fault(e.code(), Some(object), &e.to_string()),
        }
    }

    fn plain_fault(&self, code: &'static str, object: Option<&ObjectId>, detail: &str) -> u32 {
        let mut faults = self.faults();
        let fault = || Fault {
            code,
            blob: None,
            content: None,
            object: object.copied(),
            detail: detail.into(),
            unchecked: false,
        };
        let Some(object) = object else { return push(&mut faults.list, fault()) };
        let Faults { list, by_object, by_code, .. } = &mut *faults;
        if list.len() >= self.max_faults && !by_object.contains_key(&(*object, code)) {
            return many(list, by_code, code, false);
        }
        *by_object.entry((*object, code)).or_insert_with(|| push(list, fault()))
    }

    fn content_fault(&self, content: &ContentId, cause: &Cause) -> u32 {
        let Faults { list, by_content, by_code, .. } = &mut *self.faults();
        // Who has read the packs names the contents that were found bad there, and takes those for unneeded that no
        // fault names.
        if list.len() >= self.max_faults && !by_content.contains_key(content) && !self.is_known(content) {
            return many(list, by_code, cause.code, cause.unchecked);
        }
        *by_content.entry(*content).or_insert_with(|| {
            let fault = Fault {
                code: cause.code,
                blob: cause.blob.clone(),
                content: Some(*content),
                object: None,
                detail: cause.detail.clone(),
                unchecked: cause.unchecked,
            };
            push(list, fault)
        })
    }

    /// Whether it was found before the walk that a content cannot be given back.
    fn is_known(&self, content: &ContentId) -> bool {
        let entry = look_up(&self.index, content).map(|(_, entry)| entry);
        self.failures.cause(content, entry.and_then(|entry| self.index.pack(entry.pack))).is_some()
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn graph(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<ObjectId, Arc<[u32]>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fault that stands for all of one kind that are not held one by one.
fn many(
    list: &mut Vec<Fault>,
    by_code: &mut HashMap<&'static str, u32>,
    code: &'static str,
    unchecked: bool,
) -> u32 {
    *by_code.entry(code).or_insert_with(|| {
        let (blob, content, object) = (None, None, None);
        let detail = "more of these than are reported one by one".into();
        push(list, Fault { code, blob, content, object, detail, unchecked })
    })
}

fn push(list: &mut Vec<Fault>, fault: Fault) -> u32 {
    list.push(fault);
    list.len() as u32 - 1
}

/// Contents for reading directories and tables: notes which are used and which of them are no good.
struct Tracked<'a> {
    walk: &'a Walk<'a>,
    bad: Mutex<Vec<u32>>,
}

impl Tracked<'_> {
    fn bad(&self) -> MutexGuard<'_, Vec<u32>> {
        self.bad.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, fault: u32) {
        let mut bad = self.bad();
        if !bad.contains(&fault) {
            bad.push(fault);
        }
    }
}

impl ContentSource for Tracked<'_> {
    fn get(&self, id: &ContentId) -> Result<Vec<u8>, content::Error> {
        let (faults, _) = self.walk.check_content(id);
        for fault in faults {
            self.note(fault);
        }
        let result = self.walk.contents.get(id);
        if let Err(e) = &result {
            self.note(self.walk.content_fault(id, &Cause::of(e)));
        }
        result
    }

    fn original_length(&self, id: &ContentId) -> Result<Option<u64>, content::Error> {
        self.walk.contents.original_length(id)
    }
}
