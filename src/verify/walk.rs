//! From damaged contents to objects, paths and snapshots: one walk over all trees, in which each directory object is
//! read once however many snapshots share it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use super::findings::{Cause, Failures};
use crate::blob::BlobId;
use crate::content::{self, ContentSource, Contents, Decoder};
use crate::index::{ContentId, ContentIndex, Entry, Position};
use crate::object::{self, Chunks, ObjectId};
use crate::snapshot::{self, DirEntry, Entries, EntryType, MAX_DEPTH, Winners};

/// Directories read before their results are taken in: bounds what is held at once.
const ROUND: usize = 4096;

/// Names of lost entries that are held; more than a report lists. Others are counted.
const MAX_LOST: u64 = 1_000_000;

/// A reason for which paths are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) blob: Option<BlobId>,
    pub(super) content: Option<ContentId>,
    pub(super) object: Option<ObjectId>,
    pub(super) detail: Box<str>,
    pub(super) unchecked: bool,
}

/// An entry of a directory that cannot be brought back, and why.
#[derive(Debug)]
pub(super) struct LostEntry {
    pub(super) name: Box<str>,
    pub(super) faults: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct Edge {
    pub(super) name: Box<str>,
    pub(super) child: u32,
}

/// A directory object.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) object: ObjectId,
    pub(super) children: Vec<Edge>,
    pub(super) lost: Vec<LostEntry>,
    /// How many more entries are lost whose names are not held.
    pub(super) more_lost: u64,
    /// Why the directory itself cannot be read; empty when it can.
    pub(super) unreadable: Vec<u32>,
}

/// The root of a snapshot.
pub(super) enum Root {
    Directory(u32),
    /// A file, with what keeps it from being brought back.
    File(Vec<u32>),
}

/// All trees, as far as damage is concerned.
pub(super) struct Trees {
    pub(super) nodes: Vec<Node>,
    pub(super) roots: Vec<Root>,
    pub(super) faults: Vec<Fault>,
    /// Oddities that keep nothing from being brought back.
    pub(super) warnings: Vec<String>,
    /// Whether the walk was ended before it had seen everything.
    pub(super) stopped: bool,
}

impl Trees {
    /// Whether every directory was read, so that what is not referenced is certainly not needed.
    pub(super) fn is_complete(&self) -> bool {
        !self.stopped && self.nodes.iter().all(|node| node.unreadable.is_empty())
    }
}

/// A walk over the trees of some snapshots.
pub(super) struct Walk<'a> {
    contents: &'a Contents,
    index: Arc<ContentIndex>,
    failures: &'a Failures,
    /// Whether to decompress what is compressed at the object layer, to know its length.
    thorough: bool,
    faults: Mutex<Faults>,
    /// What is known of objects of several contents.
    seen: Mutex<HashMap<ObjectId, Arc<[u32]>>>,
    warnings: Mutex<Vec<String>>,
    /// Lost entries so far.
    lost: AtomicU64,
    /// Where the contents are that the trees are made of, when that is asked for.
    used: Option<Used>,
}

/// Contents by their places in the index.
pub(super) type Used = Arc<Mutex<HashSet<Position>>>;

#[derive(Default)]
struct Faults {
    list: Vec<Fault>,
    by_content: HashMap<ContentId, u32>,
    by_object: HashMap<(ObjectId, &'static str), u32>,
    without_object: Option<u32>,
}

/// What one directory came to.
enum Read {
    Good(Listed),
    Bad(Vec<u32>),
}

/// What is in a directory.
#[derive(Default)]
struct Listed {
    children: Vec<(Box<str>, ObjectId)>,
    lost: Vec<LostEntry>,
    more_lost: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(contents: &'a Contents, failures: &'a Failures, thorough: bool) -> Self {
        let index = contents.index();
        Self {
            contents,
            index,
            failures,
            thorough,
            faults: Mutex::default(),
            seen: Mutex::default(),
            warnings: Mutex::default(),
            lost: AtomicU64::new(0),
            used: None,
        }
    }

    /// Notes in the set given back what the walk comes by.
    pub(super) fn collect(&mut self) -> Used {
        Arc::clone(self.used.get_or_insert_default())
    }

