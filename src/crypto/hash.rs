//! Keyed hashes that name contents (format-spec/04-hashes.md).

use std::fmt;

use blake2::Blake2sMac;
use blake2::digest::consts::{U16, U32};
use hmac::{Hmac, KeyInit, Mac, SimpleHmac};
use sha2::{Sha224, Sha256};
use sha3::{Sha3_224, Sha3_256};

use super::{AlgorithmKind, Error};

/// Longest content hash, in bytes.
pub const MAX_HASH_LEN: usize = 32;

/// Longest hash secret that is accepted, in bytes. Kopia writes 32; HMAC and BLAKE3 would take any length.
const MAX_SECRET: usize = 1024;

/// Context string with which BLAKE3 stretches secrets of less than 32 bytes.
const BLAKE3_CONTEXT: &str = "kopia blake3 derived key v1";

/// The hash functions of content identifiers, in Kopia's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names say it all")]
pub enum HashAlgorithm {
    Blake2b256,
    Blake2b256_128,
    Blake2s128,
    Blake2s256,
    Blake3_256,
    Blake3_256_128,
    HmacSha224,
    HmacSha256,
    HmacSha256_128,
    HmacSha3_224,
    HmacSha3_256,
}

impl HashAlgorithm {
    /// All of them: none was ever removed.
    pub const ALL: [Self; 11] = [
        Self::Blake2b256,
        Self::Blake2b256_128,
        Self::Blake2s128,
        Self::Blake2s256,
        Self::Blake3_256,
        Self::Blake3_256_128,
        Self::HmacSha224,
        Self::HmacSha256,
        Self::HmacSha256_128,
        Self::HmacSha3_224,
        Self::HmacSha3_256,
    ];

