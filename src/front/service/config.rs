//! Settings of the service, beside those of the checker.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::admission::RestoredFrom;
use super::tls::Files;

/// How the service listens, labels and waits.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The `backend` of answers and metrics.
    pub backend: String,
    /// How long a question may take; `None` for as long as the client stays.
    pub timeout: Option<Duration>,
    /// Answers as before version 1.5 of the contract: a failure looks like a *no*. Loses data.
    pub legacy: bool,
    /// Sources that get metrics of their own, at most.
    pub metric_sources: usize,
    /// A source without a complete snapshot of at most this age is stale.
    pub stale_after: Duration,
    /// The report of `rokopia verify --report` whose result the page shows.
    pub verify_report: Option<PathBuf>,
    /// Also answer as an admission webhook.
    pub admission: Option<Admission>,
    /// Also show what is in snapshots.
    #[cfg(feature = "browse")]
    pub browse: Option<super::browse::Settings>,
    /// What the webhook has claims restored from.
    pub restored_from: RestoredFrom,
}

/// How the admission webhook is reached.
#[derive(Debug, Clone)]
pub struct Admission {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The certificate that the API server trusts.
    pub certificate: Files,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8080)),
            backend: "kopia-fs".to_owned(),
            timeout: Some(Duration::from_secs(3)),
            legacy: false,
            metric_sources: 2000,
            stale_after: Duration::from_secs(26 * 3600),
            verify_report: None,
            admission: None,
            #[cfg(feature = "browse")]
            browse: None,
            restored_from: RestoredFrom::default(),
        }
    }
}
