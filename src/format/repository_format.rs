//! What a repository is, and the keys to read it.

use std::thread::Builder;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::Error;
use super::copies::{self, FormatCopy};
use super::stored::{Configuration, Feature, Inner, Outer, UpgradeLock};
use crate::blob::{BlobId, BlobStore};
use crate::codec::ReedSolomonCrc;
use crate::crypto::{
    ContentCipher, ContentHasher, EncryptionAlgorithm, FormatCipher, HashAlgorithm, KeyDerivation,
    MaintenanceCipher, Password, Secret,
};

/// What is said of a format blob without bytes.
const EMPTY: &str = "it is empty (0 bytes), usually by a write that a power loss cut short";

/// Different copies of the format blob that are tried: one for each upgrade, and each costs a key derivation.
const MAX_COPIES: usize = 4;

/// Name of the format blob.
const FORMAT_BLOB: &str = "kopia.repository";

/// Writers keep the blob small enough to be copied into packs with a two-byte length.
const MAX_FORMAT_BLOB: u64 = 64_968;

/// The only way in which releases since v0.9.8 encrypt the configuration.
const OUTER_ENCRYPTION: &str = "AES256_GCM";

/// Repository IDs are 32 random bytes; both key derivations need 16 at least.
const UNIQUE_ID: std::ops::RangeInclusive<usize> = 16..=1024;

/// Keys are 32 bytes; nothing real is longer than this.
const MAX_KEY: usize = 1024;

const DEFAULT_PACK_SIZE: u64 = 20 << 20;

/// Features that a repository may require and that this reader has.
const SUPPORTED_FEATURES: [&str; 2] = ["index-v1", "index-v2"];

/// How to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct OpenOptions {
    /// Open although an upgrade of the format is going on: what is read may be incomplete.
    pub ignore_upgrade: bool,
    /// Where the format blob is lost or damaged, open with the newest copy that another blob holds: it may be older.
    pub from_copy: bool,
}

/// The format of an opened repository with its keys.
pub struct RepositoryFormat {
    unique_id: Vec<u8>,
    key_derivation: KeyDerivation,
    format_key: Secret,
    master_key: Secret,
    version: u8,
    encryption: EncryptionAlgorithm,
    hash: HashAlgorithm,
    cipher: ContentCipher,
    hasher: ContentHasher,
    ecc: Option<ReedSolomonCrc>,
    ecc_overhead_percent: u8,
    index_version: u8,
    max_pack_size: u64,
    enable_password_change: bool,
    splitter: String,
    epochs: EpochParameters,
    warnings: Vec<String>,
    copy: Option<BlobId>,
    required_features: Vec<String>,
}

/// How indexes are kept; times in nanoseconds, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EpochParameters {
    /// Whether index blobs are organised in epochs at all.
    pub enabled: bool,
    /// A listing of index blobs must not be used longer than this.
    pub refresh_frequency: i64,
    /// Settled epochs after which writers merge a range of them.
    pub full_checkpoint_frequency: i64,
    /// How long superseded index blobs stay.
    pub cleanup_safety_margin: i64,
    /// Shortest life of an epoch.
    pub min_duration: i64,
    /// Index blobs after which an epoch may end.
    pub advance_on_count: i64,
    /// Bytes of index blobs after which an epoch may end.
    pub advance_on_size: i64,
    /// Deletions that maintenance makes at once.
    pub delete_parallelism: i64,
}

impl RepositoryFormat {
    /// The format blob as it is stored.
    ///
    /// # Errors
    /// [`Error::NotARepository`] when there is none, and a failure to read it.
    pub fn read_blob(store: &dyn BlobStore) -> Result<Vec<u8>, Error> {
        let blob = BlobId::new(FORMAT_BLOB).map_err(crate::blob::Error::from)?;
        store.read(&blob, MAX_FORMAT_BLOB).map_err(|e| match e {
            e if e.is_not_found() => Error::NotARepository { location: store.describe() },
            crate::blob::Error::Empty { .. } => Error::Damaged { reason: EMPTY.into() },
            e => Error::Blob(e),
        })
    }

    /// The same error; of a format blob that is lost or damaged, one that names another blob with a copy of it, if there is
    /// one.
    pub fn look_for_copy(store: &dyn BlobStore, error: Error) -> Error {
        match error.is_damage().then(|| copies::find(store).next()).flatten() {
            Some(copy) => Error::CopyExists { source: Box::new(error), copy: copy.blob },
            None => error,
        }
    }

