//! Contents full of manifests, kept between runs: where each read costs a round trip, many snapshots cost many.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::Options;
use crate::blob::{BlobStore, InRepository};
use crate::cache::{Folder, Sealed, SealedWriter};
use crate::format::RepositoryFormat;
use crate::index::ContentId;
use crate::os::sync::Mutex;

/// What the file is, for the keys that open it.
const PURPOSE: &str = "rokopia manifest cache";

const NAME: &str = "manifests";

/// The contents are held while manifests are read; beyond this part of the memory for these, they are not kept.
const SHARE: u64 = 4;
const MOST: u64 = 256 << 20;

/// The contents of one repository that the cache has, and those that it should have next.
pub(super) struct ManifestCache {
    folder: Folder,
    format: Arc<RepositoryFormat>,
    limit: u64,
    bytes: Vec<u8>,
    known: HashMap<ContentId, Range<usize>>,
    new: Mutex<New>,
}

#[derive(Default)]
struct New {
    contents: Vec<(ContentId, Vec<u8>)>,
    size: u64,
}

impl ManifestCache {
    /// What is there. There is no cache where damage is looked for.
    ///
    /// # Errors
    /// It would lie in the repository.
    pub(super) fn open(
        options: &Options,
        store: &dyn BlobStore,
        format: &Arc<RepositoryFormat>,
    ) -> Result<Option<Self>, InRepository> {
        let asked = options.index.cache_directory.as_ref();
        let Some(directory) = asked.filter(|_| !options.index.degraded && !options.hash_manifests) else {
            return Ok(None);
        };
        let folder = Folder::new(directory, options.index.cache_limit, &store.guard(), format)?;
        let limit = (options.manifests / SHARE).min(MOST);
        let opened = folder.open(NAME).and_then(|backing| {
            let Some(backing) = backing else { return Ok(None) };
            let (_, bytes) = Sealed::open(backing, format, PURPOSE, limit)?;
            let known = parse(&bytes).ok_or(io::ErrorKind::InvalidData)?;
            Ok(Some((bytes, known)))
        });
        let (bytes, known) = match opened {
            Ok(opened) => opened.unwrap_or_default(),
            Err(error) => {
                if error.kind() != io::ErrorKind::OutOfMemory {
                    folder.warn("the manifests in it cannot be used and are read again", &error);
                    folder.remove(NAME);
                }
                Default::default()
            }
        };
        let new = Mutex::default();
        Ok(Some(Self { folder, format: Arc::clone(format), limit, bytes, known, new }))
    }

    /// A content.
    pub(super) fn get(&self, id: &ContentId) -> Option<&[u8]> {
        self.bytes.get(self.known.get(id)?.clone())
    }

    /// Remembers a content that was read.
    pub(super) fn add(&self, id: ContentId, payload: Vec<u8>) {
        let mut new = self.new.lock();
        new.size += payload.len() as u64;
        if new.size <= self.limit {
            new.contents.push((id, payload));
        } else {
            new.contents.clear();
        }
    }

    /// Puts what was added into the file, beside what is still in use of what was there.
    pub(super) fn keep(self, current: &BTreeSet<ContentId>) {
        let new = self.new.into_inner();
        if new.contents.is_empty() {
            return;
        }
        let mut table = Vec::new();
        let known = self.known.iter().filter(|(id, _)| current.contains(id));
        let known = known.filter_map(|(id, range)| Some((id, self.bytes.get(range.clone())?)));
        let added = new.contents.iter().map(|(id, payload)| (id, payload.as_slice()));
        for (id, payload) in known.chain(added) {
            let Ok(length) = u32::try_from(payload.len()) else { continue };
            // No key is longer than 33 bytes.
            table.push(id.key().len() as u8);
            table.extend_from_slice(id.key());
            table.extend_from_slice(&length.to_be_bytes());
            table.extend_from_slice(payload);
        }
        let size = table.len() as u64;
        if size > self.limit {
            return;
        }
        let write = |out: &mut dyn io::Write| SealedWriter::begin(out, &self.format, PURPOSE)?.finish(&table);
        if let Err(error) = self.folder.write(NAME, NAME, size, write) {
            self.folder.warn("the manifests cannot be kept", &error);
        }
    }
}

/// Where the contents are in a table.
fn parse(bytes: &[u8]) -> Option<HashMap<ContentId, Range<usize>>> {
    let mut known = HashMap::new();
    let mut at = 0;
    while at < bytes.len() {
        let key_at = at + 1;
        let length_at = key_at + usize::from(*bytes.get(at)?);
        let id = ContentId::from_key(bytes.get(key_at..length_at)?)?;
        let start = length_at + 4;
        let length = u32::from_be_bytes(bytes.get(length_at..start)?.try_into().ok()?);
        let end = start.checked_add(length as usize)?;
        bytes.get(start..end)?;
        known.insert(id, start..end);
        at = end;
    }
    Some(known)
}
