//! Directories of the target.

mod contest;
mod tally;

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock, Weak};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstat, fstatat, mkdirat};

use self::contest::Contest;
use self::tally::Tally;
use super::apply::{Node, Proven, apply};
use super::attributes::{Attributes, Have};
use super::collision::{Listed, rename_to_free};
use super::file::place_apart;
use super::names::{is_staged, staged_name};
use super::staging::is_note;
use crate::object::ObjectId;
use crate::os::sync::Mutex;
use crate::restore::Error;
use crate::restore::options::Overwrite;
use crate::restore::report::add;
use crate::restore::session::Session;
use crate::snapshot::{EntryName, shown_name};

/// How every directory is opened. Below the root `O_NOFOLLOW` is added.
pub(in crate::restore) const OPEN: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// A directory that is open.
pub(in crate::restore) struct OpenDir {
    fd: OwnedFd,
    /// Owner and group that the system gives to what is created here.
    created_attributes: OnceLock<(u32, u32)>,
    /// Bits of modes that files created here were seen to get as asked for. Others a mask or an access list may take.
    granted: AtomicU32,
    /// Attributes that what is in here was seen to keep.
    pub(in crate::restore) proven: Proven,
}

impl OpenDir {
    pub(in crate::restore) fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            created_attributes: OnceLock::new(),
            granted: AtomicU32::new(0),
            proven: Proven::default(),
        }
    }

    /// What a file has that was just created here with `mode`, asking the system only for what earlier ones did not
    /// show.
    pub(super) fn created_attributes(&self, child: BorrowedFd<'_>, mode: u32) -> Result<Have, Errno> {
        let granted = self.granted.load(Ordering::Relaxed);
        if let Some(&owner) = self.created_attributes.get()
            && mode & !granted == 0
        {
            return Ok(Have { owner, mode: Some(mode) });
        }
        let have = Have::of(&fstat(child)?);
        if have.mode == Some(mode) {
            self.granted.fetch_or(mode, Ordering::Relaxed);
        }
        Ok(Have { owner: *self.created_attributes.get_or_init(|| have.owner), ..have })
    }

    /// Gives something in it another name.
    pub(in crate::restore) fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        renameat(&self.fd, from, &self.fd, to).map_err(Error::system("rename"))
    }

    /// What is there under a name, which is not followed if it is a symbolic link.
    pub(in crate::restore) fn stat(&self, name: &str) -> Result<Option<FileStat>, Error> {
        match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(Error::system("look at what is there")(errno)),
        }
    }
}

impl AsFd for OpenDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What kind of file a mode belongs to.
pub(in crate::restore) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

