//! Directories of the target.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard, Weak};

use nix::errno::Errno;
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmod, fchmodat, fstat, mkdirat};

use super::apply::{Node, apply, noted};
use super::attributes::{Attributes, Have};
use super::collision::{Listed, rename_to_free, spelling_of, what_is_in};
use super::contest::{self, Contender, Contest, Loss};
use super::names::staged_name;
use super::open_dir::{OpenDir, kind, make_accessible, may_open};
use super::session::{Session, tell_unseen};
use super::staging::clear;
use super::tally::Tally;
use crate::object::ObjectId;
use crate::os::sync::Mutex;
use crate::restore::error::Error;
use crate::restore::options::Overwrite;
use crate::restore::refused::Refused;
use crate::restore::report::add;
use crate::snapshot::{EntryName, shown_name};

/// How a directory of the target came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::restore) struct Made {
    /// Made by this restore, so that it holds only what was restored.
    pub(in crate::restore) fresh: bool,
    /// Bears a staged name until its files are complete, so that they can be created under their own.
    pub(in crate::restore) staged: bool,
    /// Begun by a run that was killed: what is in it may be of use, or of another snapshot.
    pub(in crate::restore) adopted: bool,
}

struct State {
    made: Option<Made>,
    open: Weak<OpenDir>,
    /// Whether it waits under its staged name for the place of a non-directory.
    displaces: bool,
    /// Whether a dry run may not look into it.
    unseen: bool,
    /// The mode that an existing directory had before it was made writable.
    lifted: Option<u32>,
    /// Staged names found in an existing directory, from a run that was killed.
    leftovers: Vec<CString>,
    /// What else was found there.
    listed: Option<Arc<Listed>>,
    /// Where names meet that the file system cannot tell apart.
    contest: Option<Box<Contest>>,
    /// Whether it could not get its name, so that nothing of it stays.
    lost: bool,
    finished: bool,
}

impl State {
    fn contest(&mut self) -> &mut Contest {
        self.contest.get_or_insert_default()
    }
}

/// A directory of the tree. It exists in the target from [`Dir::open`] on; when the last reference goes, everything
/// below it is in place and it gets its attributes.
pub(in crate::restore) struct Dir<'s> {
    session: &'s Session<'s>,
    parent: Option<Arc<Dir<'s>>>,
    name: Box<str>,
    object: Option<ObjectId>,
    /// `None`: the attributes are not ours to set.
    attributes: Option<Attributes>,
    state: Mutex<State>,
    tally: Tally,
    /// Files that are not yet complete, and one for the walk.
    pending: AtomicUsize,
    /// Whether nobody has asked yet whether it waits for a place.
    news: AtomicBool,
}

impl<'s> Dir<'s> {
    pub(in crate::restore) fn root(
        session: &'s Session<'s>,
        open: Arc<OpenDir>,
        attributes: Option<Attributes>,
        object: Option<ObjectId>,
        fresh: bool,
        lifted: Option<u32>,
    ) -> Arc<Self> {
        let root = Self::build(session, None, "", attributes, object);
        {
            let mut state = root.state();
            state.made = Some(Made { fresh, staged: false, adopted: false });
            state.open = Arc::downgrade(&open);
            state.lifted = lifted;
            if !fresh {
                let (leftovers, listed) = what_is_in(&open);
                state.listed = listed.map(Arc::new);
                if attributes.is_some() {
                    state.leftovers = leftovers;
                }
            }
        }
        Arc::new(root)
    }

    /// The top of a tree that is written nowhere, and what a dry run finds in its place.
    pub(in crate::restore) fn nowhere(
        session: &'s Session<'s>,
        there: Option<&Arc<OpenDir>>,
        object: Option<ObjectId>,
    ) -> Arc<Self> {
        let root = Self::build(session, None, "", None, object);
        if let Some(open) = there {
            root.state().open = Arc::downgrade(open);
        }
        Arc::new(root)
    }

    /// A directory that is not made before it is needed.
    pub(in crate::restore) fn new(
        parent: &Arc<Self>,
        name: &EntryName,
        attributes: Attributes,
        object: Option<ObjectId>,
    ) -> Arc<Self> {
        let parent = Arc::clone(parent);
        Arc::new(Self::build(parent.session, Some(parent), name.as_str(), Some(attributes), object))
    }

