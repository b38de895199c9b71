//! What is done to the real process from without: a storage that hangs as a network file system does whose server is
//! gone, and clocks that run faster.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use super::hooked::Hooked;
use crate::blob::BlobStore;

/// Names the file of [`gate_from_env`].
const VARIABLE: &str = "ROKOPIA_TESTKIT_GATE";
const POLL: Duration = Duration::from_millis(2);

/// Says how many times faster than real time the service's clocks run.
const CLOCK_VARIABLE: &str = "ROKOPIA_TESTKIT_CLOCK";

/// What `ROKOPIA_TESTKIT_CLOCK` says, if anything: a day can be had in seconds, for tests of the real process.
#[must_use]
pub fn clock_factor() -> Option<u32> {
    std::env::var(CLOCK_VARIABLE).ok()?.parse().ok()
}

/// The store itself, or one that holds up every request for as long as the file exists that `ROKOPIA_TESTKIT_GATE`
/// names: for tests of the real process.
pub fn gate_from_env(store: Arc<dyn BlobStore>) -> Arc<dyn BlobStore> {
    let Some(closed) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return store };
    Arc::new(Hooked::new(store).before(move |_| {
        while closed.exists() {
            sleep(POLL);
        }
        Ok(())
    }))
}
