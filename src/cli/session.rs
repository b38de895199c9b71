//! An opened repository with its snapshots, and what a reference to one of them means.

use std::sync::Arc;

use jiff::Zoned;

use super::context::Context;
use super::doubts::Doubts;
use super::failure::{Exit, Failure};
use super::units;
use crate::content::Contents;
use crate::object::ObjectId;
use crate::snapshot::{Snapshot, Snapshots, Source, UtcTimestamp};
use crate::{Catalog, Repository};

/// So many digits of a snapshot ID are needed at least.
const LEAST_DIGITS: usize = 6;

/// How many candidates an error lists.
const CANDIDATES: usize = 5;

/// The repository, its snapshots, and the doubts about them.
pub(super) struct Session {
    pub(super) repository: Repository,
    pub(super) catalog: Catalog,
    pub(super) snapshots: Snapshots,
    pub(super) doubts: Doubts,
}

/// What a reference leads to; the path inside is not looked up yet.
#[derive(Debug)]
pub(super) struct Found {
    /// The snapshot, unless an object was named that is the root of none.
    pub(super) snapshot: Option<Arc<Snapshot>>,
    /// The object otherwise.
    pub(super) object: Option<ObjectId>,
    /// The path below it; empty for the root.
    pub(super) path: String,
}

impl Found {
    /// The snapshot's ID or the object's, for messages and summaries.
    pub(super) fn id(&self) -> String {
        match (&self.snapshot, &self.object) {
            (Some(snapshot), _) => snapshot.id.to_string(),
            (None, Some(object)) => object.to_string(),
            (None, None) => String::new(),
        }
    }
}

impl Session {
    /// Opens the repository and reads its manifests.
    pub(super) fn open(context: &Context) -> Result<Self, Failure> {
        let repository = context.repository()?;
        let catalog =
            repository.catalog().map_err(|e| Failure::from(e).during("reading the list of snapshots"))?;
        let snapshots = Snapshots::new(catalog.manifests());
        let mut doubts = Doubts::new(context.degraded);
        for problem in catalog.snapshots_and_problems().1 {
            doubts.add(&problem, problem.blob());
        }
        Ok(Self { repository, catalog, snapshots, doubts })
    }

    /// Loads the full index.
    pub(super) fn contents(&self) -> Result<Contents, Failure> {
        let contents = self.repository.contents()?;
        let bytes = contents.index().memory();
        tracing::debug!(bytes, "the index is loaded");
        Ok(contents)
    }

    /// Before nothing at all is called an answer: packs that no index names mean that indexes are lost.
    pub(super) fn look_for_lost_indexes(&mut self) -> Result<(), Failure> {
        if let Some(doubt) = self.catalog.unindexed_packs()? {
            self.doubts.add(&doubt, doubt.blob());
        }
        Ok(())
    }

    /// The snapshot or object that a reference names.
    pub(super) fn find(&mut self, reference: &str) -> Result<Found, Failure> {
        let now = Zoned::now();
        let found = match self.lookup(reference, &now) {
            Lookup::Snapshot { snapshot, path, newest } => {
                if newest && !self.doubts.is_empty() {
                    let id = &snapshot.id;
                    tracing::warn!("snapshot {id} is the newest that was found; a newer one may exist");
                }
                Found { snapshot: Some(snapshot), object: None, path }
            }
            Lookup::Object { object, path } => Found { snapshot: None, object: Some(object), path },
            Lookup::Ambiguous { what, candidates } => {
                return Err(with_candidates(
                    Failure::new(Exit::Unknown, "reference-ambiguous", what),
                    &candidates,
                ));
            }
            Lookup::Unknown { what, candidates } => {
                if self.doubts.is_empty() && self.snapshots.all().is_empty() {
                    self.look_for_lost_indexes()?;
                }
                if !self.doubts.is_empty() {
                    return Err(self.doubts.refuse(&format!("{what}, but that is not certain")));
                }
                let failure = Failure::new(Exit::Negative, "reference-not-found", what);
                return Err(with_candidates(failure, &candidates));
            }
            Lookup::Invalid { what } => return Err(Failure::wrong_usage(what)),
        };
        Ok(found)
    }

    fn lookup(&self, reference: &str, now: &Zoned) -> Lookup {
        let (first, rest) = reference.split_once('/').unwrap_or((reference, ""));
        let path = || rest.to_owned();
        if let Some(snapshot) = self.snapshots.get(first) {
            return Lookup::Snapshot { snapshot: Arc::clone(snapshot), path: path(), newest: false };
        }
        if let Some(qualifier) = first.strip_prefix("latest") {
            let all = self.snapshots.all().complete();
            match Qualifier::parse(qualifier, now) {
                Some(Ok(qualifier)) => return qualifier.choose(all, "the repository", path()),
                Some(Err(what)) => return Lookup::Invalid { what },
                None => {}
            }
        }
        if let Some(lookup) = self.lookup_source(reference, now) {
            return lookup;
        }
        let digits = first.len() >= LEAST_DIGITS && first.bytes().all(|b| b.is_ascii_hexdigit());
        if digits {
            let prefix = first.to_ascii_lowercase();
            let all = self.snapshots.all();
            let matching: Vec<_> = all.iter().filter(|s| s.id.as_str().starts_with(&prefix)).collect();
            match matching.as_slice() {
                [] => {}
                [one] => {
                    return Lookup::Snapshot { snapshot: Arc::clone(one), path: path(), newest: false };
                }
                several => {
                    let what = format!("{} snapshot IDs begin with {first:?}", several.len());
                    let candidates = several.iter().map(|s| described(s)).collect();
                    return Lookup::Ambiguous { what, candidates };
                }
            }
        }
        if let Ok(object) = first.parse::<ObjectId>() {
            return match self.snapshots.root_attributes(&object) {
                Some((snapshot, _)) => {
                    Lookup::Snapshot { snapshot: Arc::clone(snapshot), path: path(), newest: false }
                }
                None => Lookup::Object { object, path: path() },
            };
        }
        self.unknown(reference)
    }

