//! The store above any kind of object storage.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::listing::{self, Listed};
use super::past::Past;
use super::prefix;
use super::service::{Answer, Ask, Page, Refusal, Service};
use crate::blob::remote::{fill, wait, whole};
use crate::blob::sharding::SUFFIX;
use crate::blob::{
    BlobId, BlobKind, BlobMetadata, BlobStore, Cause, Error, Hints, Layout, Protection, Sharding, Trouble,
};
use crate::os::sync::Mutex;

/// The blob by which the layout is found out.
const FORMAT: &str = "kopia.repository";
const MAX_FORMAT: u64 = 1 << 20;

const SHARDS: &str = ".shards";
const MAX_SHARDS_FILE: u64 = 64 << 10;

/// A repository in a bucket.
///
/// Nothing is asked of the storage before the first blob is. A listing is given only when it is certain: two that agree,
/// each of them an answer for exactly this bucket and prefix, and nothing behind the last name of the first. A blob is
/// missing only when the storage itself says that it has no such object.
pub struct Objects {
    service: Service,
    /// The moment as of which it is read, unless that is now.
    past: Option<Past>,
    prefix: String,
    place: String,
    layout: OnceLock<Arc<Layout>>,
    /// Held while the layout is found out.
    finding: Mutex<()>,
    /// The format blob, which was read to find out the layout.
    format: Mutex<Option<Vec<u8>>>,
    /// Whether there is a format blob, which then has to be in lists.
    has_format: AtomicBool,
    /// Where blobs of a copied directory are that are not where its rule says.
    elsewhere: Mutex<HashMap<BlobId, String>>,
}

impl Objects {
    pub(super) fn new(
        service: Result<Service, Trouble>,
        prefix: String,
        place: String,
    ) -> Result<Self, Error> {
        let service = prefix::check(&prefix).and(service);
        let service = service.map_err(|trouble| Error::remote(trouble, format!("opening {place}")))?;
        Ok(Self {
            service,
            past: None,
            prefix,
            place,
            layout: OnceLock::new(),
            finding: Mutex::default(),
            format: Mutex::default(),
            has_format: AtomicBool::new(false),
            elsewhere: Mutex::default(),
        })
    }

    /// The same as it was at a moment.
    pub(super) fn at_moment(self, moment: Option<jiff::Timestamp>) -> Self {
        Self { past: moment.map(Past::new), ..self }
    }

    async fn get(&self, key: &str, range: Option<(u64, usize)>) -> Result<Answer, Refusal> {
        let Some(past) = &self.past else { return self.service.get(key, None, range).await };
        match past.version(&self.service, key).await? {
            Some(version) => self.service.get(key, Some(&version), range).await,
            None => Err(Refusal::NotFound),
        }
    }

    fn wait<T>(
        &self,
        doing: impl Fn() -> String,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Error> {
        match wait(work) {
            Ok(result) => result.map_err(|trouble| Error::remote(trouble, doing())),
            Err(source) => Err(Error::Open { path: self.place.clone().into(), source }),
        }
    }

    /// Something about one blob.
    fn wait_for<T>(&self, id: &BlobId, work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Error> {
        let place = &self.place;
        match wait(work) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(Refusal::NotFound)) => Err(Error::NotFound { blob: id.clone() }),
            Ok(Err(Refusal::BehindEnd)) => {
                Err(Error::ShortRead { blob: id.clone(), offset: 0, wanted: 1, got: 0 })
            }
            Ok(Err(Refusal::Trouble(trouble))) => {
                Err(Error::remote(trouble.of(id), format!("reading blob {id} of {place}")))
            }
            Err(source) => Err(Error::Read { blob: id.clone(), source }),
        }
    }

    async fn whole(&self, key: &str, limit: u64) -> Result<Result<Vec<u8>, u64>, Refusal> {
        Ok(whole(self.get(key, None).await?, limit).await?)
    }

    /// How blobs are named here, found out by the blob that every repository has. What speaks for neither is taken for
    /// the layout that Kopia makes.
    fn layout(&self) -> Result<Arc<Layout>, Error> {
        if let Some(layout) = self.layout.get() {
            return Ok(Arc::clone(layout));
        }
        let _finding = self.finding.lock();
        if let Some(layout) = self.layout.get() {
            return Ok(Arc::clone(layout));
        }
        let place = || format!("opening {}", self.place);
        let (layout, format) = self.wait(place, self.find_layout())?;
        *self.format.lock() = format;
        Ok(Arc::clone(self.layout.get_or_init(|| Arc::new(layout))))
    }