    /// Walks from the roots given, on `threads` threads.
    pub(super) fn run(
        self,
        roots: &[Option<&DirEntry>],
        threads: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Trees {
        let mut nodes: Vec<Node> = Vec::new();
        let mut numbers: HashMap<ObjectId, u32> = HashMap::new();
        // Where the walk goes on, with the fewest levels that lie above: it comes to the upper ones first.
        let mut frontier: Vec<(u32, usize)> = Vec::new();
        let mut visit =
            |object: ObjectId, depth: usize, nodes: &mut Vec<Node>, frontier: &mut Vec<(u32, usize)>| {
                *numbers.entry(object).or_insert_with(|| {
                    let number = nodes.len() as u32;
                    nodes.push(Node {
                        object,
                        children: Vec::new(),
                        lost: Vec::new(),
                        more_lost: 0,
                        unreadable: Vec::new(),
                    });
                    frontier.push((number, depth));
                    number
                })
            };
        let mut starts = Vec::with_capacity(roots.len());
        for root in roots {
            starts.push(match root {
                Some(entry) if entry.is_directory() => match entry.object {
                    Some(object) => Root::Directory(visit(object, 0, &mut nodes, &mut frontier)),
                    None => Root::File(vec![self.no_object(entry)]),
                },
                Some(entry) => Root::File(self.check_entry(entry)),
                None => Root::File(vec![self.no_root()]),
            });
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build().ok();
        let mut stopped = false;
        while !frontier.is_empty() {
            if stop() {
                stopped = true;
                break;
            }
            let rest = frontier.split_off(frontier.len().min(ROUND));
            let objects: Vec<(u32, usize, ObjectId)> = frontier
                .iter()
                .filter_map(|&(number, depth)| Some((number, depth, nodes.get(number as usize)?.object)))
                .collect();
            let read_at = |(number, depth, object): &(u32, usize, ObjectId)| {
                let read = if *depth < MAX_DEPTH { self.read(object) } else { self.too_deep(object) };
                (*number, *depth, read)
            };
            let read = || objects.par_iter().map(read_at).collect();
            let results: Vec<(u32, usize, Read)> = match &pool {
                Some(pool) => pool.install(read),
                None => read(),
            };
            frontier = rest;
            for (number, depth, result) in results {
                let filled = match result {
                    Read::Good(Listed { children, lost, more_lost }) => {
                        let edge = |(name, object)| Edge {
                            name,
                            child: visit(object, depth + 1, &mut nodes, &mut frontier),
                        };
                        (children.into_iter().map(edge).collect(), lost, more_lost, Vec::new())
                    }
                    Read::Bad(faults) => (Vec::new(), Vec::new(), 0, faults),
                };
                if let Some(node) = nodes.get_mut(number as usize) {
                    (node.children, node.lost, node.more_lost, node.unreadable) = filled;
                }
            }
        }
        Trees {
            nodes,
            roots: starts,
            faults: self.faults.into_inner().unwrap_or_else(PoisonError::into_inner).list,
            warnings: self.warnings.into_inner().unwrap_or_else(PoisonError::into_inner),
            stopped,
        }
    }

    /// What no restore goes down to.
    fn too_deep(&self, object: &ObjectId) -> Read {
        let detail = format!("directory {object} lies more than {MAX_DEPTH} levels down");
        Read::Bad(vec![self.plain_fault("directory-too-deep", Some(object), &detail)])
    }

    fn read(&self, object: &ObjectId) -> Read {
        let source = Tracked { walk: self, bad: Mutex::default() };
        let entries = Entries::open(&source, object);
        let mut result = self.entries(entries);
        if let Ok(listed) = &result
            && !listed.lost.is_empty()
        {
            self.lost.fetch_sub(listed.lost.len() as u64, Ordering::Relaxed);
            // Of several entries with one name only the last can be brought back at all: is it that which is lost?
            result = Winners::open(&source, object).and_then(|entries| self.entries(entries));
        }
        let bad = source.bad.into_inner().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(listed) if bad.is_empty() => Read::Good(listed),
            Ok(_) => Read::Bad(bad),
            Err(_) if !bad.is_empty() => Read::Bad(bad),
            Err(e) => Read::Bad(vec![self.snapshot_fault(object, &e)]),
        }
    }

    fn entries(
        &self,
        entries: impl Iterator<Item = Result<DirEntry, snapshot::Error>>,
    ) -> Result<Listed, snapshot::Error> {
        let mut listed = Listed::default();
        let lose = |listed: &mut Listed, name: Box<str>, faults: Vec<u32>| {
            if self.lost.load(Ordering::Relaxed) < MAX_LOST {
                self.lost.fetch_add(1, Ordering::Relaxed);
                listed.lost.push(LostEntry { name, faults });
            } else {
                listed.more_lost += 1;
            }
        };
        for entry in entries {
            match entry {
                Ok(entry) => match entry.object {
                    Some(object) if entry.is_directory() => {
                        listed.children.push((entry.raw_name.into_boxed_str(), object));
                    }
                    _ => {
                        let faults = self.check_entry(&entry);
                        if !faults.is_empty() {
                            lose(&mut listed, entry.raw_name.into_boxed_str(), faults);
                        }
                    }
                },
                Err(snapshot::Error::Shadowed { .. }) => {}
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
        self.seen().insert(object, faults.as_slice().into());
        faults
    }

    /// Whether a content has no bytes, so that a restore makes the file without reading it.
    fn is_empty(&self, content: &ContentId) -> bool {
        let possible = |entry: &Entry| {
            let pack = self.index.pack(entry.pack);
            pack.is_some_and(|pack| Decoder::new(self.contents.format()).check(entry, pack).is_ok())
        };
        let Some((position, entry)) = self.index.find(content) else { return false };
        if let Some(used) = &self.used {
            used.lock().unwrap_or_else(PoisonError::into_inner).insert(position);
        }
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
        let Some((position, entry)) = self.index.find(content) else {
            let cause = Cause::of(&content::Error::Missing { content: *content });
            return (vec![self.content_fault(content, &cause)], None);
        };
        if let Some(used) = &self.used {
            used.lock().unwrap_or_else(PoisonError::into_inner).insert(position);
        }
        match self.failures.get(content) {
            Some(cause) => (vec![self.content_fault(content, cause)], None),
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
        match object {
            Some(object) => {
                let Faults { list, by_object, .. } = &mut *faults;
                *by_object.entry((*object, code)).or_insert_with(|| push(list, fault()))
            }
            None => push(&mut faults.list, fault()),
        }
    }

    fn content_fault(&self, content: &ContentId, cause: &Cause) -> u32 {
        let Faults { list, by_content, .. } = &mut *self.faults();
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

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<ObjectId, Arc<[u32]>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
