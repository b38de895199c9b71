//! `rokopia serve`: the existence service.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::blob::Traffic;
use crate::checker::{Doubtful, FindPassword, Settings};
use crate::crypto;
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::source_template::SourceTemplate;
use crate::front::cli::stores::OtherStores;
use crate::front::location::Location;
#[cfg(feature = "browse")]
use crate::front::service::BrowseSettings;
use crate::front::service::{self, Admission, CertificateFiles, Config, Level, Log, RestoredFrom, Store};
use crate::gojson::duration::GoDuration;
use crate::os::signals::CleanUp;

/// The directory may hang; then the service starts all the same, and says that it is not ready.
const PATIENCE: Duration = Duration::from_secs(2);

const DEFAULT_REPOSITORY: &str = "/repository";

/// Run the existence service: answer over HTTP whether backups exist
#[derive(Debug, clap::Args)]
#[command(
    next_help_heading = "Options of the service",
    after_help = "\
Durations are written as in Go: 300ms, 7s, 1h30m. Without --repo, the repository is KOPIA_REPOSITORY_PATH, or /repository. \
The log goes to stdout. After SIGTERM the service answers the requests that are open and ends with exit code 0.

Examples:
  rokopia serve --repo /repository --password-file /run/secrets/password
  KOPIA_PASSWORD=... rokopia serve --port 8080 --min-sources 20
  rokopia serve --repo /repository --with s3://bucket/kopia"
)]
pub(in crate::front::cli) struct Args {
    /// Kind of the storage: kopia-fs
    #[arg(long, env = "BACKEND_TYPE", default_value = "kopia-fs", value_name = "KIND")]
    backend_type: String,

    /// Port to listen on, on all addresses
    #[arg(long, env = "PORT", default_value = "8080", value_name = "PORT")]
    port: String,

    /// Address and port to listen on, instead of --port
    #[arg(long, env = "ROKOPIA_LISTEN", value_name = "ADDRESS")]
    listen: Option<String>,

    /// How much to log: debug, info, warn or error
    #[arg(long, env = "LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    log_level: String,

    /// Maximum time for an answer; 0 for no limit
    #[arg(long, env = "HTTP_TIMEOUT", default_value = "3s", value_name = "DURATION")]
    http_timeout: String,

    /// Maximum age of cached data for a positive answer; 0 always re-reads
    #[arg(long, env = "CACHE_TTL", default_value = "60s", value_name = "DURATION")]
    cache_ttl: String,

    /// Time between reads of the repository in the background; 0 for none
    #[arg(long, env = "RE_WARM_INTERVAL", default_value = "90s", value_name = "DURATION")]
    refresh_interval: String,

    /// Maximum age of cached data for a negative answer; 0 always re-reads
    #[arg(long, env = "ROKOPIA_NEGATIVE_MAX_AGE", default_value = "0s", value_name = "DURATION")]
    negative_max_age: String,

    /// Time after which a read of the storage is abandoned and started again
    #[arg(long, env = "ROKOPIA_STORAGE_TIMEOUT", default_value = "2m", value_name = "DURATION")]
    storage_timeout: String,

    /// Time between searches for packs that no index names, a sign of lost index blobs; 0 for none
    #[arg(long, env = "ROKOPIA_SCAN_INTERVAL", default_value = "15m", value_name = "DURATION")]
    scan_interval: String,

    #[command(flatten)]
    source_template: SourceTemplate,

    /// Name of the backend in answers and metrics
    #[arg(long, env = "ROKOPIA_BACKEND_LABEL", default_value = "kopia-fs", value_name = "LABEL")]
    backend_label: String,

    /// The unique ID that the repository must have, in hex [default: that of the first one opened]
    #[arg(long, env = "ROKOPIA_EXPECTED_ID", value_name = "HEX")]
    expected_id: Option<String>,

    /// If the repository has fewer sources than this, a missing backup is unknown instead of absent
    #[arg(long, env = "ROKOPIA_MIN_SOURCES", default_value = "0", value_name = "N")]
    min_sources: String,

    /// The answer for a claim that has backups only under a name that VolSync may have derived from it: unknown or exists
    #[arg(long, env = "ROKOPIA_ALTERED_NAMES", default_value = "unknown", value_name = "STATE")]
    altered_names: String,

