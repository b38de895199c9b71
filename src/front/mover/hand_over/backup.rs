//! The source direction: a snapshot of the volume.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::connect::{Identity, connect};
use super::kopia::{self, Kopia, option};
use crate::front::mover::arguments::PassedOn;
use crate::front::mover::environment::Environment;
use crate::front::mover::error::Error;
use crate::front::mover::location::is_new;
use crate::front::mover::log;

/// Where snapshots say they come from, whatever the mount point.
const SAVED_AS: &str = "/data";

const ACTION_LIMIT: Duration = Duration::from_secs(300);

const KEEP: [(&str, &str); 6] = [
    ("--keep-hourly", "KOPIA_RETAIN_HOURLY"),
    ("--keep-daily", "KOPIA_RETAIN_DAILY"),
    ("--keep-weekly", "KOPIA_RETAIN_WEEKLY"),
    ("--keep-monthly", "KOPIA_RETAIN_MONTHLY"),
    ("--keep-annual", "KOPIA_RETAIN_YEARLY"),
    ("--keep-latest", "KOPIA_RETAIN_LATEST"),
];

pub(super) fn run(kopia: &Kopia, environment: &Environment) -> Result<(), Error> {
    let data = environment.data_dir().ok_or(Error::Undefined("DATA_DIR"))?;
    if !data.is_dir() {
        return Err(Error::DataDirectory(data));
    }
    if is_new(&data) {
        log::line(format_args!("{} is empty: there is nothing to save", data.display()));
        return Ok(());
    }
    connect(kopia, environment, || Identity::of_source(environment))?;
    let source = environment.raw("KOPIA_SOURCE_PATH_OVERRIDE");
    if let Some(compressor) = environment.raw("KOPIA_COMPRESSION") {
        let of: &OsStr = source.unwrap_or(SAVED_AS.as_ref());
        let command = ["policy".into(), "set".into(), of.into(), option("--compression", compressor)];
        kopia.run("setting the compression", &command)?;
    }
    let actions = actions_enabled(environment);
    if let Some(action) = environment.raw("KOPIA_BEFORE_SNAPSHOT").filter(|_| actions) {
        run_action("the action before the snapshot", action)?;
    }
    let mut create: Vec<OsString> = vec!["snapshot".into(), "create".into(), data.clone().into_os_string()];
    create.extend(environment.raw("KOPIA_PARALLELISM").map(|count| option("--parallel", count)));
    create.extend(source.map(|path| option("--override-source", path)));
    create.extend(PassedOn::of(environment).saving.into_iter().map(Into::into));
    kopia.run("creating the snapshot", &create)?;
    log::info("Snapshot created successfully");
    if let Some(action) = environment.raw("KOPIA_AFTER_SNAPSHOT").filter(|_| actions)
        && let Err(error) = run_action("the action after the snapshot", action)
    {
        log::warn(error);
    }
    let mut keep: Vec<OsString> = vec!["policy".into(), "set".into(), data.into_os_string()];
    keep.extend(KEEP.iter().filter_map(|(flag, variable)| Some(option(flag, environment.raw(variable)?))));
    kopia.try_run("setting the retention", &keep).map(|_| ())
}

/// Actions are on unless the environment, or the mounted repository configuration, says otherwise.
fn actions_enabled(environment: &Environment) -> bool {
    #[derive(Default, serde::Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct RepositoryConfig {
        enable_actions: Option<bool>,
    }
    if let Some(value) = environment.raw("KOPIA_ACTIONS_ENABLED") {
        return value != "false";
    }
    let file = environment.raw("KOPIA_REPOSITORY_CONFIG_FILE").map(Path::new);
    let text = file.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let config: RepositoryConfig = serde_json::from_str(&text).unwrap_or_default();
    config.enable_actions.unwrap_or(true)
}

fn run_action(what: &'static str, action: &OsStr) -> Result<(), Error> {
    let mut command = Command::new("bash");
    command.arg("-c").arg(action).stdin(Stdio::null());
    let status = kopia::run(&mut command, Some(ACTION_LIMIT))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Kopia { what, reason: format!("it ended with {status}") })
}
