//! The keys of a test repository, its format blob, and sealing with them.

use super::compress::compress;
use super::error::{Error, Result};
use super::options::Options;
use super::pool::Pool;
use super::rng::{Rng, derive, derive_name, fill_at, word_at};
use crate::codec::{CompressionId, ReedSolomonCrc};
use crate::crypto::{ContentCipher, ContentHasher, FormatCipher, OVERHEAD, Secret};
use crate::index::ContentId;
use crate::os::sync::Mutex;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// Name of the error correction (`format-spec/05-error-correction.md`).
const ECC_NAME: &str = "REED-SOLOMON-CRC32";

/// Bytes at the end of an index or content hash that its cipher is bound to.
const IV_LENGTH: usize = 16;

/// A content ready to be put into a pack.
pub(crate) struct Sealed {
    pub(crate) id: ContentId,
    pub(crate) stored: Vec<u8>,
    pub(crate) original_length: u32,
    pub(crate) compression: u32,
}

/// Everything needed to turn plaintext into stored bytes; shared by all threads.
pub(crate) struct Keys {
    seed: u64,
    hasher: ContentHasher,
    cipher: ContentCipher,
    ecc: Option<ReedSolomonCrc>,
    data_compression: Option<CompressionId>,
    metadata_compression: Option<CompressionId>,
    /// Buffers of sealed contents, returned by the threads that have copied them.
    pub(crate) sealed: Pool,
    /// Buffers of whole packs.
    pub(crate) packs: Pool,
}

/// The two blobs that describe a repository.
pub(crate) struct FormatBlobs {
    /// `kopia.repository`.
    pub(crate) repository: Vec<u8>,
    /// `kopia.blobcfg`.
    pub(crate) blob_config: Vec<u8>,
}

impl Keys {
    /// Draws keys and describes the repository.
    pub(crate) fn create(options: &Options) -> Result<(Keys, FormatBlobs)> {
        let mut rng = Rng::new(derive_name(options.seed, b"keys"));
        let (unique_id, master_key, secret) = (rng.bytes::<32>(), rng.bytes::<32>(), rng.bytes::<32>());
        let ecc = match options.ecc_percent {
            0 => None,
            percent => Some(ReedSolomonCrc::new(percent)?),
        };
        let keys = Keys {
            seed: derive_name(options.seed, b"nonces"),
            hasher: ContentHasher::new(options.hash, &secret)?,
            cipher: ContentCipher::new(options.encryption, &Secret::new(master_key.to_vec()))?,
            ecc,
            data_compression: options.data_compression,
            metadata_compression: options.metadata_compression,
            sealed: Pool::default(),
            packs: Pool::default(),
        };
        let config = config_json(options, &master_key, &secret)?;
        let format_key = derive_key(options, &unique_id)?;
        let cipher = FormatCipher::new(&format_key, &unique_id)?;
        let outer = OuterJson {
            tool: "https://github.com/kopia/kopia",
            build_version: "0.0.0",
            build_info: "rokopia testkit",
            unique_id: STANDARD.encode(unique_id),
            key_algo: options.key_derivation.name(),
            encryption: "AES256_GCM",
            encrypted_block_format: STANDARD.encode(cipher.seal(&rng.bytes(), &config)?),
        };
        let mut repository = serde_json::to_vec_pretty(&outer)?;
        repository.push(b'\n');
        let blob_config = cipher.seal(&rng.bytes(), b"{}")?;
        Ok((keys, FormatBlobs { repository, blob_config }))
    }

    /// The ID under which a content would be stored.
    pub(crate) fn content_id(&self, prefix: Option<u8>, data: &[u8]) -> Result<ContentId> {
        ContentId::new(prefix, self.hasher.hash(data).as_bytes())
            .ok_or_else(|| Error::invalid("a content prefix is a letter from g to z"))
    }

    /// Hashes, compresses and encrypts a content.
    pub(crate) fn seal(&self, prefix: Option<u8>, data: &[u8]) -> Result<Sealed> {
        self.seal_as(self.content_id(prefix, data)?, data)
    }

    /// Like [`seal`](Self::seal), under an ID that need not be the right one.
    pub(crate) fn seal_as(&self, id: ContentId, data: &[u8]) -> Result<Sealed> {
        let wanted = if id.prefix().is_some() { self.metadata_compression } else { self.data_compression };
        let original_length = length(data)?;
        if let Some(compression) = wanted {
            let compressed = compress(compression, data)?;
            if compressed.len() < data.len() {
                return self.seal_stored(id, &compressed, original_length, compression.header());
            }
        }
        self.seal_stored(id, data, original_length, 0)
    }

