//! Authenticated encryption of the format blob, of contents and of the maintenance schedule
//! (format-spec/03-keys-and-ciphers.md). Everything is stored as nonce (12 bytes), ciphertext, tag (16 bytes).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use ring::aead::{AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::stream::OpenStream;
use super::{AlgorithmKind, Error, Secret, hkdf_sha256};

const NONCE_LEN: usize = 12;
pub(super) const TAG_LEN: usize = 16;

/// Bytes that encryption adds: nonce and tag.
pub const OVERHEAD: usize = NONCE_LEN + TAG_LEN;

/// Length of all keys, in bytes.
pub(super) const KEY_LEN: usize = 32;

/// Longest master key that is accepted, in bytes. Kopia writes 32.
const MAX_MASTER_KEY: usize = 1024;

/// HKDF salt of the content key-derivation secret; its info is empty. Not the other way round.
const CONTENT_SALT: &[u8] = b"encryption";

/// HKDF purposes of the format blob. What is derived for `CHECKSUM` serves as associated data.
const FORMAT_KEY_INFO: &[u8] = b"AES";
const FORMAT_AAD_INFO: &[u8] = b"CHECKSUM";

/// HKDF purpose and associated data of `kopia.maintenance`.
const MAINTENANCE_INFO: &[u8] = b"maintenance schedule";
const MAINTENANCE_AAD: &[u8] = b"maintenance";

/// The ciphers of contents that Kopia still reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncryptionAlgorithm {
    /// `AES256-GCM-HMAC-SHA256`, the default.
    Aes256Gcm,
    /// `CHACHA20-POLY1305-HMAC-SHA256`.
    ChaCha20Poly1305,
}

/// Ciphers of earlier releases: name, first release without it, releases that read it.
const REMOVED: [(&str, &str, &str); 8] = [
    ("NONE", "v0.9.0", "v0.8.4"),
    ("AES-128-CTR", "v0.9.0", "v0.8.4"),
    ("AES-192-CTR", "v0.9.0", "v0.8.4"),
    ("AES-256-CTR", "v0.9.0", "v0.8.4"),
    ("SALSA20", "v0.9.0", "v0.8.4"),
    ("SALSA20-HMAC", "v0.9.0", "v0.8.4"),
    ("XSALSA20", "v0.5.0", "v0.4"),
    ("XSALSA20-HMAC", "v0.5.0", "v0.4"),
];

impl EncryptionAlgorithm {
    const ALL: [Self; 2] = [Self::Aes256Gcm, Self::ChaCha20Poly1305];

    /// The cipher of this name.
    ///
    /// # Errors
    /// [`Error::RemovedAlgorithm`] for ciphers of early releases, [`Error::UnknownAlgorithm`] for all else.
    pub fn parse(name: &str) -> Result<Self, Error> {
        if let Some(cipher) = Self::ALL.into_iter().find(|cipher| cipher.name() == name) {
            return Ok(cipher);
        }
        match REMOVED.into_iter().find(|(removed, ..)| *removed == name) {
            Some((name, removed_in, last_release)) => {
                Err(Error::RemovedAlgorithm { name, removed_in, last_release })
            }
            None => Err(Error::unknown(AlgorithmKind::Encryption, name)),
        }
    }

    /// The name in the repository's configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "AES256-GCM-HMAC-SHA256",
            Self::ChaCha20Poly1305 => "CHACHA20-POLY1305-HMAC-SHA256",
        }
    }

    fn aead(self) -> &'static Algorithm {
        match self {
            Self::Aes256Gcm => &AES_256_GCM,
            Self::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        }
    }
}

impl fmt::Display for EncryptionAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The cipher of contents, local indexes, and index, session and log blobs: a key of its own for each `iv`, derived
/// from the master key.
///
/// The `iv` of a content is the last 16 bytes of its hash, of a local index its whole hash, of an index blob 16
/// bytes out of its name.
pub struct ContentCipher {
    algorithm: EncryptionAlgorithm,
    /// HMAC with the content secret absorbed: a key per content then costs two compressions.
    keys: Hmac<Sha256>,
}

impl ContentCipher {
    /// The cipher of a repository with this master key.
    ///
    /// # Errors
    /// [`Error::KeyLength`] if the master key has more than 1 KiB.
    pub fn new(algorithm: EncryptionAlgorithm, master_key: &Secret) -> Result<Self, Error> {
        let master_key = checked_master_key(master_key)?;
        let secret = hkdf_sha256(master_key, CONTENT_SALT, b"", KEY_LEN)?;
        let keys = KeyInit::new_from_slice(secret.expose()).map_err(|_| Error::KeyLength {
            what: "the content secret",
            length: secret.expose().len(),
            allowed: "32",
        })?;
        Ok(Self { algorithm, keys })
    }

    /// Which cipher this is.
    #[must_use]
    pub fn algorithm(&self) -> EncryptionAlgorithm {
        self.algorithm
    }