    fn build(
        session: &'s Session<'s>,
        parent: Option<Arc<Self>>,
        name: &str,
        attributes: Option<Attributes>,
        object: Option<ObjectId>,
    ) -> Self {
        let state = State {
            made: None,
            open: Weak::new(),
            displaces: false,
            unseen: false,
            lifted: None,
            leftovers: Vec::new(),
            listed: None,
            contest: None,
            lost: false,
            finished: false,
        };
        Self {
            session,
            parent,
            name: name.into(),
            object,
            attributes,
            state: Mutex::new(state),
            tally: Tally::default(),
            pending: AtomicUsize::new(1),
            news: AtomicBool::new(true),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(in crate::restore) fn session(&self) -> &'s Session<'s> {
        self.session
    }

    pub(in crate::restore) fn object(&self) -> Option<&ObjectId> {
        self.object.as_ref()
    }

    /// The directory that it is in.
    pub(in crate::restore) fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    /// Its name there.
    pub(in crate::restore) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it waits for the place of something that is no directory.
    pub(in crate::restore) fn displaces(&self) -> bool {
        self.state().displaces
    }

    /// Whether this is asked for the first time.
    pub(in crate::restore) fn is_news(&self) -> bool {
        self.news.swap(false, Ordering::Relaxed)
    }

    /// Notes that a directory that waited has got its place.
    pub(in crate::restore) fn has_its_name(&self) {
        let mut state = self.state();
        state.displaces = false;
        if let Some(made) = &mut state.made {
            made.staged = false;
        }
    }

    /// Gives up what was restored into a directory that gets no place: it is taken back when the last reference goes.
    pub(in crate::restore) fn give_up(&self) {
        self.state().lost = true;
    }

    /// How many directories down from the root this one is, and whether one of those has the same object.
    pub(in crate::restore) fn depth_and_loop(&self) -> (usize, bool) {
        let ancestors = || std::iter::successors(self.parent.as_deref(), |dir| dir.parent.as_deref());
        (ancestors().count(), ancestors().any(|dir| dir.object == self.object))
    }

    /// Path relative to the target; empty for the root.
    pub(in crate::restore) fn path(&self) -> String {
        let names = std::iter::successors(Some(self), |dir| dir.parent.as_deref()).map(|dir| &*dir.name);
        let mut names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
        names.reverse();
        names.join("/")
    }

    /// Path of something in it, for messages and filters: a name that no file system takes is cut.
    pub(in crate::restore) fn path_of(&self, name: &str) -> String {
        let mut path = self.path();
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(&shown_name(name));
        path
    }

    /// How it came to be, once it was opened.
    pub(in crate::restore) fn made(&self) -> Option<Made> {
        self.state().made
    }

    /// The open directory, made if it is not there yet, and its parents with it.
    pub(in crate::restore) fn open(&self) -> Result<Arc<OpenDir>, Error> {
        let lost = || Error::system("open the directory")(Errno::EBADF);
        let (mut above, closed) = self.nearest_open();
        for dir in closed.into_iter().rev() {
            let parent = above.take().ok_or_else(lost)?;
            above = Some(dir.open_in(&parent)?);
        }
        above.ok_or_else(lost)
    }

    /// The directory that is there already, if one is: nothing is made and nothing is changed.
    pub(in crate::restore) fn look(&self) -> Result<Option<Arc<OpenDir>>, Error> {
        let (mut above, closed) = self.nearest_open();
        for dir in closed.into_iter().rev() {
            let Some(parent) = above else { break };
            above = dir.look_in(&parent)?;
        }
        Ok(above)
    }

    /// The innermost directory of the path to this one that is open, and those below it, the innermost first.
    fn nearest_open(&self) -> (Option<Arc<OpenDir>>, Vec<&Self>) {
        // Not by recursion: trees may be thousands of levels deep.
        let mut closed = Vec::new();
        for dir in std::iter::successors(Some(self), |dir| dir.parent.as_deref()) {
            if let Some(open) = dir.state().open.upgrade() {
                return (Some(open), closed);
            }
            closed.push(dir);
        }
        (None, closed)
    }

    fn look_in(&self, parent: &OpenDir) -> Result<Option<Arc<OpenDir>>, Error> {
        if self.state().unseen {
            return Ok(None);
        }
        match parent.open(&self.name) {
            Ok(fd) => {
                let open = Arc::new(OpenDir::new(fd));
                self.state().open = Arc::downgrade(&open);
                self.session.keep_open(&open);
                Ok(Some(open))
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(Errno::ENOTDIR | Errno::ELOOP) if self.session.options.keeps_what_is_no_directory() => {
                Err(Error::no_directory())
            }
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                self.state().displaces = true;
                Ok(None)
            }
            Err(Errno::EACCES) if parent.stat(&self.name)?.is_some_and(|stat| may_open(&stat)) => {
                self.state().unseen = true;
                tell_unseen(self.session, &self.path());
                Ok(None)
            }
            Err(errno) => Err(Error::system("open the directory")(errno)),
        }
    }

    fn open_in(&self, parent: &OpenDir) -> Result<Arc<OpenDir>, Error> {
        let mut state = self.state();
        if let Some(open) = state.open.upgrade() {
            return Ok(open);
        }
        let fd = match state.made {
            Some(made) => {
                let staged = staged_name(&self.name);
                let name = if made.staged { staged.as_str() } else { &*self.name };
                parent.open(name).map_err(Error::system("open the directory"))?
            }
            None => self.make(&mut state, parent)?,
        };
        let open = Arc::new(OpenDir::new(fd));
        state.open = Arc::downgrade(&open);
        if state.made.is_some_and(|made| !made.fresh) && state.listed.is_none() {
            let (leftovers, listed) = what_is_in(&open);
            (state.leftovers, state.listed) = (leftovers, listed.map(Arc::new));
        }
        self.session.keep_open(&open);
        Ok(open)
    }

    fn make(&self, state: &mut State, parent: &OpenDir) -> Result<OwnedFd, Error> {
        let fresh_parent = self.parent.as_ref().and_then(|dir| dir.made()).is_some_and(|made| made.fresh);
        let existing = if fresh_parent { None } else { parent.stat(&self.name)? };
        let existing = existing.filter(|stat| self.was_there_before(parent, stat));
        match existing.as_ref().map(kind) {
            Some(SFlag::S_IFDIR) => {
                if let Some(stat) = &existing {
                    self.session.territory.allow(stat.into(), &self.path())?;
                }
                let fd = match parent.open(&self.name) {
                    Err(Errno::EACCES) => self.open_closed(state, parent)?,
                    other => other.map_err(Error::system("open the directory"))?,
                };
                if existing.is_some_and(|stat| stat.st_mode & 0o700 != 0o700) && state.lifted.is_none() {
                    state.lifted = make_accessible(&fd);
                }
                state.made = Some(Made { fresh: false, staged: false, adopted: false });
                return Ok(fd);
            }
            Some(_) if self.session.options.keeps_what_is_no_directory() => return Err(Error::no_directory()),
            Some(_) => state.displaces = true,
            None => {}
        }
        let mode =
            if self.session.keep.permissions { Mode::S_IRWXU } else { Mode::from_bits_truncate(0o777) };
        if self.pending.load(Ordering::Acquire) == 0 && !state.displaces {
            // None of its own files will come, it is needed only for what is below: nobody would publish it later.
            return self.make_in_place(state, parent, mode);
        }
        self.session.staging.begin();
        let failed = || Error::system("create a directory");
        let staged = staged_name(&self.name);
        let mut fresh = true;
        match mkdirat(parent, staged.as_str(), mode) {
            Err(Errno::EEXIST)
                if self.session.adopts()
                    && !state.displaces
                    && parent.has_directory(&staged)?
                    && !self.session.staging.others_are_at_work(parent).map_err(failed())? =>
            {
                fresh = false;
            }
            Err(Errno::EEXIST) => {
                self.session.staging.make_room(&self.session.territory, parent, &staged)?;
                mkdirat(parent, staged.as_str(), mode).map_err(failed())?;
            }
            other => other.map_err(failed())?,
        }
        state.made = Some(Made { fresh, staged: true, adopted: !fresh });
        parent.open(&staged).map_err(Error::system("open the directory"))
    }

    /// Whether what is under its name is not from this run, which may have put something there in another spelling.
    fn was_there_before(&self, parent: &OpenDir, stat: &FileStat) -> bool {
        let Some(listed) = self.parent.as_ref().and_then(|above| above.listed()) else { return true };
        listed.has(self.name.as_bytes())
            || spelling_of(parent, &self.name, stat).is_none_or(|name| listed.has(name.to_bytes()))
    }

    /// Makes the directory under its own name, or under its staged one if another entry has that in another spelling.
    fn make_in_place(&self, state: &mut State, parent: &OpenDir, mode: Mode) -> Result<OwnedFd, Error> {
        let what = "create a directory";
        let staged = staged_name(&self.name);
        let is_taken = match mkdirat(parent, &*self.name, mode) {
            Err(Errno::EEXIST) => {
                let Session { staging, territory, .. } = self.session;
                staging.begin();
                staging
                    .create(territory, parent, &staged, what, || mkdirat(parent, staged.as_str(), mode))?;
                if let Some(above) = &self.parent {
                    above.contend(&self.name, true);
                }
                true
            }
            other => other.map(|()| false).map_err(Error::system(what))?,
        };
        state.made = Some(Made { fresh: true, staged: is_taken, adopted: false });
        let name = if is_taken { staged.as_str() } else { &*self.name };
        parent.open(name).map_err(Error::system("open the directory"))
    }

    /// Opens an existing directory that its owner may not enter, and lets the owner enter it.
    fn open_closed(&self, state: &mut State, parent: &OpenDir) -> Result<OwnedFd, Error> {
        let open = Error::system("open the directory");
        let Some(stat) = parent.stat(&self.name)? else { return Err(open(Errno::ENOENT)) };
        let mode = stat.st_mode & 0o7777;
        let lifted = Mode::from_bits_truncate(mode | 0o700);
        if fchmodat(parent, &*self.name, lifted, FchmodatFlags::NoFollowSymlink).is_err() {
            return Err(open(Errno::EACCES));
        }
        state.lifted = Some(mode);
        parent.open(&self.name).map_err(open)
    }

    /// Announces a file that will be created in it.
    pub(in crate::restore) fn begin(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells that a file is complete, or given up, or that the walk has passed. The last one brings the directory
    /// under its own name.
    pub(in crate::restore) fn release(&self) {
        if self.pending.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        self.settle_files();
        if self.made().is_some_and(|made| made.staged)
            && !self.displaces()
            && let Err(error) = self.publish()
        {
            self.state().lost = true;
            self.session.report.error(self.path(), &error);
        }
    }

    fn publish(&self) -> Result<(), Error> {
        let Some(above) = &self.parent else { return Ok(()) };
        let parent = above.open()?;
        let mut state = self.state();
        let staged = staged_name(&self.name);
        if !rename_to_free(&parent, &staged, &self.name).map_err(Error::system("rename a directory"))? {
            above.contend(&self.name, true);
            return Ok(());
        }
        if let Some(made) = &mut state.made {
            made.staged = false;
        }
        Ok(())
    }

    /// Notes that an entry was placed under a name that was made for it.
    pub(in crate::restore) fn note_made_name(&self, name: &str, made: &str) {
        let path = self.path_of(name);
        self.session.report.warning(&format!(
            "{path}: the target cannot tell this name from another one; restored as {made:?}"
        ));
        self.state().contest().note_made_name(made);
    }

    /// Whether a name was made by this restore.
    pub(in crate::restore) fn has_made(&self, name: &[u8]) -> bool {
        self.state().contest.as_ref().is_some_and(|contest| contest.has_made(name))
    }

    /// What an existing directory held when it was opened.
    pub(in crate::restore) fn listed(&self) -> Option<Arc<Listed>> {
        self.state().listed.clone()
    }

    /// Claims something that is there to be replaced under another spelling. `false` if another entry did.
    pub(in crate::restore) fn claim(&self, spelling: &CStr) -> bool {
        self.state().contest().claim(spelling)
    }

    /// Keeps a complete file or link, or a directory, whose name another entry has in another spelling. Who gets it is decided
    /// when all entries are there.
    pub(in crate::restore) fn contend(&self, name: &str, is_directory: bool) {
        self.state().contest().contend(name, is_directory);
    }

    /// Decides about files and links, which are all complete.
    fn settle_files(&self) {
        let contenders = self.state().contest.as_mut().map(|contest| contest.take_files());
        self.settle(contenders.unwrap_or_default(), |stat| kind(stat) != SFlag::S_IFDIR);
    }

    /// Decides about directories. To be called when all that is below is finished.
    pub(in crate::restore) fn settle_directories(&self) {
        let contenders = self.state().contest.as_mut().map(|contest| contest.take_directories());
        self.settle(contenders.unwrap_or_default(), |_| true);
    }

    fn settle(&self, contenders: Vec<Contender>, may_move: impl Fn(&FileStat) -> bool) {
        if contenders.is_empty() {
            return;
        }
        let open = match self.open() {
            Ok(open) => open,
            Err(error) => return self.session.report.error(self.path(), &error),
        };
        let fresh = self.made().is_some_and(|made| made.fresh);
        let listed = self.listed();
        // What was there before stays where it is.
        let is_ours = |name: &str| {
            (fresh || listed.as_ref().is_some_and(|listed| !listed.has(name.as_bytes())))
                && !self.has_made(name.as_bytes())
        };
        let losses =
            contest::settle(self.session, &open, contenders, |name, stat| is_ours(name) && may_move(stat));
        for (Contender { name, .. }, loss) in losses {
            match loss {
                Loss::Renamed(made) => self.note_made_name(&name, &made),
                Loss::Removed(tally, error) => {
                    tally.take_from(self.session.report.tally());
                    tally.take_from(self.tally.parts());
                    self.session.report.error(self.path_of(&name), &error);
                }
            }
        }
    }

    /// Counts a file of this length, or a symbolic link, that is in place.
    pub(in crate::restore) fn count(&self, bytes: Option<u64>) {
        for [_, files, links, sum] in [self.session.report.tally(), self.tally.parts()] {
            add(if bytes.is_some() { files } else { links }, 1);
            add(sum, bytes.unwrap_or_default());
        }
    }

    /// Takes back what [`count`](Self::count) has counted.
    pub(in crate::restore) fn uncount(&self, bytes: Option<u64>) {
        for [_, files, links, sum] in [self.session.report.tally(), self.tally.parts()] {
            (if bytes.is_some() { files } else { links }).fetch_sub(1, Ordering::Relaxed);
            sum.fetch_sub(bytes.unwrap_or_default(), Ordering::Relaxed);
        }
    }

    /// Removes what was restored into a directory that could not get its name.
    fn take_back(&self) {
        self.tally.take_from(self.session.report.tally());
        let Some(above) = &self.parent else { return };
        let removed =
            above.open().and_then(|parent| clear(&self.session.territory, &parent, &staged_name(&self.name)));
        if let Err(error) = removed {
            self.session.report.error(self.path(), &error);
        }
    }

    /// Gives the directory its attributes. Everything below it is in place.
    fn finish(&mut self) {
        let session = self.session;
        let state = self.state.get_mut();
        let Some(made) = state.made.filter(|_| !state.finished) else { return };
        state.finished = true;
        if state.lost {
            return self.take_back();
        }
        let lifted = state.lifted;
        // Of a restore that was ended before they were settled.
        let contenders = state.contest.as_mut().map(|contest| contest.take_files()).unwrap_or_default();
        let leftovers = std::mem::take(&mut state.leftovers);
        self.settle_directories();
        let report = &session.report;
        let open = match self.open() {
            Ok(open) => open,
            Err(error) => return report.error(self.path(), &error),
        };
        // What cannot be tidied up costs the directory none of its attributes.
        if let Err(error) = self.tidy_up(&open, contenders, leftovers) {
            report.error(self.path(), &error);
        }
        // What a single file is restored into is not restored itself.
        if self.attributes.is_some() {
            add(&report.dirs, 1);
            add(&self.tally.dirs, 1);
        }
        if let Some(parent) = &self.parent {
            self.tally.add_to(&parent.tally);
        }
        match self.set_attributes(&open, made, lifted) {
            Ok(refused) => report.refused(|| self.path(), &refused),
            Err(error) => report.error(self.path(), &error),
        }
    }

    /// Removes what bears a staged name.
    fn tidy_up(
        &self,
        open: &OpenDir,
        contenders: Vec<Contender>,
        leftovers: Vec<CString>,
    ) -> Result<(), Error> {
        let Session { staging, territory, report, .. } = self.session;
        for contender in contenders {
            clear(territory, open, &staged_name(&contender.name))?;
        }
        staging.remove_leftovers(territory, report, open, leftovers, |name| self.path_of(name))?;
        if self.parent.is_none() {
            staging.end().map_err(Error::system("remove what was staged"))?;
        }
        Ok(())
    }

    /// Gives the directory its owner, mode and times, or the mode back that it had before it was opened to its owner. Returns
    /// what was refused.
    fn set_attributes(&self, open: &OpenDir, made: Made, lifted: Option<u32>) -> Result<Refused, Error> {
        let Session { options, keep, .. } = self.session;
        let kept = !made.fresh && options.overwrite == Overwrite::Never;
        let wanted = self.attributes.as_ref().filter(|_| !kept);
        let mut refused = Refused::default();
        if let Some(attributes) = wanted {
            let stat = fstat(open).map_err(Error::system("look at the directory"))?;
            refused = apply(Node::Open(open.as_fd()), attributes, *keep, Have::of(&stat), &open.proven)?;
        }
        if let Some(mode) = lifted.filter(|_| wanted.is_none() || !keep.permissions) {
            noted(fchmod(open, Mode::from_bits_truncate(mode)), &mut refused.mode, "set the mode")?;
        }
        Ok(refused)
    }
}

impl Drop for Dir<'_> {
    fn drop(&mut self) {
        self.finish();
        // The parents this was the last reference to, one after the other instead of by recursion.
        let mut next = self.parent.take();
        while let Some(mut parent) = next.and_then(Arc::into_inner) {
            parent.finish();
            next = parent.parent.take();
        }
    }
}
