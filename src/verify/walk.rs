//! From damaged contents to objects, paths and snapshots: one walk over all trees, in which each directory object is
//! read once however many snapshots share it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use super::findings::{Cause, Failures};
use crate::blob::BlobId;
use crate::content::{self, ContentSource, Contents, Decoder};
use crate::index::{ContentId, ContentIndex, Entry, Position};
use crate::object::{self, Chunks, ObjectId};
use crate::snapshot::{self, DirEntry, Entries, EntryType, Winners};

/// Directories read before their results are taken in: bounds what is held at once.
const ROUND: usize = 4096;

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
}

/// What one directory came to.
enum Read {
    Good { children: Vec<(Box<str>, ObjectId)>, lost: Vec<LostEntry> },
    Bad(Vec<u32>),
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
        let mut frontier: Vec<u32> = Vec::new();
        let mut visit = |object: ObjectId, nodes: &mut Vec<Node>, frontier: &mut Vec<u32>| {
            *numbers.entry(object).or_insert_with(|| {
                let number = nodes.len() as u32;
                nodes.push(Node { object, children: Vec::new(), lost: Vec::new(), unreadable: Vec::new() });
                frontier.push(number);
                number
            })
        };
        let mut starts = Vec::with_capacity(roots.len());
        for root in roots {
            starts.push(match root {
                Some(entry) if entry.is_directory() => match entry.object {
                    Some(object) => Root::Directory(visit(object, &mut nodes, &mut frontier)),
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
            let objects: Vec<(u32, ObjectId)> =
                frontier.iter().filter_map(|&n| Some((n, nodes.get(n as usize)?.object))).collect();
            let read = || objects.par_iter().map(|(n, object)| (*n, self.read(object))).collect();
            let results: Vec<(u32, Read)> = match &pool {
                Some(pool) => pool.install(read),
                None => read(),
            };
            frontier = rest;
            for (number, result) in results {
                let filled = match result {
                    Read::Good { children, lost } => {
                        let edge =
                            |(name, object)| Edge { name, child: visit(object, &mut nodes, &mut frontier) };
                        (children.into_iter().map(edge).collect(), lost, Vec::new())
                    }
                    Read::Bad(faults) => (Vec::new(), Vec::new(), faults),
                };
                if let Some(node) = nodes.get_mut(number as usize) {
                    (node.children, node.lost, node.unreadable) = filled;
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

    fn read(&self, object: &ObjectId) -> Read {
        let source = Tracked { walk: self, bad: Mutex::default() };
        let entries = Entries::open(&source, object);
        let mut result = self.entries(entries);
        if matches!(&result, Ok((_, lost)) if !lost.is_empty()) {
            // Of several entries with one name only the last can be brought back at all: is it that which is lost?
            result = Winners::open(&source, object).and_then(|entries| self.entries(entries));
        }
        let bad = source.bad.into_inner().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok((children, lost)) if bad.is_empty() => Read::Good { children, lost },
            Ok(_) => Read::Bad(bad),
            Err(_) if !bad.is_empty() => Read::Bad(bad),
            Err(e) => Read::Bad(vec![self.snapshot_fault(object, &e)]),
        }
    }

    #[expect(clippy::type_complexity, reason = "used once, just above")]
    fn entries(
        &self,
        entries: impl Iterator<Item = Result<DirEntry, snapshot::Error>>,
    ) -> Result<(Vec<(Box<str>, ObjectId)>, Vec<LostEntry>), snapshot::Error> {
        let mut children = Vec::new();
        let mut lost = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => match entry.object {
                    Some(object) if entry.is_directory() => {
                        children.push((entry.raw_name.into_boxed_str(), object));
                    }
                    _ => {
                        let faults = self.check_entry(&entry);
                        if !faults.is_empty() {
                            lost.push(LostEntry { name: entry.raw_name.into_boxed_str(), faults });
                        }
                    }
                },
                Err(snapshot::Error::Shadowed { .. }) => {}
                Err(e) if e.is_entry() => {
                    let name = e.path().unwrap_or("?").into();
                    let fault = e.object().map(|object| self.snapshot_fault(object, &e));
                    lost.push(LostEntry { name, faults: fault.into_iter().collect() });
                }
                Err(e) => return Err(e),
            }
        }
        Ok((children, lost))
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
        let detail = format!("entry {:?} names no object", entry.raw_name);
        self.plain_fault("entry-without-object", None, &detail)
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
