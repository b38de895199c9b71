//! How well a repository is looked after: its indexes, and Kopia's maintenance.

use std::fmt;
use std::time::Duration;

use super::Severity;
use crate::repository::maintenance::{Parameters, Schedule};
use crate::snapshot::UtcTimestamp;
use crate::text::human_span;

/// From this number of index blobs on, maintenance does not keep up: with its defaults there are some tens.
pub(crate) const MANY_INDEX_BLOBS: usize = 1000;

/// Maintenance that is later than this does not run at all: it is due once a day by default, and takes hours at most.
const LATE: Duration = Duration::from_secs(3 * 86_400);

/// A repository younger than this need not have had any maintenance.
const YOUNG: Duration = Duration::from_secs(7 * 86_400);

/// What is known of how a repository is looked after.
#[derive(Debug)]
pub(crate) struct Health {
    pub(crate) index_blobs: usize,
    /// `None` where they cannot be read.
    pub(crate) parameters: Option<Parameters>,
    /// `None` where maintenance never ran; an error where that is not known.
    pub(crate) schedule: Result<Option<Schedule>, String>,
    /// When the oldest snapshot began.
    pub(crate) oldest: Option<UtcTimestamp>,
}

/// Something about a repository that costs time or room. No restore lacks anything by it: all are notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HealthFinding {
    /// Opening takes long because of the number of index blobs.
    ManyIndexBlobs { blobs: usize },
    /// Maintenance never ran.
    NeverMaintained,
    /// Full maintenance is switched off.
    MaintenanceOff,
    /// Full maintenance should have run so long ago.
    MaintenanceLate { late: Duration },
    /// The last run of a task failed.
    MaintenanceFailed { task: String, error: String },
    /// The schedule cannot be read.
    MaintenanceUnknown { reason: String },
}

impl Health {
    /// When full maintenance is due.
    pub(crate) fn next_full(&self) -> Option<UtcTimestamp> {
        let schedule = self.schedule.as_ref().ok()?.as_ref()?;
        // Before the first run the time is that of year 1.
        Some(schedule.next_full_maintenance.instant()).filter(|time| time.as_nanos() > 0)
    }

    /// When the last task of maintenance ended well.
    pub(crate) fn last_success(&self) -> Option<UtcTimestamp> {
        let runs = self.schedule.as_ref().ok()?.as_ref()?.runs.as_ref()?;
        runs.values().flatten().filter(|run| run.success).map(|run| run.end.instant()).max()
    }

    /// What is to be told about it.
    pub(crate) fn findings(&self, now: UtcTimestamp) -> Vec<HealthFinding> {
        let mut findings = Vec::new();
        if self.index_blobs >= MANY_INDEX_BLOBS {
            findings.push(HealthFinding::ManyIndexBlobs { blobs: self.index_blobs });
        }
        let schedule = match &self.schedule {
            Ok(schedule) => schedule.as_ref(),
            Err(reason) => {
                findings.push(HealthFinding::MaintenanceUnknown { reason: reason.clone() });
                return findings;
            }
        };
        let enabled = self.parameters.as_ref().is_none_or(|parameters| parameters.full.enabled);
        let age = self.oldest.and_then(|oldest| u64::try_from(now.seconds_since(oldest)).ok());
        match (schedule, self.next_full()) {
            _ if !enabled => findings.push(HealthFinding::MaintenanceOff),
            (Some(_), Some(next)) => {
                let late = Duration::from_secs(u64::try_from(now.seconds_since(next)).unwrap_or(0));
                if late > LATE {
                    findings.push(HealthFinding::MaintenanceLate { late });
                }
            }
            _ if age.is_some_and(|age| age > YOUNG.as_secs()) => {
                findings.push(HealthFinding::NeverMaintained)
            }
            _ => {}
        }
        for (task, runs) in schedule.and_then(|schedule| schedule.runs.as_ref()).into_iter().flatten() {
            let last = runs.iter().max_by_key(|run| run.start.instant());
            if let Some(failed) = last.filter(|run| !run.success) {
                let (task, error) = (task.clone(), failed.error.clone());
                findings.push(HealthFinding::MaintenanceFailed { task, error });
            }
        }
        findings
    }
}

