//! What can go wrong while making a test repository.

use std::path::{Path, PathBuf};

/// Why a test repository could not be made, damaged or compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The local file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb: "write".
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A source of object data could not be read.
    #[error("cannot read the data of an object: {0}")]
    Data(#[source] std::io::Error),
    /// Options or arguments that no repository can be made from.
    #[error("{0}")]
    Invalid(String),
    /// A key, hash or cipher could not be set up or used.
    #[error(transparent)]
    Crypto(#[from] crate::crypto::Error),
    /// Error correction could not be set up or used.
    #[error(transparent)]
    Codec(#[from] crate::codec::Error),
    /// A store could not be read back.
    #[error(transparent)]
    Blob(#[from] crate::blob::Error),
    /// JSON that could not be written.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A worker ended without handing over what it had made.
    #[error("a worker thread of the testkit ended early")]
    WorkerGone,
}

impl Error {
    /// Turns an I/O error into one that names the path; for `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { action, path, source }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Error {
        Error::Invalid(message.into())
    }
}

/// The testkit's result.
pub type Result<T> = std::result::Result<T, Error>;
