//! The answer of `exists`, for people and for programs.

use serde::Serialize;

use super::context::Context;
use super::failure::{Exit, Failure};
use super::output::{Output, Table, escape};
use super::units::{ago, human_time, short_age};
use crate::checker::State;
use crate::front::together::Together;
use crate::snapshot::{AskedSource, UtcTimestamp};
use crate::text::counted;

/// What is known about the backups of a source, with the same fields for repositories of every kind.
#[derive(Clone, Default, Serialize)]
pub(super) struct ExistenceLine {
    pub(super) state: &'static str,
    pub(super) source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) snapshots: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) incomplete: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latest: Option<UtcTimestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) age_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) clock_problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latest_id: Option<String>,
    pub(super) reason: String,
    /// Whether it exists under the very name that was asked for.
    #[serde(skip)]
    pub(super) exact: bool,
}

/// The answer of one repository.
pub(super) struct Existence {
    pub(super) state: State,
    pub(super) line: ExistenceLine,
    /// When the newest complete snapshot began.
    pub(super) latest_complete: Option<UtcTimestamp>,
    /// Why the state is unknown, where it is.
    pub(super) failure: Option<Failure>,
}

impl Existence {
    /// The answer of a repository that cannot be read.
    pub(super) fn failed(asked: &AskedSource, failure: Failure) -> Self {
        let line = ExistenceLine {
            source: asked.to_string(),
            reason: failure.message.clone(),
            ..ExistenceLine::new(State::Unknown)
        };
        Self { state: State::Unknown, line, latest_complete: None, failure: Some(failure) }
    }

    /// Prints it; how the command ends.
    pub(super) fn conclude(self, context: &Context, now: UtcTimestamp) -> Result<Exit, Failure> {
        self.line.aged(now).print(context, now)?;
        ended(self.state, self.failure)
    }
}

fn ended(state: State, failure: Option<Failure>) -> Result<Exit, Failure> {
    match (state, failure) {
        (State::Exists, _) => Ok(Exit::Done),
        (State::Absent, _) => Ok(Exit::Negative),
        (State::Unknown, Some(failure)) => Err(failure),
        (State::Unknown, None) => Ok(Exit::Unknown),
    }
}

/// The answers of several repositories of the same data.
pub(super) struct Existences {
    /// Each with its location.
    pub(super) stores: Vec<(String, Existence)>,
}

/// The same as JSON: the fields of one repository, and what each one says.
#[derive(Serialize)]
struct StoresLine<'a> {
    #[serde(flatten)]
    together: &'a ExistenceLine,
    #[serde(skip_serializing_if = "Option::is_none")]
    restore_from: Option<&'a str>,
    stores: Vec<StoreLine<'a>>,
}

#[derive(Serialize)]
struct StoreLine<'a> {
    location: &'a str,
    #[serde(flatten)]
    line: &'a ExistenceLine,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_complete: Option<UtcTimestamp>,
    /// Why the state is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

impl Existences {
    /// Prints them; how the command ends.
    pub(super) fn conclude(mut self, context: &Context, now: UtcTimestamp) -> Result<Exit, Failure> {
        let together =
            Together::of(self.stores.iter().map(|(_, store)| (store.state, store.latest_complete)));
        for (_, store) in &mut self.stores {
            store.line = std::mem::take(&mut store.line).aged(now);
        }
        let line = self.together(&together);
        let restore_from =
            together.best.and_then(|at| self.stores.get(at)).map(|(location, _)| location.as_str());
        if context.json {
            let stores = self.stores.iter().map(|(location, store)| StoreLine {
                location,
                line: &store.line,
                latest_complete: store.latest_complete,
                code: store.failure.as_ref().map(|failure| failure.code),
            });
            let answer = StoresLine { together: &line, restore_from, stores: stores.collect() };
            let mut out = Output::new();
            out.json_report(context.stats(), &answer)?;
            out.finish()?;
        } else if !context.quiet {
            line.print(context, now)?;
            self.print(restore_from, now)?;
        }
        let unknown = self.stores.into_iter().find_map(|(location, store)| {
            let failure = store.failure?;
            Some(failure.during(&location))
        });
        ended(together.state, unknown)
    }

    /// What they say together, in the words of the repository that decides it.
    fn together(&self, together: &Together) -> ExistenceLine {
        let first_unknown = || self.stores.iter().position(|(_, store)| store.state == State::Unknown);
        let deciding = together.best.or_else(first_unknown).unwrap_or_default();
        let Some((location, store)) = self.stores.get(deciding) else { return ExistenceLine::default() };
        let line = store.line.clone();
        match together.state {
            State::Exists => line,
            State::Absent => ExistenceLine {
                reason: "every repository was read completely, and none has a snapshot of this source".into(),
                ..line
            },
            State::Unknown => ExistenceLine { reason: format!("{location}: {}", line.reason), ..line },
        }
    }

    fn print(&self, restore_from: Option<&str>, now: UtcTimestamp) -> Result<(), Failure> {
        let mut out = Output::new();
        if let Some(location) = restore_from {
            out.line(format!("restore from: {}", escape(location)))?;
        }
        let mut table = Table::new(&["STORE", "STATE", "SNAPSHOTS", "NEWEST COMPLETE"], &[2]);
        for (location, store) in &self.stores {
            table.row([
                location.clone(),
                store.line.state.to_owned(),
                store.line.snapshots.map_or_else(|| "-".to_owned(), |snapshots| snapshots.to_string()),
                store.latest_complete.map_or_else(|| "-".to_owned(), |latest| short_age(latest, now)),
            ]);
        }
        table.print(&mut out)?;
        out.finish()
    }
}

impl ExistenceLine {
    pub(super) fn new(state: State) -> Self {
        Self { state: state.as_str(), ..Self::default() }
    }

    /// With the age that the newest snapshot has now.
    fn aged(mut self, now: UtcTimestamp) -> Self {
        // No age is negative.
        self.age_seconds = self.latest.map(|latest| now.seconds_since(latest).max(0));
        self
    }

    fn print(&self, context: &Context, now: UtcTimestamp) -> Result<(), Failure> {
        let mut out = Output::new();
        if context.json {
            out.json_report(context.stats(), self)?;
        } else if !context.quiet {
            for line in text(self, now).lines() {
                out.line(escape(line))?;
            }
        }
        out.finish()
    }
}

/// The answer in a line, and in another the newest snapshot and how old it is.
fn text(answer: &ExistenceLine, now: UtcTimestamp) -> String {
    let ExistenceLine { state, source, reason, .. } = answer;
    let (Some(latest), Some(id)) = (answer.latest, &answer.latest_id) else {
        return format!("{state}: {source} ({reason})");
    };
    // The usual case goes without saying.
    let found = if answer.exact { String::new() } else { format!(" ({reason})") };
    let count = counted(answer.snapshots.unwrap_or_default() as u64, "snapshot");
    let incomplete = match answer.incomplete.unwrap_or_default() {
        0 => String::new(),
        incomplete => format!(", {incomplete} incomplete"),
    };
    format!(
        "{state}: {source}{found}, {count}{incomplete}\nnewest: {id} of {}, {}",
        human_time(latest),
        ago(latest, now)
    )
}
