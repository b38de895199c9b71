//! What a walk finds wrong: each finding once, by number.

use std::collections::HashMap;

use crate::index::ContentId;
use crate::object::ObjectId;
use crate::os::sync::Mutex;
use crate::snapshot::DirEntry;
use crate::verify::fault::{Fault, Finding};

/// Findings that are held one by one, if there is memory: as many as paths are listed. Beyond that, all findings of one
/// code share one number.
const MAX_FINDINGS: u64 = 200_000;

/// Bytes that a finding takes, with everything that a report makes of it.
const FINDING_BYTES: u64 = 1024;

/// The findings of one walk.
pub(crate) struct Findings {
    table: Mutex<Table>,
    most: usize,
}

#[derive(Default)]
struct Table {
    list: Vec<Finding>,
    by_content: HashMap<ContentId, u32>,
    by_object: HashMap<(ObjectId, &'static str), u32>,
    /// Entries that name no object share one finding: there may be millions of them. Their paths are listed.
    without_object: Option<u32>,
    /// Findings that are not held one by one.
    by_code: HashMap<&'static str, u32>,
}

impl Findings {
    /// No findings yet, and no more than fit in three quarters of `memory` bytes.
    pub(crate) fn within(memory: u64) -> Self {
        Self { table: Mutex::default(), most: MAX_FINDINGS.min(memory / 4 * 3 / FINDING_BYTES) as usize }
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> u64 {
        self.table.lock().list.len() as u64 * FINDING_BYTES
    }

    /// All findings, in the order of their numbers.
    pub(crate) fn into_list(self) -> Vec<Finding> {
        self.table.into_inner().list
    }

    /// The number of a finding that concerns neither one object nor one content.
    pub(crate) fn add(&self, fault: Fault) -> u32 {
        self.table.lock().push(fault.into())
    }

    /// The number of a finding about an object.
    pub(crate) fn of_object(&self, object: &ObjectId, code: &'static str, detail: &str) -> u32 {
        let mut table = self.table.lock();
        if let Some(known) = table.by_object.get(&(*object, code)) {
            return *known;
        }
        if table.list.len() >= self.most {
            return table.one_of_many(code, false);
        }
        let finding = Finding { object: Some(*object), ..Fault::new(code, detail).into() };
        let number = table.push(finding);
        table.by_object.insert((*object, code), number);
        number
    }

    /// The number of the finding about a content. One that was known before the walk always has a finding of its own:
    /// the report takes a damaged content without a finding for one that no snapshot needs.
    pub(crate) fn of_content(
        &self,
        content: &ContentId,
        fault: &Fault,
        known_before: impl FnOnce() -> bool,
    ) -> u32 {
        let mut table = self.table.lock();
        if let Some(known) = table.by_content.get(content) {
            return *known;
        }
        if table.list.len() >= self.most && !known_before() {
            return table.one_of_many(fault.code, fault.unchecked);
        }
        let number = table.push(Finding { content: Some(*content), ..fault.clone().into() });
        table.by_content.insert(*content, number);
        number
    }

    /// The number of the finding about all entries that name no object.
    pub(crate) fn of_entry_without_object(&self, entry: &DirEntry) -> u32 {
        let mut table = self.table.lock();
        if let Some(known) = table.without_object {
            return known;
        }
        let name: String = entry.raw_name.chars().take(300).collect();
        let fault = Fault::new("entry-without-object", format!("entry {name:?} names no object"));
        let number = table.push(fault.into());
        table.without_object = Some(number);
        number
    }
}

impl Table {
    fn push(&mut self, finding: Finding) -> u32 {
        self.list.push(finding);
        self.list.len() as u32 - 1
    }

    /// The finding that stands for all of one code that are not held one by one.
    fn one_of_many(&mut self, code: &'static str, unchecked: bool) -> u32 {
        if let Some(known) = self.by_code.get(code) {
            return *known;
        }
        let fault = Fault { unchecked, ..Fault::new(code, "more of these than are reported one by one") };
        let number = self.push(fault.into());
        self.by_code.insert(code, number);
        number
    }
}