impl HealthFinding {
    /// The stable code, as listed in `docs/audit.md`.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::ManyIndexBlobs { .. } => "index-blobs-many",
            Self::NeverMaintained => "maintenance-never",
            Self::MaintenanceOff => "maintenance-off",
            Self::MaintenanceLate { .. } => "maintenance-late",
            Self::MaintenanceFailed { .. } => "maintenance-failed",
            Self::MaintenanceUnknown { .. } => "maintenance-unknown",
        }
    }

    /// How bad it is.
    #[expect(clippy::unused_self, reason = "as of the other findings")]
    pub(crate) fn severity(&self) -> Severity {
        Severity::Notice
    }

    /// What to do about it.
    pub(crate) fn cure(&self) -> &'static str {
        match self {
            Self::ManyIndexBlobs { .. } => {
                "run `kopia maintenance run --full` with Kopia: it merges index blobs"
            }
            Self::NeverMaintained | Self::MaintenanceLate { .. } => {
                "let the owner of maintenance run it: `kopia maintenance info` names the owner, `kopia maintenance set` changes it"
            }
            Self::MaintenanceOff => "`kopia maintenance set --enable-full true` switches it on",
            Self::MaintenanceFailed { .. } => {
                "run `kopia maintenance run --full` with Kopia and look at what it says"
            }
            Self::MaintenanceUnknown { .. } => {
                "run `rokopia verify --level index`: it looks at kopia.maintenance"
            }
        }
    }
}

impl fmt::Display for HealthFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ManyIndexBlobs { blobs } => write!(f, "{blobs} index blobs make every opening slow"),
            Self::NeverMaintained => f.write_str("maintenance has never run"),
            Self::MaintenanceOff => {
                f.write_str("full maintenance is switched off, so nothing that expired is deleted")
            }
            Self::MaintenanceLate { late } => {
                write!(f, "full maintenance has been due for {}", human_span(*late))
            }
            Self::MaintenanceFailed { task, error } => {
                write!(f, "the last run of the maintenance task {task} failed: {error}")
            }
            Self::MaintenanceUnknown { reason } => {
                write!(f, "whether maintenance runs is not known: {reason}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A day in nanoseconds.
    const DAY: i64 = 86_400_000_000_000;

    fn now() -> UtcTimestamp {
        UtcTimestamp(20_000 * DAY)
    }

    fn health(schedule: Option<&str>) -> Health {
        let schedule = Ok(schedule.map(|json| serde_json::from_str(json).unwrap()));
        let oldest = Some(UtcTimestamp(now().as_nanos() - 100 * DAY));
        Health { index_blobs: 20, parameters: None, schedule, oldest }
    }

    fn codes(health: &Health) -> Vec<&'static str> {
        health.findings(now()).iter().map(HealthFinding::code).collect()
    }

    fn scheduled(days: i64, runs: &str) -> String {
        let next = UtcTimestamp(now().as_nanos() + days * DAY);
        format!(r#"{{"nextFullMaintenance":"{next}","runs":{runs}}}"#)
    }

    #[test]
    fn maintenance_that_runs_is_no_finding() {
        let runs = r#"{"cleanup":[{"start":"2024-10-01T00:00:00Z","end":"2024-10-01T00:01:00Z","success":true},
            {"start":"2024-09-01T00:00:00Z","end":"2024-09-01T00:01:00Z","error":"storage is full"}]}"#;
        assert_eq!(codes(&health(Some(&scheduled(1, runs)))), [""; 0]);
        assert_eq!(codes(&health(Some(&scheduled(-2, "null")))), [""; 0], "it is late by a weekend");
    }

    #[test]
    fn what_nobody_looks_after_is_named() {
        let failed = r#"{"cleanup":[{"start":"2024-10-01T00:00:00Z","error":"storage is full"}]}"#;
        assert_eq!(codes(&health(Some(&scheduled(-9, failed)))), ["maintenance-late", "maintenance-failed"]);
        assert_eq!(codes(&health(None)), ["maintenance-never"]);
        assert_eq!(codes(&Health { oldest: Some(now()), ..health(None) }), [""; 0], "it was just made");
        assert_eq!(
            codes(&Health { index_blobs: 3000, ..health(Some(&scheduled(1, "null"))) }),
            ["index-blobs-many"]
        );
        let unknown = Health { schedule: Err("it does not decrypt".to_owned()), ..health(None) };
        assert_eq!(codes(&unknown), ["maintenance-unknown"]);
        let off = Parameters::default();
        assert_eq!(codes(&Health { parameters: Some(off), ..health(None) }), ["maintenance-off"]);
    }
}
