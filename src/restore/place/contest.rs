//! Names in a directory that its file system cannot tell apart.

use std::cmp::Ordering;
use std::ffi::{CStr, CString};

use nix::sys::stat::{FileStat, SFlag};

use super::collision::{rename_to_free, spelling_of};
use super::file::place_apart;
use super::names::staged_name;
use super::open_dir::{OpenDir, kind};
use super::session::Session;
use super::staging::clear;
use super::tally::Tally;
use crate::restore::error::Error;

/// What is known about contested names.
#[derive(Default)]
pub(super) struct Contest {
    /// Existing entries, by their spelling, that are replaced under another one.
    claimed: Vec<CString>,
    /// Names that were made for entries whose own are taken.
    made_names: Vec<String>,
    /// Complete files and links that still bear their staged names, because another entry has theirs in another spelling.
    files: Vec<Contender>,
    /// The same of directories.
    directories: Vec<Contender>,
}

/// Something that bears its staged name until it is decided who gets its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contender {
    pub(super) name: String,
    pub(super) is_directory: bool,
}

impl Ord for Contender {
    /// As Kopia sorts the entries of a directory.
    fn cmp(&self, other: &Self) -> Ordering {
        other.is_directory.cmp(&self.is_directory).then_with(|| self.name.cmp(&other.name))
    }
}

impl PartialOrd for Contender {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What came of a contender that did not get its name.
pub(super) enum Loss {
    /// It has this name, which was made for it.
    Renamed(String),
    /// It was removed, with this in it.
    Removed(Tally, Error),
}

impl Contest {
    pub(super) fn note_made_name(&mut self, made: &str) {
        self.made_names.push(made.to_owned());
    }

    pub(super) fn has_made(&self, name: &[u8]) -> bool {
        self.made_names.iter().any(|made| made.as_bytes() == name)
    }

    pub(super) fn claim(&mut self, spelling: &CStr) -> bool {
        let free = !self.claimed.iter().any(|claimed| claimed.as_c_str() == spelling);
        if free {
            self.claimed.push(spelling.to_owned());
        }
        free
    }

    pub(super) fn contend(&mut self, name: &str, is_directory: bool) {
        let contenders = if is_directory { &mut self.directories } else { &mut self.files };
        contenders.push(Contender { name: name.to_owned(), is_directory });
    }

    pub(super) fn take_files(&mut self) -> Vec<Contender> {
        std::mem::take(&mut self.files)
    }

    pub(super) fn take_directories(&mut self) -> Vec<Contender> {
        std::mem::take(&mut self.directories)
    }
}

/// Gives each contested name to the first in the snapshot's order, whichever was complete first. What has such a name now
/// contends with the others where `may_move` lets it.
pub(super) fn settle(
    session: &Session<'_>,
    open: &OpenDir,
    mut contenders: Vec<Contender>,
    may_move: impl Fn(&str, &FileStat) -> bool,
) -> Vec<(Contender, Loss)> {
    for at in 0..contenders.len() {
        let holder = contenders.get(at).and_then(|contender| holder_of(open, &contender.name));
        if let Some((name, stat)) = holder
            && may_move(&name, &stat)
            && open.rename(&name, &staged_name(&name)).is_ok()
        {
            contenders.push(Contender { name, is_directory: kind(&stat) == SFlag::S_IFDIR });
        }
    }
    contenders.sort_unstable();
    let place = |contender: Contender| {
        let staged = staged_name(&contender.name);
        let error = match rename_to_free(open, &staged, &contender.name) {
            Ok(true) => return None,
            Ok(false) => match place_apart(session, open, &staged, &contender.name) {
                Ok(made) => return Some((contender, Loss::Renamed(made))),
                Err(error) => error,
            },
            Err(errno) => Error::system("rename")(errno),
        };
        let tally = Tally::of(open, &staged);
        let removed = clear(&session.territory, open, &staged);
        Some((contender, Loss::Removed(tally, removed.err().unwrap_or(error))))
    };
    contenders.into_iter().filter_map(place).collect()
}

/// What is under a name in another spelling.
fn holder_of(open: &OpenDir, name: &str) -> Option<(String, FileStat)> {
    let stat = open.stat(name).ok()??;
    let spelling = spelling_of(open, name, &stat)?.into_string().ok()?;
    (spelling != name).then_some((spelling, stat))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_first_then_names_decide() {
        let mut contest = Contest::default();
        for (name, is_directory) in [("b", false), ("a", false), ("z", true), ("B", true)] {
            contest.contend(name, is_directory);
        }
        let mut all = contest.take_files();
        all.extend(contest.take_directories());
        all.sort_unstable();
        let names: Vec<&str> = all.iter().map(|contender| contender.name.as_str()).collect();
        assert_eq!(names, ["B", "z", "a", "b"]);
    }
}
