//! How the memory that a program may use is split, in one place.

use super::Options;
use crate::index::ContentIndex;

/// The memory that a program may use.
///
/// An index takes up to half of it and goes to a file beyond that. The manifests, which are forgotten before data is
/// read, may take all of it. What is left beside the loaded index and the program itself is for data in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget(u64);

/// Data in flight does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooSmall {
    /// Bytes that the loaded index takes.
    pub(crate) index: u64,
    /// Bytes that would be enough.
    pub(crate) needed: u64,
}

impl Budget {
    /// The minimum: less cannot hold one pack range, its decoded form and the tables of an index.
    pub const LEAST: u64 = 16 << 20;

    /// What the process needs beside the index and the data in flight.
    const PROGRAM: u64 = 24 << 20;

    /// With less for data in flight a restore cannot hold a pack range and its decoded form.
    const LEAST_FOR_DATA: u64 = 8 << 20;

    /// A budget of this many bytes, at least [`Budget::LEAST`].
    pub fn new(bytes: u64) -> Self {
        Self(bytes.max(Self::LEAST))
    }

    /// A budget of this many bytes, however few: for what says by itself that there was no memory for it.
    pub(crate) fn exactly(bytes: u64) -> Self {
        Self(bytes)
    }

    /// All of it, in bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// Bytes that an index and loading it may take.
    pub fn for_index(self) -> u64 {
        self.0 / 2
    }

    /// Bytes that manifests may take.
    pub fn for_manifests(self) -> u64 {
        self.0
    }

    /// The same options, limited to this budget.
    #[must_use]
    pub fn bound(self, mut options: Options) -> Options {
        options.index.memory = self.for_index();
        options.manifests = self.for_manifests();
        options
    }

    /// Bytes for data in flight beside this index.
    pub(crate) fn for_data(self, index: &ContentIndex) -> Result<u64, TooSmall> {
        self.data_beside(index.memory())
    }

    /// The same where something has to be tried in any case.
    pub(crate) fn for_data_at_least(self, index: &ContentIndex) -> u64 {
        self.0.saturating_sub(index.memory()).max(Self::LEAST)
    }

    /// Bytes for what a verification holds of directories beside this index: most of the rest, since what it reads is
    /// bounded by itself.
    pub(crate) fn for_trees(self, index: &ContentIndex) -> u64 {
        (self.0.saturating_sub(index.memory()) / 4 * 3).max(self.0 / 8)
    }

    fn data_beside(self, index: u64) -> Result<u64, TooSmall> {
        let taken = index.saturating_add(Self::PROGRAM);
        let left = self.0.saturating_sub(taken);
        if left >= Self::LEAST_FOR_DATA {
            return Ok(left);
        }
        let needed = taken.saturating_add(Self::LEAST_FOR_DATA);
        // Rounded up, so that what is shown is enough.
        Err(TooSmall { index, needed: needed.checked_next_multiple_of(1 << 20).unwrap_or(needed) })
    }
}

impl Default for Budget {
    /// 256 MiB.
    fn default() -> Self {
        Self(256 << 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_never_more_than_the_whole() {
        for bytes in [0, Budget::LEAST, 60 << 20, 256 << 20, 1 << 40] {
            let budget = Budget::new(bytes);
            assert!(budget.for_index() * 2 <= budget.bytes() && budget.for_manifests() <= budget.bytes());
            match budget.data_beside(budget.for_index()) {
                Ok(data) => assert!(budget.for_index() + data + Budget::PROGRAM <= budget.bytes()),
                Err(small) => {
                    assert!(small.needed > budget.bytes());
                    assert!(
                        Budget::new(small.needed).data_beside(small.index).is_ok(),
                        "what is shown is enough"
                    );
                }
            }
        }
    }
}
