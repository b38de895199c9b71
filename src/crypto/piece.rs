//! Authenticated encryption of our own local files, piece by piece, under a key of the repository.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce};
use ring::rand::{SecureRandom, SystemRandom};

use super::aead::{KEY_LEN, TAG_LEN, aead_key};
use super::{Error, Secret, hkdf_sha256};

/// Seals and opens the pieces of one file with AES-256-GCM. Each file has a salt of its own, and so a key of its own: a
/// piece opens in its own file at its own place alone.
pub struct PieceCipher {
    key: LessSafeKey,
    purpose: &'static str,
}

impl PieceCipher {
    /// Bytes of a salt.
    pub const SALT: usize = 32;

    /// Bytes that sealing adds.
    pub const TAG: usize = TAG_LEN;

    /// A salt for a new file.
    ///
    /// # Errors
    /// [`Error::Derivation`] if the system has no random numbers.
    pub fn new_salt() -> Result<[u8; Self::SALT], Error> {
        let mut salt = [0; Self::SALT];
        SystemRandom::new()
            .fill(&mut salt)
            .map_err(|e| Error::Derivation { algorithm: "random salt", reason: e.to_string() })?;
        Ok(salt)
    }

    /// The cipher of one file. `secret` belongs to the repository, and `purpose` says what kind of file it is.
    ///
    /// # Errors
    /// [`Error::Derivation`].
    pub fn new(
        secret: &Secret,
        unique_id: &[u8],
        salt: &[u8; Self::SALT],
        purpose: &'static str,
    ) -> Result<Self, Error> {
        let salt = [unique_id, salt].concat();
        let key = hkdf_sha256(secret.expose(), &salt, purpose.as_bytes(), KEY_LEN)?;
        Ok(Self { key: aead_key(&AES_256_GCM, key.expose())?, purpose })
    }

    /// Seals the piece in place and adds its tag. No two pieces of a file may have the same section and number.
    ///
    /// # Errors
    /// [`Error::Authentication`] if the cipher refuses, which it does for many GiB.
    pub fn seal(&self, section: u32, number: u64, piece: &mut Vec<u8>) -> Result<(), Error> {
        self.key
            .seal_in_place_append_tag(nonce(section, number), Aad::from(self.purpose.as_bytes()), piece)
            .map_err(|_| Error::Authentication)
    }

    /// Opens a piece in place.
    ///
    /// # Errors
    /// [`Error::Authentication`] unless it was sealed for this file, section and number.
    pub fn open<'a>(&self, section: u32, number: u64, piece: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        self.key
            .open_in_place(nonce(section, number), Aad::from(self.purpose.as_bytes()), piece)
            .map_err(|_| Error::Authentication)
    }
}

impl fmt::Debug for PieceCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PieceCipher").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

fn nonce(section: u32, number: u64) -> Nonce {
    let mut bytes = [0; 12];
    let (first, last) = bytes.split_at_mut(4);
    first.copy_from_slice(&section.to_be_bytes());
    last.copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_opens_at_its_own_place_alone() {
        let (secret, salt) = (Secret::new(vec![1; 32]), PieceCipher::new_salt().unwrap());
        let cipher =
            |secret: &Secret, id: &[u8], salt, purpose| PieceCipher::new(secret, id, salt, purpose).unwrap();
        let own = cipher(&secret, b"id", &salt, "test");
        let mut sealed = b"piece".to_vec();
        own.seal(1, 2, &mut sealed).unwrap();
        assert_eq!(sealed.len(), 5 + PieceCipher::TAG);
        let opens = |cipher: &PieceCipher, section, number, sealed: &[u8]| {
            cipher.open(section, number, &mut sealed.to_vec()).is_ok_and(|piece| piece == b"piece")
        };
        assert!(opens(&own, 1, 2, &sealed));
        assert!(!opens(&own, 1, 3, &sealed) && !opens(&own, 2, 2, &sealed));
        let other_salt = PieceCipher::new_salt().unwrap();
        assert_ne!(salt, other_salt);
        for other in [
            cipher(&Secret::new(vec![2; 32]), b"id", &salt, "test"),
            cipher(&secret, b"another", &salt, "test"),
            cipher(&secret, b"id", &other_salt, "test"),
            cipher(&secret, b"id", &salt, "another"),
        ] {
            assert!(!opens(&other, 1, 2, &sealed));
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(!opens(&own, 1, 2, &changed));
        }
        assert!(!opens(&own, 1, 2, b""));
    }
}