    /// The algorithm of this name.
    ///
    /// # Errors
    /// [`Error::UnknownAlgorithm`], with the name.
    pub fn parse(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| Error::unknown(AlgorithmKind::Hash, name))
    }

    /// The name in the repository's configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Blake2b256 => "BLAKE2B-256",
            Self::Blake2b256_128 => "BLAKE2B-256-128",
            Self::Blake2s128 => "BLAKE2S-128",
            Self::Blake2s256 => "BLAKE2S-256",
            Self::Blake3_256 => "BLAKE3-256",
            Self::Blake3_256_128 => "BLAKE3-256-128",
            Self::HmacSha224 => "HMAC-SHA224",
            Self::HmacSha256 => "HMAC-SHA256",
            Self::HmacSha256_128 => "HMAC-SHA256-128",
            Self::HmacSha3_224 => "HMAC-SHA3-224",
            Self::HmacSha3_256 => "HMAC-SHA3-256",
        }
    }

    /// Length of a hash in bytes: 16, 28 or 32.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a hash is never empty")]
    pub fn len(self) -> usize {
        match self {
            Self::Blake2b256_128 | Self::Blake2s128 | Self::Blake3_256_128 | Self::HmacSha256_128 => 16,
            Self::HmacSha224 | Self::HmacSha3_224 => 28,
            Self::Blake2b256
            | Self::Blake2s256
            | Self::Blake3_256
            | Self::HmacSha256
            | Self::HmacSha3_256 => 32,
        }
    }

    /// Lengths of the secret that the function takes: (least, most, in words).
    fn key_lengths(self) -> (usize, usize, &'static str) {
        match self {
            Self::Blake2b256 | Self::Blake2b256_128 => (0, 64, "0 to 64"),
            Self::Blake2s128 => (1, 32, "1 to 32"),
            Self::Blake2s256 => (0, 32, "0 to 32"),
            _ => (0, MAX_SECRET, "0 to 1024"),
        }
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The hash of a content: 16, 28 or 32 bytes. Displayed in lowercase hexadecimal, as in content IDs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash {
    bytes: [u8; MAX_HASH_LEN],
    len: u8,
}

impl ContentHash {
    fn truncated(full: &[u8], len: usize) -> Self {
        let mut bytes = [0; MAX_HASH_LEN];
        for (to, from) in bytes.iter_mut().zip(full.iter().take(len)) {
            *to = *from;
        }
        Self { bytes, len: len as u8 }
    }

    /// The bytes of the hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

/// A hash function with its key scheduled once: the repository's content hash.
///
/// ```
/// use rokopia::crypto::{ContentHasher, HashAlgorithm};
///
/// let hasher = ContentHasher::new(HashAlgorithm::Blake2b256_128, b"key")?;
/// assert_eq!(hasher.hash(b"").to_string(), "e65edfce5a36261cd824cb0f0da736b1");
/// # Ok::<(), rokopia::crypto::Error>(())
/// ```
#[derive(Clone)]
pub struct ContentHasher {
    algorithm: HashAlgorithm,
    keyed: Box<Keyed>,
}

/// Each function with its key absorbed, so that hashing starts with the data.
#[derive(Clone)]
enum Keyed {
    Blake2b(blake2b_simd::Params),
    Blake2s128(Blake2sMac<U16>),
    Blake2s256(Blake2sMac<U32>),
    Blake3([u8; 32]),
    HmacSha224(Hmac<Sha224>),
    HmacSha256(Hmac<Sha256>),
    HmacSha3_224(SimpleHmac<Sha3_224>),
    HmacSha3_256(SimpleHmac<Sha3_256>),
}

impl ContentHasher {
    /// The function keyed with the repository's `secret`, which may be empty for most of them.
    ///
    /// # Errors
    /// [`Error::KeyLength`] if the function takes no key of this length.
    pub fn new(algorithm: HashAlgorithm, secret: &[u8]) -> Result<Self, Error> {
        let (least, most, allowed) = algorithm.key_lengths();
        let key_length = || Error::KeyLength { what: "the hash secret", length: secret.len(), allowed };
        if !(least..=most).contains(&secret.len()) {
            return Err(key_length());
        }
        // An absent key and one of no bytes are the same thing to BLAKE2, but not to this library.
        let blake2s_key = (!secret.is_empty()).then_some(secret);
        let keyed = match algorithm {
            // Kopia truncates the long BLAKE2b, but asks BLAKE2s for a short one, which is another function.
            HashAlgorithm::Blake2b256 | HashAlgorithm::Blake2b256_128 => {
                Keyed::Blake2b(blake2b_simd::Params::new().hash_length(32).key(secret).clone())
            }
            HashAlgorithm::Blake2s128 => Keyed::Blake2s128(
                Blake2sMac::new_with_salt_and_personal(blake2s_key, &[], &[]).map_err(|_| key_length())?,
            ),
            HashAlgorithm::Blake2s256 => Keyed::Blake2s256(
                Blake2sMac::new_with_salt_and_personal(blake2s_key, &[], &[]).map_err(|_| key_length())?,
            ),
            HashAlgorithm::Blake3_256 | HashAlgorithm::Blake3_256_128 => Keyed::Blake3(
                secret.first_chunk().copied().unwrap_or_else(|| blake3::derive_key(BLAKE3_CONTEXT, secret)),
            ),
            HashAlgorithm::HmacSha224 => {
                Keyed::HmacSha224(KeyInit::new_from_slice(secret).map_err(|_| key_length())?)
            }
            HashAlgorithm::HmacSha256 | HashAlgorithm::HmacSha256_128 => {
                Keyed::HmacSha256(KeyInit::new_from_slice(secret).map_err(|_| key_length())?)
            }
            HashAlgorithm::HmacSha3_224 => {
                Keyed::HmacSha3_224(KeyInit::new_from_slice(secret).map_err(|_| key_length())?)
            }
            HashAlgorithm::HmacSha3_256 => {
                Keyed::HmacSha3_256(KeyInit::new_from_slice(secret).map_err(|_| key_length())?)
            }
        };
        Ok(Self { algorithm, keyed: Box::new(keyed) })
    }

    /// Which function this is.
    #[must_use]
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// The hash of one content.
    #[must_use]
    pub fn hash(&self, data: &[u8]) -> ContentHash {
        match &*self.keyed {
            Keyed::Blake2b(params) => self.finish(params.hash(data).as_bytes()),
            Keyed::Blake2s128(mac) => self.mac(mac, data),
            Keyed::Blake2s256(mac) => self.mac(mac, data),
            // The multi-threaded mode is not used: the callers already run one content per core.
            Keyed::Blake3(key) => self.finish(blake3::keyed_hash(key, data).as_bytes()),
            Keyed::HmacSha224(mac) => self.mac(mac, data),
            Keyed::HmacSha256(mac) => self.mac(mac, data),
            Keyed::HmacSha3_224(mac) => self.mac(mac, data),
            Keyed::HmacSha3_256(mac) => self.mac(mac, data),
        }
    }

    /// The hashes of many contents, in order. With BLAKE2b, several are computed at once in the lanes of vector
    /// registers; inputs of similar lengths gain most.
    #[must_use]
    pub fn hash_many(&self, data: &[&[u8]]) -> Vec<ContentHash> {
        match &*self.keyed {
            Keyed::Blake2b(params) => {
                use blake2b_simd::many::{HashManyJob, hash_many};
                let mut jobs: Vec<_> = data.iter().map(|data| HashManyJob::new(params, data)).collect();
                hash_many(&mut jobs);
                jobs.iter().map(|job| self.finish(job.to_hash().as_bytes())).collect()
            }
            _ => data.iter().map(|data| self.hash(data)).collect(),
        }
    }

    /// How many inputs are hashed side by side in hardly more time than one.
    #[must_use]
    pub fn lanes(&self) -> usize {
        match &*self.keyed {
            Keyed::Blake2b(_) => blake2b_simd::many::degree(),
            _ => 1,
        }
    }

    /// Begins a hash of data that comes piece by piece.
    #[must_use]
    pub fn stream(&self) -> HashStream {
        let state: Box<dyn Absorb> = match &*self.keyed {
            Keyed::Blake2b(params) => Box::new(params.to_state()),
            Keyed::Blake2s128(mac) => Box::new(MacState(mac.clone())),
            Keyed::Blake2s256(mac) => Box::new(MacState(mac.clone())),
            Keyed::Blake3(key) => Box::new(blake3::Hasher::new_keyed(key)),
            Keyed::HmacSha224(mac) => Box::new(MacState(mac.clone())),
            Keyed::HmacSha256(mac) => Box::new(MacState(mac.clone())),
            Keyed::HmacSha3_224(mac) => Box::new(MacState(mac.clone())),
            Keyed::HmacSha3_256(mac) => Box::new(MacState(mac.clone())),
        };
        HashStream { len: self.algorithm.len(), state }
    }

    fn mac(&self, keyed: &(impl Mac + Clone), data: &[u8]) -> ContentHash {
        self.finish(&keyed.clone().chain_update(data).finalize().into_bytes())
    }

    fn finish(&self, full: &[u8]) -> ContentHash {
        ContentHash::truncated(full, self.algorithm.len())
    }
}

impl fmt::Debug for ContentHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentHasher").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// A hash that is being computed.
pub struct HashStream {
    len: usize,
    state: Box<dyn Absorb>,
}

impl HashStream {
    /// Takes the next piece of the data.
    pub fn update(&mut self, data: &[u8]) {
        self.state.absorb(data);
    }

    /// Takes the next pieces of several inputs, side by side where [`ContentHasher::lanes`] says so.
    pub fn update_many<'a>(pieces: impl IntoIterator<Item = (&'a mut HashStream, &'a [u8])>) {
        let mut lanes = Vec::new();
        for (stream, data) in pieces {
            if stream.state.lane().is_none() {
                stream.update(data);
            } else if let Some(state) = stream.state.lane() {
                lanes.push((state, data));
            }
        }
        blake2b_simd::many::update_many(lanes);
    }

    /// The hash of all of it.
    #[must_use]
    pub fn finish(self) -> ContentHash {
        self.state.finish(self.len)
    }
}

impl fmt::Debug for HashStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashStream").finish_non_exhaustive()
    }
}

