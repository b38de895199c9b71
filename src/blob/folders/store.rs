//! The store above any kind of file server.

use std::collections::HashMap;
use std::sync::Arc;

use super::server::{EntryKind, Server};
use super::walk::Walk;
use crate::blob::remote::Refusal;
use crate::blob::{BlobId, BlobMetadata, BlobStore, Cause, Error, Hints, Layout, Sharding, Trouble};
use crate::os::sync::Mutex;

/// The blob that every repository has.
const FORMAT: &str = "kopia.repository";
const MAX_FORMAT: u64 = 1 << 20;

/// The file that says how blobs are spread over folders.
const SHARDS: &str = ".shards";
const MAX_SHARDS_FILE: u64 = 64 << 10;

/// A repository in a folder of a server.
///
/// Nothing is asked of the server before the first blob is. A listing is given only when it is certain: every folder
/// listed twice, alike. A blob is missing only when such a listing of its folder lacks it.
pub struct Folders {
    server: Box<dyn Server>,
    place: String,
    hints: Hints,
    opened: Mutex<Option<Arc<Opened>>>,
    /// The format blob, which was read to find out whether there is one.
    format: Mutex<Option<Vec<u8>>>,
    /// Where blobs are that are not where the rule says.
    elsewhere: Mutex<HashMap<BlobId, String>>,
}

/// What is known of the repository as a whole.
struct Opened {
    layout: Layout,
    /// The path of the format blob, where it was read.
    format: Option<String>,
}

impl Folders {
    pub(in crate::blob) fn new(
        server: Result<impl Server + 'static, Trouble>,
        place: String,
        hints: Hints,
    ) -> Result<Self, Error> {
        let server = server.map_err(|trouble| Error::remote(trouble, format!("opening {place}")))?;
        Ok(Self {
            server: Box::new(server),
            place,
            hints,
            opened: Mutex::default(),
            format: Mutex::default(),
            elsewhere: Mutex::default(),
        })
    }

    fn failed(&self, trouble: Trouble, doing: &str) -> Error {
        Error::remote(trouble, format!("{doing} {}", self.place))
    }

    fn failed_reading(&self, id: &BlobId, refusal: Refusal) -> Error {
        let trouble = match refusal {
            Refusal::NotFound => Trouble::new(Cause::NotTheStorage, "the file is listed, but not found"),
            Refusal::BehindEnd => {
                return Error::ShortRead { blob: id.clone(), offset: 0, wanted: 1, got: 0 };
            }
            Refusal::Trouble(trouble) => trouble,
        };
        Error::remote(trouble.of(id), format!("reading blob {id} of {}", self.place))
    }

    fn opened(&self) -> Result<Arc<Opened>, Error> {
        let mut known = self.opened.lock();
        if let Some(opened) = &*known {
            return Ok(Arc::clone(opened));
        }
        let opened = self.open().map_err(|trouble| self.failed(trouble, "opening"))?;
        Ok(Arc::clone(known.insert(Arc::new(opened))))
    }

    fn open(&self) -> Result<Opened, Trouble> {
        let rule = match self.server.read(SHARDS, MAX_SHARDS_FILE) {
            Ok(rule) => rule.ok().and_then(|bytes| Sharding::parse(&bytes).ok()),
            Err(Refusal::NotFound | Refusal::BehindEnd) => None,
            Err(Refusal::Trouble(trouble)) => return Err(trouble),
        };
        let layout = match rule {
            Some(rule) => Layout::sharded(rule),
            None => {
                let found = Walk { server: &*self.server, prefix: "", known: None }.run()?;
                Layout::guess(found.keys().map(String::as_str)).unwrap_or_default()
            }
        };
        let mut format = BlobId::new(FORMAT).ok().map(|id| layout.path(&id));
        match format.as_deref().map(|path| self.server.read(path, MAX_FORMAT)) {
            Some(Ok(bytes)) => {
                *self.format.lock() = bytes.ok();
            }
            Some(Err(Refusal::Trouble(trouble))) => return Err(trouble),
            Some(Err(Refusal::NotFound | Refusal::BehindEnd)) | None => format = None,
        }
        Ok(Opened { layout, format })
    }

