//! A store that passes everything on, but for what a test changes.

use crate::blob::{BlobId, BlobMetadata, BlobStore, Error, pass_through};

/// What a store is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// The blobs whose names begin so.
    List(&'a str),
    /// The size of a blob.
    Size(&'a BlobId),
    /// A whole blob.
    Read(&'a BlobId),
    /// So many bytes of a blob from an offset on.
    ReadAt(&'a BlobId, u64, usize),
}

impl<'a> Request<'a> {
    /// The blob asked for.
    pub fn blob(&self) -> Option<&'a BlobId> {
        match *self {
            Self::List(_) => None,
            Self::Size(blob) | Self::Read(blob) | Self::ReadAt(blob, ..) => Some(blob),
        }
    }

    /// The failure of this request for which the system gives a reason.
    ///
    /// # Errors
    /// Always: so that a hook can end with it.
    pub fn fail<E: Into<std::io::Error>>(&self, source: E) -> Result<(), Error> {
        let source = source.into();
        Err(match *self {
            Self::List(prefix) => Error::List { path: prefix.into(), source },
            Self::Size(blob) | Self::Read(blob) | Self::ReadAt(blob, ..) => {
                Error::Read { blob: blob.clone(), source }
            }
        })
    }
}

type Before = dyn Fn(Request<'_>) -> Result<(), Error> + Send + Sync;
type Listed = dyn Fn(&str, &mut Vec<BlobMetadata>) + Send + Sync;
type Delivered = dyn Fn(&BlobId, u64, &mut [u8]) + Send + Sync;

/// A store with hooks: what a request has to pass before it is answered, and what becomes of the answers.
///
/// ```
/// use rokopia::blob::{BlobStore, FileSystem};
/// use rokopia::testkit::Hooked;
///
/// let store = FileSystem::open(std::env::temp_dir())?;
/// let dead = Hooked::new(store).before(|request| request.fail(std::io::ErrorKind::TimedOut));
/// assert!(dead.list("p").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Hooked<S> {
    inner: S,
    before: Option<Box<Before>>,
    listed: Option<Box<Listed>>,
    delivered: Option<Box<Delivered>>,
}

impl<S> Hooked<S> {
    /// Changes nothing yet.
    pub fn new(inner: S) -> Self {
        Self { inner, before: None, listed: None, delivered: None }
    }

    /// Asks `hook` about each request first; its error is the answer.
    #[must_use]
    pub fn before(self, hook: impl Fn(Request<'_>) -> Result<(), Error> + Send + Sync + 'static) -> Self {
        Self { before: Some(Box::new(hook)), ..self }
    }

    /// Lets `hook` change what is listed for a prefix.
    #[must_use]
    pub fn listed(self, hook: impl Fn(&str, &mut Vec<BlobMetadata>) + Send + Sync + 'static) -> Self {
        Self { listed: Some(Box::new(hook)), ..self }
    }

    /// Lets `hook` change the bytes of a blob from an offset on.
    #[must_use]
    pub fn delivered(self, hook: impl Fn(&BlobId, u64, &mut [u8]) + Send + Sync + 'static) -> Self {
        Self { delivered: Some(Box::new(hook)), ..self }
    }

    fn pass(&self, request: Request<'_>) -> Result<&S, Error> {
        if let Some(hook) = &self.before {
            hook(request)?;
        }
        Ok(&self.inner)
    }

    fn deliver(&self, blob: &BlobId, offset: u64, bytes: &mut [u8]) {
        if let Some(hook) = &self.delivered {
            hook(blob, offset, bytes);
        }
    }
}

impl<S: BlobStore> BlobStore for Hooked<S> {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        let mut blobs = self.pass(Request::List(prefix))?.list(prefix)?;
        if let Some(hook) = &self.listed {
            hook(prefix, &mut blobs);
        }
        Ok(blobs)
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        self.pass(Request::Size(id))?.size(id)
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = self.pass(Request::Read(id))?.read(id, limit)?;
        self.deliver(id, 0, &mut bytes);
        Ok(bytes)
    }

    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.pass(Request::ReadAt(id, offset, buffer.len()))?.read_at(id, offset, buffer)?;
        self.deliver(id, offset, buffer);
        Ok(())
    }

    pass_through!();
}