    /// The random ID of a repository from its stored format blob, without a password.
    ///
    /// # Errors
    /// When the blob is not what it should be.
    pub fn unique_id_in(format_blob: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(parse_outer(format_blob)?.unique_id.0.to_vec())
    }

    /// Reads and opens the format blob: one read, and one key derivation for a right password.
    ///
    /// # Errors
    /// Everything that keeps the repository from being read, told apart.
    pub fn open(store: &dyn BlobStore, password: &Password, options: OpenOptions) -> Result<Self, Error> {
        Ok(Self::open_expecting(store, password, options, None)?.0)
    }

    /// The same while the blob is expected to be what it was: its keys are derived while it is read, and count if it is. Gives
    /// the blob as well, unless a copy of it was used.
    pub(crate) fn open_expecting(
        store: &dyn BlobStore,
        password: &Password,
        options: OpenOptions,
        expected: Option<&[u8]>,
    ) -> Result<(Self, Option<Vec<u8>>), Error> {
        let (read, guessed) = match expected {
            None => (Self::read_blob(store), None),
            Some(expected) => std::thread::scope(|scope| {
                let guess = || Self::open_blob(expected, password, options);
                let guessed = Builder::new().spawn_scoped(scope, guess).ok();
                let read = Self::read_blob(store);
                // Two derivations at a time would take twice the memory.
                let guessed = guessed.and_then(|guessed| guessed.join().ok());
                let right = read.as_ref().is_ok_and(|bytes| bytes == expected);
                (read, guessed.filter(|_| right))
            }),
        };
        let found = read.and_then(|bytes| {
            let opened = guessed.unwrap_or_else(|| Self::open_blob(&bytes, password, options));
            let format = opened.map_err(|e| Self::doubt_password(store, &bytes, e))?;
            Ok((format, Some(bytes)))
        });
        match found {
            Err(e) if options.from_copy && (e.is_damage() || matches!(e, Error::WrongPassword)) => {
                Ok((Self::open_copy(store, password, options, e)?, None))
            }
            result => result.map_err(|e| Self::look_for_copy(store, e)),
        }
    }

    /// The same error, unless the password does not open the format blob because a few of its bytes are damaged.
    fn doubt_password(store: &dyn BlobStore, format_blob: &[u8], error: Error) -> Error {
        let differing = match error {
            Error::WrongPassword => copies::differing_bytes(store, format_blob),
            _ => None,
        };
        let Some(differing) = differing else { return error };
        let length = format_blob.len();
        Error::Damaged {
            reason: format!("{differing} of its {length} bytes differ from the copy of it in a pack"),
        }
    }

    /// Opens with a copy in place of the format blob, which cannot be used because of `problem`.
    fn open_copy(
        store: &dyn BlobStore,
        password: &Password,
        options: OpenOptions,
        problem: Error,
    ) -> Result<Self, Error> {
        let mut wrong_password = false;
        let open = |FormatCopy { blob, bytes }| match Self::open_blob(&bytes, password, options) {
            Ok(format) => Some((format, blob)),
            Err(e) => {
                wrong_password |= matches!(e, Error::WrongPassword);
                None
            }
        };
        let opened: Vec<(Self, BlobId)> = copies::find(store).take(MAX_COPIES).filter_map(open).collect();
        // An upgrade raises the version and begins epochs. Of equal copies the newest is the last one here.
        let best = opened.into_iter().rev().max_by_key(|(format, _)| (format.epochs.enabled, format.version));
        let Some((mut format, blob)) = best else {
            return Err(if wrong_password { Error::WrongPassword } else { problem });
        };
        format.warnings.push(format!("{problem}; the copy in {blob} is used instead"));
        format.copy = Some(blob);
        Ok(format)
    }

    fn open_blob(bytes: &[u8], password: &Password, options: OpenOptions) -> Result<Self, Error> {
        let outer = parse_outer(bytes)?;
        let key_derivation = KeyDerivation::parse(&outer.key_algorithm)?;
        let (format_key, plaintext) = decrypt(&outer, key_derivation, password)?;
        let inner: Inner =
            serde_json::from_slice(&plaintext).map_err(|e| Error::Configuration { reason: e.to_string() })?;
        let configuration =
            inner.format.ok_or_else(|| Error::Configuration { reason: "it is empty".into() })?;
        Self::build(outer, key_derivation, format_key, configuration, options)
    }

