//! The answer of `exists`, for people and for programs.

use serde::Serialize;

use super::context::Context;
use super::failure::Failure;
use super::output::{Output, escape};
use super::units::{ago, human_time};
use crate::snapshot::UtcTimestamp;
use crate::text::counted;

/// What is known about the backups of a source, with the same fields for repositories of every kind.
#[derive(Default, Serialize)]
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

impl ExistenceLine {
    /// Prints it, with the age that the newest snapshot has now.
    pub(super) fn print(mut self, context: &Context, now: UtcTimestamp) -> Result<(), Failure> {
        // No age is negative.
        self.age_seconds = self.latest.map(|latest| now.seconds_since(latest).max(0));
        let mut out = Output::new();
        if context.json {
            out.json_report(context.stats(), &self)?;
        } else if !context.quiet {
            for line in text(&self, now).lines() {
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
