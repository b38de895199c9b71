//! `kopia snapshot list --storage-stats`: what each snapshot of a source adds to those before it.

use std::collections::HashSet;

use crate::Error;
use crate::content::Contents;
use crate::front::kopia::failure::Failure;
use crate::index::{ContentId, ContentIndex};
use crate::object::{Chunks, ObjectId};
use crate::snapshot::{DirEntry, Snapshot, StorageStats, StorageUsage, Tree};

/// Goes through the snapshots of one source in the order in which they are listed.
pub(super) struct Counter<'a> {
    contents: &'a Contents,
    index: &'a ContentIndex,
    objects: HashSet<ObjectId>,
    counted: HashSet<ContentId>,
    total: StorageUsage,
}

impl<'a> Counter<'a> {
    pub(super) fn new(contents: &'a Contents, index: &'a ContentIndex) -> Self {
        Self {
            contents,
            index,
            objects: HashSet::new(),
            counted: HashSet::new(),
            total: StorageUsage::default(),
        }
    }

    /// Counts what was not seen in earlier snapshots.
    pub(super) fn add(&mut self, snapshot: &Snapshot) -> Result<StorageStats, Failure> {
        let before = self.total;
        let tree = Tree::of_snapshot(self.contents, snapshot).map_err(Error::from)?;
        let mut walk = tree.walk("").map_err(Error::from)?;
        while let Some(item) = walk.next() {
            let entry = match item {
                Ok(item) => item.entry,
                Err(error) => return Err(Error::from(error).into()),
            };
            let Some(object) = entry.object else {
                return Err(Failure::new(format!("{} has no object ID", entry.raw_name)));
            };
            if self.objects.insert(object) {
                self.entry(&entry, &object)?;
            } else {
                walk.skip_directory();
            }
        }
        Ok(StorageStats { new_data: difference(self.total, before), running_total: self.total })
    }

    fn entry(&mut self, entry: &DirEntry, object: &ObjectId) -> Result<(), Failure> {
        if entry.is_directory() {
            self.total.dir_objects += 1;
        } else {
            self.total.file_objects += 1;
            let size = i64::try_from(entry.size).unwrap_or(i64::MAX);
            self.total.object_bytes = self.total.object_bytes.saturating_add(size);
        }
        self.object(object, !entry.is_directory())
    }

    /// The contents of an object, with those of the tables that lead to them.
    fn object(&mut self, object: &ObjectId, is_file: bool) -> Result<(), Failure> {
        let mut next = object.index();
        while let Some(table) = next {
            self.chunks(&table, is_file)?;
            next = table.index();
        }
        self.chunks(object, is_file)
    }

    fn chunks(&mut self, object: &ObjectId, is_file: bool) -> Result<(), Failure> {
        for chunk in Chunks::new(self.contents, object) {
            let content = chunk.map_err(Error::from)?.content;
            let entry = self.index.get(&content).map_err(Error::from)?.ok_or_else(|| {
                Failure::new(format!("error verifying object {object}: content {content} not found"))
            })?;
            if self.counted.insert(content) {
                self.total.contents += 1;
                if is_file {
                    self.total.original_content_bytes += i64::from(entry.original_length);
                    self.total.packed_content_bytes += i64::from(entry.packed_length);
                }
            }
        }
        Ok(())
    }
}

fn difference(all: StorageUsage, before: StorageUsage) -> StorageUsage {
    StorageUsage {
        object_bytes: all.object_bytes - before.object_bytes,
        original_content_bytes: all.original_content_bytes - before.original_content_bytes,
        packed_content_bytes: all.packed_content_bytes - before.packed_content_bytes,
        file_objects: all.file_objects - before.file_objects,
        dir_objects: all.dir_objects - before.dir_objects,
        contents: all.contents - before.contents,
    }
}