    fn build(
        outer: Outer,
        key_derivation: KeyDerivation,
        format_key: Secret,
        configuration: Configuration,
        options: OpenOptions,
    ) -> Result<Self, Error> {
        let invalid = |what: &str, value: i64| Error::Configuration { reason: format!("{what} is {value}") };
        let version = match configuration.version {
            version @ 1..=3 => version as u8,
            version => return Err(Error::UnknownVersion { version }),
        };
        let warnings = check_features(&configuration.required_features)?;
        if !options.ignore_upgrade {
            check_upgrade(configuration.upgrade_lock.as_ref(), Timestamp::now())?;
        }
        let index_version = match configuration.index_version {
            0 => 1,
            version @ 1..=2 => version as u8,
            version => return Err(invalid("indexVersion", version)),
        };
        let hash = HashAlgorithm::parse(&configuration.hash)?;
        let encryption = EncryptionAlgorithm::parse(&configuration.encryption)?;
        for (what, key) in [("masterKey", &configuration.master_key), ("secret", &configuration.secret)] {
            if key.0.len() > MAX_KEY {
                return Err(Error::Configuration { reason: format!("{what} has {} bytes", key.0.len()) });
            }
        }
        let ecc_overhead_percent = u8::try_from(configuration.ecc_overhead_percent)
            .ok()
            .filter(|percent| *percent <= 100)
            .ok_or_else(|| invalid("eccOverheadPercent", configuration.ecc_overhead_percent))?;
        let ecc = match configuration.ecc.as_str() {
            "" => None,
            _ if ecc_overhead_percent == 0 => None,
            "REED-SOLOMON-CRC32" => Some(
                ReedSolomonCrc::new(ecc_overhead_percent)
                    .map_err(|e| Error::Configuration { reason: e.to_string() })?,
            ),
            name => return Err(Error::UnknownEcc { name: shortened(name) }),
        };
        let master_key = Secret::new(configuration.master_key.0.to_vec());
        let stored = &configuration.epochs;
        Ok(Self {
            unique_id: outer.unique_id.0.to_vec(),
            key_derivation,
            format_key,
            version,
            encryption,
            hash,
            cipher: ContentCipher::new(encryption, &master_key)?,
            hasher: ContentHasher::new(hash, &configuration.secret.0)?,
            master_key,
            ecc,
            ecc_overhead_percent,
            index_version,
            max_pack_size: match u64::try_from(configuration.max_pack_size) {
                Ok(0) | Err(_) => DEFAULT_PACK_SIZE,
                Ok(size) => size,
            },
            enable_password_change: configuration.enable_password_change,
            splitter: shortened(&configuration.splitter),
            epochs: EpochParameters {
                enabled: stored.enabled,
                refresh_frequency: stored.refresh_frequency,
                full_checkpoint_frequency: stored.full_checkpoint_frequency,
                cleanup_safety_margin: stored.cleanup_safety_margin,
                min_duration: stored.min_duration,
                advance_on_count: stored.advance_on_count,
                advance_on_size: stored.advance_on_size,
                delete_parallelism: stored.delete_parallelism,
            },
            warnings,
            copy: None,
            required_features: configuration.required_features.into_iter().map(|f| f.feature).collect(),
        })
    }

    /// The blob whose copy of the format blob was used, because that is lost or damaged.
    pub fn copy(&self) -> Option<&BlobId> {
        self.copy.as_ref()
    }

    /// The random ID of the repository: another one means another repository.
    pub fn unique_id(&self) -> &[u8] {
        &self.unique_id
    }

    /// Format version, 1 to 3. Says nothing about indexes: see [`RepositoryFormat::epochs`].
    pub fn version(&self) -> u8 {
        self.version
    }

    /// How the password becomes a key.
    pub fn key_derivation(&self) -> KeyDerivation {
        self.key_derivation
    }

    /// How contents are encrypted.
    pub fn encryption(&self) -> EncryptionAlgorithm {
        self.encryption
    }

    /// How contents get their IDs.
    pub fn hash_algorithm(&self) -> HashAlgorithm {
        self.hash
    }

    /// Opens contents and index blobs.
    pub fn cipher(&self) -> &ContentCipher {
        &self.cipher
    }

    /// Computes content hashes.
    pub fn hasher(&self) -> &ContentHasher {
        &self.hasher
    }

    /// The error correction around encrypted bytes, if the repository has one.
    pub fn ecc(&self) -> Option<&ReedSolomonCrc> {
        self.ecc.as_ref()
    }

