//! The maintenance direction.

use std::time::{Duration, Instant};

use super::connect::{Identity, connect, set_client};
use super::kopia::{Kopia, option};
use crate::front::mover::environment::Environment;
use crate::front::mover::error::Error;
use crate::front::mover::log;

/// Who owns maintenance unless the environment says otherwise.
const USER: &str = "maintenance";
const HOST: &str = "volsync";

const INFO_LIMIT: Duration = Duration::from_secs(600);

pub(super) fn run(kopia: &Kopia, environment: &Environment) -> Result<(), Error> {
    let started = Instant::now();
    let result = maintain(kopia, environment);
    log::info(format_args!("MAINTENANCE_STATUS: {}", if result.is_ok() { "SUCCESS" } else { "FAILURE" }));
    log::info(format_args!("MAINTENANCE_DURATION: {}", started.elapsed().as_secs()));
    if let Err(error) = &result {
        log::info(format_args!("MAINTENANCE_FAILURE_REASON: {error}"));
    }
    result
}

fn maintain(kopia: &Kopia, environment: &Environment) -> Result<(), Error> {
    // The pod's user has no name, and the operator gives none: maintenance belongs to an identity of its own.
    connect(kopia, environment, || Ok(owner(environment)))?;
    // A structured configuration connects with the identity that it names.
    let owner = owner(environment);
    set_client(kopia, &owner)?;
    let words = |words: &[&str]| words.iter().map(Into::into).collect::<Vec<_>>();
    let owner = format!("{}@{}", owner.user, owner.host);
    let info = kopia.output(&words(&["maintenance", "info"]), INFO_LIMIT)?.unwrap_or_default();
    let current = info.lines().find_map(|line| line.trim().strip_prefix("Owner:")).map(str::trim);
    if current != Some(owner.as_str()) {
        let mut command = words(&["maintenance", "set"]);
        command.push(option("--owner", &owner));
        kopia.run("taking ownership of maintenance", &command)?;
    }
    kopia.try_run("enabling quick maintenance", &words(&["maintenance", "set", "--enable-quick=true"]))?;
    kopia.try_run("quick maintenance", &words(&["maintenance", "run"]))?;
    kopia.run("full maintenance", &words(&["maintenance", "run", "--full"]))
}

fn owner(environment: &Environment) -> Identity {
    let owner = environment.text("KOPIA_OVERRIDE_MAINTENANCE_USERNAME").unwrap_or(USER.into());
    let (user, host) = owner.split_once('@').unwrap_or((&owner, HOST));
    Identity { user: user.to_owned(), host: host.to_owned() }
}
