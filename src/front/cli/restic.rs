//! Repositories of restic: what the commands that answer for them have in common.

use std::path::Path;

use super::context::Context;
use super::existence::{Existence, ExistenceLine};
use super::failure::{Exit, Failure};
use super::output::{Output, Table, short_id};
use super::units::table_time;
use crate::checker::{SourceState, State};
use crate::crypto::Password;
use crate::restic::{Error, Repository, Snapshot};
use crate::snapshot::AskedSource;

/// Digits of an ID that restic shows.
const DIGITS: usize = 8;

/// The snapshots of a repository, and what makes the list uncertain.
pub(super) struct Listed {
    pub(super) snapshots: Vec<Snapshot>,
    unreadable: Vec<Error>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(Exit::Unknown, error.code(), error.to_string()).retry(error.is_retryable())
    }
}

impl Listed {
    /// Reads the snapshots of a repository of restic in a directory.
    pub(super) fn open(directory: &Path, context: &Context) -> Result<Self, Failure> {
        let password = context.restic_password()?;
        context.sandbox().enter().log();
        Self::read(directory, &password)
    }

    /// The same where the password is known, and what is not needed any more was given up.
    pub(super) fn read(directory: &Path, password: &Password) -> Result<Self, Failure> {
        let during = |error: Error| Failure::from(error).during("opening the repository of restic");
        let repository = Repository::open(directory, password).map_err(during)?;
        tracing::debug!(id = repository.id(), version = repository.version(), "a repository of restic");
        let (snapshots, unreadable) = repository.snapshots().map_err(during)?;
        for error in &unreadable {
            tracing::warn!("{error}");
        }
        Ok(Self { snapshots, unreadable })
    }

    /// Whether the list lacks nothing.
    pub(super) fn is_complete(&self) -> bool {
        self.unreadable.is_empty()
    }

    /// The snapshots by their sources.
    pub(super) fn sources(&self) -> Vec<SourceState> {
        Snapshot::sources(&self.snapshots)
    }

    /// How a list ends: an empty one that may lack something is no answer.
    pub(super) fn conclude(&self, what: &str, empty: bool) -> Result<Exit, Failure> {
        match self.unreadable.first() {
            None => Ok(Exit::Done),
            Some(error) if empty => Err(Failure::new(
                Exit::Unknown,
                error.code(),
                format!("no {what} found, but that is not certain: {error}"),
            )),
            Some(_) => Ok(Exit::Partial),
        }
    }

    /// Answers `exists`.
    pub(super) fn exists(&self, asked: &AskedSource) -> Existence {
        let found: Vec<&Snapshot> = self.snapshots.iter().filter(|s| asked.means(&s.source())).collect();
        let newest = found.last();
        let (state, reason) = match (newest, self.unreadable.first()) {
            (Some(_), _) => (State::Exists, "snapshots of exactly this source".to_owned()),
            (None, Some(error)) => (State::Unknown, error.to_string()),
            (None, None) => {
                let reason = "the list of snapshots was read completely and has none of this source";
                (State::Absent, reason.to_owned())
            }
        };
        let latest = newest.map(|snapshot| snapshot.started());
        let line = ExistenceLine {
            source: asked.to_string(),
            snapshots: (state != State::Unknown).then_some(found.len()),
            latest,
            latest_id: newest.map(|snapshot| snapshot.id.clone()),
            exact: state == State::Exists,
            reason,
            ..ExistenceLine::new(state)
        };
        let doubt = self.unreadable.first().filter(|_| state == State::Unknown);
        let failure = doubt.map(|error| Failure::new(Exit::Unknown, error.code(), error.to_string()));
        // Restic writes a snapshot down when it is complete.
        Existence { state, line, latest_complete: latest, failure }
    }

    /// Prints the snapshots of these sources, of all where none is named; of each the newest `limit`.
    pub(super) fn print(
        &self,
        asked: &[AskedSource],
        limit: Option<usize>,
        context: &Context,
    ) -> Result<Exit, Failure> {
        let means = |s: &&Snapshot| asked.is_empty() || asked.iter().any(|asked| asked.means(&s.source()));
        let mut chosen: Vec<&Snapshot> = self.snapshots.iter().filter(means).collect();
        if let Some(limit) = limit {
            let newer = |snapshot: &Snapshot| {
                let same = chosen.iter().filter(|other| other.source() == snapshot.source());
                same.filter(|other| (other.started(), &other.id) > (snapshot.started(), &snapshot.id)).count()
            };
            let kept: Vec<&Snapshot> = chosen.iter().copied().filter(|s| newer(s) < limit).collect();
            chosen = kept;
        }
        let exit = self.conclude("snapshots", chosen.is_empty())?;
        let mut out = Output::new();
        if context.json {
            out.json_array(&chosen)?;
        } else {
            let mut table = Table::new(&["ID", "TIME", "TAGS", "SOURCE"], &[]);
            for snapshot in &chosen {
                table.row([
                    short_id(&snapshot.id, DIGITS).to_owned(),
                    table_time(snapshot.started()),
                    snapshot.tags.join(","),
                    snapshot.source().to_string(),
                ]);
            }
            table.print(&mut out)?;
        }
        out.finish()?;
        Ok(exit)
    }
}