    /// Size of the error correction in percent, 0 without one.
    pub fn ecc_overhead_percent(&self) -> u8 {
        if self.ecc.is_some() { self.ecc_overhead_percent } else { 0 }
    }

    /// Version of the indexes that writers produce now; older ones may be of another.
    pub fn index_version(&self) -> u8 {
        self.index_version
    }

    /// Size in bytes at which writers close a pack.
    pub fn max_pack_size(&self) -> u64 {
        self.max_pack_size
    }

    /// Whether the password can be changed; without it packs carry copies of the format blob.
    pub fn enable_password_change(&self) -> bool {
        self.enable_password_change
    }

    /// How writers cut files; of no use to a reader.
    pub fn splitter(&self) -> &str {
        &self.splitter
    }

    /// How index blobs are organised.
    pub fn epochs(&self) -> &EpochParameters {
        &self.epochs
    }

    /// What a program must know to use this repository, by Kopia's names.
    pub fn required_features(&self) -> &[String] {
        &self.required_features
    }

    /// Features that the repository asks for, that are not supported, and that it says can be done without.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether these bytes of `kopia.blobcfg` decrypt. No reader needs what is in them.
    pub fn opens_blob_config(&self, stored: &[u8]) -> bool {
        self.open_blob_config(stored).is_ok()
    }

    /// Decrypts `kopia.blobcfg`: JSON that says how long the storage keeps blobs from being deleted.
    ///
    /// # Errors
    /// [`crate::crypto::Error`] if it is not what this repository's keys encrypted.
    pub fn open_blob_config(&self, stored: &[u8]) -> Result<Zeroizing<Vec<u8>>, crate::crypto::Error> {
        FormatCipher::new(&self.format_key, &self.unique_id)?.open(stored)
    }

    /// Decrypts `kopia.maintenance`: JSON that says when maintenance runs, and what it did.
    ///
    /// # Errors
    /// [`crate::crypto::Error`] if it is not what this repository's keys encrypted.
    pub fn open_maintenance(&self, stored: &[u8]) -> Result<Zeroizing<Vec<u8>>, crate::crypto::Error> {
        MaintenanceCipher::new(self.derivation_secret(), &self.unique_id)?.open(stored)
    }

    /// The secret from which purposes other than contents derive their keys (`kopia.maintenance`).
    pub fn derivation_secret(&self) -> &Secret {
        if self.enable_password_change { &self.master_key } else { &self.format_key }
    }
}

impl std::fmt::Debug for RepositoryFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RepositoryFormat")
            .field("unique_id", &hex::encode(&self.unique_id))
            .field("version", &self.version)
            .field("encryption", &self.encryption)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

fn parse_outer(bytes: &[u8]) -> Result<Outer, Error> {
    let damaged = |reason: String| Error::Damaged { reason };
    if bytes.is_empty() {
        return Err(damaged(EMPTY.into()));
    }
    let outer: Outer = serde_json::from_slice(bytes).map_err(|e| {
        damaged(if e.is_eof() {
            format!("it is cut short ({e})")
        } else {
            format!("it is not valid JSON ({e})")
        })
    })?;
    if outer.encryption == "NONE" {
        return Err(Error::UnsupportedOuter {
            what: "encryption",
            name: outer.encryption,
            since: "only releases before v0.9.8 wrote and read it",
        });
    }
    if outer.encryption != OUTER_ENCRYPTION {
        return Err(Error::UnsupportedOuter {
            what: "encryption",
            name: shortened(&outer.encryption),
            since: "no release up to v0.23 has it",
        });
    }
    if !UNIQUE_ID.contains(&outer.unique_id.0.len()) {
        return Err(damaged(format!("its uniqueID has {} bytes", outer.unique_id.0.len())));
    }
    Ok(outer)
}

fn decrypt(
    outer: &Outer,
    key_derivation: KeyDerivation,
    password: &Password,
) -> Result<(Secret, Zeroizing<Vec<u8>>), Error> {
    for candidate in password.candidates() {
        let key = key_derivation.derive(candidate, &outer.unique_id.0)?;
        if let Ok(plaintext) = FormatCipher::new(&key, &outer.unique_id.0)?.open(&outer.encrypted.0) {
            return Ok((key, plaintext));
        }
    }
    Err(Error::WrongPassword)
}