    async fn find_layout(&self) -> Result<(Layout, Option<Vec<u8>>), Trouble> {
        let (prefix, bare) = (&self.prefix, format!("{}{FORMAT}", self.prefix));
        match self.whole(&bare, MAX_FORMAT).await {
            Ok(bytes) => {
                self.has_format.store(true, Ordering::Relaxed);
                return Ok((Layout::bare(), bytes.ok()));
            }
            Err(Refusal::NotFound | Refusal::BehindEnd) => {}
            Err(Refusal::Trouble(trouble)) => return Err(trouble),
        }
        let bytes = match self.whole(&format!("{bare}{SUFFIX}"), MAX_FORMAT).await {
            Ok(bytes) => bytes.ok(),
            Err(Refusal::NotFound | Refusal::BehindEnd) => return Ok((Layout::bare(), None)),
            Err(Refusal::Trouble(trouble)) => return Err(trouble),
        };
        self.has_format.store(true, Ordering::Relaxed);
        let rule = match self.whole(&format!("{prefix}{SHARDS}"), MAX_SHARDS_FILE).await {
            Ok(rule) => rule.ok().and_then(|bytes| Sharding::parse(&bytes).ok()),
            Err(Refusal::NotFound | Refusal::BehindEnd) => None,
            Err(Refusal::Trouble(trouble)) => return Err(trouble),
        };
        if let Some(rule) = rule {
            return Ok((Layout::sharded(rule), bytes));
        }
        let listed = self.certain(prefix, false).await?;
        let paths = listed.keys().filter_map(|key| key.strip_prefix(prefix.as_str()));
        Ok((Layout::guess(paths).unwrap_or_default(), bytes))
    }

    fn key(&self, id: &BlobId) -> Result<String, Error> {
        let layout = self.layout()?;
        let elsewhere = self.elsewhere.lock();
        let by_rule = || format!("{}{}", self.prefix, layout.path(id));
        Ok(elsewhere.get(id).cloned().unwrap_or_else(by_rule))
    }

    /// Reads from where a blob is. In a copy whose rule is wrong, only a listing tells that.
    fn reading<T>(&self, id: &BlobId, mut read: impl FnMut(&str) -> Result<T, Error>) -> Result<T, Error> {
        let key = self.key(id)?;
        match read(&key) {
            Err(Error::NotFound { .. }) if *self.layout()? != Layout::bare() => {
                self.list(id.as_str())?;
                let found = self.key(id)?;
                if found == key { Err(Error::NotFound { blob: id.clone() }) } else { read(&found) }
            }
            result => result,
        }
    }

    /// Every object whose name begins with `prefix`.
    async fn certain(&self, prefix: &str, flat: bool) -> Result<Listed, Trouble> {
        listing::certain(async |to_the_end| match &self.past {
            Some(past) => past.listing(&self.service, prefix, flat, to_the_end).await,
            None => listing::listing(&self.service, prefix, flat, to_the_end).await,
        })
        .await
    }

    /// Refuses a list that lacks the format blob, though that blob was read: it lacks others as well.
    fn check_format_is_in(&self, listed: &[BlobMetadata], prefix: &str) -> Result<(), Error> {
        let expected = self.has_format.load(Ordering::Relaxed) && FORMAT.starts_with(prefix);
        if !expected || listed.iter().any(|blob| blob.id.as_str() == FORMAT) {
            return Ok(());
        }
        let trouble = Trouble::new(Cause::ListingUncertain, format!("it lacks {FORMAT}, which is there"));
        Err(Error::remote(trouble, format!("listing {prefix:?} of {}", self.place)))
    }

    /// Why a blob gave no bytes. A read alone does not tell an empty blob from an answer that lost its body.
    fn without_bytes(&self, id: &BlobId) -> Result<Error, Error> {
        let size = self.size(id)?;
        if size == 0 {
            return Ok(Error::Empty { blob: id.clone() });
        }
        let trouble = Trouble::new(Cause::CutOff, format!("0 of {size} bytes"));
        Ok(Error::remote(trouble.of(id), format!("reading blob {id} of {}", self.place)))
    }

