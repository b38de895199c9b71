//! Why the service cannot start.

use std::io;
use std::net::SocketAddr;

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
    /// No thread can be started.
    #[error("starting threads: {0}")]
    Start(io::Error),
}

impl Error {
    /// The stable code of this failure, as listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "listen-failed",
            Self::Start(_) => "out-of-threads",
        }
    }

    /// Whether the same may succeed when tried again.
    pub fn is_retryable(&self) -> bool {
        true
    }
}