    /// Decrypts `data` where it lies and returns the part of it that is now the plaintext ([`OVERHEAD`] bytes
    /// shorter).
    ///
    /// # Errors
    /// [`Error::Truncated`] or [`Error::Authentication`]; in the latter case `data` is no longer what it was.
    pub fn open_in_place<'a>(&self, iv: &[u8], data: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        open_in_place(&self.key(iv)?, iv, data)
    }

    /// Begins to decrypt a message piece by piece. Behind the `nonce` come the ciphertext and a tag of 16 bytes.
    pub fn open_stream(&self, iv: &[u8], nonce: &[u8; NONCE_LEN]) -> OpenStream {
        OpenStream::new(self.algorithm, &self.derive(iv), nonce, iv)
    }

    /// Encrypts a content. Only for writers of test repositories.
    ///
    /// # Errors
    /// [`Error::Authentication`] if the cipher refuses, which it does for data of many GiB.
    #[cfg(any(test, feature = "testkit"))]
    pub fn seal(&self, iv: &[u8], nonce: &[u8; NONCE_LEN], plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD);
        self.seal_into(iv, nonce, plaintext, &mut sealed)?;
        Ok(sealed)
    }

    /// Encrypts a content to the end of `out`. Only for writers of test repositories.
    ///
    /// # Errors
    /// As [`seal`](Self::seal); `out` then ends with rubbish.
    #[cfg(any(test, feature = "testkit"))]
    pub fn seal_into(
        &self,
        iv: &[u8],
        nonce: &[u8; NONCE_LEN],
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        seal_into(&self.key(iv)?, iv, nonce, plaintext, out)
    }

    fn key(&self, iv: &[u8]) -> Result<LessSafeKey, Error> {
        aead_key(self.algorithm.aead(), &*self.derive(iv))
    }

    fn derive(&self, iv: &[u8]) -> Zeroizing<[u8; KEY_LEN]> {
        Zeroizing::new(self.keys.clone().chain_update(iv).finalize().into_bytes().into())
    }
}

impl fmt::Debug for ContentCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentCipher").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// The cipher of `kopia.repository` and `kopia.blobcfg`: AES-256-GCM.
pub struct FormatCipher {
    key: Secret,
    aad: Secret,
}

impl FormatCipher {
    /// The cipher for a format encryption key, which [`KeyDerivation`](super::KeyDerivation) makes of the password,
    /// and the repository's unique ID.
    ///
    /// # Errors
    /// [`Error::Derivation`] if a library fails.
    pub fn new(format_key: &Secret, unique_id: &[u8]) -> Result<Self, Error> {
        let key = hkdf_sha256(format_key.expose(), unique_id, FORMAT_KEY_INFO, KEY_LEN)?;
        let aad = hkdf_sha256(format_key.expose(), unique_id, FORMAT_AAD_INFO, KEY_LEN)?;
        Ok(Self { key, aad })
    }

    /// Decrypts. The plaintext holds the repository's keys and is wiped when dropped.
    ///
    /// # Errors
    /// [`Error::Truncated`] or [`Error::Authentication`]. A wrong password and damaged data look the same.
    pub fn open(&self, data: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        open(&self.key, self.aad.expose(), data)
    }

    /// Encrypts. Only for writers of test repositories.
    ///
    /// # Errors
    /// [`Error::Authentication`] if the cipher refuses, which it does for data of many GiB.
    #[cfg(any(test, feature = "testkit"))]
    pub fn seal(&self, nonce: &[u8; NONCE_LEN], plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        seal(&self.key, self.aad.expose(), nonce, plaintext)
    }
}

impl fmt::Debug for FormatCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormatCipher").finish_non_exhaustive()
    }
}

/// The cipher of `kopia.maintenance`: AES-256-GCM.
pub struct MaintenanceCipher {
    key: Secret,
}

impl MaintenanceCipher {
    /// The cipher for a repository. `secret` is its master key if it allows changes of its password
    /// (`enablePasswordChange`), else the format encryption key.
    ///
    /// # Errors
    /// [`Error::KeyLength`] if the secret is empty or has more than 1 KiB.
    pub fn new(secret: &Secret, unique_id: &[u8]) -> Result<Self, Error> {
        let secret = checked_master_key(secret)?;
        if secret.is_empty() {
            return Err(Error::KeyLength { what: "the master key", length: 0, allowed: "1 to 1024" });
        }
        Ok(Self { key: hkdf_sha256(secret, unique_id, MAINTENANCE_INFO, KEY_LEN)? })
    }

    /// Decrypts the blob into its JSON.
    ///
    /// # Errors
    /// [`Error::Truncated`] or [`Error::Authentication`].
    pub fn open(&self, data: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        open(&self.key, MAINTENANCE_AAD, data)
    }

