//! What Kopia keeps about its maintenance: who runs it, how often, and what was done (`format-spec/01-blobs.md`).
//!
//! A reader needs none of it. It tells people whether somebody looks after the repository.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::Error;
use crate::blob::{BlobId, BlobStore};
use crate::format::RepositoryFormat;
use crate::gojson::go_object;
use crate::gojson::time::GoTime;
use crate::manifest::{ManifestId, ManifestSet, TYPE_LABEL};
use crate::snapshot::UtcTimestamp;

/// Manifest type of the parameters.
const MAINTENANCE: &str = "maintenance";

/// Holds when maintenance runs next, and when it did.
pub(crate) const SCHEDULE_BLOB: &str = "kopia.maintenance";
const MAX_SCHEDULE: u64 = 64 << 20;

const HOUR: i64 = 3_600_000_000_000;

/// The schedule as it is stored, decrypted; `None` where maintenance never ran.
pub(crate) fn schedule_json(
    store: &Arc<dyn BlobStore>,
    format: &RepositoryFormat,
) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let Ok(id) = BlobId::new(SCHEDULE_BLOB) else { return Ok(None) };
    let stored = match store.read(&id, MAX_SCHEDULE) {
        Ok(stored) => stored,
        Err(e) if e.is_not_found() => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    Ok(Some(format.open_maintenance(&stored)?))
}

impl Parameters {
    /// The parameters of a repository; those of Kopia where nothing is said. The error names the manifest.
    pub(crate) fn of(manifests: &ManifestSet) -> Result<Self, (ManifestId, serde_json::Error)> {
        let Some(manifest) = manifests.latest(&[(TYPE_LABEL, MAINTENANCE)]) else {
            return Ok(Self {
                quick: Cycle { enabled: true, interval: HOUR },
                full: Cycle { enabled: true, interval: 24 * HOUR },
                log_retention: LogRetention::DEFAULT,
                ..Self::default()
            });
        };
        serde_json::from_slice(manifest.data()).map_err(|e| (manifest.id().clone(), e))
    }
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Parameters {
    pub(crate) owner: String,
    pub(crate) quick: Cycle,
    pub(crate) full: Cycle,
    pub(crate) log_retention: LogRetention,
    pub(crate) extend_object_locks: bool,
    pub(crate) list_parallelism: i64,
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
pub(crate) struct Cycle {
    pub(crate) enabled: bool,
    pub(crate) interval: i64,
}
go_object!(Cycle { "enabled" => enabled, "interval" => interval });

#[derive(Debug, Default, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogRetention {
    pub(crate) max_total_size: i64,
    pub(crate) max_count: i64,
    pub(crate) max_age: i64,
}
go_object!(LogRetention { "maxTotalSize" => max_total_size, "maxCount" => max_count, "maxAge" => max_age });

impl LogRetention {
    /// What Kopia keeps when nothing is said.
    const DEFAULT: Self = Self { max_total_size: 1 << 30, max_count: 10_000, max_age: 30 * 24 * HOUR };

    pub(crate) fn or_default(self) -> Self {
        let nothing = self.max_total_size == 0 && self.max_count == 0 && self.max_age == 0;
        if nothing { Self::DEFAULT } else { self }
    }
}

/// A time as it is stored, with the zone in which it was written.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct Time(String);

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
    pub(crate) fn instant(&self) -> UtcTimestamp {
        GoTime::parse(&self.0).unwrap_or(GoTime::ZERO).into()
    }
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Schedule {
    pub(crate) next_full_maintenance: Time,
    pub(crate) next_quick_maintenance: Time,
    pub(crate) runs: Option<BTreeMap<String, Vec<Run>>>,
}
go_object!(Schedule {
    "nextFullMaintenance" => next_full_maintenance,
    "nextQuickMaintenance" => next_quick_maintenance,
    "runs" => runs (raw),
});

#[derive(Debug, Default, Serialize)]
pub(crate) struct Run {
    pub(crate) start: Time,
    pub(crate) end: Time,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) success: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) extra: Option<Box<RawValue>>,
}
go_object!(Run {
    "start" => start,
    "end" => end,
    "success" => success,
    "error" => error,
    "extra" => extra (raw),
});