/// Lets two entries of a directory change names. `false` where the file system cannot.
pub(in crate::restore) fn swap(open: &OpenDir, one: &str, other: &str) -> Result<bool, Errno> {
    use rustix::fs::{RenameFlags, renameat_with};
    use rustix::io::Errno as Refusal;
    match renameat_with(&open.fd, one, &open.fd, other, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Refusal::INVAL | Refusal::NOSYS | Refusal::OPNOTSUPP | Refusal::XDEV | Refusal::PERM) => {
            Ok(false)
        }
        Err(errno) => Err(Errno::from_raw(errno.raw_os_error())),
    }
}

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
    /// The mode that an existing directory had before it was made writable.
    lifted: Option<u32>,
    /// Staged names found in an existing directory, from a run that was killed.
    leftovers: Vec<CString>,
    /// What else was found there.
    listed: Option<Arc<Listed>>,
    /// Where names meet that the file system cannot tell apart.
    contest: Option<Box<Contest>>,
    /// The name that was made for this directory.
    made_name: Option<Box<str>>,
    /// Whether it could not get its name, so that nothing of it stays.
    lost: bool,
    finished: bool,
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
                let (mut leftovers, listed) = what_is_in(&open);
                leftovers.retain(|name| !is_note(name.to_bytes()));
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
            lifted: None,
            leftovers: Vec::new(),
            listed: None,
            contest: None,
            made_name: None,
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
        match openat(parent, &*self.name, OPEN | OFlag::O_NOFOLLOW, Mode::empty()) {
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
                let own = state.made_name.as_deref().unwrap_or(&self.name);
                let name = if made.staged { staged.as_str() } else { own };
                openat(parent, name, OPEN | OFlag::O_NOFOLLOW, Mode::empty())
                    .map_err(Error::system("open the directory"))?
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
        match existing.as_ref().map(kind) {
            Some(SFlag::S_IFDIR) => {
                if let Some(stat) = &existing {
                    self.session.territory.allow(stat.into(), &self.path())?;
                }
                let fd = match openat(parent, &*self.name, OPEN | OFlag::O_NOFOLLOW, Mode::empty()) {
                    Err(Errno::EACCES) => self.make_accessible(state, parent)?,
                    other => other.map_err(Error::system("open the directory"))?,
                };
                if let Some(stat) = existing
                    && stat.st_mode & 0o700 != 0o700
                    && state.lifted.is_none()
                {
                    // Refused where the directory is another user's; then what is written into it tells.
                    if nix::sys::stat::fchmod(&fd, Mode::from_bits_truncate(stat.st_mode & 0o7777 | 0o700))
                        .is_ok()
                    {
                        state.lifted = Some(stat.st_mode & 0o7777);
                    }
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
        let staged = staged_name(&self.name);
        let mut fresh = true;
        match mkdirat(parent, staged.as_str(), mode) {
            Err(Errno::EEXIST)
                if self.session.adopts() && !state.displaces && is_directory(parent, &staged)? =>
            {
                fresh = false;
            }
            Err(Errno::EEXIST) => {
                clear(self.session, parent, &staged)?;
                mkdirat(parent, staged.as_str(), mode).map_err(Error::system("create a directory"))?;
            }
            other => other.map_err(Error::system("create a directory"))?,
        }
        state.made = Some(Made { fresh, staged: true, adopted: !fresh });
        openat(parent, staged.as_str(), OPEN | OFlag::O_NOFOLLOW, Mode::empty())
            .map_err(Error::system("open the directory"))
    }

    fn make_in_place(&self, state: &mut State, parent: &OpenDir, mode: Mode) -> Result<OwnedFd, Error> {
        match mkdirat(parent, &*self.name, mode) {
            Err(Errno::EEXIST) => {
                let made = self.make_apart(parent, mode)?;
                state.made_name = Some(made.into());
            }
            other => other.map_err(Error::system("create a directory"))?,
        }
        state.made = Some(Made { fresh: true, staged: false, adopted: false });
        openat(
            parent,
            state.made_name.as_deref().unwrap_or(&self.name),
            OPEN | OFlag::O_NOFOLLOW,
            Mode::empty(),
        )
        .map_err(Error::system("open the directory"))
    }

    /// Makes the directory under a name that is made for it, because its own is taken.
    fn make_apart(&self, parent: &OpenDir, mode: Mode) -> Result<String, Error> {
        self.session.staging.begin();
        let staged = staged_name(&self.name);
        clear(self.session, parent, &staged)?;
        mkdirat(parent, staged.as_str(), mode).map_err(Error::system("create a directory"))?;
        let placed = place_apart(self.session, parent, &staged, &self.name);
        if placed.is_err() {
            clear(self.session, parent, &staged)?;
        }
        let made = placed?;
        if let Some(above) = &self.parent {
            above.note_made_name(&self.name, &made);
        }
        Ok(made)
    }

    /// Makes an existing directory accessible that its owner may not enter.
    fn make_accessible(&self, state: &mut State, parent: &OpenDir) -> Result<OwnedFd, Error> {
        let open = Error::system("open the directory");
        let Some(stat) = parent.stat(&self.name)? else { return Err(open(Errno::ENOENT)) };
        let mode = stat.st_mode & 0o7777;
        let lifted = Mode::from_bits_truncate(mode | 0o700);
        if fchmodat(parent, &*self.name, lifted, FchmodatFlags::NoFollowSymlink).is_err() {
            return Err(open(Errno::EACCES));
        }
        state.lifted = Some(mode);
        openat(parent, &*self.name, OPEN | OFlag::O_NOFOLLOW, Mode::empty()).map_err(open)
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
        self.settle_contenders();
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
            let made = place_apart(self.session, &parent, &staged, &self.name)?;
            above.note_made_name(&self.name, &made);
            state.made_name = Some(made.into());
        }
        if let Some(made) = &mut state.made {
            made.staged = false;
        }
        Ok(())
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
        let contenders = state.contest.take().map(|contest| contest.contenders).unwrap_or_default();
        let leftovers = std::mem::take(&mut state.leftovers);
        let result = self.open().and_then(|open| {
            for contender in contenders {
                clear(session, &open, &staged_name(&contender.name))?;
            }
            for name in leftovers {
                let removed = session.territory.clear(open.as_fd(), name);
                removed.map_err(Error::system("remove what a killed run left"))?;
            }
            if self.parent.is_none() {
                session.staging.end().map_err(Error::system("remove what was staged"))?;
            }
            // What a single file is restored into is not restored itself.
            if self.attributes.is_some() {
                add(&session.report.dirs, 1);
                add(&self.tally.dirs, 1);
            }
            if let Some(parent) = &self.parent {
                self.tally.add_to(&parent.tally);
            }
            let fd = open.as_fd();
            let keeps = !made.fresh && session.options.overwrite == Overwrite::Never;
            if let (Some(attributes), false) = (&self.attributes, keeps) {
                let stat = fstat(fd).map_err(Error::system("look at the directory"))?;
                let refused = apply(Node::Open(fd), attributes, session.keep, Have::of(&stat), &open.proven)?;
                session.report.refused(|| self.path(), &refused);
            }
            if let Some(mode) =
                lifted.filter(|_| keeps || !session.keep.permissions || self.attributes.is_none())
            {
                nix::sys::stat::fchmod(fd, Mode::from_bits_truncate(mode))
                    .map_err(Error::system("set the mode"))?;
            }
            Ok(())
        });
        if let Err(error) = result {
            session.report.error(self.path(), &error);
        }
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

fn is_directory(parent: &OpenDir, name: &str) -> Result<bool, Error> {
    Ok(parent.stat(name)?.is_some_and(|stat| kind(&stat) == SFlag::S_IFDIR))
}

/// Removes something of ours that is in the way.
pub(super) fn clear(session: &Session<'_>, parent: &OpenDir, name: &str) -> Result<(), Error> {
    let failed = "remove what a killed run left";
    let name = CString::new(name).map_err(|_| Error::system(failed)(Errno::EINVAL))?;
    session.territory.clear(parent.as_fd(), name).map_err(Error::system(failed))
}

/// What a killed run left in an existing directory, and what else is in it. A directory that cannot be listed has
/// nothing that could be removed.
fn what_is_in(open: &OpenDir) -> (Vec<CString>, Option<Listed>) {
    let mut leftovers = Vec::new();
    let listed = Listed::without(open, |name| {
        let staged = is_staged(name.to_bytes());
        if staged {
            leftovers.push(name.clone());
        }
        staged
    });
    match listed {
        Ok(listed) => (leftovers, Some(listed)),
        Err(_) => (Vec::new(), None),
    }
}
