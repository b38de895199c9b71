//! Named byte blobs and the stores that hold them.
//!
//! Nothing here knows what is inside a blob. A store is read-only by construction: [`BlobStore`] has no
//! operation that writes.

/// What a store around another one passes on to its `inner` as it is.
macro_rules! pass_through {
    () => {
        fn describe(&self) -> String {
            self.inner.describe()
        }

        fn remarks(&self) -> $crate::blob::Remarks {
            self.inner.remarks()
        }

        fn disk_order(&self, id: &BlobId) -> Option<u64> {
            self.inner.disk_order(id)
        }

        fn forget(&self, id: &BlobId) {
            self.inner.forget(id);
        }

        fn hints(&self) -> crate::blob::Hints {
            self.inner.hints()
        }

        fn is_empty(&self) -> Result<bool, crate::blob::Error> {
            self.inner.is_empty()
        }

        fn guard(&self) -> $crate::blob::Guard {
            self.inner.guard()
        }
    };
}

#[cfg(feature = "testkit")]
mod count;
mod detect;
mod early;
mod error;
mod fetch;
mod filesystem;
#[cfg(any(feature = "webdav", feature = "sftp"))]
mod folders;
mod guard;
mod hints;
mod interrupt;
mod kind;
mod layout;
mod listing;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
pub mod object;
#[cfg(feature = "remote")]
pub mod remote;
mod retry;
#[cfg(feature = "sftp")]
pub mod sftp;
mod sharding;
mod throttle;
mod trouble;
#[cfg(feature = "webdav")]
pub mod webdav;

pub use crate::id::{BlobId, InvalidBlobId};
#[cfg(feature = "testkit")]
pub use count::{Count, Counts};
pub use early::Early;
pub use error::Error;
pub use fetch::{FetchLimits, for_each_blob};
pub use filesystem::FileSystem;
#[cfg(any(feature = "webdav", feature = "sftp"))]
pub use folders::Folders;
pub(crate) use guard::Identity;
pub use guard::{Guard, InRepository, Relation, WritablePath};
pub use hints::Hints;
pub use interrupt::Interruptible;
pub use kind::{BlobKind, list_kinds};
pub use layout::Layout;
pub use listing::Foreign;
pub use retry::{Retry, RetryPolicy};
pub use sharding::Sharding;
pub use throttle::Throttle;
pub use trouble::{Cause, Trouble};

#[cfg(feature = "testkit")]
pub(crate) use pass_through;

use std::sync::Arc;
use std::time::SystemTime;

/// What a listing says of one blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobMetadata {
    /// Name of the blob.
    pub id: BlobId,
    /// Length in bytes.
    pub size: u64,
    /// When the storage says it was written; not authenticated and not needed for reading.
    pub modified: Option<SystemTime>,
}

/// What a store noticed beside its blobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remarks {
    /// What is there and no part of a repository.
    pub foreign: Foreign,
    /// What an administrator should know, one sentence each.
    pub warnings: Vec<String>,
}

impl BlobMetadata {
    /// Whether the storage says that it has no bytes. Of a link that leads nowhere it says neither that nor a time.
    pub fn is_empty(&self) -> bool {
        self.size == 0 && self.modified.is_some()
    }
}

/// A place that holds named blobs, read-only.
///
/// All methods may be called from many threads at once.
pub trait BlobStore: Send + Sync {
    /// All blobs whose name begins with `prefix`, in no particular order. What is [`BlobKind::Foreign`] is left out.
    ///
    /// A list is complete: a store that cannot vouch for that gives an error.
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error>;

    /// Length of one blob in bytes.
    fn size(&self, id: &BlobId) -> Result<u64, Error>;

    /// A whole blob; [`Error::TooLarge`] when it has more than `limit` bytes, [`Error::Empty`] when it has none.
    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error>;

    /// Fills `buffer` from `offset`; a blob that ends earlier is [`Error::ShortRead`], or [`Error::Empty`].
    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error>;

    /// Where this store is, for messages.
    fn describe(&self) -> String;

    /// What the last list of all blobs met besides.
    fn remarks(&self) -> Remarks {
        Remarks::default()
    }

    /// A number by which blobs read in ascending order are read in disk order, when the store knows one.
    fn disk_order(&self, _id: &BlobId) -> Option<u64> {
        None
    }

    /// Tells the store that the bytes of a blob will not be needed again soon, so that its cache can drop them.
    fn forget(&self, _id: &BlobId) {}

    /// How it is read best.
    fn hints(&self) -> Hints {
        Hints::LOCAL
    }

    /// Whether there is certainly nothing at its place, no foreign things either: where a first backup can come to be. A
    /// store that does not know says no.
    fn is_empty(&self) -> Result<bool, Error> {
        Ok(false)
    }

    /// What keeps the storage from being written to by a path of this machine. A store around another one passes on that
    /// one's; the default is for storage that no path leads to.
    fn guard(&self) -> Guard {
        Guard::default()
    }
}

macro_rules! forward {
    ($type:ty) => {
        impl<S: BlobStore + ?Sized> BlobStore for $type {
            fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
                (**self).list(prefix)
            }
            fn size(&self, id: &BlobId) -> Result<u64, Error> {
                (**self).size(id)
            }
            fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
                (**self).read(id, limit)
            }
            fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
                (**self).read_at(id, offset, buffer)
            }
            fn describe(&self) -> String {
                (**self).describe()
            }
            fn remarks(&self) -> Remarks {
                (**self).remarks()
            }
            fn disk_order(&self, id: &BlobId) -> Option<u64> {
                (**self).disk_order(id)
            }
            fn forget(&self, id: &BlobId) {
                (**self).forget(id);
            }
            fn hints(&self) -> Hints {
                (**self).hints()
            }
            fn is_empty(&self) -> Result<bool, Error> {
                (**self).is_empty()
            }
            fn guard(&self) -> Guard {
                (**self).guard()
            }
        }
    };
}

forward!(Arc<S>);
forward!(Box<S>);
forward!(&S);
