//! An opened repository with its snapshots and the doubts about them.

use jiff::Zoned;

use super::context::Context;
use super::doubts::{self, Doubts};
use super::failure::{Exit, Failure};
use super::progress::Waiter;
use super::reference::{self, Newest, Resolved, Root};
use crate::content::Contents;
use crate::snapshot::{AskedSource, Snapshot, Snapshots};
use crate::{Absence, Access, Catalog, Reason, Repository, Suspect, Unlisted, repository};

/// Snapshots that a list lacks are named up to this number.
const NAMED: usize = 10;

/// The repository, its snapshots, and the doubts about them.
pub(super) struct OpenRepository {
    pub(super) repository: Repository,
    pub(super) catalog: Catalog,
    pub(super) snapshots: Snapshots,
    pub(super) doubts: Doubts,
    degraded: bool,
    contents: Option<Contents>,
    waiter: Waiter,
    /// Snapshots that the lists lack, once they were looked for.
    unlisted: Option<Unlisted>,
}

/// What a reference leads to; the path inside is not looked up yet.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) root: Root,
    /// The path below it; empty for the root.
    pub(super) path: String,
    /// Why a newer snapshot may exist, where the newest one of several was meant.
    pub(super) newer: Option<Reason>,
}

impl Found {
    /// The snapshot, where it is not an object that was named.
    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        match &self.root {
            Root::Snapshot(snapshot) => Some(snapshot),
            Root::Object(_) => None,
        }
    }
}

impl OpenRepository {
    /// Opens the repository and reads its manifests.
    pub(super) fn open(context: &Context) -> Result<Self, Failure> {
        Self::with_repository(context, context.repository_for(Access::Snapshots)?)
    }

    /// The same without a word: for a person who waits for a completion, not for a command.
    pub(super) fn open_quietly(context: &Context) -> Result<Self, Failure> {
        let repository = context.repository_of_environment()?;
        let catalog = repository.catalog().map_err(unreadable)?;
        let (snapshots, doubts) = (catalog.all_snapshots(), Doubts::new(true));
        let unlisted = Some(Unlisted::default());
        let waiter = Waiter::new(context);
        Ok(Self { repository, catalog, snapshots, doubts, degraded: true, contents: None, waiter, unlisted })
    }

    /// The same for a command that will need the full index.
    pub(super) fn open_for_contents(context: &Context) -> Result<Self, Failure> {
        Self::for_contents(context, context.repository_for(Access::Snapshots)?)
    }

    /// The same in a repository that is open.
    pub(super) fn for_contents(context: &Context, repository: Repository) -> Result<Self, Failure> {
        let waiter = Waiter::new(context);
        let (catalog, contents) = waiter.during(|| repository.catalog_and_contents()).map_err(unreadable)?;
        Ok(Self::with_catalog(repository, catalog, contents, waiter, context.degraded))
    }

    /// Reads the manifests of an opened repository.
    pub(super) fn with_repository(context: &Context, repository: Repository) -> Result<Self, Failure> {
        let waiter = Waiter::new(context);
        let catalog = waiter.during(|| repository.catalog()).map_err(unreadable)?;
        Ok(Self::with_catalog(repository, catalog, None, waiter, context.degraded))
    }

    /// Opens the repository by way of what all packs say of themselves besides the index blobs, because some of these
    /// are lost.
    pub(super) fn recovered(context: &Context) -> Result<Self, Failure> {
        let repository = context.repository()?;
        let recovered =
            repository.recover().map_err(|e| Failure::from(e).during("reading what packs say"))?;
        for why in &recovered.unreadable {
            tracing::warn!("{why}");
        }
        let (catalog, contents) = (recovered.catalog, Some(recovered.contents));
        let repo = Self::with_catalog(repository, catalog, contents, Waiter::new(context), true);
        // All packs were read.
        Ok(Self { unlisted: Some(Unlisted::default()), ..repo })
    }

    fn with_catalog(
        repository: Repository,
        catalog: Catalog,
        contents: Option<Contents>,
        waiter: Waiter,
        degraded: bool,
    ) -> Self {
        let snapshots = catalog.all_snapshots();
        let mut doubts = Doubts::new(degraded);
        for reason in catalog.doubts() {
            doubts.add(reason);
        }
        for problem in snapshots.problems() {
            doubts.add(Reason::from(problem));
        }
        Self { repository, catalog, snapshots, doubts, degraded, contents, waiter, unlisted: None }
    }

    /// Snapshots that the lists lack because an index blob is lost; looked for once.
    pub(super) fn unlisted(&mut self) -> &Unlisted {
        self.unlisted.get_or_insert_with(|| self.catalog.unlisted())
    }

    /// The full index, loaded unless it is already.
    pub(super) fn contents(&mut self) -> Result<Contents, Failure> {
        let contents = match self.contents.take() {
            Some(contents) => contents,
            None => self.waiter.during(|| self.repository.contents())?,
        };
        let bytes = contents.index().memory();
        tracing::debug!(bytes, "the index is loaded");
        Ok(contents)
    }