    /// Encrypts. Only for writers of test repositories.
    ///
    /// # Errors
    /// [`Error::Authentication`] if the cipher refuses, which it does for data of many GiB.
    #[cfg(any(test, feature = "testkit"))]
    pub fn seal(&self, nonce: &[u8; NONCE_LEN], plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        seal(&self.key, MAINTENANCE_AAD, nonce, plaintext)
    }
}

impl fmt::Debug for MaintenanceCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaintenanceCipher").finish_non_exhaustive()
    }
}

fn checked_master_key(key: &Secret) -> Result<&[u8], Error> {
    let key = key.expose();
    if key.len() > MAX_MASTER_KEY {
        return Err(Error::KeyLength { what: "the master key", length: key.len(), allowed: "0 to 1024" });
    }
    Ok(key)
}

/// The key, expanded. The library does not wipe what it expands to: keys of contents are made for one use and never kept.
pub(super) fn aead_key(algorithm: &'static Algorithm, key: &[u8]) -> Result<LessSafeKey, Error> {
    let key = UnboundKey::new(algorithm, key).map_err(|_| Error::KeyLength {
        what: "the derived key",
        length: key.len(),
        allowed: "32",
    })?;
    Ok(LessSafeKey::new(key))
}

fn open_in_place<'a>(key: &LessSafeKey, aad: &[u8], data: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
    let length = data.len();
    let truncated = Error::Truncated { length, minimum: OVERHEAD };
    if length < OVERHEAD {
        return Err(truncated);
    }
    let (nonce, sealed) = data.split_first_chunk_mut::<NONCE_LEN>().ok_or(truncated)?;
    let nonce = Nonce::assume_unique_for_key(*nonce);
    key.open_in_place(nonce, Aad::from(aad), sealed).map_err(|_| Error::Authentication)
}

fn open(key: &Secret, aad: &[u8], data: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let key = aead_key(&AES_256_GCM, key.expose())?;
    let mut data = Zeroizing::new(data.to_vec());
    Ok(Zeroizing::new(open_in_place(&key, aad, &mut data)?.to_vec()))
}

#[cfg(any(test, feature = "testkit"))]
fn seal(key: &Secret, aad: &[u8], nonce: &[u8; NONCE_LEN], plaintext: &[u8]) -> Result<Vec<u8>, Error> {
    let key = aead_key(&AES_256_GCM, key.expose())?;
    let mut data = Vec::with_capacity(plaintext.len() + OVERHEAD);
    seal_into(&key, aad, nonce, plaintext, &mut data)?;
    Ok(data)
}

#[cfg(any(test, feature = "testkit"))]
fn seal_into(
    key: &LessSafeKey,
    aad: &[u8],
    nonce: &[u8; NONCE_LEN],
    plaintext: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    out.extend_from_slice(nonce);
    let start = out.len();
    out.extend_from_slice(plaintext);
    let sealed = out.get_mut(start..).unwrap_or_default();
    let tag = key
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), sealed)
        .map_err(|_| Error::Authentication)?;
    out.extend_from_slice(tag.as_ref());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_ciphers_are_named_with_a_way_out() {
        for (name, removed_in, _) in REMOVED {
            let error = EncryptionAlgorithm::parse(name).unwrap_err();
            assert_eq!(error.code(), "removed-algorithm");
            let text = error.to_string();
            assert!(text.contains(name) && text.contains(removed_in) && text.contains("migrate"), "{text}");
        }
        for name in ["", "AES256_GCM", "aes256-gcm-hmac-sha256"] {
            assert_eq!(EncryptionAlgorithm::parse(name).unwrap_err().code(), "unknown-algorithm");
        }
        for cipher in EncryptionAlgorithm::ALL {
            assert_eq!(EncryptionAlgorithm::parse(cipher.name()).unwrap(), cipher);
        }
    }

    #[test]
    fn anything_shorter_than_nonce_and_tag_is_truncated() {
        let secret = Secret::new(vec![1; 32]);
        let content = ContentCipher::new(EncryptionAlgorithm::Aes256Gcm, &secret).unwrap();
        let format = FormatCipher::new(&secret, &[2; 32]).unwrap();
        for length in 0..OVERHEAD {
            let mut data = vec![0; length];
            assert!(matches!(content.open_in_place(b"iv", &mut data), Err(Error::Truncated { .. })));
            assert!(matches!(format.open(&data), Err(Error::Truncated { .. })));
        }
        assert!(matches!(format.open(&[0; OVERHEAD]), Err(Error::Authentication)));
    }

    #[test]
    fn keys_out_of_bounds() {
        let long = Secret::new(vec![0; 1025]);
        assert!(ContentCipher::new(EncryptionAlgorithm::Aes256Gcm, &long).is_err());
        assert!(MaintenanceCipher::new(&long, &[]).is_err());
        let empty = Secret::new(Vec::new());
        assert!(ContentCipher::new(EncryptionAlgorithm::Aes256Gcm, &empty).is_ok());
        assert!(MaintenanceCipher::new(&empty, &[]).is_err());
    }
}
