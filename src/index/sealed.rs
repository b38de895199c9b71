//! Whole blobs that are encrypted under a key from their own name: indexes, compaction logs, sessions
//! (`format-spec/09-index-sets.md`).

use super::Error;
use crate::blob::BlobId;
use crate::format::RepositoryFormat;

/// Hex digits of a name that become the initialisation vector.
const IV_DIGITS: usize = 32;

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
    let wrong_name = || Error::WrongName { blob: blob.clone() };
    let stem = blob.as_str().split('-').next().unwrap_or_default();
    let digits = stem.get(stem.len().saturating_sub(IV_DIGITS)..).filter(|d| d.len() == IV_DIGITS);
    let iv = digits.and_then(|d| hex::decode(d).ok()).ok_or_else(wrong_name)?;

    let mut repairs = 0;
    if let Some(ecc) = format.ecc() {
        let corrected =
            ecc.decode(&stored).map_err(|source| Error::Unrepairable { blob: blob.clone(), source })?;
        repairs = corrected.repaired.len();
        stored = corrected.data;
    }
    let plaintext = format
        .cipher()
        .open_in_place(&iv, &mut stored)
        .map_err(|source| Error::Decrypt { blob: blob.clone(), source })?
        .to_vec();
    drop(stored);
    let name = hex::encode(format.hasher().hash(&plaintext).as_bytes());
    if !stem.ends_with(&name) {
        return Err(Error::WrongHash { blob: blob.clone() });
    }
    Ok(Opened { plaintext, repairs })
}
