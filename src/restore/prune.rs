//! Removing what the snapshot does not have, once all that it has is in place.

use std::collections::HashSet;
use std::ffi::CString;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::AsFd;
use std::sync::Arc;

use super::ahead::Ahead;
use super::displace::tell;
use super::error::Error;
use super::place::{Dir, OpenDir, Session, Stays, Sweep, is_of_the_volume, is_staged, list};
use super::spelling::keep_restored;
use crate::snapshot::EffectiveEntries;

/// Removes from directories that existed before what the snapshot does not have there. Nothing is removed when anything
/// of the snapshot could not be restored.
pub(super) fn prune(session: &Session<'_>, ahead: &Ahead<'_>, mut existed: Vec<Arc<Dir<'_>>>) {
    if existed.is_empty() || session.is_over() {
        return;
    }
    if session.report.error_count() > 0 {
        let more = if session.report.deleted() > 0 { "nothing more" } else { "nothing" };
        let why = "because not everything could be restored";
        session.report.warning(&format!("{more} is deleted, {why}"));
        return;
    }
    // From the bottom up, so that a directory gets its times after the last change below it.
    while let Some(dir) = existed.pop() {
        if session.is_over() {
            return;
        }
        if let Err(error) = prune_directory(session, ahead, &dir) {
            session.report.error(dir.path(), &error);
        }
    }
}

/// Removes from one directory what the snapshot does not have there, except what was put aside to be patched. A dry run
/// only tells what that is.
pub(super) fn prune_directory(
    session: &Session<'_>,
    ahead: &Ahead<'_>,
    dir: &Arc<Dir<'_>>,
) -> Result<(), Error> {
    let sweep = if session.options.dry_run { Sweep::Count } else { Sweep::Remove };
    let there = match sweep {
        Sweep::Count => dir.look()?,
        Sweep::Remove if dir.made().is_none_or(|made| made.fresh) => None,
        Sweep::Remove => Some(dir.open()?),
    };
    let (Some(open), Some(object)) = (there, dir.object()) else { return Ok(()) };
    // Hashes instead of names: two of 64 bits each, with keys that nobody else knows.
    let keys = (RandomState::new(), RandomState::new());
    let hash = |name: &[u8]| (keys.0.hash_one(name), keys.1.hash_one(name));
    let mut known = HashSet::new();
    for entry in EffectiveEntries::open(ahead, object)? {
        known.insert(hash(entry?.raw_name.as_bytes()));
    }
    let root = dir.path().is_empty();
    let mut extra: Vec<CString> = Vec::new();
    list(open.as_fd(), |found| {
        let name = found.name.to_bytes();
        let stays = is_staged(name) || known.contains(&hash(name)) || (root && is_of_the_volume(name));
        if !stays {
            extra.push(found.name);
        }
    })
    .map_err(Error::system("list the directory"))?;
    keep_restored(ahead, dir, &open, object, &mut extra)?;
    extra.retain(|name| !session.options.filter.excludes(&dir.path_of(&name.to_string_lossy())));
    if extra.is_empty() {
        return Ok(());
    }
    if session.territory.is_elsewhere(&*open).map_err(Error::system("look at the directory"))? {
        let path = dir.path();
        session
            .report
            .warning(&format!("{path}: nothing in it is deleted, because it is on another file system"));
        return Ok(());
    }
    for name in extra {
        let path = dir.path_of(&name.to_string_lossy());
        remove(session, &open, path, name, sweep);
    }
    Ok(())
}

/// Removes an entry of a directory, or tells what that would remove. What is excluded in it stays.
fn remove(session: &Session<'_>, open: &OpenDir, path: String, name: CString, sweep: Sweep) {
    let report = &session.report;
    let mut each = |names: &[&CString], fate| tell(report, &path, names.get(1..), fate, sweep);
    let filter = &session.options.filter;
    let excluded = |names: &[&CString]| {
        let below = names.iter().skip(1).map(|name| name.to_string_lossy());
        let whole: Vec<_> = std::iter::once(path.as_str().into()).chain(below).collect();
        filter.excludes(&whole.join("/"))
    };
    let stays: Option<&Stays<'_>> = filter.has_excludes().then_some(&excluded);
    if let Err(errno) = session.territory.sweep_around(open.as_fd(), name, sweep, stays, &mut each) {
        report.error(path, &Error::system("delete")(errno));
    }
}
