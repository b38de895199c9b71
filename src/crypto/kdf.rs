//! From the password to the format encryption key (format-spec/03-keys-and-ciphers.md).

use std::num::NonZeroU32;

use ring::pbkdf2;

use super::{AlgorithmKind, Error, Secret};

/// Length of a derived key in bytes.
const KEY_LEN: usize = 32;

/// Rounds of PBKDF2.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).unwrap();

/// How a password becomes the key that opens `kopia.repository`. Parameters are part of the name; no others exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyDerivation {
    /// `scrypt-65536-8-1`, the default of all releases. Needs 64 MiB for about 0.1 s.
    Scrypt65536_8_1,
    /// `pbkdf2-sha256-600000`, since v0.18.0.
    Pbkdf2Sha256_600000,
}

impl KeyDerivation {
    const ALL: [Self; 2] = [Self::Scrypt65536_8_1, Self::Pbkdf2Sha256_600000];

    /// The derivation of this name.
    ///
    /// # Errors
    /// [`Error::UnknownAlgorithm`] for any other name, also for the insecure one that only Kopia's tests use.
    pub fn parse(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|kdf| kdf.name() == name)
            .ok_or_else(|| Error::unknown(AlgorithmKind::KeyDerivation, name))
    }

    /// The name in `kopia.repository`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scrypt65536_8_1 => "scrypt-65536-8-1",
            Self::Pbkdf2Sha256_600000 => "pbkdf2-sha256-600000",
        }
    }

    /// Derives the 32-byte format encryption key. `salt` is the repository's unique ID.
    ///
    /// # Errors
    /// [`Error::KeyLength`] unless the salt has 16 to 1024 bytes.
    pub fn derive(self, password: &[u8], salt: &[u8]) -> Result<Secret, Error> {
        if !(16..=1024).contains(&salt.len()) {
            return Err(Error::KeyLength {
                what: "the repository's unique ID",
                length: salt.len(),
                allowed: "16 to 1024",
            });
        }
        let mut key = Secret::new(vec![0; KEY_LEN]);
        match self {
            Self::Scrypt65536_8_1 => {
                let failed = |reason: &dyn ToString| Error::Derivation {
                    algorithm: self.name(),
                    reason: reason.to_string(),
                };
                let params = scrypt::Params::new(16, 8, 1).map_err(|e| failed(&e))?;
                scrypt::scrypt(password, salt, &params, key.expose_mut()).map_err(|e| failed(&e))?;
            }
            Self::Pbkdf2Sha256_600000 => {
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, salt, password, key.expose_mut());
            }
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_names_exist() {
        for kdf in KeyDerivation::ALL {
            assert_eq!(KeyDerivation::parse(kdf.name()).unwrap(), kdf);
        }
        for name in ["", "scrypt", "scrypt-65536-8-2", "SCRYPT-65536-8-1", "testing-only-insecure"] {
            let error = KeyDerivation::parse(name).unwrap_err();
            assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
        }
    }

    #[test]
    fn salts_out_of_bounds_are_refused() {
        for length in [0, 15, 1025] {
            let error = KeyDerivation::Scrypt65536_8_1.derive(b"password", &vec![0; length]).unwrap_err();
            assert_eq!(error.code(), "key-length");
        }
    }
}
