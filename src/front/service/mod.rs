//! The existence service: HTTP over the [`crate::checker`].
//!
//! It listens at once and says that it is not ready until the repository has been read for the first time. Nothing that
//! answers a question reads the storage; a request that needs newer knowledge waits for the checker's own threads, at most as
//! long as the configured time. Only the pages of `browse` read it, by themselves.

mod admission;
mod app;
mod badge;
#[cfg(feature = "browse")]
mod browse;
mod config;
mod error;
mod exists;
mod file;
mod headline;
mod http;
mod latency;
mod log;
mod metrics;
mod page;
mod probes;
mod process;
mod server;
mod stores;
mod timeline;
mod tls;
mod v1;
mod verified;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Builder;

pub use admission::{InvalidRestoredFrom, RestoredFrom};
#[cfg(feature = "browse")]
pub use browse::Settings as BrowseSettings;
pub use config::{Admission, Config};
pub use error::Error;
pub use log::{Level, Log};
pub use stores::Store;
pub use tls::Files as CertificateFiles;

use crate::Options;
use crate::checker::{Checker, Clock, Settings};
use crate::os::parallel;
use app::App;
#[cfg(feature = "browse")]
use browse::Browse;
use server::Listener;
use stores::Read;
use tls::Certificate;

/// Requests that are open when the service is told to stop may take this long.
const GRACE: Duration = Duration::from_secs(10);

/// How often the flag is looked at that tells the service to stop.
const STOP_POLL: Duration = Duration::from_millis(50);

/// Answering takes next to nothing; more threads would only hold memory.
const MAX_WORKERS: usize = 4;

/// Serves until `stop` is raised, from the first repository and others of the same data; whether all open requests could be completed.
///
/// # Errors
/// When it cannot listen.
pub fn run(
    config: Config,
    settings: Settings,
    options: Options,
    first: Store,
    others: Vec<Store>,
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
        let webhook = match config.admission.clone() {
            Some(admission) => Some(Webhook::bind(admission).await?),
            None => None,
        };
        #[cfg(feature = "browse")]
        let browse = match config.browse.clone() {
            Some(browse) => {
                let (open_store, password) = (Arc::clone(&first.open_store), Arc::clone(&first.password));
                Some(Browse::open(browse, open_store, password, options.clone())?)
            }
            None => None,
        };
        let clock = clock();
        let read = |Store { location, open_store, password }: Store, settings| {
            let checker = Checker::start(settings, clock, options.clone(), open_store, password);
            Ok(Read { location, checker: checker.map_err(Error::Start)? })
        };
        // The ID that is expected is that of the first one.
        let of_others = Settings { expected_id: None, ..settings.clone() };
        let others = others.into_iter().map(|store| read(store, of_others.clone()));
        let others = others.collect::<Result<Vec<_>, Error>>()?;
        let first = read(first, settings)?;
        if let Some(webhook) = &webhook {
            tracing::info!(address = %webhook.address, "listening for admission");
        }
        tracing::info!(address = %bound, "listening");
        let app = Arc::new(App::new(
            first,
            others,
            config,
            #[cfg(feature = "browse")]
            browse,
        ));
        let router = http::router(Arc::clone(&app));
        let stopping = async {
            stopped(stop).await;
            tracing::info!("stopping");
        };
        let questions = server::serve(Listener::plain(listener), router, stopping, GRACE);
        let reviews = async {
            match webhook {
                Some(webhook) => webhook.serve(app, stopped(stop)).await,
                None => true,
            }
        };
        let (questions, reviews) = tokio::join!(questions, reviews);
        Ok(questions && reviews)
    });
    // Threads that hang in the storage are left to the end of the process.
    runtime.shutdown_background();
    completed
}

/// Resolves when the flag is raised.
async fn stopped(stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        tokio::time::sleep(STOP_POLL).await;
    }
}

/// The webhook, before it is served.
struct Webhook {
    listener: Listener,
    address: SocketAddr,
    certificate: Arc<Certificate>,
}

impl Webhook {
    async fn bind(Admission { listen, certificate }: Admission) -> Result<Self, Error> {
        let certificate = Arc::new(Certificate::open(certificate)?);
        let failed = |source| Error::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener: Listener::over_tls(listener, certificate.acceptor()?), address, certificate })
    }

    /// Serves as `server::serve` does.
    async fn serve(self, app: Arc<App>, stop: impl Future<Output = ()>) -> bool {
        let keeping_up = tokio::spawn(self.certificate.keep_up());
        let completed = server::serve(self.listener, admission::router(app), stop, GRACE).await;
        keeping_up.abort();
        completed
    }
}

/// The clocks of the system; tests of the real process let them run faster.
fn clock() -> Clock {
    #[cfg(feature = "testkit")]
    if let Some(factor) = crate::testkit::clock_factor() {
        return Clock::faster(factor);
    }
    Clock::system()
}
