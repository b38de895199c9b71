//! Named byte blobs and the stores that hold them.
//!
//! Nothing here knows what is inside a blob. A store is read-only by construction: [`BlobStore`] has no
//! operation that writes.

/// What a store around another one passes on to its `inner` as it is.
macro_rules! pass_through {
    () => {
        pass_through!(but hints);

        fn hints(&self) -> crate::blob::Hints {
            self.inner.hints()
        }
    };
    (but hints) => {
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

        fn is_empty(&self) -> Result<bool, crate::blob::Error> {
            self.inner.is_empty()
        }

        fn guard(&self) -> $crate::blob::Guard {
            self.inner.guard()
        }

        fn protection(&self) -> Option<$crate::blob::Protection> {
            self.inner.protection()
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
mod measured;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
pub mod object;
#[cfg(feature = "rclone")]
pub(crate) mod rclone;
#[cfg(feature = "remote")]
pub mod remote;
mod retry;
#[cfg(feature = "sftp")]
pub mod sftp;
mod sharding;
mod throttle;
mod traffic;
mod trouble;
#[cfg(feature = "webdav")]
pub mod webdav;

pub use crate::id::{BlobId, InvalidBlobId};
#[cfg(feature = "testkit")]
pub use count::Count;
pub use early::Early;
pub(crate) use early::Following;
pub use error::Error;
pub use fetch::{FetchLimits, for_each_blob};
pub use filesystem::FileSystem;
#[cfg(any(feature = "webdav", feature = "sftp"))]
pub use folders::Folders;
pub(crate) use guard::Identity;
#[cfg(feature = "mover")]
pub(crate) use guard::is_regular_file;
pub use guard::{Guard, InRepository, Relation, WritablePath};
pub use hints::Hints;
pub use interrupt::Interruptible;
pub use kind::{BlobKind, list_kinds};
pub use layout::Layout;
pub use listing::Foreign;
pub use retry::{Retry, RetryPolicy};
pub use sharding::Sharding;
pub use throttle::Throttle;
pub(crate) use traffic::Question;
pub use traffic::{Counts, Limits, Traffic};
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

/// What a store noticed apart from its blobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Files that do not belong to the repository.
    pub foreign: Foreign,
    /// Warnings for an administrator, one sentence each.
    pub warnings: Vec<String>,
}

/// How the storage protects blobs from being lost. `None` means that the storage did not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protection {
    /// Whether old versions of replaced and deleted blobs are kept.
    pub versions: Option<bool>,
    /// Whether versions can be locked, and for how long they are by default.
    pub lock: Option<ObjectLock>,
}

/// How versions in a bucket are locked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectLock {
    /// Whether versions can be locked at all.
    pub enabled: bool,
    /// Who may still delete a version: `governance` lets some, `compliance` nobody. None without a default.
    pub mode: Option<String>,
    /// Days for which each new version is locked. None without a default.
    pub days: Option<u32>,
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
    /// Lists the blobs whose names begin with `prefix`, in no particular order. Those of kind [`BlobKind::Foreign`] are
    /// left out.
    ///
    /// A list is complete: a store that cannot guarantee that returns an error.
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error>;

    /// Length of one blob in bytes.
    fn size(&self, id: &BlobId) -> Result<u64, Error>;

    /// A whole blob; [`Error::TooLarge`] when it has more than `limit` bytes, [`Error::Empty`] when it has none.
    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error>;

    /// Fills `buffer` from `offset`; a blob that ends earlier is [`Error::ShortRead`], or [`Error::Empty`].
    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error>;

    /// Where this store is, for messages.
    fn describe(&self) -> String;

    /// What the last list of all blobs noticed apart from blobs.
    fn remarks(&self) -> Remarks {
        Remarks::default()
    }

    /// A number by which blobs read in ascending order are read in disk order, when the store knows one.
    fn disk_order(&self, _id: &BlobId) -> Option<u64> {
        None
    }

    /// Tells the store that the bytes of a blob will not be needed again soon, so that its cache can drop them.
    fn forget(&self, _id: &BlobId) {}

    /// How this store is read best.
    fn hints(&self) -> Hints {
        Hints::LOCAL
    }

    /// Whether the location is certainly empty, without foreign files either, so that a first backup may still create the
    /// repository there. A store that does not know returns `false`.
    fn is_empty(&self) -> Result<bool, Error> {
        Ok(false)
    }

    /// The guard that prevents outputs of this machine from being written to the storage. A store around another one
    /// returns the inner one's guard; the default is for storage that no path leads to.
    fn guard(&self) -> Guard {
        Guard::default()
    }

    /// What keeps blobs from being lost when somebody deletes or replaces them; `None` for storage that has no such thing.
    fn protection(&self) -> Option<Protection> {
        None
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
            fn protection(&self) -> Option<Protection> {
                (**self).protection()
            }
        }
    };
}

forward!(Arc<S>);
forward!(Box<S>);
forward!(&S);
