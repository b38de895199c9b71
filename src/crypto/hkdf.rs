//! HKDF with SHA-256 (RFC 5869), and the keys Kopia derives with it (format-spec/03-keys-and-ciphers.md).

use sha2::Sha256;

use super::{Error, Secret};

/// HKDF extract and expand with SHA-256: `len` bytes from `ikm`.
///
/// # Errors
/// [`Error::Derivation`] if `len` is more than 8160 (255 blocks), the limit of RFC 5869.
pub fn hkdf_sha256(ikm: &[u8], salt: &[u8], info: &[u8], len: usize) -> Result<Secret, Error> {
    // The limit comes first: nothing is allocated for a length that cannot be served.
    let failed = |reason: String| Error::Derivation { algorithm: "HKDF-SHA256", reason };
    const MAX: usize = 255 * 32;
    if len > MAX {
        return Err(failed(format!("{len} bytes asked for, {MAX} are possible")));
    }
    let mut key = Secret::new(vec![0; len]);
    hkdf::Hkdf::<Sha256>::new(Some(salt), ikm)
        .expand(info, key.expose_mut())
        .map_err(|e| failed(e.to_string()))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_long_is_an_error() {
        assert_eq!(hkdf_sha256(b"k", b"s", b"", 8160).unwrap().expose().len(), 8160);
        assert!(hkdf_sha256(b"k", b"s", b"", 8161).is_err());
        assert!(hkdf_sha256(b"k", b"s", b"", usize::MAX).is_err());
    }
}
