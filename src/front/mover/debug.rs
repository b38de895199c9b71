//! Waiting for an administrator who looks into the pod.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::error::Error;
use super::log;

const WAIT_WHILE: &str = "/tmp/exit-debug-if-removed";
const INTERVAL: Duration = Duration::from_secs(1);

/// Waits until the file that it makes is removed. Nothing is restored.
pub(super) fn wait() -> Result<(), Error> {
    let path = Path::new(WAIT_WHILE);
    #[allow(clippy::disallowed_methods, reason = "a fixed path")]
    let made = File::create(path);
    made.map_err(|source| Error::System { what: format!("create {WAIT_WHILE}"), source })?;
    log::info(format_args!("debug mode: nothing is done until {WAIT_WHILE} is removed"));
    while path.exists() {
        std::thread::sleep(INTERVAL);
    }
    Ok(())
}