    /// The answer for a claim that has only incomplete snapshots: exists or unknown
    #[arg(long, env = "ROKOPIA_INCOMPLETE", default_value = "exists", value_name = "STATE")]
    incomplete: String,

    /// Age of the newest complete snapshot from which a source counts as stale
    #[arg(long, env = "ROKOPIA_STALE_AFTER", default_value = "26h", value_name = "DURATION")]
    stale_after: String,

    /// Maximum number of sources with metrics of their own
    #[arg(long, env = "ROKOPIA_METRIC_SOURCES", default_value = "2000", value_name = "N")]
    metric_sources: String,

    /// Report of `rokopia verify --report FILE` whose result the page shows
    #[arg(long, env = "ROKOPIA_VERIFY_REPORT", value_name = "FILE")]
    verify_report: Option<PathBuf>,

    /// Also answer as an admission webhook for PersistentVolumeClaims: POST /mutate and /validate, over TLS
    #[arg(long, env = "ROKOPIA_ADMISSION")]
    admission: bool,

    /// Address and port of the webhook
    #[arg(long, env = "ROKOPIA_ADMISSION_LISTEN", default_value = "[::]:8443", value_name = "ADDRESS")]
    admission_listen: String,

    /// Certificate of the webhook in PEM; read again when it changes
    #[arg(long, env = "ROKOPIA_TLS_CERT", default_value = "/tls/tls.crt", value_name = "FILE")]
    tls_cert: PathBuf,

    /// Key of the certificate in PEM
    #[arg(long, env = "ROKOPIA_TLS_KEY", default_value = "/tls/tls.key", value_name = "FILE")]
    tls_key: PathBuf,