trait Absorb: Send {
    fn absorb(&mut self, data: &[u8]);
    fn finish(self: Box<Self>, len: usize) -> ContentHash;
    /// The state, where several are advanced together.
    fn lane(&mut self) -> Option<&mut blake2b_simd::State> {
        None
    }
}

struct MacState<M>(M);

impl<M: Mac + Send> Absorb for MacState<M> {
    fn absorb(&mut self, data: &[u8]) {
        self.0.update(data);
    }
    fn finish(self: Box<Self>, len: usize) -> ContentHash {
        ContentHash::truncated(&self.0.finalize().into_bytes(), len)
    }
}

impl Absorb for blake2b_simd::State {
    fn lane(&mut self) -> Option<&mut blake2b_simd::State> {
        Some(self)
    }
    fn absorb(&mut self, data: &[u8]) {
        self.update(data);
    }
    fn finish(self: Box<Self>, len: usize) -> ContentHash {
        ContentHash::truncated(self.finalize().as_bytes(), len)
    }
}

impl Absorb for blake3::Hasher {
    fn absorb(&mut self, data: &[u8]) {
        self.update(data);
    }
    fn finish(self: Box<Self>, len: usize) -> ContentHash {
        ContentHash::truncated(self.finalize().as_bytes(), len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_lengths() {
        for algorithm in HashAlgorithm::ALL {
            assert_eq!(HashAlgorithm::parse(algorithm.name()).unwrap(), algorithm);
            let hash = ContentHasher::new(algorithm, b"key").unwrap().hash(b"data");
            assert_eq!(hash.as_bytes().len(), algorithm.len());
        }
        let error = HashAlgorithm::parse("blake2b-256").unwrap_err();
        assert!(error.to_string().contains("\"blake2b-256\""), "{error}");
    }

    #[test]
    fn key_lengths_are_checked_up_front() {
        for algorithm in HashAlgorithm::ALL {
            let (least, most, _) = algorithm.key_lengths();
            for length in [0, 1, 31, 32, 33, 64, 65, 200, 1024, 1025] {
                let result = ContentHasher::new(algorithm, &vec![7; length]);
                assert_eq!(result.is_ok(), (least..=most).contains(&length), "{algorithm} {length}");
            }
        }
    }

    #[test]
    fn many_at_once_equal_one_at_a_time() {
        let lengths = [0, 1, 127, 128, 129, 5000, 3, 0, 70_000, 128, 256, 1000, 17];
        let data: Vec<Vec<u8>> =
            lengths.iter().map(|&length| (0..length).map(|i| (i * 7 + length) as u8).collect()).collect();
        let slices: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        for algorithm in HashAlgorithm::ALL {
            let hasher = ContentHasher::new(algorithm, b"key").unwrap();
            for count in 0..=slices.len() {
                let expected: Vec<_> = slices[..count].iter().map(|data| hasher.hash(data)).collect();
                assert_eq!(hasher.hash_many(&slices[..count]), expected, "{algorithm} × {count}");
            }
        }
    }

    #[test]
    fn pieces_hash_like_the_whole() {
        let data: Vec<u8> = (0..1000).map(|i| (i * 7) as u8).collect();
        for algorithm in HashAlgorithm::ALL {
            let hasher = ContentHasher::new(algorithm, b"key").unwrap();
            for piece in [1, 64, 127, 1000] {
                let mut stream = hasher.stream();
                data.chunks(piece).for_each(|piece| stream.update(piece));
                assert_eq!(stream.finish(), hasher.hash(&data), "{algorithm} by {piece}");
            }
            assert_eq!(hasher.stream().finish(), hasher.hash(b""), "{algorithm}");
        }
    }
}
