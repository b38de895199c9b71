//! `audit --with`: the same data in several stores.

use std::path::Path;

use serde::Serialize;

use super::FindingLine;
use crate::audit::health::Health;
use crate::audit::{Audit, SourceStores, Store, compare};
use crate::blob::{Guard, WritablePath};
use crate::checker::SourceState;
use crate::front::cli::context::Context;
use crate::front::cli::failure::Failure;
use crate::front::cli::open_repository::OpenRepository;
use crate::front::cli::output::{Output, Table, escape};
use crate::front::cli::restic::Listed;
use crate::front::cli::units::short_age;
use crate::repository::maintenance::{Parameters, schedule_json};
use crate::snapshot::UtcTimestamp;

/// A store that was read, or why it was not.
pub(super) struct Opened {
    pub(super) location: String,
    pub(super) states: Vec<SourceState>,
    /// Whether the list is certainly complete.
    pub(super) complete: bool,
    pub(super) problem: Option<Failure>,
    /// How the repository is looked after, where it is one of Kopia.
    pub(super) health: Option<Health>,
    guard: Guard,
}

impl Opened {
    /// Reads the snapshots of a store.
    pub(super) fn read(context: &Context) -> Result<Self, Failure> {
        let location = context.location()?.to_string();
        if let Some(directory) = context.restic()? {
            let listed = Listed::open(&directory, context)?;
            // A directory that was read can be looked at.
            let guard = Guard::new(&directory).unwrap_or_default();
            let (states, complete) = (listed.sources(), listed.is_complete());
            return Ok(Self { location, states, complete, problem: None, health: None, guard });
        }
        let mut repo = OpenRepository::open(context)?;
        let complete = repo.lists_are_complete();
        let guard = repo.repository.store().guard();
        let states = SourceState::of_all(&repo.snapshots);
        let health = Some(health(&repo));
        Ok(Self { location, states, complete, problem: None, health, guard })
    }

    /// The same; a store that cannot be read is one with a problem.
    pub(super) fn try_read(context: &Context) -> Self {
        let location = context.location().map(|location| location.to_string()).unwrap_or_default();
        Self::read(context).unwrap_or_else(|problem| Self {
            location,
            states: Vec::new(),
            complete: false,
            problem: Some(problem),
            health: None,
            guard: Guard::default(),
        })
    }
}

/// One small blob is read beside what was read already.
fn health(repo: &OpenRepository) -> Health {
    let (repository, manifests) = (&repo.repository, repo.catalog.manifests());
    let stored = schedule_json(repository.store(), repository.format()).map_err(|e| e.to_string());
    let parsed = |json: &[u8]| serde_json::from_slice(json).map_err(|e| e.to_string());
    Health {
        index_blobs: repo.catalog.index().blob_count(),
        parameters: Parameters::of(manifests).ok(),
        schedule: stored.and_then(|json| json.map(|json| parsed(&json)).transpose()),
        oldest: repo.snapshots.all().iter().map(|snapshot| snapshot.start_time).min(),
    }
}

/// A path that lies in none of the stores.
pub(super) fn writable(stores: &[Opened], path: &Path) -> Result<WritablePath, Failure> {
    let mut writable = Guard::default().writable(path)?;
    for store in stores {
        writable = store.guard.writable(path)?;
    }
    Ok(writable)
}

/// A store as JSON.
#[derive(Serialize)]
pub(super) struct StoreLine<'a> {
    location: &'a str,
    complete: bool,
    sources: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

impl<'a> StoreLine<'a> {
    pub(super) fn of(store: &'a Opened) -> Self {
        Self {
            location: &store.location,
            complete: store.complete,
            sources: store.states.len(),
            code: store.problem.as_ref().map(|problem| problem.code),
            message: store.problem.as_ref().map(|problem| problem.message.as_str()),
        }
    }
}