    /// The object from which the webhook lets a claim be restored: group, kind and name
    #[arg(
        long,
        env = "ROKOPIA_RESTORE_FROM",
        default_value = "volsync.backube/ReplicationDestination/{pvc}-backup",
        value_name = "TEMPLATE"
    )]
    restore_from: String,

    /// Also show what is in snapshots, at /browse, to those whom --browse-access lets in
    #[cfg(feature = "browse")]
    #[arg(long, env = "ROKOPIA_BROWSE", requires = "browse_access")]
    browse: bool,

    /// File that says who may see which sources: lines such as `token SECRET *@apps:*` or `user NAME *`
    #[cfg(feature = "browse")]
    #[arg(long, env = "ROKOPIA_BROWSE_ACCESS", value_name = "FILE")]
    browse_access: Option<PathBuf>,

    /// Header in which a proxy names the user, such as X-Forwarded-User
    #[cfg(feature = "browse")]
    #[arg(long, env = "ROKOPIA_BROWSE_USER_HEADER", value_name = "NAME", requires = "browse_proxy")]
    browse_user_header: Option<String>,

    /// Network or address of a proxy whose header is believed. May be given several times
    #[cfg(feature = "browse")]
    #[arg(long, env = "ROKOPIA_BROWSE_PROXY", value_name = "NETWORK", value_delimiter = ',')]
    browse_proxy: Vec<String>,

    #[command(flatten)]
    others: OtherStores,

    /// Answer as pvc-plumber 0.3.1 did: a failure looks like "no backup". LOSES DATA
    #[arg(long)]
    legacy_answers: bool,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let clean_up = CleanUp::new();
        let (config, settings) = self.understood()?;
        #[cfg(feature = "browse")]
        let config = Config { browse: self.browsing(context)?, ..config };
        let beside: Vec<Context> = self.others.contexts(context).collect();
        let entered = context.sandbox_with(&beside).reading_anywhere().listening().enter();
        let location = context.location_or(|| {
            let path = std::env::var_os("KOPIA_REPOSITORY_PATH").filter(|path| !path.is_empty());
            Location::parse(&path.unwrap_or_else(|| DEFAULT_REPOSITORY.into()))
        });
        check_location(&location)?;
        let password = context.password_source()?;
        if matches!(password(), Err(crypto::Error::NoPassword)) {
            return Err(invalid("KOPIA_PASSWORD is required for kopia-fs backend"));
        }
        let others = beside.iter().map(Self::other).collect::<Result<Vec<_>, Failure>>()?;
        let level: Level = self.log_level.parse().unwrap_or_default();
        let log = Log::start(level)
            .map_err(|e| Failure::new(Exit::Negative, "out-of-threads", format!("starting the log: {e}")))?;
        entered.log();
        tracing::info!(version = env!("CARGO_PKG_VERSION"), repository = %location, "starting");
        if self.legacy_answers {
            tracing::warn!(
                code = "legacy-answers",
                "legacy answers are on: a failure looks like a no, and an application may start on an empty volume"
            );
        }
        let options = context.strict().options();
        let first = store(location, password, context);
        let ended = service::run(config, settings, options, first, others, &clean_up.flag());
        drop(log);
        clean_up.finish();
        match ended {
            Ok(true) => Ok(Exit::Done),
            Ok(false) => {
                let message = "requests were still open when the time to end them was over";
                Err(Failure::new(Exit::Negative, "shutdown-incomplete", message))
            }
            Err(e) => Err(Failure::new(Exit::Negative, e.code(), e.to_string()).retry(e.is_retryable())),
        }
    }

    /// Another store of the same data. That it cannot be read now is no reason not to start: the others answer.
    fn other(context: &Context) -> Result<Store, Failure> {
        let location = context.location()?;
        if context.restic()?.is_some() {
            return Err(invalid(format!(
                "{location}: the service reads repositories of Kopia; `rokopia exists --with` and `audit --with` also those of restic"
            )));
        }
        Ok(store(location, context.password_source()?, context))
    }

    /// What the options mean. The messages about the first six are part of the contract.
    fn understood(&self) -> Result<(Config, Settings), Failure> {
        if self.backend_type != "kopia-fs" && !self.backend_type.is_empty() {
            let kind = &self.backend_type;
            return Err(invalid(format!("invalid BACKEND_TYPE: {kind} (this service reads kopia-fs)")));
        }
        let defaults = (Config::default(), Settings::default());
        let timeout = duration("HTTP_TIMEOUT", &self.http_timeout, "3s")?;
        let cache_ttl = duration("CACHE_TTL", &self.cache_ttl, "60s")?;
        let refresh_interval = duration("RE_WARM_INTERVAL", &self.refresh_interval, "90s")?;
        if refresh_interval.is_negative() {
            let given = &self.refresh_interval;
            return Err(invalid(format!("RE_WARM_INTERVAL must be >= 0, got {given}")));
        }
        let positive_max_age = cache_ttl.positive().unwrap_or_default();
        let negative = duration("ROKOPIA_NEGATIVE_MAX_AGE", &self.negative_max_age, "0s")?;
        let storage_timeout = duration("ROKOPIA_STORAGE_TIMEOUT", &self.storage_timeout, "2m")?;
        let stale_after = duration("ROKOPIA_STALE_AFTER", &self.stale_after, "26h")?;
        let config = Config {
            listen: self.address()?,
            backend: self.backend_label.clone(),
            timeout: timeout.positive(),
            legacy: self.legacy_answers,
            metric_sources: number("ROKOPIA_METRIC_SOURCES", &self.metric_sources)?,
            stale_after: stale_after.positive().unwrap_or(defaults.0.stale_after),
            verify_report: self.verify_report.clone(),
            admission: self.webhook()?,
            #[cfg(feature = "browse")]
            browse: None,
            restored_from: self.restore_from.parse::<RestoredFrom>().map_err(|e| invalid(e.to_string()))?,
        };
        let settings = Settings {
            template: self.source_template.parse().map_err(invalid)?,
            positive_max_age,
            // A no that is older than a yes may be would be the less certain of the two.
            negative_max_age: negative.positive().unwrap_or_default().min(positive_max_age),
            refresh_interval: refresh_interval.positive(),
            storage_timeout: storage_timeout.positive().unwrap_or(defaults.1.storage_timeout),
            scan_interval: duration("ROKOPIA_SCAN_INTERVAL", &self.scan_interval, "15m")?.positive(),
            expected_id: self.expected_id()?,
            min_sources: number("ROKOPIA_MIN_SOURCES", &self.min_sources)?,
            altered_names: doubtful("ROKOPIA_ALTERED_NAMES", &self.altered_names)?,
            incomplete: doubtful("ROKOPIA_INCOMPLETE", &self.incomplete)?,
        };
        Ok((config, settings))
    }

    fn webhook(&self) -> Result<Option<Admission>, Failure> {
        if !self.admission {
            return Ok(None);
        }
        let listen = &self.admission_listen;
        Ok(Some(Admission {
            listen: listen
                .parse()
                .map_err(|e| invalid(format!("invalid ROKOPIA_ADMISSION_LISTEN: {listen:?}: {e}")))?,
            certificate: CertificateFiles { certificate: self.tls_cert.clone(), key: self.tls_key.clone() },
        }))
    }

    #[cfg(feature = "browse")]
    fn browsing(&self, context: &Context) -> Result<Option<BrowseSettings>, Failure> {
        let Some(access) = self.browse_access.clone().filter(|_| self.browse) else { return Ok(None) };
        let header = |name: &String| {
            name.parse().map_err(|e| invalid(format!("invalid ROKOPIA_BROWSE_USER_HEADER: {name:?}: {e}")))
        };
        let network = |text: &String| {
            let wrong =
                || format!("invalid ROKOPIA_BROWSE_PROXY: {text:?}: expected a network such as 10.0.0.0/8");
            text.parse().map_err(|()| invalid(wrong()))
        };
        Ok(Some(BrowseSettings {
            access,
            user_header: self.browse_user_header.as_ref().map(header).transpose()?,
            trusted: self.browse_proxy.iter().map(network).collect::<Result<_, _>>()?,
            memory: context.memory,
        }))
    }

    fn address(&self) -> Result<SocketAddr, Failure> {
        if let Some(listen) = self.listen.as_deref().filter(|listen| !listen.is_empty()) {
            return listen.parse().map_err(|e| invalid(format!("invalid ROKOPIA_LISTEN: {listen:?}: {e}")));
        }
        let port = if self.port.is_empty() { "8080" } else { &self.port };
        Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, number("PORT", port)?)))
    }

    fn expected_id(&self) -> Result<Option<String>, Failure> {
        let Some(id) = self.expected_id.as_deref().filter(|id| !id.is_empty()) else { return Ok(None) };
        let bytes = hex::decode(id).map_err(|e| invalid(format!("invalid ROKOPIA_EXPECTED_ID: {e}")))?;
        Ok(Some(hex::encode(bytes)))
    }
}

