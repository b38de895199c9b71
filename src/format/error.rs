//! Why a repository cannot be opened.

use crate::blob::{self, BlobId};
use crate::crypto;

/// A failure to open a repository.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The location has no format blob.
    #[error("{location} is not a repository: there is no kopia.repository in it")]
    NotARepository {
        /// Where was looked.
        location: String,
    },
    /// The format blob is not what it should be.
    #[error("kopia.repository is damaged: {reason}")]
    Damaged {
        /// What is wrong with it.
        reason: String,
    },
    /// The format blob is lost or damaged, and another blob holds a copy of it.
    #[error("{source}; blob {copy} holds a copy of it")]
    CopyExists {
        /// What is wrong with the format blob.
        source: Box<Self>,
        /// The blob that begins with the copy, or is one.
        copy: BlobId,
    },
    /// The password does not open the format blob. A damaged blob looks the same.
    #[error("the password does not open the repository (or its kopia.repository is damaged)")]
    WrongPassword,
    /// The configuration inside is not what it should be.
    #[error("the configuration in kopia.repository is not valid: {reason}")]
    Configuration {
        /// What is wrong with it.
        reason: String,
    },
    /// A format that no known release of Kopia reads.
    #[error("format version {version} is not supported: Kopia up to v0.23 knows 1 to 3")]
    UnknownVersion {
        /// The version.
        version: i64,
    },
    /// The format blob itself is stored in a way that is not supported.
    #[error("kopia.repository is stored with {what} {name:?}, which is not supported: {since}")]
    UnsupportedOuter {
        /// Which property.
        what: &'static str,
        /// Its value.
        name: String,
        /// What is known about it.
        since: &'static str,
    },
    /// An error correction that no known release of Kopia has.
    #[error("error correction {name:?} is not supported: Kopia has REED-SOLOMON-CRC32 alone, since v0.12.0")]
    UnknownEcc {
        /// Its name.
        name: String,
    },
    /// The repository demands something that we do not have.
    #[error("the repository requires the feature {feature:?}, which is not supported{message}")]
    RequiredFeature {
        /// The feature.
        feature: String,
        /// What the one who set it has to say, with a leading separator, or nothing.
        message: String,
    },
    /// An upgrade of the format is going on; indexes may be half moved.
    #[error("the repository is being upgraded by {owner:?} since {since}")]
    UpgradeInProgress {
        /// Who upgrades.
        owner: String,
        /// When it began, as stored.
        since: String,
    },
    /// A key or an algorithm of the configuration cannot be used.
    #[error(transparent)]
    Crypto(#[from] crypto::Error),
    /// The storage failed.
    #[error(transparent)]
    Blob(#[from] blob::Error),
}

impl Error {
    /// The stable code of this failure, as listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotARepository { .. } => "not-a-repository",
            Self::Damaged { .. } => "format-damaged",
            Self::CopyExists { .. } => "format-copy-exists",
            Self::WrongPassword => "wrong-password",
            Self::Configuration { .. } => "format-invalid",
            Self::UnknownVersion { .. } | Self::UnsupportedOuter { .. } | Self::UnknownEcc { .. } => {
                "format-unsupported"
            }
            Self::RequiredFeature { .. } => "required-feature",
            Self::UpgradeInProgress { .. } => "upgrade-in-progress",
            Self::Crypto(e) => e.code(),
            Self::Blob(e) => e.code(),
        }
    }

    /// Whether the same operation may succeed when tried again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::UpgradeInProgress { .. } => true,
            Self::Blob(e) => e.is_retryable(),
            _ => false,
        }
    }

    /// The blob concerned.
    pub fn blob(&self) -> Option<&BlobId> {
        match self {
            Self::Blob(e) => e.blob(),
            Self::CopyExists { copy, .. } => Some(copy),
            _ => None,
        }
    }

    /// Whether the format blob is lost or is not what was written.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::NotARepository { .. } | Self::Damaged { .. } | Self::UnsupportedOuter { .. } => true,
            Self::Crypto(crypto::Error::UnknownAlgorithm { .. }) => true,
            Self::Blob(e) => e.blob().is_some() && !e.is_denied() && !e.is_retryable(),
            _ => false,
        }
    }
}
