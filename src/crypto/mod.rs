//! Key derivation, authenticated encryption, keyed hashes, and secrets that zeroise.

mod aead;
mod error;
mod hash;
mod hkdf;
mod kdf;
#[cfg(test)]
mod oracle;
mod piece;
mod secret;
mod stream;
#[cfg(test)]
mod vectors;

pub use aead::{ContentCipher, EncryptionAlgorithm, FormatCipher, MaintenanceCipher, OVERHEAD};
pub use error::{AlgorithmKind, Error};
pub use hash::{ContentHash, ContentHasher, HashAlgorithm, HashStream, MAX_HASH_LEN};
pub use hkdf::hkdf_sha256;
pub use kdf::KeyDerivation;
pub use piece::PieceCipher;
pub use secret::{Password, Secret};
pub use stream::OpenStream;
