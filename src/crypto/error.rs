//! What can go wrong between a password and a plaintext.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error as ThisError;

use crate::failure::{Facts, Failure, failure_methods};

/// An error of the cryptographic layer. It knows neither blobs nor contents: the layers above add them.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// A name in the repository's configuration that no release of Kopia up to v0.23 can read.
    #[error(
        "unknown {kind} algorithm {name:?}: the repository was written by an unknown version of Kopia, or its \
         configuration is damaged"
    )]
    UnknownAlgorithm {
        /// What the algorithm is for.
        kind: AlgorithmKind,
        /// The name, cut to a length fit for a message.
        name: String,
    },
    /// A cipher of early releases that Kopia itself no longer reads.
    #[error(
        "encryption {name} is not supported: Kopia removed it in {removed_in}. Open the repository with Kopia \
         {last_release} and copy its snapshots to a new repository (kopia snapshot migrate)"
    )]
    RemovedAlgorithm {
        /// The name in the repository's configuration.
        name: &'static str,
        /// First release without it.
        removed_in: &'static str,
        /// Releases that still read it.
        last_release: &'static str,
    },
    /// A key of a length that its algorithm does not take.
    #[error(
        "{what} has {length} bytes, but {allowed} are allowed: the repository's configuration is damaged"
    )]
    KeyLength {
        /// Which key.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// Lengths that would do.
        allowed: &'static str,
    },
    /// A ciphertext shorter than its nonce and tag.
    #[error("encrypted data has only {length} bytes, at least {minimum} are needed for nonce and tag")]
    Truncated {
        /// Length found, in bytes.
        length: usize,
        /// Length needed, in bytes.
        minimum: usize,
    },
    /// The tag does not fit: wrong key, or damaged or exchanged data. No cipher can tell which.
    #[error("decryption failed: the key is wrong, or the data is damaged or not what its name says")]
    Authentication,
    /// The derivation of a key failed inside its library.
    #[error("cannot derive a key with {algorithm}: {reason}")]
    Derivation {
        /// Name of the derivation.
        algorithm: &'static str,
        /// What the library says.
        reason: String,
    },
    /// No password was given.
    #[error("no password: set ROKOPIA_PASSWORD, ROKOPIA_PASSWORD_FILE or KOPIA_PASSWORD")]
    NoPassword,
    /// The password file could not be read, or is no password.
    #[error("cannot read the password from {path}: {source}")]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Failure for Error {
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::UnknownAlgorithm { .. } => Facts::new("unknown-algorithm"),
            Self::RemovedAlgorithm { .. } => Facts::new("removed-algorithm"),
            Self::KeyLength { .. } => Facts::new("key-length"),
            Self::Truncated { .. } => Facts::new("truncated-ciphertext"),
            Self::Authentication => Facts::new("decryption-failed"),
            Self::Derivation { .. } => Facts::new("key-derivation-failed"),
            Self::NoPassword => Facts::new("no-password"),
            // An operator has to put it right.
            Self::PasswordFile { .. } => Facts::new("password-file"),
        }
    }
}

failure_methods!(Error);

impl Error {
    pub(super) fn unknown(kind: AlgorithmKind, name: &str) -> Self {
        // The name comes out of a file anyone may have written.
        const SHOWN: usize = 64;
        Self::UnknownAlgorithm { kind, name: name.chars().take(SHOWN).collect() }
    }
}

/// What an algorithm named in the configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlgorithmKind {
    /// Password to format key.
    KeyDerivation,
    /// Encryption of contents.
    Encryption,
    /// Content identifiers.
    Hash,
}

impl fmt::Display for AlgorithmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyDerivation => "key derivation",
            Self::Encryption => "encryption",
            Self::Hash => "hash",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_cut_and_escaped() {
        let error = Error::unknown(AlgorithmKind::Hash, &"\u{1b}[2J".repeat(10_000));
        let text = error.to_string();
        assert!(text.len() < 1000, "{} bytes", text.len());
        assert!(!text.contains('\u{1b}'));
        assert_eq!(error.code(), "unknown-algorithm");
    }
}
