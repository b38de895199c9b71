//! Getting kopia connected, which every operation begins with.

use std::ffi::OsString;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use super::kopia::{Kopia, option};
use super::{backend, policy};
use crate::front::mover::arguments::PassedOn;
use crate::front::mover::environment::Environment;
use crate::front::mover::error::Error;
use crate::front::mover::identity::Client;
use crate::front::mover::{location, log};

const STATUS_LIMIT: Duration = Duration::from_secs(10);

/// Who kopia is in the repository: what `set-client` is given.
pub(super) struct Identity {
    pub(super) user: String,
    pub(super) host: String,
}

impl Identity {
    /// Whose snapshots the environment asks for.
    pub(super) fn of_source(environment: &Environment) -> Result<Self, Error> {
        let given = |name| environment.text(name).map(std::borrow::Cow::into_owned);
        let client = Client::of_process();
        let user = given("KOPIA_OVERRIDE_USERNAME").or(client.user).ok_or(Error::NoUserName)?;
        Ok(Self { user, host: given("KOPIA_OVERRIDE_HOSTNAME").unwrap_or(client.host) })
    }
}

/// Connects, creating the repository if there is none, and sets identity, cache limits and the global policy.
pub(super) fn connect(
    kopia: &Kopia,
    environment: &Environment,
    identity: impl FnOnce() -> Result<Identity, Error>,
) -> Result<(), Error> {
    let logs = kopia.cache.join("logs");
    #[allow(clippy::disallowed_methods, reason = "the cache is that of a real kopia")]
    let made = std::fs::create_dir_all(&logs);
    made.map_err(|source| Error::System { what: format!("create {}", logs.display()), source })?;
    kopia.run("finding out kopia's version", &["--version".into()])?;
    let status = ["repository".into(), "status".into()];
    if kopia.output(&status, STATUS_LIMIT)?.is_none() && connect_anew(kopia, environment)? {
        return Ok(());
    }
    set_client(kopia, &identity()?)?;
    let now = kopia.output(&status, STATUS_LIMIT)?.unwrap_or_default();
    for line in now.lines().filter(|line| line.contains("User") || line.contains("Host")) {
        log::line(line);
    }
    if !environment.is_true("KOPIA_SKIP_CACHE_CONFIG") {
        set_cache(kopia, environment)?;
    }
    policy::set_global(kopia, environment)
}

/// Whether the connection came from a structured configuration, which says everything else too.
fn connect_anew(kopia: &Kopia, environment: &Environment) -> Result<bool, Error> {
    if let Some(json) = environment.raw("KOPIA_STRUCTURED_REPOSITORY_CONFIG")
        && connect_structured(kopia, json)?
    {
        return Ok(true);
    }
    let location = backend::arguments(environment)?;
    let more = PassedOn::of(environment).connecting;
    let command = |verb: &str| {
        let mut command: Vec<OsString> = vec!["repository".into(), verb.into()];
        command.extend(location.iter().cloned());
        command.push(option("--cache-directory", &kopia.cache));
        command.extend(more.iter().map(Into::into));
        command
    };
    if !kopia.try_run("connecting to the repository", &command("connect"))? {
        kopia.run("creating the repository", &command("create"))?;
    }
    Ok(false)
}

fn connect_structured(kopia: &Kopia, json: &std::ffi::OsStr) -> Result<bool, Error> {
    use std::io::Write;
    use std::os::unix::ffi::OsStrExt;
    let _: serde::de::IgnoredAny =
        serde_json::from_slice(json.as_bytes()).map_err(|e| location::invalid_json(&e))?;
    let path = kopia.cache.join("structured.config");
    let mut options = std::fs::OpenOptions::new();
    #[allow(clippy::disallowed_methods, reason = "the cache is that of a real kopia")]
    let write = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
    write
        .and_then(|mut file| file.write_all(json.as_bytes()))
        .map_err(|source| Error::System { what: format!("write {}", path.display()), source })?;
    let command = ["repository".into(), "connect".into(), "from-config".into(), option("--file", &path)];
    let connected = kopia.try_run("connecting by the structured configuration", &command);
    // It may hold credentials, and kopia has its own copy by now.
    let _ = std::fs::remove_file(&path);
    connected
}

/// Tells kopia who it is.
pub(super) fn set_client(kopia: &Kopia, Identity { user, host }: &Identity) -> Result<(), Error> {
    let command =
        ["repository".into(), "set-client".into(), option("--username", user), option("--hostname", host)];
    kopia.run("setting the identity", &command)
}

fn set_cache(kopia: &Kopia, environment: &Environment) -> Result<(), Error> {
    let mut command = vec!["cache".into(), "set".into(), option("--cache-directory", &kopia.cache)];
    for (flag, variable) in [
        ("--metadata-cache-size-limit-mb", "KOPIA_METADATA_CACHE_SIZE_LIMIT_MB"),
        ("--content-cache-size-limit-mb", "KOPIA_CONTENT_CACHE_SIZE_LIMIT_MB"),
    ] {
        command.extend(environment.raw(variable).map(|value| option(flag, value)));
    }
    kopia.run("Failed to set cache directory: setting it", &command)
}
