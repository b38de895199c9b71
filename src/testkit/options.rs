//! What kind of repository to make.

use super::rng::word_at;
use crate::codec::CompressionId;
use crate::crypto::{EncryptionAlgorithm, HashAlgorithm, KeyDerivation};

/// How objects are cut into contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunks {
    /// Pieces of this many bytes.
    Fixed(usize),
    /// Pieces of `min` to `max` bytes by chance, as a content-defined splitter makes them.
    Between {
        /// Shortest piece but the last.
        min: usize,
        /// Longest piece.
        max: usize,
    },
}

impl Chunks {
    /// Length of piece number `index` of an object that `seed` names; the last piece is cut short.
    pub(crate) fn length(self, seed: u64, index: u64) -> usize {
        match self {
            Chunks::Fixed(size) => size.max(1),
            Chunks::Between { min, max } => {
                let spread = max.saturating_sub(min) as u64 + 1;
                (min + (word_at(seed, index) % spread) as usize).max(1)
            }
        }
    }

    /// Name of the splitter for the repository's configuration. Kopia refuses names it does not know.
    pub(crate) fn splitter(self) -> &'static str {
        const NAMED: [(usize, &str); 7] = [
            (128 << 10, "FIXED-128K"),
            (256 << 10, "FIXED-256K"),
            (512 << 10, "FIXED-512K"),
            (1 << 20, "FIXED-1M"),
            (2 << 20, "FIXED-2M"),
            (4 << 20, "FIXED-4M"),
            (8 << 20, "FIXED-8M"),
        ];
        let named = |size: usize| NAMED.iter().find(|(named, _)| *named == size).map(|(_, name)| *name);
        match self {
            Chunks::Fixed(size) => named(size),
            Chunks::Between { .. } => None,
        }
        .unwrap_or("DYNAMIC-4M-BUZHASH")
    }
}

/// When index epochs advance and how many index blobs are left in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epochs {
    /// Into how many index blobs every flush divides its entries.
    pub blobs_per_flush: u32,
    /// A flush that leaves at least this many index blobs in the current epoch begins the next one; 0: never.
    pub advance_at: u32,
    /// Every epoch that has settled is merged into one compacted blob, and its own blobs are removed.
    pub compact: bool,
    /// Once this many settled epochs are compacted, they are merged into a range; 0: never.
    pub range_of: u32,
}

impl Default for Epochs {
    fn default() -> Self {
        Epochs { blobs_per_flush: 1, advance_at: 20, compact: false, range_of: 0 }
    }
}

/// What kind of repository to make. The default is what `kopia repository create` makes; the same options and the
/// same calls give the same bytes.
#[derive(Debug, Clone)]
pub struct Options {
    /// Keys, nonces, names and identifiers follow from it.
    pub seed: u64,
    /// Opens the repository.
    pub password: String,
    /// How the password becomes a key.
    pub key_derivation: KeyDerivation,
    /// Names the contents.
    pub hash: HashAlgorithm,
    /// Encrypts contents and indexes.
    pub encryption: EncryptionAlgorithm,
    /// Reed-Solomon redundancy in percent; 0: none.
    pub ecc_percent: u8,
    /// Applied to contents without prefix if it makes them smaller.
    pub data_compression: Option<CompressionId>,
    /// Applied to contents with a prefix if it makes them smaller.
    pub metadata_compression: Option<CompressionId>,
    /// A pack is closed when its contents reach this many bytes. Kopia's own limits are not enforced.
    pub pack_size: usize,
    /// How objects are cut.
    pub chunks: Chunks,
    /// `.shards`: how blobs are spread over directories.
    pub shards: String,
    /// Index epochs.
    pub epochs: Epochs,
    /// A content that is already there is not written again. Off, nothing is remembered: less memory, and every
    /// `write_content` stores a copy.
    pub deduplicate: bool,
    /// The writer's clock at the beginning, in seconds since 1970. It moves on by a second at each flush.
    pub now: u64,
    /// Packs do not begin with a copy of `kopia.repository`. Off is what an upgraded repository has for ever.
    pub password_change: bool,
}

/// 2026-01-01T00:00:00Z.
const NEW_YEAR_2026: u64 = 1_767_225_600;

/// Default of `maxPackSize` (`format-spec/02-format-blob.md`), in bytes.
const DEFAULT_PACK_SIZE: usize = 20 << 20;

impl Default for Options {
    fn default() -> Self {
        Options {
            seed: 1,
            password: "testkit".into(),
            key_derivation: KeyDerivation::Scrypt65536_8_1,
            hash: HashAlgorithm::Blake2b256_128,
            encryption: EncryptionAlgorithm::Aes256Gcm,
            ecc_percent: 0,
            data_compression: None,
            metadata_compression: CompressionId::from_header(super::compress::ZSTD_FASTEST).ok(),
            pack_size: DEFAULT_PACK_SIZE,
            chunks: Chunks::Fixed(4 << 20),
            shards: r#"{"default":[1,3],"maxNonShardedLength":20}"#.into(),
            epochs: Epochs::default(),
            deduplicate: true,
            now: NEW_YEAR_2026,
            password_change: true,
        }
    }
}
