//! Names in a directory that its file system cannot tell apart, and who gets them.

use std::ffi::{CStr, CString};
use std::sync::Arc;

use nix::fcntl::renameat;
use nix::sys::stat::SFlag;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{Dir, State, clear, kind, place_apart, staged_name};
use crate::restore::Error;
use crate::restore::place::collision::{Listed, spelling_of};

/// What is known about contested names.
#[derive(Default)]
pub(super) struct Contest {
    /// Existing entries, by their spelling, that are replaced under another one.
    claimed: Vec<CString>,
    /// Names that were made for entries whose own are taken.
    made_names: Vec<String>,
    /// Complete files and links that still bear their staged names, because another entry has theirs in another spelling.
    pub(super) contenders: Vec<Contender>,
}

/// A file or link whose name another entry has in another spelling.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Contender {
    pub(super) name: String,
    /// Its length; `None` for a link.
    bytes: Option<u64>,
}

impl State {
    fn contest(&mut self) -> &mut Contest {
        self.contest.get_or_insert_default()
    }
}

impl Dir<'_> {
    /// Notes that an entry was placed under a name that was made for it.
    pub(in crate::restore) fn note_made_name(&self, name: &str, made: &str) {
        let path = self.path_of(name);
        self.session.report.warning(&format!(
            "{path}: the target cannot tell this name from another one; restored as {made:?}"
        ));
        self.state().contest().made_names.push(made.to_owned());
    }

    /// Whether a name was made by this restore.
    pub(in crate::restore) fn has_made(&self, name: &[u8]) -> bool {
        self.state()
            .contest
            .as_ref()
            .is_some_and(|contest| contest.made_names.iter().any(|made| made.as_bytes() == name))
    }

    /// What an existing directory held when it was opened.
    pub(in crate::restore) fn listed(&self) -> Option<Arc<Listed>> {
        self.state().listed.clone()
    }

    /// Claims something that is there to be replaced under another spelling. `false` if another entry did.
    pub(in crate::restore) fn claim(&self, spelling: &CStr) -> bool {
        let mut state = self.state();
        let claimed = &mut state.contest().claimed;
        let free = !claimed.iter().any(|claimed| claimed.as_c_str() == spelling);
        if free {
            claimed.push(spelling.to_owned());
        }
        free
    }

    /// Takes in a complete file, or a link, whose name another entry has in another spelling. Which of them gets it is decided
    /// when everything in the directory is complete.
    pub(in crate::restore) fn contend(&self, name: &str, bytes: Option<u64>) {
        self.state().contest().contenders.push(Contender { name: name.to_owned(), bytes });
    }

    /// Gives each contested name to the entry that is the first by its name, whichever was complete first.
    pub(super) fn settle_contenders(&self) {
        let mut contenders = match &mut self.state().contest {
            Some(contest) => std::mem::take(&mut contest.contenders),
            None => return,
        };
        contenders.sort_unstable();
        for contender in contenders {
            if let Err(error) = self.settle(&contender) {
                let staged = staged_name(&contender.name);
                let removed = self.open().and_then(|open| clear(self.session, &open, &staged));
                self.uncount(contender.bytes);
                self.session.report.error(self.path_of(&contender.name), &removed.err().unwrap_or(error));
            }
        }
    }

    fn settle(&self, Contender { name, .. }: &Contender) -> Result<(), Error> {
        let open = self.open()?;
        let staged = staged_name(name);
        let failed = || Error::system("rename a file");
        let Some(stat) = open.stat(name)? else {
            return renameat(&*open, staged.as_str(), &*open, name.as_str()).map_err(failed());
        };
        let other = spelling_of(&open, name, &stat).and_then(|other| other.into_string().ok());
        let Some(other) = other.filter(|other| other > name && kind(&stat) != SFlag::S_IFDIR) else {
            let made = place_apart(self.session, &open, &staged, name)?;
            self.note_made_name(name, &made);
            return Ok(());
        };
        match place_apart(self.session, &open, &other, &other) {
            Ok(made) => self.note_made_name(&other, &made),
            Err(Error::Collision { .. }) => {
                unlinkat(&*open, other.as_str(), UnlinkatFlags::NoRemoveDir)
                    .map_err(Error::system("remove a file"))?;
                let is_file = kind(&stat) == SFlag::S_IFREG;
                self.uncount(is_file.then(|| u64::try_from(stat.st_size).unwrap_or_default()));
                let error = Error::Collision { other: Some(name.clone()) };
                self.session.report.error(self.path_of(&other), &error);
            }
            Err(error) => return Err(error),
        }
        renameat(&*open, staged.as_str(), &*open, name.as_str()).map_err(failed())
    }
}