    /// How a list of something that comes from manifests ends. `lacks` tells which of the snapshots that the lists lack
    /// it should have had, and `asked` whose were listed: all where none are named.
    pub(super) fn conclude(
        &mut self,
        what: &str,
        empty: bool,
        asked: &[AskedSource],
        lacks: impl Fn(&Suspect) -> bool,
    ) -> Result<Exit, Failure> {
        if empty && !self.degraded {
            let questions = if asked.is_empty() { vec![None] } else { asked.iter().map(Some).collect() };
            for question in questions {
                if let Absence::Doubtful(reason) = self.catalog.absence(question)? {
                    return Err(doubts::refuse(&doubts::nothing(what), &reason));
                }
            }
            return Ok(Exit::Done);
        }
        let lacking = self.warn_of_unlisted(lacks);
        if lacking { Ok(Exit::Partial) } else { self.doubts.conclude(what, empty) }
    }

    /// Whether the lists lack nothing.
    pub(super) fn lists_are_complete(&mut self) -> bool {
        !self.warn_of_unlisted(|_| true) && self.doubts.first().is_none()
    }

    /// Names the snapshots that the lists lack, of those that `lacks` is true for, and tells whether there are any.
    fn warn_of_unlisted(&mut self, lacks: impl Fn(&Suspect) -> bool) -> bool {
        let unlisted = self.unlisted();
        let lacking = unlisted.snapshots().iter().filter(|suspect| lacks(suspect));
        let reasons: Vec<&Reason> = lacking.map(|suspect| &suspect.reason).chain(unlisted.doubts()).collect();
        for reason in reasons.iter().take(NAMED) {
            tracing::warn!("{reason}");
        }
        if reasons.len() > NAMED {
            tracing::warn!("and {} more of the kind", reasons.len() - NAMED);
        }
        !reasons.is_empty()
    }

    /// The snapshot or object that a reference names.
    pub(super) fn find(&mut self, reference: &str) -> Result<Found, Failure> {
        match reference::resolve(&self.snapshots, reference, &Zoned::now()) {
            Resolved::Found { root, path, newest } => {
                if let (Root::Snapshot(chosen), Some(_)) = (&root, &newest)
                    && !chosen.is_complete()
                {
                    let why = &chosen.incomplete;
                    tracing::warn!(
                        "{root} is incomplete ({why}), and there is no complete snapshot: files may be missing"
                    );
                }
                let newer = newest.and_then(|newest| self.newer(&root, &newest));
                if let Some(reason) = &newer {
                    tracing::warn!("{root} is the newest that was found; a newer one may exist: {reason}");
                }
                Ok(Found { root, path, newer })
            }
            Resolved::Ambiguous { what, candidates } => {
                let failure = Failure::new(Exit::Unknown, "reference-ambiguous", what);
                Err(with_candidates(failure, &candidates))
            }
            Resolved::Unknown { what, candidates, asked } => {
                let absence = self.catalog.absence(asked.as_ref())?;
                Err(with_candidates(no_such(what, &absence), &candidates))
            }
            Resolved::Invalid { what } => Err(Failure::wrong_usage(what)),
        }
    }

    /// Why a newer snapshot than the chosen one may exist.
    fn newer(&mut self, root: &Root, newest: &Newest) -> Option<Reason> {
        let Root::Snapshot(chosen) = root else { return None };
        let newer = self.unlisted().newer_than(chosen.start_time, newest.until, newest.asked.as_ref());
        newer.cloned().or_else(|| self.doubts.first().cloned())
    }

    /// The failure for an object that the repository does not have.
    pub(super) fn no_such_object(&mut self, reference: &str) -> Result<Failure, Failure> {
        let candidates = reference::nearest(&self.snapshots, reference);
        let absence = self.catalog.absence_of_content()?;
        Ok(with_candidates(no_such(reference::not_here(reference), &absence), &candidates))
    }
}

fn no_such(what: String, absence: &Absence) -> Failure {
    match absence {
        Absence::Certain => Failure::new(Exit::Negative, "reference-not-found", what),
        Absence::Doubtful(reason) => doubts::refuse(&format!("{what}, but that is not certain"), reason),
    }
}

fn unreadable(error: repository::Error) -> Failure {
    Failure::from(error).during("reading the list of snapshots")
}

fn with_candidates(failure: Failure, candidates: &[String]) -> Failure {
    if candidates.is_empty() {
        return failure
            .with_help("`rokopia sources` and `rokopia snapshots --incomplete` list what there is");
    }
    let mut label = "nearest: ";
    candidates.iter().fold(failure, |failure, candidate| {
        failure.with_help(format!("{}{candidate}", std::mem::replace(&mut label, "         ")))
    })
}
