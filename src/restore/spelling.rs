//! Entries that the target has under another spelling, because it ignores case or normalises names.

use std::collections::HashSet;
use std::ffi::CString;

use super::ahead::Ahead;
use super::error::Error;
use super::place::{Dir, Listed, OpenDir, Session, spelling_of};
use crate::object::ObjectId;
use crate::snapshot::{EffectiveEntries, EntryName, distinct_name};

use nix::sys::stat::FileStat;

/// Made names that are tried for one entry.
const MAX_MADE: u32 = 1000;

/// Finds out whether what is under a name is something else, under another spelling, that the snapshot has as well.
///
/// Returns the name to use instead if one is to be made.
///
/// # Errors
/// [`Error::Collision`], if none is to be made.
pub(super) fn settle(
    session: &Session<'_>,
    ahead: &Ahead<'_>,
    dir: &Dir<'_>,
    open: &OpenDir,
    name: &EntryName,
    stat: &FileStat,
) -> Result<Option<EntryName>, Error> {
    let Some(listed) = dir.listed().filter(|listed| !listed.has(name.as_bytes())) else { return Ok(None) };
    let Some(object) = dir.object() else { return Ok(None) };
    let there = spelling_of(open, name, stat);
    if let Some(there) = &there {
        if there.to_bytes() == name.as_bytes() {
            return Ok(None);
        }
        let other = there.to_string_lossy();
        if !snapshot_has(ahead, object, &other)? && !dir.has_made(there.to_bytes()) && dir.claim(there) {
            return Ok(None);
        }
    }
    let other = there.map(|there| there.to_string_lossy().into_owned());
    if !session.options.rename_collisions {
        return Err(Error::Collision { other });
    }
    for number in 1..=MAX_MADE {
        let made = distinct_name(name, number, 1);
        let free = match open.stat(&made)? {
            None => true,
            // By an earlier run.
            Some(_) => listed.has(made.as_bytes()) && !dir.has_made(made.as_bytes()),
        };
        if free && !snapshot_has(ahead, object, &made)? {
            dir.note_made_name(name, &made);
            return Error::name(&made).map(Some);
        }
    }
    Err(Error::Collision { other })
}

/// Whether the directory has an entry of this name in the snapshot.
fn snapshot_has(ahead: &Ahead<'_>, object: &ObjectId, name: &str) -> Result<bool, Error> {
    for entry in EffectiveEntries::open(ahead, object)? {
        match entry {
            Ok(entry) if entry.raw_name == name => return Ok(true),
            Err(error) if !error.is_entry() => return Err(error.into()),
            _ => {}
        }
    }
    Ok(false)
}

/// Takes from `extra`, the entries of a directory that the snapshot does not have by name, those that it has under
/// another spelling, and those whose names this restore made.
pub(super) fn keep_restored(
    ahead: &Ahead<'_>,
    dir: &Dir<'_>,
    open: &OpenDir,
    object: &ObjectId,
    extra: &mut Vec<CString>,
) -> Result<(), Error> {
    extra.retain(|name| !dir.has_made(name.to_bytes()));
    if extra.is_empty() {
        return Ok(());
    }
    let listed = Listed::of(open).map_err(Error::system("list the directory"))?;
    let (mut inodes, mut folded) = (HashSet::new(), HashSet::new());
    for entry in EffectiveEntries::open(ahead, object)? {
        let name = entry?.raw_name;
        if EntryName::check(&name).is_ok()
            && !listed.has(name.as_bytes())
            && let Ok(Some(stat)) = open.stat(&name)
        {
            inodes.insert((stat.st_dev, stat.st_ino));
            // Some FUSE file systems number each spelling by itself.
            folded.insert(name.to_lowercase());
        }
    }
    if inodes.is_empty() {
        return Ok(());
    }
    extra.retain(|name| {
        let text = name.to_string_lossy();
        let stat = open.stat(&text).ok().flatten();
        !stat.is_some_and(|stat| inodes.contains(&(stat.st_dev, stat.st_ino)))
            && !folded.contains(&text.to_lowercase())
    });
    Ok(())
}
