//! `kopia maintenance info`: who looks after the repository, how often, and what was done.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::maintenance_runs::success;
use crate::blob::BlobId;
use crate::crypto::MaintenanceCipher;
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Command, Typed};
use crate::front::kopia::json::compact;
use crate::front::kopia::output::{JSON, Output};
use crate::front::kopia::session::Connection;
use crate::front::kopia::text::{Times, bytes, duration};
use crate::gojson::time::GoTime;
use crate::gojson::{go_object, write};
use crate::manifest::TYPE_LABEL;
use crate::snapshot::UtcTimestamp;
use crate::{Catalog, Error};

pub(super) const INFO: Command = Command::new(&["info", "status"], &[JSON], &[], info);

/// Manifest type of the parameters.
const MAINTENANCE: &str = "maintenance";

/// Holds when maintenance runs next, and when it did.
const SCHEDULE: &str = "kopia.maintenance";
const MAX_SCHEDULE: u64 = 64 << 20;

const HOUR: i64 = 3_600_000_000_000;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    #[serde(flatten)]
    parameters: Parameters,
    schedule: Schedule,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    owner: String,
    quick: Cycle,
    full: Cycle,
    log_retention: LogRetention,
    extend_object_locks: bool,
    list_parallelism: i64,
}
go_object!(Parameters {
    "owner" => owner,
    "quick" => quick,
    "full" => full,
    "logRetention" => log_retention,
    "extendObjectLocks" => extend_object_locks,
    "listParallelism" => list_parallelism,
});

#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Cycle {
    enabled: bool,
    interval: i64,
}
go_object!(Cycle { "enabled" => enabled, "interval" => interval });

#[derive(Debug, Default, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogRetention {
    max_total_size: i64,
    max_count: i64,
    max_age: i64,
}
go_object!(LogRetention { "maxTotalSize" => max_total_size, "maxCount" => max_count, "maxAge" => max_age });

impl LogRetention {
    /// What Kopia keeps when nothing is said.
    const DEFAULT: Self = Self { max_total_size: 1 << 30, max_count: 10_000, max_age: 30 * 24 * HOUR };

    fn or_default(self) -> Self {
        let nothing = self.max_total_size == 0 && self.max_count == 0 && self.max_age == 0;
        if nothing { Self::DEFAULT } else { self }
    }
}

/// A time as it is stored, with the zone in which it was written.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
struct Time(String);

impl Default for Time {
    fn default() -> Self {
        Self(GoTime::ZERO.to_string())
    }
}

impl<'de> serde::Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match GoTime::parse(&text) {
            Some(_) => Ok(Self(text)),
            None => Err(serde::de::Error::custom("not a time")),
        }
    }
}

impl Time {
    fn instant(&self) -> UtcTimestamp {
        GoTime::parse(&self.0).unwrap_or(GoTime::ZERO).into()
    }
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Schedule {
    next_full_maintenance: Time,
    next_quick_maintenance: Time,
    runs: Option<BTreeMap<String, Vec<Run>>>,
}
go_object!(Schedule {
    "nextFullMaintenance" => next_full_maintenance,
    "nextQuickMaintenance" => next_quick_maintenance,
    "runs" => runs (raw),
});

#[derive(Debug, Default, Serialize)]
struct Run {
    start: Time,
    end: Time,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    success: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<Box<RawValue>>,
}
go_object!(Run {
    "start" => start,
    "end" => end,
    "success" => success,
    "error" => error,
    "extra" => extra (raw),
});

fn info(typed: &Typed) -> Result<(), Failure> {
    let session = Connection::open(typed)?;
    let parameters = parameters(&session.catalog()?)?;
    let schedule = schedule(&session)?;
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
    let Some(manifest) = catalog.manifests().latest(&[(TYPE_LABEL, MAINTENANCE)]) else {
        return Ok(Parameters {
            quick: Cycle { enabled: true, interval: HOUR },
            full: Cycle { enabled: true, interval: 24 * HOUR },
            log_retention: LogRetention::DEFAULT,
            ..Parameters::default()
        });
    };
    serde_json::from_slice(manifest.data()).map_err(|e| {
        Failure::new(format!("unable to get maintenance params: manifest {}: {e}", manifest.id()))
    })
}

fn schedule(session: &Connection) -> Result<Schedule, Failure> {
    let failed = |reason: &dyn std::fmt::Display| {
        Failure::new(format!("unable to get maintenance schedule: {SCHEDULE}: {reason}"))
    };
    let id = BlobId::new(SCHEDULE).map_err(|e| failed(&e))?;
    let stored = match session.repository.store().read(&id, MAX_SCHEDULE) {
        Ok(stored) => stored,
        Err(e) if e.is_not_found() => return Ok(Schedule::default()),
        Err(e) => return Err(failed(&Error::from(e))),
    };
    let format = session.repository.format();
    let plain = MaintenanceCipher::new(format.derivation_secret(), format.unique_id())
        .and_then(|cipher| cipher.open(&stored))
        .map_err(|e| failed(&e))?;
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