fn store(location: Location, password: FindPassword, context: &Context) -> Store {
    let (name, traffic) = (location.to_string(), context.traffic());
    Store { location: name, open_store: std::sync::Arc::new(move || location.open(&traffic)), password }
}

/// The words of the contract for a configuration that cannot be.
fn invalid(cause: impl AsRef<str>) -> Failure {
    let message = format!("Failed to load configuration: {}", cause.as_ref());
    Failure::new(Exit::Negative, "config-invalid", message)
}

fn duration(name: &str, text: &str, default: &str) -> Result<GoDuration, Failure> {
    let text = if text.is_empty() { default } else { text };
    text.parse().map_err(|e| invalid(format!("invalid {name}: {e}")))
}

fn number<T: FromStr<Err: std::fmt::Display>>(name: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|e| invalid(format!("invalid {name}: {text:?}: {e}")))
}

fn doubtful(name: &str, text: &str) -> Result<Doubtful, Failure> {
    match text {
        "unknown" => Ok(Doubtful::Unknown),
        "exists" => Ok(Doubtful::Exists),
        _ => Err(invalid(format!("invalid {name}: {text:?}: expected unknown or exists"))),
    }
}

/// A directory that does not exist is a mistake in the configuration. Any other trouble with it may pass.
fn check_location(location: &Location) -> Result<(), Failure> {
    let Some(path) = location.directory() else {
        return location.open(&Traffic::default()).map(drop).map_err(|e| invalid(e.to_string()));
    };
    let (send, answer) = channel();
    let looked_at = path.to_owned();
    let look = move || send.send(looked_at.try_exists());
    let _ = std::thread::Builder::new().name("look".into()).spawn(look);
    match answer.recv_timeout(PATIENCE) {
        Ok(Ok(false)) => Err(invalid(format!("KOPIA_REPOSITORY_PATH {} does not exist", path.display()))),
        Ok(_) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(()),
    }
}
