//! The JSON of `kopia.repository`, outside and inside (`format-spec/02-format-blob.md`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::gojson::go_object;

/// What anybody can read.
#[derive(Default)]
pub(super) struct Outer {
    pub(super) unique_id: Bytes,
    pub(super) key_algorithm: String,
    pub(super) encryption: String,
    pub(super) encrypted: Bytes,
}
go_object!(Outer {
    "uniqueID" => unique_id,
    "keyAlgo" => key_algorithm,
    "encryption" => encryption,
    "encryptedBlockFormat" => encrypted,
});

/// What the password opens.
#[derive(Default)]
pub(super) struct Inner {
    pub(super) format: Option<Configuration>,
}
go_object!(Inner { "format" => format (raw) });

#[derive(Default)]
pub(super) struct Configuration {
    pub(super) hash: String,
    pub(super) encryption: String,
    pub(super) ecc: String,
    pub(super) ecc_overhead_percent: i64,
    pub(super) secret: Bytes,
    pub(super) master_key: Bytes,
    pub(super) version: i64,
    pub(super) max_pack_size: i64,
    pub(super) index_version: i64,
    pub(super) epochs: Epochs,
    pub(super) enable_password_change: bool,
    pub(super) splitter: String,
    pub(super) upgrade_lock: Option<UpgradeLock>,
    pub(super) required_features: Vec<Feature>,
}
go_object!(Configuration {
    "hash" => hash,
    "encryption" => encryption,
    "ecc" => ecc,
    "eccOverheadPercent" => ecc_overhead_percent,
    "secret" => secret,
    "masterKey" => master_key,
    "version" => version,
    "maxPackSize" => max_pack_size,
    "indexVersion" => index_version,
    "epochParameters" => epochs,
    "enablePasswordChange" => enable_password_change,
    "splitter" => splitter,
    "upgradeLock" => upgrade_lock (raw),
    "requiredFeatures" => required_features,
});

#[derive(Default)]
pub(super) struct Epochs {
    pub(super) enabled: bool,
    pub(super) refresh_frequency: i64,
    pub(super) full_checkpoint_frequency: i64,
    pub(super) cleanup_safety_margin: i64,
    pub(super) min_duration: i64,
    pub(super) advance_on_count: i64,
    pub(super) advance_on_size: i64,
    pub(super) delete_parallelism: i64,
}
go_object!(Epochs {
    "Enabled" => enabled,
    "EpochRefreshFrequency" => refresh_frequency,
    "FullCheckpointFrequency" => full_checkpoint_frequency,
    "CleanupSafetyMargin" => cleanup_safety_margin,
    "MinEpochDuration" => min_duration,
    "EpochAdvanceOnCountThreshold" => advance_on_count,
    "EpochAdvanceOnTotalSizeBytesThreshold" => advance_on_size,
    "DeleteParallelism" => delete_parallelism,
});

#[derive(Default)]
pub(super) struct UpgradeLock {
    pub(super) owner: String,
    pub(super) created: String,
    pub(super) advance_notice: i64,
    pub(super) drain_timeout: i64,
    pub(super) clock_drift: i64,
}
go_object!(UpgradeLock {
    "ownerID" => owner,
    "creationTime" => created,
    "advanceNoticeDuration" => advance_notice,
    "ioDrainTimeout" => drain_timeout,
    "maxPermittedClockDrift" => clock_drift,
});

#[derive(Default)]
pub(super) struct Feature {
    pub(super) feature: String,
    pub(super) if_not_understood: IfNotUnderstood,
}
go_object!(Feature { "feature" => feature, "ifNotUnderstood" => if_not_understood });

#[derive(Default)]
pub(super) struct IfNotUnderstood {
    pub(super) warn: bool,
    pub(super) message: String,
    pub(super) url: String,
    pub(super) upgrade_to: String,
}
go_object!(IfNotUnderstood {
    "warn" => warn,
    "message" => message,
    "url" => url,
    "upgradeToVersion" => upgrade_to,
});

/// Go's `[]byte`: standard base64 with padding. Zeroised, because some of them are keys.
#[derive(Default)]
pub(super) struct Bytes(pub(super) Zeroizing<Vec<u8>>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = STANDARD.decode(text.as_bytes()).map_err(serde::de::Error::custom)?;
        Ok(Self(Zeroizing::new(bytes)))
    }
}
