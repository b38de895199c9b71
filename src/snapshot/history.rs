//! When a path appeared, changed and vanished in the snapshots of a source.

use std::sync::Arc;

use super::{Aspect, Diff, DirEntry, Error, Snapshot, Tree};
use crate::content::ContentSource;

/// A snapshot in which a path is not as in the one before.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) kind: ChangeKind,
    /// What is at the path; `None` where it vanished.
    pub(crate) entry: Option<DirEntry>,
}

/// What happened to the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Appeared,
    /// What is not the same. A directory has other content where anything below it is not the same.
    Changed(Vec<Aspect>),
    Vanished,
}

impl ChangeKind {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Appeared => "appeared",
            Self::Changed(_) => "changed",
            Self::Vanished => "vanished",
        }
    }

    pub(crate) fn aspects(&self) -> &[Aspect] {
        match self {
            Self::Changed(aspects) => aspects,
            Self::Appeared | Self::Vanished => &[],
        }
    }
}

/// Goes through the snapshots in the order in which they are given.
///
/// An error is of one snapshot; the history goes on with the next, since what was there before and is there after may be
/// the same. Where only the comparison failed, the content counts as changed, and the change comes after the error.
pub(crate) struct History<'a, I> {
    source: &'a dyn ContentSource,
    snapshots: I,
    path: &'a str,
    before: Option<(Tree<'a>, DirEntry)>,
    next: Option<Change>,
}

impl<'a, I: Iterator<Item = Arc<Snapshot>>> History<'a, I> {
    pub(crate) fn new(source: &'a dyn ContentSource, snapshots: I, path: &'a str) -> Self {
        Self { source, snapshots, path, before: None, next: None }
    }

    /// What a snapshot has at the path. `None` where it certainly has nothing.
    fn state(&self, snapshot: &Snapshot) -> Result<Option<(Tree<'a>, DirEntry)>, Error> {
        let tree = Tree::of_snapshot(self.source, snapshot)?;
        match tree.entry(self.path) {
            Ok(entry) => Ok(Some((tree, entry))),
            // A file in place of a directory above it: the path is not there either.
            Err(error) if error.is_not_found() || error.code() == "not-a-directory" => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl<I: Iterator<Item = Arc<Snapshot>>> Iterator for History<'_, I> {
    type Item = Result<Change, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(change) = self.next.take() {
            return Some(Ok(change));
        }
        loop {
            let snapshot = self.snapshots.next()?;
            let now = match self.state(&snapshot) {
                Ok(now) => now,
                Err(error) => return Some(Err(error)),
            };
            let mut failed = None;
            let kind = match (&self.before, &now) {
                (None, None) => None,
                (None, Some(_)) => Some(ChangeKind::Appeared),
                (Some(_), None) => Some(ChangeKind::Vanished),
                (Some(old), Some(new)) => {
                    let aspects = aspects(old, new).unwrap_or_else(|error| {
                        failed = Some(error);
                        vec![Aspect::Content]
                    });
                    (!aspects.is_empty()).then_some(ChangeKind::Changed(aspects))
                }
            };
            let entry = now.as_ref().map(|(_, entry)| entry.clone());
            self.before = now;
            let change = kind.map(|kind| Change { snapshot, kind, entry });
            match (failed, change) {
                (Some(error), change) => {
                    self.next = change;
                    return Some(Err(error));
                }
                (None, Some(change)) => return Some(Ok(change)),
                (None, None) => {}
            }
        }
    }
}

fn aspects(old: &(Tree<'_>, DirEntry), new: &(Tree<'_>, DirEntry)) -> Result<Vec<Aspect>, Error> {
    let mut aspects = Vec::new();
    for difference in Diff::new((&old.0, old.1.clone()), (&new.0, new.1.clone())) {
        let difference = difference?;
        if difference.path.is_empty() {
            aspects = difference.aspects;
        } else {
            aspects.push(Aspect::Content);
            break;
        }
    }
    Ok(aspects)
}