    /// The blobs of a copied directory: their names are spread over folders, by a rule that need not be the one there.
    fn copied(&self, layout: &Layout, listed: Listed, wanted: &str) -> Vec<BlobMetadata> {
        let mut elsewhere = self.elsewhere.lock();
        let mut blobs: HashMap<BlobId, BlobMetadata> = HashMap::new();
        for (key, (size, modified)) in listed {
            let Some(path) = key.strip_prefix(&self.prefix) else { continue };
            let Some(id) = Layout::blob_at(path).filter(|id| id.as_str().starts_with(wanted)) else {
                continue;
            };
            let in_place = path == layout.path(&id);
            if !in_place && blobs.contains_key(&id) {
                continue;
            }
            if in_place {
                elsewhere.remove(&id);
            } else {
                elsewhere.insert(id.clone(), key);
            }
            blobs.insert(id.clone(), BlobMetadata { id, size, modified });
        }
        blobs.into_values().collect()
    }
}

impl BlobStore for Objects {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        let doing = || format!("listing {prefix:?} of {}", self.place);
        let bare = || self.wait(doing, self.certain(&format!("{}{prefix}", self.prefix), true));
        // While the layout is not known, the usual one is tried.
        let begun = self.layout.get().is_none().then(bare);
        let layout = self.layout()?;
        if *layout != Layout::bare() {
            let listed = self.wait(doing, self.certain(&self.prefix, false))?;
            let blobs = self.copied(&layout, listed, prefix);
            self.check_format_is_in(&blobs, prefix)?;
            return Ok(blobs);
        }
        let listed = begun.unwrap_or_else(bare)?;
        let blob = |(key, (size, modified)): (String, (u64, _))| {
            let id = BlobId::new(key.strip_prefix(&self.prefix)?).ok()?;
            (id.kind() != BlobKind::Foreign).then_some(BlobMetadata { id, size, modified })
        };
        let blobs: Vec<BlobMetadata> = listed.into_iter().filter_map(blob).collect();
        self.check_format_is_in(&blobs, prefix)?;
        Ok(blobs)
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        self.reading(id, |key| {
            self.wait_for(id, async {
                // A head has no body, and without one nobody knows whose "not found" it is.
                match self.get(key, Some((0, 1))).await {
                    Ok(response) => Ok(fill(response, 0, &mut [0]).await?.1),
                    Err(Refusal::BehindEnd) => Ok(0),
                    Err(refusal) => Err(refusal),
                }
            })
        })
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        self.layout()?;
        if id.as_str() == FORMAT
            && let Some(bytes) = self.format.lock().take()
            && (1..=limit).contains(&(bytes.len() as u64))
        {
            return Ok(bytes);
        }
        let read = self.reading(id, |key| self.wait_for(id, self.whole(key, limit)))?;
        match read {
            Ok(bytes) if bytes.is_empty() => Err(self.without_bytes(id)?),
            Ok(bytes) => Ok(bytes),
            Err(size) => Err(Error::TooLarge { blob: id.clone(), size, limit }),
        }
    }

    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        if buffer.is_empty() {
            return Ok(());
        }
        let wanted = buffer.len();
        let got = self.reading(id, |key| {
            self.wait_for(id, async {
                match self.get(key, Some((offset, wanted))).await {
                    Ok(response) => Ok(fill(response, offset, buffer).await?.0),
                    Err(Refusal::BehindEnd) => Ok(0),
                    Err(refusal) => Err(refusal),
                }
            })
        })?;
        if got == 0 && self.size(id)? == 0 {
            return Err(Error::Empty { blob: id.clone() });
        }
        if got < wanted {
            let (wanted, got) = (wanted as u64, got as u64);
            return Err(Error::ShortRead { blob: id.clone(), offset, wanted, got });
        }
        Ok(())
    }

    fn describe(&self) -> String {
        self.place.clone()
    }

    fn hints(&self) -> Hints {
        Hints::REMOTE
    }

    fn protection(&self) -> Option<Protection> {
        wait(self.service.protection()).ok().flatten()
    }

    fn is_empty(&self) -> Result<bool, Error> {
        // Where nothing was, there may be something now.
        if self.past.is_some() {
            return Ok(false);
        }
        let ask = Ask { prefix: &self.prefix, flat: false, token: None, after: None };
        self.wait(|| format!("listing {}", self.place), async {
            let (first, second) = tokio::join!(self.service.page(ask), self.service.page(ask));
            Ok([first?, second?].iter().all(|page| *page == Page::default()))
        })
    }
}
