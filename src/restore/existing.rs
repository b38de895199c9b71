//! What to do about something that is already in the target.

use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use nix::fcntl::readlinkat;
use nix::sys::stat::{FileStat, SFlag};

use super::error::Error;
use super::options::Overwrite;
use super::place::{Attributes, Have, Keep, Node, OpenDir, Session, apply, is_similar, kind, matches};
use super::refused::Refused;
use crate::snapshot::{DirEntry, EntryName, EntryType};

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is restored.
    Restore,
    /// It is restored, and the file that is there may hold some of its data.
    Compare,
    /// What is there stays.
    Skip,
}

/// What has the place of an entry that is no directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    Nothing,
    /// Something of its type.
    Same,
    /// Something of another type, but no directory: it is deleted, not overwritten.
    Other,
    Directory,
}

impl Holder {
    pub(super) fn of(there: Option<&FileStat>, entry: &DirEntry) -> Self {
        match (there.map(kind), entry.kind) {
            (None, _) => Self::Nothing,
            (Some(SFlag::S_IFDIR), _) => Self::Directory,
            (Some(SFlag::S_IFREG), EntryType::File) | (Some(SFlag::S_IFLNK), EntryType::Symlink) => {
                Self::Same
            }
            (Some(_), _) => Self::Other,
        }
    }
}

/// Compares an entry, not a directory, with what is there.
pub(super) fn judge(
    session: &Session<'_>,
    directory: &OpenDir,
    name: &EntryName,
    entry: &DirEntry,
    there: Option<&FileStat>,
    path: impl Fn(&str) -> String,
) -> Result<Verdict, Error> {
    let options = session.options;
    let Some(stat) = there else {
        // A killed run may have put the file aside.
        let compare = options.delta && entry.kind == EntryType::File;
        return Ok(if compare { Verdict::Compare } else { Verdict::Restore });
    };
    if options.overwrite == Overwrite::Never {
        return Ok(Verdict::Skip);
    }
    let want = Attributes::of(entry, &options.owners);
    let has_time = || session.has_time(directory, stat, &want);
    let existing = kind(stat);
    if options.overwrite == Overwrite::UnlessSimilar {
        let stays = match entry.kind {
            EntryType::File => existing == SFlag::S_IFREG && is_similar(stat, &want, entry.size),
            EntryType::Symlink => existing == SFlag::S_IFLNK,
            _ => false,
        };
        if stays {
            return Ok(Verdict::Skip);
        }
    }
    if options.keep_files && entry.kind == EntryType::File && existing != SFlag::S_IFDIR {
        return Err(Error::Conflict {
            existing: if existing == SFlag::S_IFLNK { "symbolic link" } else { "file" },
            wanted: "file",
            help: "it exists already, and files are not to be overwritten",
        });
    }
    if existing == SFlag::S_IFDIR && session.single {
        return Err(Error::Conflict {
            existing: "directory",
            wanted: "file or link",
            help: "a directory is never removed for a single file: name another target",
        });
    }
    if existing == SFlag::S_IFDIR && !options.delete {
        return Err(Error::directory_in_the_way());
    }
    if entry.kind == EntryType::Symlink && existing != SFlag::S_IFLNK && options.keeps_kinds() {
        return Err(Error::Conflict {
            existing: "file",
            wanted: "symbolic link",
            help: "move it away, or allow deleting",
        });
    }
    match entry.kind {
        EntryType::File if existing == SFlag::S_IFREG => {
            let size = u64::try_from(stat.st_size) == Ok(entry.size);
            if size
                && options.overwrite == Overwrite::IfChanged
                && matches(stat, &want, session.keep, has_time)
            {
                return Ok(Verdict::Skip);
            }
            let times = Keep { owner: false, permissions: false, times: true };
            if size && options.skip_existing && matches(stat, &want, times, has_time) {
                if !options.dry_run {
                    let node = Node::File(directory.as_fd(), name.as_str());
                    let refused = correct(session, directory, node, stat, &want)?;
                    session.report.refused(|| path(name), &refused);
                }
                return Ok(Verdict::Skip);
            }
            let single = stat.st_nlink == 1 && stat.st_size > 0;
            Ok(if options.delta && single { Verdict::Compare } else { Verdict::Restore })
        }
        EntryType::Symlink if existing == SFlag::S_IFLNK => {
            let compared =
                options.skip_existing || options.delta || options.overwrite == Overwrite::IfChanged;
            // The name of its content tells the target without reading it.
            let hasher = session.contents.format().hasher();
            if compared
                && let Some(object) = entry.object.as_ref().filter(|object| !object.is_compressed())
                && object.index().is_none()
                && let Ok(there) = readlinkat(directory, name.as_str())
                && hasher.hash(there.as_bytes()).as_bytes() == object.content().hash()
                && (options.skip_existing
                    || matches(stat, &want, Keep { permissions: false, ..session.keep }, has_time))
            {
                if options.skip_existing && !options.dry_run {
                    let node = Node::Link(directory.as_fd(), name.as_str());
                    let refused = correct(session, directory, node, stat, &want)?;
                    session.report.refused(|| path(name), &refused);
                }
                return Ok(Verdict::Skip);
            }
            Ok(Verdict::Restore)
        }
        _ => Ok(Verdict::Restore),
    }
}

/// Gives a file or link that is kept the owner and mode that it should have.
fn correct(
    session: &Session<'_>,
    directory: &OpenDir,
    node: Node<'_>,
    stat: &FileStat,
    want: &Attributes,
) -> Result<Refused, Error> {
    let keep = Keep { times: false, ..session.keep };
    apply(node, want, keep, Have::of(stat), &directory.proven)
}
