//! Giving places that something of another type holds to what the snapshot has there, once everything else is in place.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::error::Error;
use super::place::{Dir, Fate, OpenDir, Session, Sweep, staged_name, swap};
use super::report::{Change, Report, add};

/// Something that waits under its staged name, because something of another type has its own.
pub(super) enum Displacing<'s> {
    /// A directory where a file or link is.
    Directory(Arc<Dir<'s>>),
    /// A file or link where a directory is.
    Entry { dir: Arc<Dir<'s>>, name: Box<str>, link: bool, size: u64 },
}

impl Displacing<'_> {
    fn path(&self) -> String {
        match self {
            Self::Directory(dir) => dir.path(),
            Self::Entry { dir, name, .. } => dir.path_of(name),
        }
    }

    /// The open directory that has the place, and its name there.
    fn place(&self) -> Result<Option<(Arc<OpenDir>, &str)>, Error> {
        let (above, name) = match self {
            Self::Directory(dir) => (dir.parent(), dir.name()),
            Self::Entry { dir, name, .. } => (Some(dir), &**name),
        };
        let Some(above) = above else { return Ok(None) };
        let open = if above.session().options.dry_run { above.look()? } else { Some(above.open()?) };
        Ok(open.map(|open| (open, name)))
    }

    fn in_the_way(&self, help: &'static str) -> Error {
        match self {
            Self::Directory(_) => Error::Conflict { existing: "non-directory", wanted: "directory", help },
            Self::Entry { .. } => Error::Conflict { existing: "directory", wanted: "file or link", help },
        }
    }
}

/// Removes what is in the way, and puts in its place what waits for that. What cannot or may not be removed stays, and what
/// waits for its place is taken back. A dry run only tells.
pub(super) fn displace<'s>(session: &'s Session<'s>, mut waiting: Vec<Displacing<'s>>) {
    // Those within others come later, and go first.
    while let Some(one) = waiting.pop() {
        // Where deleting was asked for, nothing goes unless everything came. Otherwise this is overwriting, as with files: what
        // comes instead must be whole.
        let (whole, stays) = if session.options.delete {
            (session.report.error_count() == 0, "it stays, because not everything else could be restored")
        } else {
            let whole = !session.report.has_error_in(&one.path());
            (whole, "it stays, because not everything in the directory could be restored")
        };
        let result = match (session.options.dry_run, whole && !session.is_over()) {
            (true, true) => announce(session, &one),
            (false, true) => make_way(session, &one),
            (_, false) => Err(one.in_the_way(stays)),
        };
        if let Err(error) = result {
            if !session.options.dry_run {
                take_back(session, &one);
            }
            if !session.is_cancelled() {
                session.report.error(one.path(), &error);
            }
        }
    }
}

fn announce(session: &Session<'_>, one: &Displacing<'_>) -> Result<(), Error> {
    if let Some((open, name)) = one.place()? {
        remove(session, &open, &one.path(), name, Sweep::Count)?;
    }
    Ok(())
}

fn make_way(session: &Session<'_>, one: &Displacing<'_>) -> Result<(), Error> {
    let Some((open, name)) = one.place()? else { return Ok(()) };
    let staged = staged_name(name);
    // Decide before touching.
    let mut kept = None;
    let mut look = |_: &[&CString], fate| {
        if let Fate::Kept(reason) = fate {
            kept = Some(reason);
        }
    };
    let looked = session.territory.sweep(open.as_fd(), c_name(name)?, Sweep::Count, &mut look);
    looked.map_err(Error::system("look at what is in the way"))?;
    if let Some(reason) = kept {
        return Err(one.in_the_way(reason.text()));
    }
    if swap(&open, &staged, name).map_err(Error::system("replace what is there"))? {
        // What was in the way has the staged name now.
        remove(session, &open, &one.path(), &staged, Sweep::Remove)?;
    } else {
        remove(session, &open, &one.path(), name, Sweep::Remove)?;
        open.rename(&staged, name)?;
    }
    if let Displacing::Directory(dir) = one {
        dir.has_its_name();
    }
    Ok(())
}

/// Removes what is or was in the way, and counts it. Its path is reported, whatever name it has now.
fn remove(session: &Session<'_>, open: &OpenDir, path: &str, name: &str, sweep: Sweep) -> Result<(), Error> {
    let mut tell = |names: &[&CString], fate| tell(&session.report, path, names.get(1..), fate, sweep);
    let removed = session.territory.sweep(open.as_fd(), c_name(name)?, sweep, &mut tell);
    removed.map_err(Error::system("remove what is in the way"))
}

/// Counts an entry that is removed, or stays, and announces it in a dry run.
pub(super) fn tell(report: &Report<'_>, top: &str, below: Option<&[&CString]>, fate: Fate, sweep: Sweep) {
    let path = || {
        let below = below.unwrap_or_default().iter().map(|name| name.to_string_lossy());
        std::iter::once(top.into()).chain(below).collect::<Vec<std::borrow::Cow<'_, str>>>().join("/")
    };
    match fate {
        Fate::Kept(reason) => {
            report.warning(&format!("{}: left alone, because {}", path(), reason.text()));
        }
        Fate::Removed | Fate::RemovedUnseen => {
            add(&report.deleted, 1);
            report.change(Change::Deleted, path);
            let unseen = fate == Fate::RemovedUnseen;
            if sweep == Sweep::Count && (unseen || !report.lists()) {
                let with = if unseen { ", with all that is in it, which cannot be seen" } else { "" };
                report.warning(&format!("{}: would be deleted{with}", path()));
            }
        }
    }
}

fn take_back(session: &Session<'_>, one: &Displacing<'_>) {
    match one {
        Displacing::Directory(dir) => dir.give_up(),
        Displacing::Entry { dir, name, link, size } => {
            let removed = dir.open().and_then(|open| {
                let staged = staged_name(name);
                // What could not be restored was taken back, and not counted.
                if open.stat(&staged)?.is_some() {
                    session
                        .territory
                        .clear(open.as_fd(), c_name(&staged)?)
                        .map_err(Error::system("remove"))?;
                    dir.uncount((!link).then_some(*size));
                }
                Ok(())
            });
            if let Err(error) = removed {
                session.report.error(one.path(), &error);
            }
        }
    }
}

fn c_name(name: &str) -> Result<CString, Error> {
    CString::new(name).map_err(|_| Error::system("name")(nix::errno::Errno::EINVAL))
}
