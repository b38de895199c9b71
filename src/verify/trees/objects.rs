//! Whether the object of an entry can be put together from contents that are not known to be bad.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::content::{self, ContentSource, Contents, Decoder};
use crate::index::{ContentId, ContentIndex, Entry, Position};
use crate::object::{self, Chunks, ObjectId};
use crate::os::sync::Mutex;
use crate::snapshot::{self, DirEntry, EntryType};
use crate::verify::failures::Failures;
use crate::verify::fault::Fault;
use crate::verify::lookup::look_up;
use crate::verify::trees::findings::Findings;

/// Bytes that a remembered object of several contents takes.
const REMEMBERED_BYTES: u64 = 128;

/// Warnings about sizes that are listed.
const MAX_WARNINGS: usize = 100;

/// Positions in the index of all contents that a walk came across.
pub(crate) type Used = Arc<Mutex<HashSet<Position>>>;

/// The memory that a walk may take. When it is exhausted, the walk ends.
pub(crate) struct Allowance {
    pub(crate) bytes: u64,
    exhausted: AtomicBool,
}

impl Allowance {
    pub(crate) fn is_exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed)
    }

    /// Compares the bytes that are held with those that are allowed.
    pub(crate) fn check(&self, held: u64) {
        if held > self.bytes {
            self.exhausted.store(true, Ordering::Relaxed);
        }
    }
}

/// Checks objects, and remembers those that many entries share.
pub(crate) struct Objects<'a> {
    pub(crate) contents: &'a Contents,
    index: Arc<ContentIndex>,
    failures: &'a Failures,
    /// Whether to decompress what is compressed at the object layer, to know its length.
    thorough: bool,
    pub(crate) allowance: Allowance,
    pub(crate) findings: Findings,
    /// The findings about objects of several contents.
    remembered: Mutex<HashMap<ObjectId, Arc<[u32]>>>,
    max_remembered: usize,
    warnings: Mutex<Vec<String>>,
    used: Option<Used>,
}

impl<'a> Objects<'a> {
    pub(crate) fn new(contents: &'a Contents, failures: &'a Failures, thorough: bool, memory: u64) -> Self {
        Self {
            contents,
            index: contents.index(),
            failures,
            thorough,
            allowance: Allowance { bytes: memory, exhausted: AtomicBool::new(failures.overflowed()) },
            findings: Findings::within(memory),
            remembered: Mutex::default(),
            max_remembered: (memory / 4 / REMEMBERED_BYTES) as usize,
            warnings: Mutex::default(),
            used: None,
        }
    }

    /// Records the contents that the walk comes across. They may take half of the memory.
    pub(crate) fn record_used(&mut self) -> Used {
        self.allowance.bytes /= 2;
        Arc::clone(self.used.get_or_insert_default())
    }

    /// All findings and warnings.
    pub(crate) fn finish(self) -> (Findings, Vec<String>) {
        (self.findings, self.warnings.into_inner())
    }

    /// Whether more contents are bad than are held, so that any content may be.
    pub(crate) fn has_too_many_failures(&self) -> bool {
        self.failures.overflowed()
    }

    /// What keeps a file or link from being restored.
    pub(crate) fn check_entry(&self, entry: &DirEntry) -> Vec<u32> {
        let Some(object) = entry.object else { return vec![self.findings.of_entry_without_object(entry)] };
        if object.indirections() == 0 && !object.is_compressed() {
            if entry.size == 0 && entry.kind == EntryType::File && self.is_empty(object.content()) {
                return Vec::new();
            }
            let (findings, length) = self.check_content(object.content());
            self.compare_size(entry, &object, length);
            return findings;
        }
        if let Some(known) = self.remembered.lock().get(&object) {
            return known.to_vec();
        }
        let (findings, length) = self.check_object(&object);
        self.compare_size(entry, &object, length);
        let mut remembered = self.remembered.lock();
        if remembered.len() < self.max_remembered {
            remembered.insert(object, findings.as_slice().into());
        }
        findings
    }

    /// Whether a content has no bytes. A restore then makes the file without reading the content.
    fn is_empty(&self, content: &ContentId) -> bool {
        let possible = |entry: &Entry| {
            let pack = self.index.pack(entry.pack);
            pack.is_some_and(|pack| Decoder::new(self.contents.format()).check(entry, pack).is_ok())
        };
        let Some((position, entry)) = look_up(&self.index, content) else { return false };
        self.note_used(position);
        entry.original_length == 0 && possible(&entry)
    }

