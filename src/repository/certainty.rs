//! Whether "there is none" can be said: the one place that decides it, for every command, front and service.

use std::fmt;
use std::sync::Arc;

use super::unindexed::{Suspect, Unindexed};
use super::{Catalog, Error};
use crate::blob::BlobId;
use crate::index::Doubt;
use crate::snapshot::{AskedSource, Problem, Source};

/// Why something cannot be said for certain: a stable code for machines and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    code: &'static str,
    message: Arc<str>,
    blob: Option<BlobId>,
}

impl Reason {
    pub(crate) fn new(code: &'static str, message: impl Into<Arc<str>>) -> Self {
        Self { code, message: message.into(), blob: None }
    }

    /// A directory has no snapshots of its own, but one of these contains it.
    pub(crate) fn source_inside(asked: &AskedSource, source: &Source) -> Self {
        let message = format!("{asked} has no snapshots of its own, but {source} has, which contains it");
        Reason::new("source-inside", message)
    }

    /// Names the blob concerned.
    pub(crate) fn of_blob(mut self, blob: Option<&BlobId>) -> Self {
        self.blob = blob.cloned();
        self
    }

    /// Adds what can be done about it.
    pub(crate) fn with_advice(self, advice: &str) -> Self {
        Self { message: format!("{}; {advice}", self.message).into(), ..self }
    }

    /// The stable code, as listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The blob concerned.
    pub fn blob(&self) -> Option<&BlobId> {
        self.blob.as_ref()
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<&Problem> for Reason {
    fn from(problem: &Problem) -> Self {
        Self::new(problem.code, problem.reason.as_str())
    }
}

impl From<&Doubt> for Reason {
    fn from(doubt: &Doubt) -> Self {
        Self::new(doubt.code(), doubt.to_string()).of_blob(doubt.blob())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Whether an empty answer is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// The whole repository was read, and nothing speaks against it.
    Certain,
    /// There may be something all the same.
    Doubtful(Reason),
}

impl Absence {
    /// Why it is doubtful.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Certain => None,
            Self::Doubtful(reason) => Some(reason),
        }
    }
}

impl From<Option<Reason>> for Absence {
    fn from(reason: Option<Reason>) -> Self {
        reason.map_or(Self::Certain, Self::Doubtful)
    }
}

/// What is known when something was not found.
pub(crate) struct Evidence<'a> {
    /// What makes every list doubtful.
    pub(crate) doubts: &'a [Reason],
    /// Snapshots that exist and cannot be understood.
    pub(crate) suspects: &'a [Suspect],
    /// What packs say that no index names; `None` before they were looked at.
    pub(crate) unindexed: Option<&'a Unindexed>,
}

impl Evidence<'_> {
    /// The first reason for which a snapshot may exist that `concerned` is true for.
    pub(crate) fn doubt(&self, concerned: impl Fn(&Suspect) -> bool) -> Option<Reason> {
        let known = self.suspects.iter();
        let found = self.unindexed.iter().flat_map(|unindexed| &unindexed.suspects);
        let suspect = known.chain(found).find(|suspect| concerned(suspect)).map(|suspect| &suspect.reason);
        let of_packs = self.unindexed.iter().flat_map(|unindexed| &unindexed.doubts);
        self.doubts.first().or(suspect).or(of_packs.into_iter().next()).cloned()
    }
}

/// Why it says nothing that no snapshot is found under what was asked for: because its form is not that of any source
/// that clients store, or because a source is hidden behind a slight difference.
pub(crate) fn doubt_about_question<'a>(
    asked: &AskedSource,
    sources: impl Iterator<Item = &'a Source> + Clone,
) -> Option<Reason> {
    if sources.clone().any(|source| asked.means(source)) {
        return None;
    }
    if let Some(source) = sources.clone().find(|source| asked.is_inside(source)) {
        return Some(Reason::source_inside(asked, source));
    }
    if let Some(source) = sources.clone().find(|source| asked.is_spelled_like(source)) {
        let message =
            format!("{asked} has no snapshots, but {source} has, which differs in upper and lower case only");
        return Some(Reason::new("source-alike", message));
    }
    (!asked.is_without_path() && !asked.is_absolute()).then(|| {
        let message = format!(
            "the path of {asked} is relative, but clients store absolute ones: begin it with / or, for Windows, with C:\\"
        );
        Reason::new("source-relative", message)
    })
}

impl Catalog {
    /// What makes all lists of this catalog doubtful.
    pub(crate) fn doubts(&self) -> Vec<Reason> {
        let index = self.index();
        let mut doubts: Vec<Reason> = index.doubts().iter().map(Reason::from).collect();
        if index.blob_count() == 0 {
            // Creating a repository writes policies, hence an index: none at all is a listing that went wrong.
            doubts.push(Reason::from(&Doubt::NoIndexBlobs));
        }
        doubts.extend_from_slice(self.skipped());
        doubts
    }

    /// Whether it is certain that there is no snapshot of `asked`, or none at all, when this catalog has none.
    ///
    /// It looks into the packs of metadata that no index names, which costs one listing and two reads for each of them.
    ///
    /// # Errors
    /// A failure to list or to read.
    pub fn absence(&self, asked: Option<&AskedSource>) -> Result<Absence, Error> {
        let snapshots = self.all_snapshots();
        let sources = snapshots.sources().into_iter();
        if let Some(reason) = asked.and_then(|asked| doubt_about_question(asked, sources)) {
            return Ok(Absence::Doubtful(reason));
        }
        let doubts = self.doubts();
        let suspects: Vec<Suspect> = snapshots.problems().iter().map(Suspect::from).collect();
        let with_parents = asked.map(AskedSource::with_parents);
        let concerned = |suspect: &Suspect| {
            let sources = with_parents.as_ref();
            sources.is_none_or(|sources| sources.iter().any(|source| suspect.scope.concerns(source)))
        };
        // What the catalog says by itself needs no further reading.
        let known = Evidence { doubts: &doubts, suspects: &suspects, unindexed: None };
        if let Some(reason) = known.doubt(concerned) {
            return Ok(Absence::Doubtful(reason));
        }
        let unindexed = self.look_into_unnamed_packs()?;
        Ok(Evidence { unindexed: Some(&unindexed), ..known }.doubt(concerned).into())
    }

    /// Whether it is certain that a content does not exist which no index names. Packs that no index names at all may
    /// have it; this lists all packs. A pack that a backup is writing at this moment is among them.
    ///
    /// # Errors
    /// A failure to list.
    pub fn absence_of_content(&self) -> Result<Absence, Error> {
        if let Some(reason) = self.doubts().into_iter().next() {
            return Ok(Absence::Doubtful(reason));
        }
        Ok(self.lost_indexes()?.as_ref().map(Reason::from).into())
    }
}