/// A source in all stores as JSON.
#[derive(Serialize)]
pub(super) struct ComparedLine<'a> {
    source: String,
    /// The store to restore from.
    #[serde(skip_serializing_if = "Option::is_none")]
    best: Option<&'a str>,
    stores: Vec<InStore<'a>>,
}

#[derive(Serialize)]
struct InStore<'a> {
    location: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<UtcTimestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<i64>,
    findings: Vec<FindingLine>,
}

/// All stores, and what comparing them found.
pub(super) struct Comparison {
    pub(super) stores: Vec<Opened>,
    pub(super) sources: Vec<SourceStores>,
}

impl Comparison {
    /// Compares the stores that could be read.
    pub(super) fn of(stores: Vec<Opened>, audit: &Audit) -> Self {
        let given: Vec<Store<'_>> =
            stores.iter().map(|store| Store { sources: &store.states, complete: store.complete }).collect();
        let limit = |source: &crate::Source| {
            let audited = audit.sources.iter().find(|audited| audited.source == *source)?;
            audited.limit.map(|limit| limit.age)
        };
        let mut sources = if stores.len() > 1 { compare(&given, limit) } else { Vec::new() };
        // That a store cannot be read is said once, not with each source.
        for source in &mut sources {
            source.findings.retain(|(at, _)| stores.get(*at).is_some_and(|store| store.problem.is_none()));
        }
        Self { stores, sources }
    }

    /// Whether all stores could be read and none is behind.
    pub(super) fn is_good(&self) -> bool {
        self.stores.iter().all(|store| store.problem.is_none())
            && self.sources.iter().all(|source| source.findings.is_empty())
    }

    /// How the repository itself is looked after.
    pub(super) fn health(&self) -> Option<&Health> {
        self.stores.first()?.health.as_ref()
    }

    fn location(&self, at: usize) -> &str {
        self.stores.get(at).map_or("", |store| &store.location)
    }

    pub(super) fn lines(&self, now: UtcTimestamp) -> Vec<ComparedLine<'_>> {
        let line = |source: &SourceStores| ComparedLine {
            source: source.source.to_string(),
            best: source.best().map(|at| self.location(at)),
            stores: source
                .newest
                .iter()
                .enumerate()
                .map(|(at, time)| InStore {
                    location: self.location(at),
                    time: *time,
                    age_seconds: time.map(|time| now.seconds_since(time)),
                    findings: source
                        .findings
                        .iter()
                        .filter(|(store, _)| *store == at)
                        .map(|(_, finding)| FindingLine::of_store(finding))
                        .collect(),
                })
                .collect(),
        };
        self.sources.iter().map(line).collect()
    }

    /// What is wrong, then the ages in each store, unless asked to be quiet.
    pub(super) fn print(&self, now: UtcTimestamp, quiet: bool, out: &mut Output) -> Result<(), Failure> {
        for store in &self.stores {
            if let Some(problem) = &store.problem {
                let (code, location) = (problem.code, escape(&store.location));
                out.line(format!("critical[{code}]: {location}: {}", escape(&problem.message)))?;
            }
        }
        for source in &self.sources {
            for (at, finding) in &source.findings {
                let name = source.source.to_string();
                let (location, code) = (self.location(*at), finding.code());
                out.line(format!(
                    "{}[{code}]: {} in {}: {finding}",
                    finding.severity().as_str(),
                    escape(&name),
                    escape(location)
                ))?;
                out.line(format!("  help: {}", finding.cure()))?;
            }
        }
        if quiet || self.sources.is_empty() {
            return Ok(());
        }
        let mut heading = vec!["SOURCE"];
        heading.extend(self.stores.iter().map(|store| store.location.as_str()));
        let mut table = Table::new(&heading, &[]);
        for source in &self.sources {
            let ages =
                source.newest.iter().map(|time| time.map_or("-".to_owned(), |time| short_age(time, now)));
            table.row(std::iter::once(source.source.to_string()).chain(ages));
        }
        table.print(out)
    }
}
