//! Several stores of the same data: the first one, which the pages show, and others beside it.

use crate::audit::{self, Audit, SourceStores, StoreFinding};
use crate::checker::{Answer, Checker, FindPassword, OpenStore, Reason, State, View};
use crate::front::together::Together;
use crate::snapshot::Source;

use super::app::App;

/// A repository to answer from.
pub struct Store {
    /// Where it is, without secrets.
    pub location: String,
    /// Opens its storage.
    pub open_store: OpenStore,
    /// Finds its password.
    pub password: FindPassword,
}

debug_of!(Store, "Store", "location" = |store| &store.location);

/// A repository that is being read.
pub(super) struct Read {
    pub(super) location: String,
    pub(super) checker: Checker,
}

/// The answer to a question.
pub(super) struct Answered {
    /// What all stores say together: of several, in the words of one that decides it.
    pub(super) answer: Answer,
    /// What each store says, with its location; empty where there is one.
    pub(super) stores: Vec<(String, Answer)>,
    /// The number of the store to restore from.
    pub(super) best: Option<usize>,
}

impl Answered {
    /// Of one store, its answer.
    pub(super) fn alone(answer: Answer) -> Self {
        Self { answer, stores: Vec::new(), best: None }
    }

    /// Of several stores, in their order.
    pub(super) fn together(stores: Vec<(String, Answer)>) -> Option<Self> {
        let Together { state, best } =
            Together::of(stores.iter().map(|(_, answer)| (answer.state, answer.latest_complete)));
        let (location, deciding) = match state {
            State::Exists => stores.get(best?)?,
            State::Unknown => stores.iter().find(|(_, answer)| answer.state == State::Unknown)?,
            // A no is as old as the oldest of those it rests on.
            State::Absent => stores.iter().min_by_key(|(_, answer)| answer.as_of)?,
        };
        let reason = deciding.reason.as_ref();
        let reason =
            reason.map(|reason| Reason::new(reason.code(), format!("{location}: {}", reason.message())));
        let answer = Answer { reason, ..deciding.clone() };
        Some(Self { answer, stores, best })
    }

    /// What the first store says.
    pub(super) fn first(&self) -> &Answer {
        self.stores.first().map_or(&self.answer, |(_, answer)| answer)
    }

    /// Why what the first store does not have may be in another one.
    pub(super) fn elsewhere(&self) -> Option<Reason> {
        let (location, answer) =
            self.stores.iter().skip(1).find(|(_, answer)| answer.state != State::Absent)?;
        let why = match &answer.reason {
            Some(reason) => format!("{location}: {}", reason.message()),
            None => format!("{location} has snapshots of it"),
        };
        Some(Reason::new("in-another-store", why))
    }

    /// The store to restore from, where the first one, which restores are made from, certainly has no backup.
    pub(super) fn only_elsewhere(&self) -> Option<&str> {
        self.restore_from().filter(|_| self.first().state == State::Absent)
    }

    /// Where to restore from, where there is a choice.
    pub(super) fn restore_from(&self) -> Option<&str> {
        self.stores.get(self.best?).map(|(location, _)| location.as_str())
    }
}

/// A store compared with the others.
pub(super) struct Compared {
    pub(super) location: String,
    /// Whether it answers, and why not.
    pub(super) ready: Result<(), Reason>,
    /// The sources with which something is wrong in it.
    pub(super) findings: Vec<(Source, StoreFinding)>,
}

impl Compared {
    /// Whether it answers and lacks nothing that another one has.
    pub(super) fn is_good(&self) -> bool {
        self.ready.is_ok() && self.findings.is_empty()
    }
}

/// All stores, where there are several, compared by the limits of an audit of the first one.
pub(super) fn compared(app: &App, audit: &Audit) -> Vec<Compared> {
    if app.others.is_empty() {
        return Vec::new();
    }
    let views: Vec<_> = app.checkers().map(Checker::view).collect();
    let stores: Vec<_> = views.iter().map(|view| as_store(view.as_deref())).collect();
    let limits: std::collections::HashMap<_, _> =
        audit.sources.iter().filter_map(|audited| Some((&audited.source, audited.limit?.age))).collect();
    let sources = audit::compare(&stores, |source| limits.get(source).copied());
    app.locations()
        .zip(app.checkers())
        .enumerate()
        .map(|(at, (location, checker))| Compared {
            location: location.to_owned(),
            ready: checker.ready(),
            // That a store was never read is said once, not with each source.
            findings: if checker.view().is_some() { of_store(&sources, at) } else { Vec::new() },
        })
        .collect()
}

fn as_store(view: Option<&View>) -> audit::Store<'_> {
    let complete =
        view.is_some_and(|view| view.doubts().chain(view.suspects().map(|s| &s.reason)).next().is_none());
    audit::Store { sources: view.map(View::sources).unwrap_or_default(), complete }
}

fn of_store(sources: &[SourceStores], at: usize) -> Vec<(Source, StoreFinding)> {
    let findings = sources.iter().flat_map(|source| source.findings.iter().map(move |f| (&source.source, f)));
    findings.filter(|(_, (store, _))| *store == at).map(|(source, (_, f))| (source.clone(), *f)).collect()
}
