//! From a view to an answer.

use super::Settings;
use super::clock::Tick;
use super::error::Reason;
use super::names::Candidates;
use super::view::{SourceState, View};
use crate::manifest::ManifestId;
use crate::repository::{Evidence, Suspect, doubt_about_question};
use crate::snapshot::{AskedSource, Source, UtcTimestamp};

/// Whether there is a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// There is one.
    Exists,
    /// There certainly is none: the whole repository was read.
    Absent,
    /// It is not certain, or could not be determined.
    Unknown,
}

impl State {
    /// The word for it: `exists`, `absent` or `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::Absent => "absent",
            Self::Unknown => "unknown",
        }
    }
}

/// The answer to a question.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Answer {
    /// Whether there is a backup.
    pub state: State,
    /// The source asked for.
    pub source: AskedSource,
    /// The source that was found, if its name or path differs from the one asked for.
    pub found: Option<Source>,
    /// Snapshots found.
    pub snapshots: usize,
    /// How many of them are incomplete.
    pub incomplete: usize,
    /// When the newest of them began.
    pub latest: Option<UtcTimestamp>,
    /// The ID of that one.
    pub latest_id: Option<ManifestId>,
    /// When the newest complete one began.
    pub latest_complete: Option<UtcTimestamp>,
    /// Why the state is unknown.
    pub reason: Option<Reason>,
    /// When the refresh began that the answer is based on; `None` if there is no view.
    pub as_of: Option<Tick>,
}

/// Whether a doubtful find counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Doubtful {
    /// The answer is unknown.
    #[default]
    Unknown,
    /// The answer is yes.
    Exists,
}

/// What a view says, before its age is considered.
pub(super) enum Verdict {
    /// A *yes*.
    Found(Answer),
    /// Not a *yes*, and certainly not a *no*.
    Doubt(Answer),
    /// Nothing is there, and nothing speaks against saying so except perhaps packs not looked at yet.
    Nothing {
        /// The *no*.
        answer: Answer,
        /// Whether the packs that no index names have been looked at.
        scanned: bool,
    },
}

impl Answer {
    /// The answer that says nothing.
    pub(super) fn unknown(source: AskedSource, reason: Reason, as_of: Option<Tick>) -> Self {
        Self {
            state: State::Unknown,
            source,
            found: None,
            snapshots: 0,
            incomplete: 0,
            latest: None,
            latest_id: None,
            latest_complete: None,
            reason: Some(reason),
            as_of,
        }
    }
}

/// Looks a claim up.
pub(super) fn consider(view: &View, candidates: &Candidates, settings: &Settings, now: Tick) -> Verdict {
    let blank = |state, reason| Answer {
        state,
        reason,
        ..Answer::unknown(candidates.asked.clone(), Reason::new("", ""), Some(view.started()))
    };
    let exact: Vec<&SourceState> = found(view, &candidates.exact);
    if let Some(answer) = tally(&exact, &blank(State::Exists, None)) {
        let without_files = exact.iter().all(|state| state.newest_backup(None).is_none());
        if answer.incomplete == answer.snapshots
            && (settings.incomplete == Doubtful::Unknown || without_files)
        {
            let what = if without_files { " and have no files" } else { "" };
            let reason =
                Reason::new("only-incomplete", format!("all snapshots of the source are incomplete{what}"));
            return Verdict::Doubt(Answer { state: State::Unknown, reason: Some(reason), ..answer });
        }
        return Verdict::Found(answer);
    }
    let altered: Vec<&SourceState> = found(view, &candidates.altered);
    if let Some(answer) = tally(&altered, &blank(State::Exists, None)) {
        if settings.altered_names == Doubtful::Exists {
            return Verdict::Found(answer);
        }
        let other = answer.found.as_ref().map(Source::to_string).unwrap_or_default();
        let reason = format!(
            "{} has no snapshots, but {other} has, which is what VolSync makes of that name, and perhaps of others",
            candidates.asked
        );
        let reason = Some(Reason::new("name-altered", reason));
        return Verdict::Doubt(Answer { state: State::Unknown, reason, ..answer });
    }
    match doubt(view, candidates, settings, now) {
        Some(reason) => Verdict::Doubt(blank(State::Unknown, Some(reason))),
        None => Verdict::Nothing {
            answer: blank(State::Absent, None),
            scanned: view.unindexed.is_some() || settings.scan_interval.is_none(),
        },
    }
}

fn found<'a>(view: &'a View, sources: &[Source]) -> Vec<&'a SourceState> {
    sources.iter().flat_map(|source| view.find(source)).collect()
}

/// Counts what was found; `None` when nothing was.
fn tally(found: &[&SourceState], blank: &Answer) -> Option<Answer> {
    let snapshots: usize = found.iter().map(|state| state.snapshots().len()).sum();
    let complete: usize = found.iter().map(|state| state.complete()).sum();
    let newest = found
        .iter()
        .filter_map(|state| Some((state.newest()?, state.source())))
        .max_by_key(|(snapshot, _)| snapshot.start)?;
    let complete_start = |state: &&SourceState| Some(state.newest_complete()?.start);
    Some(Answer {
        snapshots,
        incomplete: snapshots - complete,
        latest: Some(newest.0.start),
        latest_id: Some(newest.0.id.clone()),
        latest_complete: found.iter().filter_map(complete_start).max(),
        found: (!blank.source.means(newest.1)).then(|| newest.1.clone()),
        ..blank.clone()
    })
}

fn doubt(view: &View, candidates: &Candidates, settings: &Settings, now: Tick) -> Option<Reason> {
    let concerned = |suspect: &Suspect| {
        candidates.exact.iter().chain(&candidates.altered).any(|source| suspect.scope.concerns(source))
    };
    let evidence = Evidence {
        doubts: &view.inventory.doubts,
        suspects: &view.inventory.suspects,
        unindexed: view.unindexed.as_deref(),
    };
    let sources = || view.sources().iter().map(SourceState::source);
    if let Some(reason) =
        doubt_about_question(&candidates.asked, sources()).or_else(|| evidence.doubt(concerned))
    {
        return Some(reason);
    }
    let sources = view.sources().len();
    if sources < settings.min_sources {
        let wanted = settings.min_sources;
        let message = format!(
            "the repository has {sources} sources, fewer than the {wanted} it should have: a wrong one?"
        );
        return Some(Reason::new("too-few-sources", message));
    }
    if !now.is_plausible() {
        return Some(Reason::new("clock-implausible", "the clock of this machine is not set"));
    }
    None
}
