//! Why a repository cannot be opened.

use crate::blob::{self, BlobId};
use crate::crypto;
use crate::failure::{Facts, Failure, failure_methods};

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

impl Failure for Error {
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::NotARepository { .. } => Facts::new("not-a-repository"),
            Self::Damaged { .. } => Facts::new("format-damaged"),
            Self::CopyExists { copy, .. } => Facts::new("format-copy-exists").blob(copy),
            Self::WrongPassword => Facts::new("wrong-password"),
            Self::Configuration { .. } => Facts::new("format-invalid"),
            Self::UnknownVersion { .. } | Self::UnsupportedOuter { .. } | Self::UnknownEcc { .. } => {
                Facts::new("format-unsupported")
            }
            Self::RequiredFeature { .. } => Facts::new("required-feature"),
            Self::UpgradeInProgress { .. } => Facts::new("upgrade-in-progress").retryable(true),
            Self::Crypto(e) => e.facts(),
            Self::Blob(e) => e.facts(),
        }
    }
}

failure_methods!(Error, blob);

impl Error {
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
