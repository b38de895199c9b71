//! The existence service: HTTP over the [`crate::checker`].
//!
//! It listens at once and says that it is not ready until the repository has been read for the first time. Nothing that
//! answers a request reads the storage; whoever needs newer knowledge waits for the checker's own threads, at most as
//! long as the configured time.

mod app;
mod config;
mod error;
mod exists;
mod http;
mod log;
mod metrics;
mod page;
mod probes;
mod server;
mod timeline;
mod v1;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Builder;

pub use config::Config;
pub use error::Error;
pub use log::{Level, Log};

use crate::Options;
use crate::checker::{Checker, Clock, FindPassword, OpenStore, Settings};
use crate::os::parallel;
use app::App;

/// Requests that are open when the service is told to stop may take this long.
const GRACE: Duration = Duration::from_secs(10);

/// How often the flag is looked at that tells the service to stop.
const STOP_POLL: Duration = Duration::from_millis(50);

/// Answering takes next to nothing; more threads would only hold memory.
const MAX_WORKERS: usize = 4;

/// Serves until `stop` is raised; whether all open requests could be completed.
///
/// # Errors
/// When it cannot listen.
pub fn run(
    config: Config,
    settings: Settings,
    options: Options,
    open_store: OpenStore,
    password: FindPassword,
    stop: &AtomicBool,
) -> Result<bool, Error> {
    let workers = parallel::available_threads().clamp(2, MAX_WORKERS);
    let runtime =
        Builder::new_multi_thread().worker_threads(workers).enable_all().build().map_err(Error::Start)?;
    let completed = runtime.block_on(async {
        let address = config.listen;
        let listen = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let bound = listener.local_addr().map_err(listen)?;
        let checker =
            Checker::start(settings, clock(), options, open_store, password).map_err(Error::Start)?;
        tracing::info!(address = %bound, "listening");
        let router = http::router(Arc::new(App::new(checker, config)));
        let stopped = async {
            while !stop.load(Ordering::SeqCst) {
                tokio::time::sleep(STOP_POLL).await;
            }
            tracing::info!("stopping");
        };
        Ok(server::serve(listener, router, stopped, GRACE).await)
    });
    // Threads that hang in the storage are left to the end of the process.
    runtime.shutdown_background();
    completed
}

/// The clocks of the system; tests of the real process let them run faster.
fn clock() -> Clock {
    #[cfg(feature = "testkit")]
    if let Some(factor) = crate::testkit::clock_factor() {
        return Clock::faster(factor);
    }
    Clock::system()
}
