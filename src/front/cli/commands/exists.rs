//! `rokopia exists`: is there a backup of a source?

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::checker::{self, Candidates, Checker, Clock, OpenStore, Settings, State};
use crate::crypto::Password;
use crate::front::cli::complete;
use crate::front::cli::context::{Context, wrong_value};
use crate::front::cli::existence::{Existence, ExistenceLine, Existences};
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::restic::Listed;
use crate::front::cli::stores::OtherStores;
use crate::front::location::Location;
use crate::snapshot::{AskedSource, UtcTimestamp};
use clap_complete::engine::ArgValueCompleter;

/// The user of this command can interrupt it at any time.
const PATIENCE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Check whether a source has a backup, and how old it is
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 a backup exists; 1 there is none; 3 unknown. In any doubt the answer is unknown, even with --degraded. An \
incomplete snapshot counts if it has a file and the source has no complete one, as for `rokopia restore`. Snapshots of a \
directory above the path count as well. The service (`rokopia serve`) answers by the same rules.

With --with, a backup exists if one repository has it; there is none only if every repository certainly has none. The answer \
names the repository to restore from: the one with the newest complete snapshot.

Examples:
  rokopia exists data-demo@apps:/data && echo restore
  rokopia exists data-demo@apps:/data --with s3://bucket/kopia
  rokopia exists data-demo@apps:/data --json | jq .age_seconds")]
pub(in crate::front::cli) struct Args {
    /// user@host:/path
    #[arg(value_name = "SOURCE", add = ArgValueCompleter::new(complete::sources))]
    source: String,

    #[command(flatten)]
    others: OtherStores,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let source: AskedSource = self
            .source
            .parse()
            .ok()
            .filter(|source: &AskedSource| !source.is_without_path())
            .ok_or_else(|| wrong_value("SOURCE", &self.source, "user@host:/path"))?;
        if self.others.is_empty() {
            if let Some(directory) = context.restic()? {
                let answer = Listed::open(&directory, context)?.exists(&source);
                return answer.conclude(context, UtcTimestamp::now());
            }
            let repository = Prepared::new(context)?;
            give_up_the_rest(context, &[]);
            return repository.ask(context, &source)?.conclude(context, UtcTimestamp::now());
        }
        let others: Vec<Context> = self.others.contexts(context).collect();
        let all = || std::iter::once(context).chain(&others);
        let prepared: Vec<_> = all().map(Prepared::new).collect();
        give_up_the_rest(context, &others);
        let mut stores = Vec::new();
        for (context, prepared) in all().zip(prepared) {
            let answer = prepared.and_then(|repository| repository.ask(context, &source));
            let answer = answer.unwrap_or_else(|failure| Existence::failed(&source, failure));
            stores.push((context.location()?.to_string(), answer));
        }
        Existences { stores }.conclude(context, UtcTimestamp::now())
    }
}

/// Before anything is opened, what is not needed from then on is given up. Storage that hangs must not hang this, which
/// would open it.
fn give_up_the_rest(context: &Context, others: &[Context]) {
    context.sandbox_with(others).reading_anywhere().enter().log();
}

/// A repository before it is opened.
enum Prepared {
    Kopia(Location, Password),
    Restic(PathBuf, Password),
}

impl Prepared {
    fn new(context: &Context) -> Result<Self, Failure> {
        Ok(match context.restic()? {
            Some(directory) => Self::Restic(directory, context.restic_password()?),
            None => Self::Kopia(context.location()?, context.password()?),
        })
    }

    fn ask(self, context: &Context, source: &AskedSource) -> Result<Existence, Failure> {
        match self {
            Self::Kopia(location, password) => {
                Ok(existence(&checked(context, location, password, source.clone())?))
            }
            Self::Restic(directory, password) => Ok(Listed::read(&directory, &password)?.exists(source)),
        }
    }
}

fn checked(
    context: &Context,
    location: Location,
    password: Password,
    source: AskedSource,
) -> Result<checker::Answer, Failure> {
    let traffic = context.traffic();
    let open_store: OpenStore = Arc::new(move || location.open(&traffic));
    let settings = Settings { refresh_interval: None, storage_timeout: PATIENCE, ..Settings::default() };
    let options = context.strict().options();
    let password = Arc::new(move || Ok(password.clone()));
    let checker = Checker::start(settings, Clock::system(), options, open_store, password).map_err(|e| {
        Failure::new(Exit::Unknown, "out-of-threads", format!("no thread can be started: {e}"))
    })?;
    Ok(checker.ask(&Candidates::of(source), PATIENCE))
}

fn existence(answer: &checker::Answer) -> Existence {
    let known = answer.state != State::Unknown;
    let reason = match (&answer.reason, answer.state) {
        (Some(reason), _) => reason.to_string(),
        (None, State::Exists) => match &answer.found {
            Some(found) => format!("snapshots of {found}"),
            None => "snapshots of exactly this source".to_owned(),
        },
        (None, _) => "the repository was read completely and has no snapshot of this source".to_owned(),
    };
    let clock_problem = answer.latest.and_then(|latest| latest.clock_problem(UtcTimestamp::now()));
    if let Some(problem) = &clock_problem {
        tracing::warn!("the newest snapshot: {problem}");
    }
    let line = ExistenceLine {
        source: answer.source.to_string(),
        snapshots: known.then_some(answer.snapshots),
        incomplete: known.then_some(answer.incomplete),
        latest: answer.latest,
        clock_problem,
        latest_id: answer.latest_id.as_ref().map(ToString::to_string),
        exact: answer.state == State::Exists && answer.found.is_none(),
        reason,
        ..ExistenceLine::new(answer.state)
    };
    let failure = (!known).then(|| {
        let code = answer.reason.as_ref().map_or("index-doubtful", |reason| reason.code());
        let message = answer.reason.as_ref().map(ToString::to_string).unwrap_or_default();
        let blob = answer.reason.as_ref().and_then(|reason| reason.blob());
        Failure::new(Exit::Unknown, code, message).blob(blob)
    });
    Existence { state: answer.state, line, latest_complete: answer.latest_complete, failure }
}