fn check_features(features: &[Feature]) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    for feature in features.iter().filter(|f| !SUPPORTED_FEATURES.contains(&f.feature.as_str())) {
        let wanted = &feature.if_not_understood;
        let upgrade = format!("since Kopia {}", wanted.upgrade_to);
        let details: Vec<&str> = [wanted.message.as_str(), wanted.url.as_str()]
            .into_iter()
            .chain((!wanted.upgrade_to.is_empty()).then_some(upgrade.as_str()))
            .filter(|text| !text.is_empty())
            .collect();
        let message =
            if details.is_empty() { String::new() } else { format!(": {}", shortened(&details.join(", "))) };
        let feature = shortened(&feature.feature);
        if !wanted.warn {
            return Err(Error::RequiredFeature { feature, message });
        }
        warnings
            .push(format!("the repository uses the feature {feature:?}, which is not supported{message}"));
    }
    Ok(warnings)
}

/// Refuses while clients are told to stay away: from the notice until the upgrade is over.
fn check_upgrade(lock: Option<&UpgradeLock>, now: Timestamp) -> Result<(), Error> {
    let Some(lock) = lock else { return Ok(()) };
    let drain = i128::from(lock.clock_drift) + 2 * i128::from(lock.drain_timeout);
    let notice = i128::from(lock.advance_notice);
    let locked = match lock.created.parse::<Timestamp>() {
        Ok(created) => notice < drain || now.as_nanosecond() >= created.as_nanosecond() + notice - drain,
        Err(_) => true,
    };
    if locked {
        return Err(Error::UpgradeInProgress {
            owner: shortened(&lock.owner),
            since: shortened(&lock.created),
        });
    }
    Ok(())
}

/// Text from the repository, short enough for a message.
fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outer_error(json: &str) -> Error {
        parse_outer(json.as_bytes()).err().unwrap()
    }

    #[test]
    fn damage_of_the_outer_json_is_named() {
        assert!(matches!(outer_error(""), Error::Damaged { reason } if reason.contains("empty")));
        assert!(
            matches!(outer_error("{\"tool\":"), Error::Damaged { reason } if reason.contains("cut short"))
        );
        assert!(matches!(outer_error("\0\0"), Error::Damaged { reason } if reason.contains("not valid")));
        assert!(matches!(outer_error("{\"encryption\":\"NONE\"}"), Error::UnsupportedOuter { .. }));
        assert!(matches!(outer_error("{\"encryption\":\"AES256_GCM\"} x"), Error::Damaged { .. }));
        assert!(matches!(
            outer_error("{\"encryption\":\"AES256_GCM\",\"uniqueID\":\"AAAA\"}"),
            Error::Damaged { .. }
        ));
        assert!(matches!(
            outer_error("{\"encryption\":\"AES256_GCM\",\"uniqueID\":\"%\"}"),
            Error::Damaged { .. }
        ));
    }

    #[test]
    fn the_last_of_repeated_keys_counts_in_any_case() {
        let json = r#"{"keyAlgo":"a","uniqueID":"AAAAAAAAAAAAAAAAAAAAAAAAAAA=","ENCRYPTION":"AES256_GCM","KeyAlgo":"b"}"#;
        assert_eq!(parse_outer(json.as_bytes()).unwrap().key_algorithm, "b");
    }

    #[test]
    fn required_features() {
        let feature = |name: &str, warn| Feature {
            feature: name.into(),
            if_not_understood: super::super::stored::IfNotUnderstood {
                warn,
                message: "read\u{7} this".into(),
                ..Default::default()
            },
        };
        assert!(check_features(&[feature("index-v2", false)]).unwrap().is_empty());
        assert_eq!(check_features(&[feature("new", true)]).unwrap().len(), 1);
        let error = check_features(&[feature("new", false)]).unwrap_err();
        assert!(error.to_string().ends_with(": read this"), "{error}");
    }

    #[test]
    fn an_upgrade_locks_from_its_notice_on() {
        let lock = |advance_notice| UpgradeLock {
            owner: "me".into(),
            created: "2026-01-01T00:00:00Z".into(),
            advance_notice,
            drain_timeout: 60_000_000_000,
            clock_drift: 0,
        };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert!(check_upgrade(None, at("2026-01-01T00:00:00Z")).is_ok());
        assert!(check_upgrade(Some(&lock(0)), at("2026-01-01T00:00:00Z")).is_err());
        let hour = 3_600_000_000_000;
        assert!(check_upgrade(Some(&lock(hour)), at("2026-01-01T00:57:59Z")).is_ok());
        assert!(check_upgrade(Some(&lock(hour)), at("2026-01-01T00:58:00Z")).is_err());
    }
}
