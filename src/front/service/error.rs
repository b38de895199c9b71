//! Why the service cannot start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::failure::{Facts, Failure, failure_methods};

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be listened on.
    #[error("listening on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A file of the webhook's certificate cannot be read.
    #[error("reading the certificate of the webhook: {}: {source}", path.display())]
    CertificateFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file has no certificate, or no key.
    #[error("reading the certificate of the webhook: {}: {reason}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key cannot be used together.
    #[error("using the certificate of the webhook: {}: {source}", path.display())]
    Tls {
        /// The file with the certificate.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The file that says who may browse cannot be read.
    #[cfg(feature = "browse")]
    #[error("reading who may browse: {}: {source}", path.display())]
    AccessFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file that says who may browse is not valid.
    #[cfg(feature = "browse")]
    #[error("reading who may browse: {}: {reason}", path.display())]
    Access {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No thread can be started.
    #[error("starting threads: {0}")]
    Start(io::Error),
}

impl Failure for Error {
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::Listen { .. } => Facts::new("listen-failed").retryable(true),
            Self::CertificateFile { .. } => Facts::new("certificate-unreadable").retryable(true),
            Self::Pem { .. } | Self::Tls { .. } => Facts::new("certificate-invalid").retryable(true),
            #[cfg(feature = "browse")]
            Self::AccessFile { .. } => Facts::new("access-unreadable").retryable(true),
            #[cfg(feature = "browse")]
            Self::Access { .. } => Facts::new("access-invalid"),
            Self::Start(_) => Facts::new("out-of-threads").retryable(true),
        }
    }
}

failure_methods!(Error);
