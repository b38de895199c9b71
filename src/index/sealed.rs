//! Whole blobs that are encrypted under a key from their own name: indexes, compaction logs, sessions
//! (`format-spec/09-index-sets.md`).

use super::Error;
use crate::blob::BlobId;
use crate::crypto::ContentHash;
use crate::format::RepositoryFormat;

/// Hex digits of a name that become the initialisation vector.
const IV_DIGITS: usize = 32;

/// Bytes in front of the ciphertext.
pub(super) const NONCE: usize = 12;

/// Bytes of the tag behind it.
pub(super) const TAG: usize = 16;

/// A blob that was decrypted and is what its name says.
pub struct Opened {
    /// The bytes in clear.
    pub plaintext: Vec<u8>,
    /// Places that error correction had to mend.
    pub repairs: usize,
}

/// Corrects, decrypts and compares with the hash in the name.
///
/// # Errors
/// Every way in which the blob is not what its name says.
pub fn open(format: &RepositoryFormat, blob: &BlobId, mut stored: Vec<u8>) -> Result<Opened, Error> {
    let iv = iv(blob)?;
    let mut repairs = 0;
    if let Some(ecc) = format.ecc() {
        let corrected =
            ecc.decode(&stored).map_err(|source| Error::Unrepairable { blob: blob.clone(), source })?;
        repairs = corrected.repaired.len();
        stored = corrected.data;
    }
    let length = format
        .cipher()
        .open_in_place(&iv, &mut stored)
        .map_err(|source| Error::Decrypt { blob: blob.clone(), source })?
        .len();
    // The buffer becomes the plaintext: these blobs may be large.
    stored.drain(..NONCE);
    stored.truncate(length);
    check_hash(blob, &format.hasher().hash(&stored))?;
    Ok(Opened { plaintext: stored, repairs })
}

/// The initialisation vector that the name of a blob gives.
pub(super) fn iv(blob: &BlobId) -> Result<Vec<u8>, Error> {
    let stem = stem(blob);
    let digits = stem.get(stem.len().saturating_sub(IV_DIGITS)..).filter(|d| d.len() == IV_DIGITS);
    digits.and_then(|d| hex::decode(d).ok()).ok_or_else(|| Error::WrongName { blob: blob.clone() })
}

/// Compares the hash of a plaintext with the name of its blob.
pub(super) fn check_hash(blob: &BlobId, hash: &ContentHash) -> Result<(), Error> {
    let named = stem(blob).ends_with(&hash.to_string());
    if named { Ok(()) } else { Err(Error::WrongHash { blob: blob.clone() }) }
}

/// What a name has in front of its session.
fn stem(blob: &BlobId) -> &str {
    blob.as_str().split('-').next().unwrap_or_default()
}
