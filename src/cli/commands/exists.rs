//! `rokopia exists`: is there a backup of a source?

use serde::Serialize;

use crate::cli::context::{Context, wrong_value};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, escape};
use crate::cli::session::Session;
use crate::snapshot::{Source, UtcTimestamp};

/// Say whether a backup of a source exists: exit code 0 exists, 1 absent, 3 unknown
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Any doubt is `unknown`, never `absent`; --degraded changes nothing about that. Incomplete snapshots count.

Examples:
  rokopia exists data-demo@apps:/data && echo restore
  rokopia exists data-demo@apps:/data --json | jq .age_seconds")]
pub(in crate::cli) struct Args {
    /// user@host:/path
    #[arg(value_name = "SOURCE")]
    source: String,
}

#[derive(Serialize, Default)]
struct Answer {
    state: &'static str,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshots: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest: Option<UtcTimestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<i64>,
    reason: String,
}

impl Args {
    pub(in crate::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let source: Source = self
            .source
            .parse()
            .ok()
            .filter(|source: &Source| !source.path.is_empty())
            .ok_or_else(|| wrong_value("SOURCE", &self.source, "user@host:/path"))?;
        match answer(&context.strict(), &source) {
            Ok(answer) => {
                print(context, &answer)?;
                Ok(if answer.state == "exists" { Exit::Done } else { Exit::Negative })
            }
            Err(failure) => {
                let reason = failure.message.clone();
                print(
                    context,
                    &Answer { state: "unknown", source: self.source, reason, ..Answer::default() },
                )?;
                Err(failure.exit(Exit::Unknown))
            }
        }
    }
}

fn answer(context: &Context, source: &Source) -> Result<Answer, Failure> {
    let mut session = Session::open(context)?;
    let selection = session.snapshots.of(source);
    let Some(latest) = selection.latest() else {
        if !session.nothing_is_certain()? {
            return Err(session.doubts.refuse("no snapshot found, but that is not certain"));
        }
        let reason = "the repository was read completely and has no snapshot of this source".into();
        let (snapshots, incomplete) = (Some(0), Some(0));
        return Ok(Answer {
            state: "absent",
            source: source.to_string(),
            snapshots,
            incomplete,
            reason,
            ..Answer::default()
        });
    };
    let incomplete = selection.iter().filter(|snapshot| !snapshot.is_complete()).count();
    Ok(Answer {
        state: "exists",
        source: source.to_string(),
        snapshots: Some(selection.len()),
        incomplete: Some(incomplete),
        latest: Some(latest.start_time),
        age_seconds: Some(UtcTimestamp::now().seconds_since(latest.start_time)),
        reason: format!("snapshot {} was read", latest.id),
    })
}

fn print(context: &Context, answer: &Answer) -> Result<(), Failure> {
    let mut out = Output::new();
    if context.json {
        out.json(answer)?;
    } else if !context.quiet {
        out.line(format!("{}: {} ({})", answer.state, escape(&answer.source), escape(&answer.reason)))?;
    }
    out.finish()
}
