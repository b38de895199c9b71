//! rokopia opens repositories written by the [Kopia](https://kopia.io) backup tool, without Kopia, and never writes to
//! them. It lists snapshots, reads files out of them, restores whole trees, and verifies that every byte is still good.
//!
//! ```
//! use std::io;
//!
//! use rokopia::{FileSystem, Password, Repository, Restore, Source};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let target = tempfile::tempdir()?;
//! # let target = target.path();
//! # let mut progress = ();
//! let store = FileSystem::open("testdata/basic/repo")?;
//! let repository = Repository::open(store, &Password::new("rokopia"))?;
//! let catalog = repository.catalog()?;
//! let source: Source = "data-demo@apps:/data".parse()?;
//! let snapshot = catalog.snapshots(&source).complete().latest().ok_or("no backup")?;
//! let contents = repository.contents()?;
//! let tree = contents.tree(&snapshot)?;
//! io::copy(&mut tree.open("notes/todo.txt")?, &mut io::stdout())?;
//! let summary = Restore::new(&contents, &snapshot).memory(256 << 20).run(target, &mut progress)?;
//! assert!(summary.errors.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # What costs what
//!
//! | call | reads | memory |
//! |---|---|---|
//! | [`Repository::open`] | one blob, and derives the keys: 130 ms and 64 MiB | a few KiB |
//! | [`Repository::catalog`] | all index blobs, and the contents that hold manifests | grows with the number of snapshots |
//! | [`Repository::contents`] | all index blobs | the whole index, or a temporary file beyond a limit |
//! | [`Contents::tree`] | nothing | nothing |
//! | [`Tree::open`] | the directories on the path, then the data as it is read | a few MiB |
//! | [`Restore::run`] | each pack that is needed, in ranges | a budget: [`Restore::memory`] |
//!
//! All calls block. A program that is asynchronous calls them from threads for blocking work.
//!
//! # Stores
//!
//! [`FileSystem`] reads a repository in a directory, as on a NAS. A storage of another kind implements [`BlobStore`], a trait
//! of four methods without any that writes. [`Retry`] around a store repeats reads that failed:
//!
//! ```
//! use rokopia::{BlobStore, FileSystem, Retry, RetryPolicy};
//!
//! # fn main() -> Result<(), rokopia::Error> {
//! let store = Retry::new(FileSystem::open("testdata/basic/repo")?, RetryPolicy::default());
//! assert!(!store.list("p")?.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # Looking around
//!
//! ```
//! # use rokopia::{FileSystem, Password, Repository};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = FileSystem::open("testdata/basic/repo")?;
//! # let repository = Repository::open(store, &Password::new("rokopia"))?;
//! let snapshots = repository.catalog()?.all_snapshots();
//! for source in snapshots.sources() {
//!     println!("{source}: {} snapshots", snapshots.of(source).len());
//! }
//! let newest = snapshots.all().complete().latest().ok_or("no backup")?;
//! let contents = repository.contents()?;
//! for entry in contents.tree(&newest)?.walk("")? {
//!     println!("{}", entry?.path);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Is there no backup, or could it not be seen?
//!
//! An empty list is not an answer. Index blobs may be missing, a mount may be empty, a manifest may be damaged.
//! [`Catalog::absence`] says whether an empty list is certain:
//!
//! ```
//! # use rokopia::{Absence, FileSystem, Password, Repository, Source};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = FileSystem::open("testdata/basic/repo")?;
//! # let catalog = Repository::open(store, &Password::new("rokopia"))?.catalog()?;
//! let source: Source = "nobody@nowhere:/data".parse()?;
//! if catalog.snapshots(&source).is_empty() {
//!     match catalog.absence(Some(&source.into()))? {
//!         Absence::Certain => println!("there is no backup"),
//!         Absence::Doubtful(reason) => println!("unknown: {reason} [{}]", reason.code()),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Checker`] keeps a view of a repository up to date and answers such questions from it: *yes*, *no* or *unknown*, and
//! never *no* while there is any doubt.
//!
//! # Options
//!
//! Options, reports and errors may get more fields and variants with a new version. A set of options starts with its default:
//!
//! ```
//! use rokopia::{FileSystem, Options, Password, Repository};
//!
//! # fn main() -> Result<(), rokopia::Error> {
//! let mut options = Options::default();
//! options.index.degraded = true;
//! let store = FileSystem::open("testdata/basic/repo")?;
//! let repository = Repository::open_with(store, &Password::new("rokopia"), options)?;
//! # assert!(repository.options().index.degraded);
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! Each layer has an error of its own; [`Error`] joins all of them, so that `?` works everywhere. Every error has a stable
//! code ([`Error::code`], listed in `docs/errors.md`), says whether trying again may help ([`Error::is_retryable`]), and names
//! the blob, content, path or snapshot concerned.
//!
//! ```
//! use rokopia::{FileSystem, Password, Repository};
//!
//! # fn main() -> Result<(), rokopia::Error> {
//! let store = FileSystem::open("testdata/basic/repo")?;
//! let error = Repository::open(store, &Password::new("wrong")).err().map(|error| error.code());
//! assert_eq!(error, Some("wrong-password"));
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! The default is the program `rokopia`. A library turns it off: `default-features = false`.
//!
//! | feature | adds |
//! |---|---|
//! | `verify` | `Verifier`: proof that everything can be read back, and what is lost where it cannot |
//! | `glob` | patterns in [`Filter`] |
//! | `sandbox` | what the program gives up before it reads |
//! | `cli`, `kopia-front`, `mount`, `mover`, `nfs`, `service` | the programs in the binary; nothing public |
//! | `testkit` | a writer of test repositories, and every module of this crate as public; without any promise |

