//! Which blobs lie below the folder of a server.

use std::collections::{BTreeMap, HashMap};

use super::server::{Entry, EntryKind, Server, is_name};
use crate::blob::remote::Refusal;
use crate::blob::{BlobKind, Cause, Layout, Trouble};
use crate::os::parallel;
use crate::os::sync::Mutex;

/// More folders in each other than any layout has.
const MAX_DEPTH: usize = 20;

/// Folders that are asked about at a time: each question costs a round trip.
const QUESTIONS: usize = 32;

/// How often two listings may differ because somebody writes at the same time.
const MAX_LISTINGS: usize = 4;

/// The wanted things in one folder, by name.
type Listed = BTreeMap<String, Entry>;

/// A walk over the folders in which blobs can lie whose names begin with `prefix`.
///
/// Every folder is listed twice, and only two answers that say the same count.
pub(super) struct Walk<'a> {
    pub(super) server: &'a dyn Server,
    pub(super) prefix: &'a str,
    /// A file in the first folder that is known to be there: a listing without it lacks others as well.
    pub(super) known: Option<&'a str>,
}

impl Walk<'_> {
    /// Every file that spells a wanted blob, by its path.
    pub(super) fn run(&self) -> Result<BTreeMap<String, Entry>, Trouble> {
        let mut found = BTreeMap::new();
        let mut folders = vec![String::new()];
        for _ in 0..MAX_DEPTH {
            let mut below = Vec::new();
            for (folder, listed) in self.level(folders)? {
                for (name, entry) in listed {
                    let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                    match entry.kind {
                        EntryKind::Folder => below.push(path),
                        EntryKind::File(_) => {
                            found.insert(path, entry);
                        }
                    }
                }
            }
            if below.is_empty() {
                return Ok(found);
            }
            folders = below;
        }
        let folder = folders.first().map(String::as_str).unwrap_or_default();
        let why = format!("{folder:?} lies in {MAX_DEPTH} folders, more than any layout has");
        Err(Trouble::new(Cause::AnswerInvalid, why))
    }

    /// The folders of one level, each listed until two listings of it agree.
    fn level(&self, mut folders: Vec<String>) -> Result<Vec<(String, Listed)>, Trouble> {
        let mut certain = Vec::with_capacity(folders.len());
        let mut differing = String::new();
        for _ in 0..MAX_LISTINGS {
            let questions: Vec<&str> = folders.iter().flat_map(|folder| [folder.as_str(); 2]).collect();
            let answers: Mutex<HashMap<&str, Vec<Listed>>> = Mutex::default();
            parallel::for_each(&questions, QUESTIONS, |folder| {
                let listed = self.folder(folder)?;
                let mut answers = answers.lock();
                answers.entry(*folder).or_default().push(listed);
                Ok::<(), Trouble>(())
            })?;
            let mut answers = answers.into_inner();
            let mut again = Vec::new();
            for folder in &folders {
                let mut pair = answers.remove(folder.as_str()).unwrap_or_default();
                match (pair.pop(), pair.pop()) {
                    (Some(first), Some(second)) if first == second => certain.push((folder.clone(), first)),
                    (first, second) => {
                        differing = difference(&first.unwrap_or_default(), &second.unwrap_or_default());
                        again.push(folder.clone());
                    }
                }
            }
            if again.is_empty() {
                return Ok(certain);
            }
            folders = again;
        }
        let why = format!("one of two listings made at the same time has {differing:?}, the other has not");
        Err(Trouble::new(Cause::ListingUncertain, why))
    }

    /// One listing of one folder: what of it is wanted.
    fn folder(&self, folder: &str) -> Result<Listed, Trouble> {
        let entries = match self.server.list(folder) {
            Ok(entries) => entries,
            Err(Refusal::Trouble(trouble)) => return Err(trouble),
            Err(_) if folder.is_empty() => {
                return Err(Trouble::new(Cause::BucketMissing, "the server has no such folder"));
            }
            Err(_) => {
                let why = format!("the folder {folder:?} was listed, but is not found");
                return Err(Trouble::new(Cause::ListingUncertain, why));
            }
        };
        let mut listed = Listed::new();
        let mut known = self.known.is_none() || !folder.is_empty();
        for entry in entries {
            if !is_name(&entry.name) {
                let why = format!("a folder has something of the name {:?} in it", entry.name);
                return Err(Trouble::new(Cause::AnswerInvalid, why));
            }
            known = known || self.known == Some(entry.name.as_str());
            let path =
                if folder.is_empty() { entry.name.clone() } else { format!("{folder}/{}", entry.name) };
            if self.is_wanted(&path, entry.kind)
                && let Some(twice) = listed.insert(entry.name.clone(), entry)
            {
                return Err(Trouble::new(Cause::AnswerInvalid, format!("it has {:?} twice", twice.name)));
            }
        }
        if !known {
            let known = self.known.unwrap_or_default();
            return Err(Trouble::new(Cause::ListingUncertain, format!("it lacks {known}, which is there")));
        }
        Ok(listed)
    }

    fn is_wanted(&self, path: &str, kind: EntryKind) -> bool {
        match kind {
            EntryKind::File(_) => {
                Layout::blob_at(path).is_some_and(|id| id.as_str().starts_with(self.prefix))
            }
            EntryKind::Folder => {
                let joined: String = path.split('/').collect();
                let related = joined.starts_with(self.prefix) || self.prefix.starts_with(&joined);
                related && BlobKind::beginning_with(&joined).next().is_some()
            }
        }
    }
}

/// A name that one listing has and the other has not, or not so.
fn difference(first: &Listed, second: &Listed) -> String {
    let missing = |these: &Listed, those: &Listed| {
        these.iter().find(|(name, entry)| those.get(*name) != Some(entry)).map(|(name, _)| name.clone())
    };
    missing(first, second).or_else(|| missing(second, first)).unwrap_or_default()
}