    /// Encrypts `plain` (with a compression header in it, if any) and makes these claims about it.
    pub(crate) fn seal_stored(
        &self,
        id: ContentId,
        plain: &[u8],
        original_length: u32,
        compression: u32,
    ) -> Result<Sealed> {
        Ok(Sealed { id, stored: self.encrypt(id.iv(), plain)?, original_length, compression })
    }

    /// Encrypts, then adds redundancy.
    fn encrypt(&self, iv: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        // A nonce that follows from what is encrypted: equal calls give equal bytes, in whatever order threads work.
        let mut nonce = [0; 12];
        fill_at(derive(derive_name(self.seed, iv), plain.len() as u64), 0, &mut nonce);
        let mut sealed = self.sealed.take(plain.len() + OVERHEAD);
        self.cipher.seal_into(iv, &nonce, plain, &mut sealed)?;
        let Some(ecc) = &self.ecc else { return Ok(sealed) };
        let stored = ecc.encode(&sealed)?;
        self.sealed.give(sealed);
        Ok(stored)
    }

    /// Encrypts a blob that is named after its hash: (lowercase hash, body).
    pub(crate) fn seal_blob(&self, plain: &[u8]) -> Result<(String, Vec<u8>)> {
        let hash = self.hasher.hash(plain);
        Ok((hash.to_string(), self.encrypt(last(hash.as_bytes(), IV_LENGTH), plain)?))
    }

    /// Encrypts the local index of a pack: (hash, body). Unlike all else it is bound to its whole hash.
    pub(crate) fn seal_local_index(&self, plain: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
        let hash = self.hasher.hash(plain);
        Ok((hash.as_bytes().to_vec(), self.encrypt(hash.as_bytes(), plain)?))
    }

    /// Random bytes that belong to a name: filler of packs, session IDs.
    pub(crate) fn filler(&self, name: &[u8], out: &mut [u8]) {
        fill_at(word_at(derive_name(self.seed, name), 1), 0, out);
    }
}

/// The key of the format blob. The last one is remembered: fuzzers make the same repository again and again.
fn derive_key(options: &Options, unique_id: &[u8]) -> Result<Secret> {
    static LAST: Mutex<Option<(String, Secret)>> = Mutex::new(None);
    let name = format!("{} {} {unique_id:?}", options.key_derivation.name(), options.password);
    let last = || LAST.lock();
    if let Some((_, key)) = last().as_ref().filter(|(known, _)| *known == name) {
        return Ok(key.clone());
    }
    let key = options.key_derivation.derive(options.password.as_bytes(), unique_id)?;
    *last() = Some((name, key.clone()));
    Ok(key)
}

fn last(bytes: &[u8], count: usize) -> &[u8] {
    bytes.get(bytes.len().saturating_sub(count)..).unwrap_or(bytes)
}

pub(crate) fn length(data: &[u8]) -> Result<u32> {
    u32::try_from(data.len()).map_err(|_| Error::invalid("a content has less than 4 GiB"))
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct OuterJson {
    tool: &'static str,
    build_version: &'static str,
    build_info: &'static str,
    #[serde(rename = "uniqueID")]
    unique_id: String,
    key_algo: &'static str,
    encryption: &'static str,
    encrypted_block_format: String,
}

/// The configuration that `encryptedBlockFormat` holds.
fn config_json(options: &Options, master_key: &[u8], secret: &[u8]) -> Result<Vec<u8>> {
    const SECOND: u64 = 1_000_000_000;
    let mut format = json!({
        "hash": options.hash.name(),
        "encryption": options.encryption.name(),
        "secret": STANDARD.encode(secret),
        "masterKey": STANDARD.encode(master_key),
        "version": 3,
        "maxPackSize": options.pack_size,
        "indexVersion": 2,
        "epochParameters": {
            "Enabled": true,
            "EpochRefreshFrequency": 20 * 60 * SECOND,
            "FullCheckpointFrequency": 7,
            "CleanupSafetyMargin": 4 * 3600 * SECOND,
            "MinEpochDuration": 24 * 3600 * SECOND,
            "EpochAdvanceOnCountThreshold": 20,
            "EpochAdvanceOnTotalSizeBytesThreshold": 10 << 20,
            "DeleteParallelism": 4,
        },
        "enablePasswordChange": options.password_change,
        "splitter": options.chunks.splitter(),
    });
    if let (Some(object), 1..) = (format.as_object_mut(), options.ecc_percent) {
        object.insert("ecc".into(), ECC_NAME.into());
        object.insert("eccOverheadPercent".into(), options.ecc_percent.into());
    }
    Ok(serde_json::to_vec(&json!({ "format": format }))?)
}
