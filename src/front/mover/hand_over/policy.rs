//! The global policy that the operator mounts as a file.

use std::ffi::OsString;

use serde::Deserialize;

use super::kopia::{Kopia, option};
use crate::front::mover::environment::Environment;
use crate::front::mover::error::Error;
use crate::front::mover::log;

const LARGEST: u64 = 1 << 20;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Policy {
    retention: Retention,
    compression: Compression,
    scheduling: Scheduling,
    files: Files,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Retention {
    keep_hourly: Option<u32>,
    keep_daily: Option<u32>,
    keep_weekly: Option<u32>,
    keep_monthly: Option<u32>,
    keep_yearly: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Compression {
    compressor: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Scheduling {
    interval: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Files {
    ignore: Vec<String>,
    ignore_cache_dirs: Option<bool>,
}

/// Sets the global policy by the file, if there is one. A file that cannot be used is only worth a line, as ever.
pub(super) fn set_global(kopia: &Kopia, environment: &Environment) -> Result<(), Error> {
    let Some(path) = environment.raw("KOPIA_GLOBAL_POLICY_FILE") else { return Ok(()) };
    let text = match std::fs::metadata(path) {
        Ok(file) if file.len() <= LARGEST => std::fs::read_to_string(path).map_err(|e| e.to_string()),
        Ok(file) => Err(format!("it has {} bytes", file.len())),
        Err(e) => Err(e.to_string()),
    };
    let policy = text.and_then(|text| serde_json::from_str::<Policy>(&text).map_err(|e| e.to_string()));
    let flags = match policy {
        Ok(policy) => policy.flags(),
        Err(reason) => {
            log::warn(format_args!("the global policy {} is not used: {reason}", path.display()));
            return Ok(());
        }
    };
    if flags.is_empty() {
        return Ok(());
    }
    let command = [vec!["policy".into(), "set".into(), "--global".into()], flags].concat();
    kopia.try_run("setting the global policy", &command).map(|_| ())
}

impl Policy {
    fn flags(self) -> Vec<OsString> {
        let Self { retention, compression, scheduling, files } = self;
        let kept = [
            ("--keep-hourly", retention.keep_hourly),
            ("--keep-daily", retention.keep_daily),
            ("--keep-weekly", retention.keep_weekly),
            ("--keep-monthly", retention.keep_monthly),
            ("--keep-annual", retention.keep_yearly),
        ];
        let mut flags: Vec<OsString> =
            kept.into_iter().filter_map(|(flag, count)| Some(option(flag, count?.to_string()))).collect();
        flags.extend(compression.compressor.map(|name| option("--compression", name)));
        flags.extend(scheduling.interval.map(|interval| option("--snapshot-interval", interval)));
        flags.extend(files.ignore.iter().map(|rule| option("--add-ignore", rule)));
        flags.extend(files.ignore_cache_dirs.map(|on| option("--ignore-cache-dirs", on.to_string())));
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_keys_become_flags() {
        let json = r#"{"retention":{"keepDaily":7,"keepYearly":0,"x":1},"compression":{"compressor":"zstd"},
            "scheduling":{"interval":"1h"},"files":{"ignore":["*.tmp","a b"],"ignoreCacheDirs":true},"other":{}}"#;
        let flags = serde_json::from_str::<Policy>(json).unwrap().flags();
        assert_eq!(
            flags,
            [
                "--keep-daily=7",
                "--keep-annual=0",
                "--compression=zstd",
                "--snapshot-interval=1h",
                "--add-ignore=*.tmp",
                "--add-ignore=a b",
                "--ignore-cache-dirs=true"
            ]
        );
        assert!(serde_json::from_str::<Policy>("{}").unwrap().flags().is_empty());
    }
}
