//! `kopia maintenance info`: who looks after the repository, how often, and what was done.

use serde::Serialize;

use super::maintenance_runs::success;
use crate::Catalog;
use crate::front::kopia::connection::Connection;
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Command, Typed};
use crate::front::kopia::json::compact;
use crate::front::kopia::output::{JSON, Output};
use crate::front::kopia::text::{Times, bytes, duration};
use crate::gojson::write;
use crate::repository::maintenance::{Parameters, SCHEDULE_BLOB, Schedule, schedule_json};
use crate::snapshot::UtcTimestamp;

pub(super) const INFO: Command = Command::new(&["info", "status"], &[JSON], &[], info);

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    #[serde(flatten)]
    parameters: Parameters,
    schedule: Schedule,
}

fn info(typed: &Typed) -> Result<(), Failure> {
    let connection = Connection::open(typed)?;
    let parameters = parameters(&connection.catalog()?)?;
    let schedule = schedule(&connection)?;
    let mut out = Output::new();
    if typed.on("json") {
        let json = write::to_string(&Info { parameters, schedule });
        out.json(typed, &json.map_err(|e| Failure::new(e.to_string()))?)?;
    } else {
        print(typed, &parameters, &schedule, &mut out)?;
    }
    out.finish()
}

fn parameters(catalog: &Catalog) -> Result<Parameters, Failure> {
    Parameters::of(catalog.manifests())
        .map_err(|(id, e)| Failure::new(format!("unable to get maintenance params: manifest {id}: {e}")))
}

fn schedule(connection: &Connection) -> Result<Schedule, Failure> {
    let failed = |reason: &dyn std::fmt::Display| {
        Failure::new(format!("unable to get maintenance schedule: {SCHEDULE_BLOB}: {reason}"))
    };
    let repository = &connection.repository;
    let Some(plain) = schedule_json(repository.store(), repository.format()).map_err(|e| failed(&e))? else {
        return Ok(Schedule::default());
    };
    let text = std::str::from_utf8(&plain).map_err(|e| failed(&e))?;
    serde_json::from_str(&compact(text)).map_err(|e| failed(&e))
}

fn print(
    typed: &Typed,
    parameters: &Parameters,
    schedule: &Schedule,
    out: &mut Output,
) -> Result<(), Failure> {
    let times = Times::new(typed);
    out.line(format!("Owner: {}", parameters.owner))?;
    for (name, cycle, next) in [
        ("Quick", parameters.quick, &schedule.next_quick_maintenance),
        ("Full", parameters.full, &schedule.next_full_maintenance),
    ] {
        out.line(format!("{name} Cycle:"))?;
        out.line(format!("  scheduled: {}", cycle.enabled))?;
        if !cycle.enabled {
            continue;
        }
        out.line(format!("  interval: {}", duration(cycle.interval)))?;
        let left = next.instant().seconds_since(UtcTimestamp::now());
        if next.instant() > UtcTimestamp::now() {
            let left = duration(left.saturating_mul(1_000_000_000));
            out.line(format!("  next run: {} (in {left})", times.show(next.instant())))?;
        } else {
            out.line("  next run: now")?;
        }
    }
    let logs = parameters.log_retention.or_default();
    out.line("Log Retention:")?;
    out.line(format!("  max count:       {}", logs.max_count))?;
    out.line(format!("  max age of logs: {}", duration(logs.max_age)))?;
    out.line(format!("  max total size:  {}", bytes(logs.max_total_size)))?;
    let extended = if parameters.extend_object_locks { "enabled" } else { "disabled" };
    out.line(format!("Object Lock Extension: {extended}"))?;
    if parameters.list_parallelism != 0 {
        out.line(format!("List parallelism: {}", parameters.list_parallelism))?;
    }
    out.line("Recent Maintenance Runs:")?;
    for (task, runs) in schedule.runs.iter().flatten() {
        out.line(format!("  {task}:"))?;
        for run in runs {
            let took = run.end.instant().seconds_since(run.start.instant());
            let took = duration(took.saturating_mul(1_000_000_000));
            let result = match run.success {
                true => success(run.extra.as_deref()),
                false => format!("ERROR: {}", run.error),
            };
            out.line(format!("    {} ({took}) {result}", times.show(run.start.instant())))?;
        }
    }
    Ok(())
}