    /// Checks all contents of an object. Returns its length if nothing is wrong.
    fn check_object(&self, object: &ObjectId) -> (Vec<u32>, Option<u64>) {
        let source = Tracked::new(self);
        let mut findings = Vec::new();
        let mut length = 0;
        for chunk in Chunks::new(&source, object) {
            match chunk {
                Ok(chunk) if chunk.length == Some(0) => {}
                Ok(chunk) => {
                    let (found, original) = self.check_content(&chunk.content);
                    let whole = found.is_empty();
                    findings.extend(found);
                    let got = if chunk.compressed {
                        if !(whole && self.thorough) {
                            length += chunk.length.unwrap_or(0);
                            continue;
                        }
                        match chunk.fetch(&source, object) {
                            Ok(data) => Some(data.len() as u64),
                            Err(e) => {
                                findings.push(self.of_object_error(object, &e));
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
                        findings.push(self.of_object_error(object, &error));
                    }
                    length += got.or(chunk.length).unwrap_or(0);
                }
                Err(e) => {
                    if source.is_good() {
                        findings.push(self.of_object_error(object, &e));
                    }
                    break;
                }
            }
        }
        findings.extend(source.into_findings());
        findings.sort_unstable();
        findings.dedup();
        let length = findings.is_empty().then_some(length);
        (findings, length)
    }

    /// The findings about a content, and its length if there are none.
    fn check_content(&self, content: &ContentId) -> (Vec<u32>, Option<u64>) {
        let Some((position, entry)) = look_up(&self.index, content) else {
            let fault = Fault::of_content(&content::Error::Missing { content: *content });
            return (vec![self.of_content(content, &fault)], None);
        };
        self.note_used(position);
        match self.failures.fault(content, self.index.pack(entry.pack)) {
            Some(fault) => (vec![self.of_content(content, &fault)], None),
            None => (Vec::new(), Some(entry.original_length.into())),
        }
    }

    /// Warns when an object has another length than its entry says. An incomplete snapshot may hold less of a file than
    /// its name promises; anywhere else it is odd, but the object can be restored.
    fn compare_size(&self, entry: &DirEntry, object: &ObjectId, length: Option<u64>) {
        let Some(length) = length else { return };
        if entry.size != length && !entry.raw_name.starts_with(".checkpointed.") {
            let mut warnings = self.warnings.lock();
            if warnings.len() < MAX_WARNINGS {
                let name = &entry.raw_name;
                let size = entry.size;
                warnings.push(format!("{name:?} says {size} bytes, its object {object} has {length}"));
            }
        }
    }

    /// Records the position of a content, if the walk records any. There may be many millions.
    fn note_used(&self, position: Position) {
        let Some(used) = &self.used else { return };
        let mut used = used.lock();
        used.insert(position);
        // One byte of control beside each position, and an eighth stays free.
        self.allowance.check((used.capacity() * (size_of::<Position>() + 1) / 7 * 8) as u64);
    }

    /// The finding for a directory that cannot be read.
    pub(crate) fn of_snapshot_error(&self, object: &ObjectId, error: &snapshot::Error) -> u32 {
        match error {
            snapshot::Error::Object(e) => self.of_object_error(object, e),
            e => self.findings.of_object(object, e.code(), &e.to_string()),
        }
    }

    fn of_object_error(&self, object: &ObjectId, error: &object::Error) -> u32 {
        match error {
            object::Error::Content { source, .. } => match source.content() {
                Some(content) => self.of_content(&content, &Fault::of_content(source)),
                None => self.findings.of_object(object, source.code(), &error.to_string()),
            },
            e => self.findings.of_object(object, e.code(), &e.to_string()),
        }
    }

    fn of_content(&self, content: &ContentId, fault: &Fault) -> u32 {
        self.findings.of_content(content, fault, || {
            let entry = look_up(&self.index, content).map(|(_, entry)| entry);
            self.failures.fault(content, entry.and_then(|entry| self.index.pack(entry.pack))).is_some()
        })
    }
}

/// Contents for reading directories and tables: records which of them are used and which are bad.
pub(crate) struct Tracked<'a> {
    objects: &'a Objects<'a>,
    bad: Mutex<Vec<u32>>,
}

impl<'a> Tracked<'a> {
    pub(crate) fn new(objects: &'a Objects<'a>) -> Self {
        Self { objects, bad: Mutex::default() }
    }

    /// Whether every content so far could be read.
    fn is_good(&self) -> bool {
        self.bad.lock().is_empty()
    }

    /// The findings about the contents that could not be read.
    pub(crate) fn into_findings(self) -> Vec<u32> {
        self.bad.into_inner()
    }

    fn note(&self, finding: u32) {
        let mut bad = self.bad.lock();
        if !bad.contains(&finding) {
            bad.push(finding);
        }
    }
}

impl ContentSource for Tracked<'_> {
    fn get(&self, id: &ContentId) -> Result<Vec<u8>, content::Error> {
        let (findings, _) = self.objects.check_content(id);
        for finding in findings {
            self.note(finding);
        }
        let result = self.objects.contents.get(id);
        if let Err(e) = &result {
            self.note(self.objects.of_content(id, &Fault::of_content(e)));
        }
        result
    }

    fn original_length(&self, id: &ContentId) -> Result<Option<u64>, content::Error> {
        self.objects.contents.original_length(id)
    }
}
