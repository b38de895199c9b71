//! What to restore, and how.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::error::Error;
use super::filter::Filter;
use super::owners::OwnerMap;
use crate::content::Contents;
use crate::manifest::ManifestId;
use crate::os::parallel;
use crate::snapshot::{self, DirEntry, Snapshot};

/// What happens to something that already exists where the snapshot has an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub enum Overwrite {
    /// It is replaced.
    #[default]
    Always,
    /// It is replaced unless type, size, modification time, mode and owner are those of the snapshot.
    IfChanged,
    /// It is replaced unless it is a file of the snapshot's size and, to within two seconds, modification time, or a
    /// symbolic link where the snapshot has one: Kopia's `--skip-existing`. What stays is not touched at all.
    UnlessSimilar,
    /// It stays. Existing directories are restored into, and keep their attributes.
    Never,
}

/// A restore that is being described; [`Restore::run`] performs it.
#[derive(Clone)]
pub struct Restore<'a> {
    pub(super) contents: &'a Contents,
    pub(super) origin: Origin,
    pub(super) options: Options,
}

debug_of!(Restore<'_>, "Restore", "origin" = |restore| &restore.origin);

/// What is restored: a snapshot, or an entry of one.
#[derive(Debug, Clone)]
pub struct Origin {
    entry: Option<DirEntry>,
    snapshot: Option<ManifestId>,
}

impl Origin {
    /// The entry at the root.
    ///
    /// # Errors
    /// A snapshot that was never finished has none.
    pub(super) fn entry(&self) -> Result<&DirEntry, Error> {
        let no_root = |snapshot: &ManifestId| snapshot::Error::NoRoot { snapshot: snapshot.clone() };
        match (&self.entry, &self.snapshot) {
            (Some(entry), _) => Ok(entry),
            (None, Some(snapshot)) => Err(no_root(snapshot).into()),
            (None, None) => Err(Error::Entry("it is not there")),
        }
    }
}

impl From<&DirEntry> for Origin {
    fn from(entry: &DirEntry) -> Self {
        Self { entry: Some(entry.clone()), snapshot: None }
    }
}

impl From<&Snapshot> for Origin {
    fn from(snapshot: &Snapshot) -> Self {
        Self { entry: snapshot.root.clone(), snapshot: Some(snapshot.id.clone()) }
    }
}

impl From<&Arc<Snapshot>> for Origin {
    fn from(snapshot: &Arc<Snapshot>) -> Self {
        Self::from(&**snapshot)
    }
}

#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent option of the command")]
pub(super) struct Options {
    pub(super) snapshot: Option<String>,
    pub(super) memory: u64,
    pub(super) threads: usize,
    pub(super) reads: usize,
    pub(super) overwrite: Overwrite,
    pub(super) filter: Filter,
    pub(super) delete: bool,
    pub(super) delete_anywhere: bool,
    pub(super) delta: bool,
    pub(super) keep_kinds: bool,
    pub(super) rename_collisions: bool,
    pub(super) keep_files: bool,
    pub(super) skip_existing: bool,
    pub(super) dry_run: bool,
    pub(super) owner: bool,
    pub(super) owners: OwnerMap,
    pub(super) permissions: bool,
    pub(super) times: bool,
    pub(super) sparse: bool,
    pub(super) verify: bool,
    pub(super) fail_fast: bool,
    pub(super) fsync: bool,
    pub(super) cancel: Arc<AtomicBool>,
}

impl Options {
    /// Whether what is there stays where the snapshot has something of another kind.
    pub(super) fn keeps_kinds(&self) -> bool {
        self.keep_kinds && !self.delete
    }

    /// Whether what is there stays where the snapshot has a directory.
    pub(super) fn keeps_what_is_no_directory(&self) -> bool {
        self.overwrite == Overwrite::Never || self.keeps_kinds()
    }
}

macro_rules! switches {
    ($($(#[$doc:meta])+ $name:ident;)+) => {
        $($(#[$doc])+
        #[must_use]
        pub fn $name(mut self, on: bool) -> Self {
            self.options.$name = on;
            self
        })+
    };
}

impl<'a> Restore<'a> {
    /// A restore of a snapshot, or of any entry in one: a directory, a file or a symbolic link.
    pub fn new(contents: &'a Contents, origin: impl Into<Origin>) -> Self {
        let origin = origin.into();
        let threads = parallel::available_threads();
        let options = Options {
            snapshot: origin.snapshot.as_ref().map(ToString::to_string),
            memory: 256 << 20,
            threads,
            reads: contents.store().hints().reads,
            overwrite: Overwrite::default(),
            filter: Filter::default(),
            delete: false,
            delete_anywhere: false,
            delta: false,
            keep_kinds: false,
            rename_collisions: false,
            keep_files: false,
            skip_existing: false,
            dry_run: false,
            owner: true,
            owners: OwnerMap::default(),
            permissions: true,
            times: true,
            sparse: true,
            verify: false,
            fail_fast: false,
            fsync: false,
            cancel: Arc::default(),
        };
        Self { contents, origin, options }
    }

    /// What the summary calls the snapshot.
    #[must_use]
    pub fn snapshot(mut self, name: impl Into<String>) -> Self {
        self.options.snapshot = Some(name.into());
        self
    }

    /// Bytes for data in flight, batches of entries and directory state, in addition to the index. Default 256 MiB, of
    /// which little is used: more memory does not make a restore faster.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.options.memory = bytes;
        self
    }

    /// Threads that decode and write. Default: as many as there are processors.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.options.threads = threads.max(1);
        self
    }

    /// Maximum number of parallel reads. Default: the store's preference, 16 for a directory.
    #[must_use]
    pub fn reads(mut self, reads: usize) -> Self {
        self.options.reads = reads.max(1);
        self
    }

    /// What happens to existing entries.
    #[must_use]
    pub fn overwrite(mut self, overwrite: Overwrite) -> Self {
        self.options.overwrite = overwrite;
        self
    }

    /// Which entries are restored.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.options.filter = filter;
        self
    }

    /// Owners that replace those in the snapshot. Default: none.
    #[must_use]
    pub fn owners(mut self, owners: OwnerMap) -> Self {
        self.options.owners = owners;
        self
    }

    /// A flag that ends the restore early when it is set, with [`Error::Cancelled`].
    #[must_use]
    pub fn cancel(mut self, flag: Arc<AtomicBool>) -> Self {
        self.options.cancel = flag;
        self
    }

    switches! {
        /// Whether entries that the snapshot does not have are deleted, once everything else is in place. Nothing is
        /// deleted when anything of the snapshot could not be read. Other file systems that are mounted in the target,
        /// and `lost+found` at its root, are kept. Default: no.
        delete;
        /// Whether [`delete`](Self::delete) is allowed in `/` and in a directory that is or contains somebody's home
        /// directory, where it is [`Error::DeleteRefused`] otherwise. Default: no.
        delete_anywhere;
        /// Whether existing files are compared content by content, and only what differs is fetched. Files are changed in
        /// place, under a temporary name. If the new data of a file then turns out to be unreadable, the file is lost.
        /// Default: no.
        delta;
        /// Whether a file or link in the way of a directory, and a file in the way of a link, is an error instead of
        /// being replaced, as in Kopia. With [`delete`](Self::delete) it is replaced nevertheless. Default: no.
        keep_kinds;
        /// Whether the later of two entries whose names the target cannot tell apart is restored as `NAME~1`, instead of being
        /// an error. Default: no.
        rename_collisions;
        /// Whether it is an error if something exists in the place of a file, unless [`overwrite`](Self::overwrite) keeps
        /// it or it is a directory that [`delete`](Self::delete) removes: Kopia's `--no-overwrite-files`. Links are
        /// replaced, and directories get their attributes. Default: no.
        keep_files;
        /// Whether files with the right size and modification time, and links with the right target, are kept; their mode
        /// and owner are corrected. Default: no.
        skip_existing;
        /// Whether to only report what would be done, judging by names, sizes and times in the target: nothing is
        /// written, and no data is read. [`Progress::change`](super::Progress::change) names what would be deleted, or if
        /// it is not used, [`Progress::warning`](super::Progress::warning). Default: no.
        dry_run;
        /// Whether owners are restored. Default: yes; an ordinary user, who cannot, gets no error.
        owner;
        /// Whether modes are restored. Default: yes.
        permissions;
        /// Whether modification times are restored. Default: yes.
        times;
        /// Whether runs of zeros become holes. Default: yes.
        sparse;
        /// Whether each content that is read, including those of directories and chunk lists, is hashed and compared with
        /// its ID. Default: no.
        verify;
        /// Whether to stop at the first entry that cannot be restored. Default: no.
        fail_fast;
        /// Whether each file is forced to disk before it appears. Default: no, and one `syncfs` at the end.
        fsync;
    }
}
