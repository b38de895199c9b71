//! The options of a verification.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::os::parallel;

/// How far a verification goes. Each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Index blobs are authentic, and every content lies inside an existing pack.
    Index,
    /// Every content is read and authenticates.
    Decrypt,
    /// Every content decompresses, and its hash is the one in its ID.
    Hash,
    /// Every object of every snapshot can be assembled from such contents.
    Files,
}

impl Level {
    /// All levels in ascending order.
    pub const ALL: [Self; 4] = [Self::Index, Self::Decrypt, Self::Hash, Self::Files];

    /// The name on the command line and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Decrypt => "decrypt",
            Self::Hash => "hash",
            Self::Files => "files",
        }
    }

    /// The level of which packs give proof: trees are walked again each time.
    pub(super) fn of_packs(self) -> Self {
        self.min(Self::Hash)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|level| level.as_str() == text);
        known.ok_or_else(|| "expected index, decrypt, hash or files".to_owned())
    }
}

/// A part of the packs, so that several processes verify one repository together: `I/N`, `I` from 0.
///
/// ```
/// use rokopia::verify::Shard;
/// let shard: Shard = "2/8".parse().unwrap();
/// assert_eq!((shard.index(), shard.count()), (2, 8));
/// assert!("8/8".parse::<Shard>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// Everything.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Part `index` of `count`; `None` unless `index < count`.
    pub fn new(index: u32, count: u32) -> Option<Self> {
        (index < count).then_some(Self { index, count })
    }

    /// Which part, from 0.
    pub fn index(self) -> u32 {
        self.index
    }

    /// Of how many.
    pub fn count(self) -> u32 {
        self.count
    }

    /// Whether a pack belongs to this part. Depends on its name alone, so that all processes agree.
    pub fn has(self, pack: &str) -> bool {
        self.count == 1 || crc32fast::hash(pack.as_bytes()) % self.count == self.index
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (index, count) = text.split_once('/')?;
            Self::new(index.parse().ok()?, count.parse().ok()?)
        };
        parse().ok_or_else(|| "expected I/N with 0 <= I < N".to_owned())
    }
}

/// The order in which packs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub enum Order {
    /// In the order of the disk, grouped by the former run that proved them, so that the disk head moves forward.
    #[default]
    Disk,
    /// Strictly by the age of their proofs.
    Oldest,
}

impl std::str::FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "disk" => Ok(Self::Disk),
            "oldest" => Ok(Self::Oldest),
            _ => Err(format!("{text:?} is neither disk nor oldest")),
        }
    }
}

/// How a repository is verified.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Settings {
    /// How far.
    pub level: Level,
    /// Threads that decode.
    pub threads: usize,
    /// Number of packs read in parallel. One avoids seeking on a disk; more are better on a network file system.
    pub reads: usize,
    /// Maximum bytes of memory.
    pub memory: u64,
    /// Stop reading after this time.
    pub max_duration: Option<Duration>,
    /// Read no faster than this many bytes in a second.
    pub rate: Option<u64>,
    /// Only this part of the packs.
    pub shard: Shard,
    /// Maximum number of stored bytes of contents to read, the most urgent first; at least one pack is read. With 0
    /// nothing is read, and the report is about the proofs in the ledger.
    pub budget: Option<u64>,
    /// Skip packs that were proved within this time, and ignore older proofs.
    pub max_age: Option<Duration>,
    /// In which order packs are read.
    pub order: Order,
    /// Only what these snapshots need, by the IDs of their manifests.
    pub snapshots: Option<Vec<String>>,
    /// Whether to accept that snapshots recorded in the ledger are gone.
    pub accept_missing_snapshots: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            level: Level::Files,
            threads: parallel::available_threads(),
            reads: 1,
            memory: 256 << 20,
            max_duration: None,
            rate: None,
            shard: Shard::WHOLE,
            budget: None,
            max_age: None,
            order: Order::default(),
            snapshots: None,
            accept_missing_snapshots: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_split_every_name_once() {
        let shards: Vec<Shard> = (0..7).map(|i| Shard::new(i, 7).unwrap()).collect();
        let mut sizes = [0; 7];
        for n in 0..7000_u32 {
            let name = format!("p{:032x}", n.wrapping_mul(0x9e37_79b9));
            let owners: Vec<usize> = (0..7).filter(|&i| shards[i].has(&name)).collect();
            assert_eq!(owners.len(), 1);
            sizes[owners[0]] += 1;
        }
        assert!(sizes.iter().all(|&n| (800..1200).contains(&n)), "{sizes:?}");
        assert!(Shard::WHOLE.has("anything"));
    }

    #[test]
    fn levels_are_ordered_and_named() {
        assert!(Level::ALL.is_sorted());
        for level in Level::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        assert!("full".parse::<Level>().is_err());
        for text in ["", "1", "1/", "/2", "2/2", "-1/2", "0/0"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
