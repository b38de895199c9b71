//! One file or symbolic link on its way into the target.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};

use nix::errno::Errno;

use super::error::Error;
use super::existing::Holder;
use super::place::{Attributes, Base, Dir, Have, Node, OutFile, Place, Placed, Session, apply, make_link};
use super::refused::Refused;
use super::report::{Change, add};
use crate::os::sync::Mutex;
use crate::snapshot::{DirEntry, EntryName, EntryType};

/// What is to become of a job.
enum State {
    /// Nothing exists yet.
    Waiting,
    Open(Arc<OutFile>),
    /// In place, or given up.
    Over,
}

/// A file or link that is being restored: complete when every piece that was announced has been written.
pub(super) struct Job<'s> {
    dir: Arc<Dir<'s>>,
    name: Box<str>,
    attributes: Attributes,
    size: AtomicU64,
    link: bool,
    /// What is there, to be replaced.
    holder: Holder,
    /// What is there already and may be patched.
    base: Option<Base>,
    /// Pieces that are missing, and one while more may be announced.
    missing: AtomicU64,
    state: Mutex<State>,
    over: AtomicBool,
}

impl<'s> Job<'s> {
    pub(super) fn new(
        dir: &Arc<Dir<'s>>,
        name: &EntryName,
        entry: &DirEntry,
        base: Option<Base>,
        holder: Holder,
    ) -> Arc<Self> {
        dir.begin();
        Arc::new(Self {
            dir: Arc::clone(dir),
            name: name.as_str().into(),
            attributes: Attributes::of(entry, &dir.session().options.owners),
            size: AtomicU64::new(entry.size),
            link: entry.kind == EntryType::Symlink,
            holder,
            base,
            missing: AtomicU64::new(1),
            state: Mutex::new(State::Waiting),
            over: AtomicBool::new(false),
        })
    }

    fn session(&self) -> &'s Session<'s> {
        self.dir.session()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn path(&self) -> String {
        self.dir.path_of(&self.name)
    }

    pub(super) fn is_link(&self) -> bool {
        self.link
    }

    /// Bytes that the file will have.
    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// Corrects the size, where the entry is not to be trusted. Only before the first piece.
    pub(super) fn set_size(&self, size: u64) {
        self.size.store(size, Ordering::Relaxed);
    }

    /// Whether nothing more can come of it, so that its pieces need not be fetched.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// The file that may be patched.
    pub(super) fn base(&self) -> Option<&Base> {
        self.base.as_ref()
    }

    /// Notes that this many bytes are there already.
    pub(super) fn reuse(&self, bytes: u64) {
        let report = &self.session().report;
        add(&report.reused, bytes);
        add(&report.written, bytes);
    }

    /// Announces a piece.
    pub(super) fn expect(&self) {
        self.missing.fetch_add(1, Ordering::Relaxed);
    }

    /// Puts a piece where it belongs.
    pub(super) fn write(&self, at: u64, data: &[u8]) {
        let session = self.session();
        if self.is_over() || session.null {
            add(&session.report.written, data.len() as u64);
            return;
        }
        let result = if self.link { self.make_link(at, data) } else { self.write_file(at, data) };
        match result {
            Ok(()) => add(&session.report.written, data.len() as u64),
            Err(error) => self.fail(&error),
        }
    }

    fn write_file(&self, at: u64, data: &[u8]) -> Result<(), Error> {
        match self.file()? {
            Some(file) => file.write(at, data, self.session().options.sparse && self.base.is_none()),
            None => Ok(()),
        }
    }

    /// The file, created if it is not there yet; `None` when it was given up.
    fn file(&self) -> Result<Option<Arc<OutFile>>, Error> {
        let mut state = self.state();
        match &*state {
            State::Open(file) => Ok(Some(Arc::clone(file))),
            State::Over => Ok(None),
            State::Waiting => {
                let parent = self.dir.open()?;
                if let Some(base) = &self.base {
                    self.session().staging.begin();
                    let file = Arc::new(OutFile::patch(parent, &self.name, base, self.size())?);
                    *state = State::Open(Arc::clone(&file));
                    return Ok(Some(file));
                }
                let staged = self.dir.made().is_some_and(|made| made.fresh && made.staged);
                let attributes = &self.attributes;
                let file =
                    OutFile::create(self.session(), parent, &self.name, self.size(), attributes, staged)?;
                let file = Arc::new(file);
                *state = State::Open(Arc::clone(&file));
                Ok(Some(file))
            }
        }
    }

    fn make_link(&self, at: u64, target: &[u8]) -> Result<(), Error> {
        if at != 0 || target.len() as u64 != self.size() {
            return Err(Error::system("create a symbolic link")(Errno::ENAMETOOLONG));
        }
        let parent = self.dir.open()?;
        let placed = make_link(self.session(), &parent, self.place(), target, &self.attributes)?;
        self.placed(&placed);
        Ok(())
    }

    fn place(&self) -> Place<'_> {
        let waits = self.holder == Holder::Directory;
        Place { name: &self.name, replaces: self.holder != Holder::Nothing, waits }
    }

    fn placed(&self, (refused, placed): &(Refused, Placed)) {
        self.session().report.refused(|| self.path(), refused);
        if *placed == Placed::Taken {
            self.dir.contend(&self.name, false);
        }
    }

    /// Tells that a piece was written or will never be, or that no more will be announced. The last one completes the
    /// job.
    pub(super) fn done(&self) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) != 1 || self.is_over() {
            return;
        }
        let session = self.session();
        if session.is_over() {
            return;
        }
        let completed = self.complete();
        if completed.is_ok() && self.holder == Holder::Other {
            add(&session.report.deleted, 1);
            session.report.change(Change::Deleted, || self.path());
            if session.options.dry_run && !session.report.lists() {
                session.report.warning(&format!("{}: would be deleted", self.path()));
            }
        }
        if let Ok(change) = completed {
            session.report.change(change, || self.path());
        }
        match completed {
            Ok(_) if self.link => {
                self.dir.count(None);
                self.end();
            }
            Ok(_) => {
                self.dir.count(Some(self.size()));
                self.end();
            }
            Err(error) => self.fail(&error),
        }
    }

    fn complete(&self) -> Result<Change, Error> {
        let session = self.session();
        let change = if self.holder == Holder::Same { Change::Updated } else { Change::New };
        if session.null || self.link {
            return Ok(change);
        }
        if let Some(base) = &self.base
            && base.size == self.size()
            && !base.aside
            && matches!(*self.state(), State::Waiting)
        {
            let have = Have { owner: base.owner, mode: None };
            let parent = self.dir.open()?;
            let node = Node::Open(base.file.as_fd());
            let refused = apply(node, &self.attributes, session.keep, have, &parent.proven)?;
            session.report.refused(|| self.path(), &refused);
            return Ok(Change::Unchanged);
        }
        if let Some(file) = self.file()? {
            self.placed(&file.finish(session, self.place(), &self.attributes)?);
        }
        Ok(change)
    }

    /// Gives the job up: nothing of it stays, and the first reason is reported.
    pub(super) fn fail(&self, error: &Error) {
        if self.end() {
            self.session().report.error(self.path(), error);
        }
    }

    /// Returns whether this was the end.
    fn end(&self) -> bool {
        let first = !self.over.swap(true, Ordering::AcqRel);
        *self.state() = State::Over;
        if first {
            self.dir.release();
        }
        first
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        // Neither done nor failed: the restore ended before. What was begun is removed, and the directory released.
        self.end();
    }
}