    /// A source with what may follow it. The longest source that fits is meant: `u@h:/a/b` before `/b` in `u@h:/a`.
    fn lookup_source(&self, reference: &str, now: &Zoned) -> Option<Lookup> {
        let mut sources: Vec<(String, &Source)> =
            self.snapshots.sources().into_iter().map(|source| (source.to_string(), source)).collect();
        sources.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        for (text, source) in &sources {
            let Some(rest) = reference.strip_prefix(text.as_str()) else { continue };
            let (qualifier, inner) = if text.ends_with('/') && !rest.starts_with(['@', '~']) {
                ("", rest)
            } else {
                rest.split_once('/').unwrap_or((rest, ""))
            };
            match Qualifier::parse(qualifier, now) {
                Some(Ok(qualifier)) => {
                    let all = self.snapshots.of(source).complete();
                    return Some(qualifier.choose(all, text, inner.to_owned()));
                }
                Some(Err(what)) => return Some(Lookup::Invalid { what }),
                None => {}
            }
        }
        None
    }

    fn unknown(&self, reference: &str) -> Lookup {
        let what = format!("{reference:?} is no snapshot, source or object of this repository");
        let mut candidates: Vec<String> =
            self.snapshots.sources().iter().map(|source| source.to_string()).collect();
        if !reference.contains(['@', ':']) {
            candidates.extend(self.snapshots.all().iter().map(|snapshot| snapshot.id.to_string()));
        }
        Lookup::Unknown { what, candidates: nearest(reference, candidates) }
    }

    /// The failure for an object that the repository does not have.
    pub(super) fn no_such_object(&self, reference: &str) -> Failure {
        if !self.doubts.is_empty() {
            return self.doubts.refuse(&format!("{reference:?} was not found, but that is not certain"));
        }
        let Lookup::Unknown { what, candidates } = self.unknown(reference) else {
            return Failure::new(Exit::Negative, "reference-not-found", reference);
        };
        with_candidates(Failure::new(Exit::Negative, "reference-not-found", what), &candidates)
    }
}

enum Lookup {
    Snapshot { snapshot: Arc<Snapshot>, path: String, newest: bool },
    Object { object: ObjectId, path: String },
    Ambiguous { what: String, candidates: Vec<String> },
    Unknown { what: String, candidates: Vec<String> },
    Invalid { what: String },
}

/// What may follow a source: `@TIME`, `~N` or nothing.
enum Qualifier {
    Latest,
    AsOf(UtcTimestamp),
    Before(usize),
}

impl Qualifier {
    /// `None` when the text is not a qualifier at all, an error when it is a bad one.
    fn parse(text: &str, now: &Zoned) -> Option<Result<Self, String>> {
        if text.is_empty() {
            return Some(Ok(Self::Latest));
        }
        if let Some(number) = text.strip_prefix('~') {
            let steps = if number.is_empty() { Ok(1) } else { number.parse() };
            return Some(
                steps.map(Self::Before).map_err(|_| format!("~{number} is not a number of snapshots")),
            );
        }
        let time = text.strip_prefix('@')?;
        let parsed = units::time(time, now).and_then(|time| i64::try_from(time.as_nanosecond()).ok());
        Some(parsed.map(|nanos| Self::AsOf(UtcTimestamp(nanos))).ok_or_else(|| {
            format!("{time:?} is not a time: RFC 3339, 2026-11-21, \"2026-11-21 08:00\" or 3d are")
        }))
    }

    fn choose(&self, complete: crate::snapshot::Selection, of: &str, path: String) -> Lookup {
        let count = complete.len();
        let oldest = complete.oldest().map(|snapshot| described(&snapshot));
        let (snapshot, why) = match self {
            Self::Latest => (complete.latest(), format!("{of} has no complete snapshot")),
            Self::AsOf(time) => {
                (complete.as_of(*time).latest(), format!("{of} has no complete snapshot as old as {time}"))
            }
            Self::Before(steps) => (
                complete.previous(*steps),
                format!("{of} has {count} complete snapshots, not {steps} before its newest one"),
            ),
        };
        match snapshot {
            Some(snapshot) => Lookup::Snapshot { snapshot, path, newest: true },
            None => Lookup::Unknown { what: why, candidates: oldest.into_iter().collect() },
        }
    }
}

fn described(snapshot: &Snapshot) -> String {
    format!("{} ({}, {})", snapshot.id, snapshot.source, snapshot.start_time)
}

/// The texts most like the one that was typed.
fn nearest(typed: &str, mut candidates: Vec<String>) -> Vec<String> {
    let likeness = |text: &String| strsim::jaro_winkler(typed, text);
    candidates.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    candidates.truncate(CANDIDATES);
    candidates
}

fn with_candidates(failure: Failure, candidates: &[String]) -> Failure {
    let shown: Vec<&str> = candidates.iter().take(CANDIDATES).map(String::as_str).collect();
    if shown.is_empty() {
        return failure
            .with_help("`rokopia sources` and `rokopia snapshots --incomplete` list what there is");
    }
    failure.with_help(format!("nearest: {}", shown.join(", ")))
}
