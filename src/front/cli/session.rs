//! An opened repository with its snapshots and the doubts about them.

use jiff::Zoned;

use super::context::Context;
use super::doubts::Doubts;
use super::failure::{Exit, Failure};
use super::reference::{self, Resolved, Root};
use crate::content::Contents;
use crate::snapshot::{Snapshot, Snapshots, UtcTimestamp};
use crate::{Catalog, Error, Repository};

/// The repository, its snapshots, and the doubts about them.
pub(super) struct Session {
    pub(super) repository: Repository,
    pub(super) catalog: Catalog,
    pub(super) snapshots: Snapshots,
    pub(super) doubts: Doubts,
    contents: Option<Contents>,
}

/// What a reference leads to; the path inside is not looked up yet.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) root: Root,
    /// The path below it; empty for the root.
    pub(super) path: String,
}

impl Found {
    /// When the snapshot began.
    pub(super) fn time(&self) -> Option<UtcTimestamp> {
        self.snapshot().map(|snapshot| snapshot.start_time)
    }

    /// The snapshot, where it is not an object that was named.
    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        match &self.root {
            Root::Snapshot(snapshot) => Some(snapshot),
            Root::Object(_) => None,
        }
    }
}

impl Session {
    /// Opens the repository and reads its manifests.
    pub(super) fn open(context: &Context) -> Result<Self, Failure> {
        Self::with_repository(context, context.repository()?)
    }

    /// The same for a command that will need the full index.
    pub(super) fn open_for_contents(context: &Context) -> Result<Self, Failure> {
        let repository = context.repository()?;
        let (catalog, contents) = repository.catalog_and_contents().map_err(unreadable)?;
        Ok(Self::with_catalog(repository, catalog, contents, context.degraded))
    }

    /// Reads the manifests of an opened repository.
    pub(super) fn with_repository(context: &Context, repository: Repository) -> Result<Self, Failure> {
        let catalog = repository.catalog().map_err(unreadable)?;
        Ok(Self::with_catalog(repository, catalog, None, context.degraded))
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
        Ok(Self::with_catalog(repository, recovered.catalog, Some(recovered.contents), true))
    }

    fn with_catalog(
        repository: Repository,
        catalog: Catalog,
        contents: Option<Contents>,
        degraded: bool,
    ) -> Self {
        let snapshots = Snapshots::new(catalog.manifests());
        let mut doubts = Doubts::new(degraded);
        for problem in catalog.snapshots_and_problems().1 {
            doubts.add(&problem, problem.blob());
        }
        Self { repository, catalog, snapshots, doubts, contents }
    }

    /// The full index, loaded unless it is already.
    pub(super) fn contents(&mut self) -> Result<Contents, Failure> {
        let contents = match self.contents.take() {
            Some(contents) => contents,
            None => self.repository.contents()?,
        };
        let bytes = contents.index().memory();
        tracing::debug!(bytes, "the index is loaded");
        Ok(contents)
    }

    /// Whether nothing is doubtful about an answer of "nothing". Packs that no index names mean that indexes are lost;
    /// looking for them needs a listing of all packs, and is done only where there would be no other answer.
    pub(super) fn nothing_is_certain(&mut self) -> Result<bool, Failure> {
        if self.doubts.is_empty()
            && let Some(doubt) = self.catalog.lost_indexes()?
        {
            self.doubts.add(&doubt, doubt.blob());
        }
        Ok(self.doubts.is_empty())
    }

    /// How a list of something that comes from manifests ends.
    pub(super) fn conclude(&mut self, what: &str, empty: bool) -> Result<Exit, Failure> {
        if empty {
            self.nothing_is_certain()?;
        }
        self.doubts.conclude(what, empty)
    }

    /// The snapshot or object that a reference names.
    pub(super) fn find(&mut self, reference: &str) -> Result<Found, Failure> {
        match reference::resolve(&self.snapshots, reference, &Zoned::now()) {
            Resolved::Found { root, path, newest } => {
                if newest && !self.doubts.is_empty() {
                    tracing::warn!("{root} is the newest that was found; a newer one may exist");
                }
                Ok(Found { root, path })
            }
            Resolved::Ambiguous { what, candidates } => {
                let failure = Failure::new(Exit::Unknown, "reference-ambiguous", what);
                Err(with_candidates(failure, &candidates))
            }
            Resolved::Unknown { what, candidates } => Err(with_candidates(self.no_such(what)?, &candidates)),
            Resolved::Invalid { what } => Err(Failure::wrong_usage(what)),
        }
    }

    /// The failure for an object that the repository does not have.
    pub(super) fn no_such_object(&mut self, reference: &str) -> Result<Failure, Failure> {
        let candidates = reference::nearest(&self.snapshots, reference);
        Ok(with_candidates(self.no_such(reference::not_here(reference))?, &candidates))
    }

    fn no_such(&mut self, what: String) -> Result<Failure, Failure> {
        if self.nothing_is_certain()? {
            return Ok(Failure::new(Exit::Negative, "reference-not-found", what));
        }
        Ok(self.doubts.refuse(&format!("{what}, but that is not certain")))
    }
}

fn unreadable(error: Error) -> Failure {
    Failure::from(error).during("reading the list of snapshots")
}

fn with_candidates(failure: Failure, candidates: &[String]) -> Failure {
    if candidates.is_empty() {
        return failure
            .with_help("`rokopia sources` and `rokopia snapshots --incomplete` list what there is");
    }
    failure.with_help(format!("nearest: {}", candidates.join(", ")))
}
