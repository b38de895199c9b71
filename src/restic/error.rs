//! Why a repository of restic cannot be read.

use std::io;
use std::path::PathBuf;

use crate::failure::{Facts, Failure, failure_methods};

/// A failure. None of them says that something is absent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no configuration where the repository should be.
    #[error("{} has no repository of restic: there is no file \"config\" in it", path.display())]
    NoRepository {
        /// The directory.
        path: PathBuf,
    },
    /// A file or directory cannot be read.
    #[error("reading {}: {source}", path.display())]
    Read {
        /// What was read.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No key opens with the password.
    #[error("the password opens none of the {keys} keys of {}", path.display())]
    WrongPassword {
        /// The directory.
        path: PathBuf,
        /// How many there are.
        keys: usize,
    },
    /// A file is not what its name or its seal says.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A format that is not known.
    #[error("{}: the repository has version {version}; 1 and 2 are known", path.display())]
    Version {
        /// The directory.
        path: PathBuf,
        /// The version that it says.
        version: u64,
    },
    /// The list of snapshots changed each time it was read.
    #[error("{}: the list of snapshots changes while it is read", path.display())]
    Changing {
        /// The directory.
        path: PathBuf,
    },
}

impl Failure for Error {
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::NoRepository { .. } => Facts::new("restic-not-found"),
            Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Facts::new("permission-denied")
            }
            Self::Read { .. } => Facts::new("storage-error").retryable(true),
            Self::WrongPassword { .. } => Facts::new("wrong-password"),
            Self::Damaged { .. } => Facts::new("restic-damaged"),
            Self::Version { .. } => Facts::new("restic-version"),
            Self::Changing { .. } => Facts::new("listing-uncertain").retryable(true),
        }
    }
}

failure_methods!(Error);
