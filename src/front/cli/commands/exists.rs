//! `rokopia exists`: is there a backup of a source?

use std::sync::Arc;
use std::time::Duration;

use crate::checker::{self, Candidates, Checker, Clock, OpenStore, Settings, State};
use crate::front::cli::complete;
use crate::front::cli::context::{Context, wrong_value};
use crate::front::cli::existence::ExistenceLine;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::restic::Listed;
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

Examples:
  rokopia exists data-demo@apps:/data && echo restore
  rokopia exists data-demo@apps:/data --json | jq .age_seconds")]
pub(in crate::front::cli) struct Args {
    /// user@host:/path
    #[arg(value_name = "SOURCE", add = ArgValueCompleter::new(complete::sources))]
    source: String,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let source: AskedSource = self
            .source
            .parse()
            .ok()
            .filter(|source: &AskedSource| !source.is_without_path())
            .ok_or_else(|| wrong_value("SOURCE", &self.source, "user@host:/path"))?;
        if let Some(directory) = context.restic()? {
            return Listed::open(&directory, context)?.exists(&source, context);
        }
        let answer = ask(context, source)?;
        print(context, &answer)?;
        match (answer.state, &answer.reason) {
            (State::Exists, _) => Ok(Exit::Done),
            (State::Absent, _) => Ok(Exit::Negative),
            (State::Unknown, reason) => {
                let code = reason.as_ref().map_or("index-doubtful", |reason| reason.code());
                let message = reason.as_ref().map(ToString::to_string).unwrap_or_default();
                let blob = reason.as_ref().and_then(|reason| reason.blob());
                Err(Failure::new(Exit::Unknown, code, message).blob(blob))
            }
        }
    }
}

fn ask(context: &Context, source: AskedSource) -> Result<checker::Answer, Failure> {
    let location = context.location()?;
    let password = context.password()?;
    // Storage that hangs must not hang this, which would open it.
    context.sandbox().reading_anywhere().enter().log();
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

fn print(context: &Context, answer: &checker::Answer) -> Result<(), Failure> {
    let known = answer.state != State::Unknown;
    let reason = match (&answer.reason, answer.state) {
        (Some(reason), _) => reason.to_string(),
        (None, State::Exists) => match &answer.found {
            Some(found) => format!("snapshots of {found}"),
            None => "snapshots of exactly this source".to_owned(),
        },
        (None, _) => "the repository was read completely and has no snapshot of this source".to_owned(),
    };
    let now = UtcTimestamp::now();
    let clock_problem = answer.latest.and_then(|latest| latest.clock_problem(now));
    if let Some(problem) = &clock_problem {
        tracing::warn!("the newest snapshot: {problem}");
    }
    ExistenceLine {
        state: answer.state.as_str(),
        source: answer.source.to_string(),
        snapshots: known.then_some(answer.snapshots),
        incomplete: known.then_some(answer.incomplete),
        latest: answer.latest,
        clock_problem,
        latest_id: answer.latest_id.as_ref().map(ToString::to_string),
        exact: answer.state == State::Exists && answer.found.is_none(),
        reason,
        ..ExistenceLine::default()
    }
    .print(context, now)
}