    fn path(&self, id: &BlobId) -> Result<String, Error> {
        let opened = self.opened()?;
        let elsewhere = self.elsewhere.lock();
        Ok(elsewhere.get(id).cloned().unwrap_or_else(|| opened.layout.path(id)))
    }

    /// Reads from where a blob is. Where nothing is found, a listing tells whether it is elsewhere or nowhere: what says
    /// "not found" to a single question may be something in between.
    fn reading<T>(&self, id: &BlobId, mut read: impl FnMut(&str) -> Result<T, Refusal>) -> Result<T, Error> {
        let path = self.path(id)?;
        match read(&path) {
            Err(Refusal::NotFound) => {}
            result => return result.map_err(|refusal| self.failed_reading(id, refusal)),
        }
        if !self.list(id.as_str())?.iter().any(|blob| blob.id == *id) {
            return Err(Error::NotFound { blob: id.clone() });
        }
        let found = self.path(id)?;
        let read = if found == path { Err(Refusal::NotFound) } else { read(&found) };
        read.map_err(|refusal| self.failed_reading(id, refusal))
    }

    /// An answer without bytes for a blob that has some there.
    fn without_bytes(&self, id: &BlobId, size: u64) -> Error {
        self.failed_reading(id, Trouble::new(Cause::CutOff, format!("0 of {size} bytes")).into())
    }
}

impl BlobStore for Folders {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        let opened = self.opened()?;
        let known = opened.format.as_deref().filter(|path| !path.contains('/'));
        let walk = Walk { server: &*self.server, prefix, known };
        let found = walk.run().map_err(|trouble| self.failed(trouble, "listing"))?;
        let mut elsewhere = self.elsewhere.lock();
        let mut blobs: HashMap<BlobId, BlobMetadata> = HashMap::with_capacity(found.len());
        for (path, entry) in found {
            let (Some(id), EntryKind::File(size)) = (Layout::blob_at(&path), entry.kind) else { continue };
            let in_place = path == opened.layout.path(&id);
            if !in_place && blobs.contains_key(&id) {
                continue;
            }
            if in_place {
                elsewhere.remove(&id);
            } else {
                elsewhere.insert(id.clone(), path);
            }
            blobs.insert(id.clone(), BlobMetadata { id, size, modified: entry.modified });
        }
        Ok(blobs.into_values().collect())
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        self.reading(id, |path| self.server.size(path))
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        self.opened()?;
        if id.as_str() == FORMAT
            && let Some(bytes) = self.format.lock().take()
            && (1..=limit).contains(&(bytes.len() as u64))
        {
            return Ok(bytes);
        }
        match self.reading(id, |path| self.server.read(path, limit))? {
            Ok(bytes) if bytes.is_empty() => match self.size(id)? {
                0 => Err(Error::Empty { blob: id.clone() }),
                size => Err(self.without_bytes(id, size)),
            },
            Ok(bytes) => Ok(bytes),
            Err(size) => Err(Error::TooLarge { blob: id.clone(), size, limit }),
        }
    }

    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        if buffer.is_empty() {
            return Ok(());
        }
        let wanted = buffer.len() as u64;
        let got = self.reading(id, |path| match self.server.fill(path, offset, buffer) {
            Err(Refusal::BehindEnd) => Ok(0),
            result => result,
        })? as u64;
        match got {
            0 => match self.size(id)? {
                0 => Err(Error::Empty { blob: id.clone() }),
                size if offset < size => Err(self.without_bytes(id, size)),
                _ => Err(Error::ShortRead { blob: id.clone(), offset, wanted, got }),
            },
            _ if got < wanted => Err(Error::ShortRead { blob: id.clone(), offset, wanted, got }),
            _ => Ok(()),
        }
    }

    fn describe(&self) -> String {
        self.place.clone()
    }

    fn hints(&self) -> Hints {
        self.hints
    }

    fn is_empty(&self) -> Result<bool, Error> {
        for _ in 0..2 {
            let trouble = match self.server.list("") {
                Ok(entries) if entries.is_empty() => continue,
                Ok(_) => return Ok(false),
                Err(Refusal::Trouble(trouble)) => trouble,
                Err(_) => Trouble::new(Cause::BucketMissing, "the server has no such folder"),
            };
            return Err(self.failed(trouble, "listing"));
        }
        Ok(true)
    }
}