#![cfg_attr(
    not(all(
        feature = "cli",
        feature = "kopia-front",
        feature = "mount",
        feature = "mover",
        feature = "nfs",
        feature = "service",
        feature = "verify",
        feature = "sandbox"
    )),
    allow(dead_code, unused_imports, reason = "some things are called from one feature alone")
)]
#![allow(
    rustdoc::private_intra_doc_links,
    reason = "layers that users do not see are linked for those who read the source"
)]
#![cfg_attr(not(feature = "testkit"), warn(missing_debug_implementations))]
#![cfg_attr(
    not(feature = "testkit"),
    allow(unreachable_pub, unused_imports, reason = "tests see what users do not")
)]
#![cfg_attr(
    not(test),
    deny(
        clippy::disallowed_methods,
        reason = "a new output must not forget to ask the guard of the repository"
    )
)]

/// `Debug` of a type that holds what cannot be shown: its name, and the fields that are given.
macro_rules! debug_of {
    ($type:ty, $name:literal $(, $field:literal = |$this:ident| $value:expr)*) => {
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct($name)
                    $(.field($field, &{ let $this = self; $value }))*
                    .finish_non_exhaustive()
            }
        }
    };
}

// Layers, which only tests see as they are: users get what is named below.
#[cfg(all(feature = "glob", not(feature = "testkit")))]
mod audit;
#[cfg(not(feature = "testkit"))]
mod blob;
#[cfg(not(feature = "testkit"))]
mod cache;
#[cfg(not(feature = "testkit"))]
mod checker;
#[cfg(not(feature = "testkit"))]
mod codec;
#[cfg(not(feature = "testkit"))]
mod content;
#[cfg(not(feature = "testkit"))]
mod crypto;
#[cfg(not(feature = "testkit"))]
mod format;
#[cfg(not(feature = "testkit"))]
mod index;
#[cfg(not(feature = "testkit"))]
mod manifest;
#[cfg(not(feature = "testkit"))]
mod object;
#[cfg(not(feature = "testkit"))]
mod pack;
#[cfg(not(feature = "testkit"))]
mod repository;
#[cfg(all(feature = "cli", not(feature = "testkit")))]
mod restic;
#[cfg(not(feature = "testkit"))]
mod restore;
#[cfg(not(feature = "testkit"))]
mod snapshot;
#[cfg(all(feature = "verify", not(feature = "testkit")))]
mod verify;

#[cfg(all(feature = "glob", feature = "testkit"))]
pub mod audit;
#[cfg(feature = "testkit")]
pub mod blob;
#[cfg(feature = "testkit")]
pub mod cache;
#[cfg(feature = "testkit")]
pub mod checker;
#[cfg(feature = "testkit")]
pub mod codec;
#[cfg(feature = "testkit")]
pub mod content;
#[cfg(feature = "testkit")]
pub mod crypto;
#[cfg(feature = "testkit")]
pub mod format;
#[cfg(feature = "testkit")]
pub mod index;
#[cfg(feature = "testkit")]
pub mod manifest;
#[cfg(feature = "testkit")]
pub mod object;
#[cfg(feature = "testkit")]
pub mod pack;
#[cfg(feature = "testkit")]
pub mod repository;
#[cfg(all(feature = "cli", feature = "testkit"))]
pub mod restic;
#[cfg(feature = "testkit")]
pub mod restore;
#[cfg(feature = "testkit")]
pub mod snapshot;
#[cfg(feature = "testkit")]
#[allow(clippy::disallowed_methods, reason = "it writes repositories for tests")]
pub mod testkit;
#[cfg(all(feature = "verify", feature = "testkit"))]
pub mod verify;
#[cfg(all(any(feature = "mount", feature = "nfs", feature = "browse"), feature = "testkit"))]
pub mod vfs;
#[cfg(all(any(feature = "mount", feature = "nfs", feature = "browse"), not(feature = "testkit")))]
mod vfs;

mod error;
mod failure;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod front;
mod gojson;
mod id;
mod os;
mod text;

pub use blob::{BlobId, BlobMetadata, BlobStore, Error as StoreError, FileSystem, Retry, RetryPolicy};
// What keeps the storage from being written to: a store of one's own passes it on, and needs no more of it.
#[doc(hidden)]
pub use blob::{Guard, InRepository, Relation, WritablePath};
pub use checker::{
    Answer, Candidates, Checker, Clock, Error as CheckerError, Settings as CheckerSettings, State, Template,
};
pub use content::Contents;
pub use crypto::Password;
pub use error::Error;
pub use format::OpenOptions;
pub use index::{ContentId, IndexOptions};
pub use manifest::ManifestId;
pub use object::{ObjectId, Reader};
pub use repository::{
    Absence, Access, Budget, Catalog, Error as ReadError, Opening, Options, Reason, Repository,
};
pub use restore::{Error as RestoreError, Filter, Origin, Overwrite, Progress, Restore, Summary};
pub use snapshot::{
    AskedSource, DirEntry, EntryType, Error as TreeError, Selection, Snapshot, Snapshots, Source, Tree,
    UtcTimestamp,
};
#[cfg(feature = "verify")]
pub use verify::{
    Damage, Error as VerifyError, Ledger, Level, Report, Settings as VerifySettings, Verdict, Verifier,
};

#[doc(hidden)]
pub use os::privacy::keep_memory_private;
#[cfg(feature = "testkit")]
pub use os::sandbox::{Enforcement, Sandbox, SandboxStatus};
#[cfg(not(feature = "testkit"))]
pub(crate) use os::sandbox::{Sandbox, SandboxStatus};
#[doc(hidden)]
pub use repository::{Recovered, Suspect, Unlisted};
