//! Where the operator mounts a volume for what is kept between runs.

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::blob::BlobStore;
use crate::front::mover::environment::Environment;

/// The directory where nothing else is said.
const DEFAULT: &str = "/cache";

/// Bytes that may be kept there: the index of some five million contents. The volume may be small, and Kopia's own cache
/// may be in it.
const LIMIT: u64 = 256 << 20;

/// A directory for the index and the list of snapshots, and how much of it may be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cache {
    pub(super) directory: PathBuf,
    pub(super) limit: u64,
}

impl Cache {
    /// What the environment names, if it can be used.
    pub(super) fn of(environment: &Environment) -> Option<Self> {
        let directory = PathBuf::from(environment.raw("KOPIA_CACHE_DIR").unwrap_or(DEFAULT.as_ref()));
        let asked = environment.text("KOPIA_METADATA_CACHE_SIZE_LIMIT_MB");
        let limit = asked.and_then(|text| text.parse::<u64>().ok()).map(|size| size.saturating_mul(1 << 20));
        is_usable(&directory)
            .then(|| Self { directory, limit: limit.map_or(LIMIT, |limit| limit.min(LIMIT)) })
    }

    /// Whether it is worth while for a repository: where each request takes long, and not in the repository itself.
    pub(super) fn serves(&self, store: &impl BlobStore) -> bool {
        store.hints().asks_ahead() && store.guard().writable(&self.directory).is_ok()
    }
}

fn is_usable(directory: &Path) -> bool {
    directory.is_absolute()
        && directory.is_dir()
        && access(directory, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_there_is_used_within_limits() {
        let there = tempfile::tempdir().unwrap();
        let path = there.path().to_str().unwrap();
        let of = |variables: &[(&str, &str)]| Cache::of(&Environment::from_iter(variables.iter().copied()));
        let limit = |variables: &[(&str, &str)]| of(variables).map(|cache| cache.limit);
        assert_eq!(limit(&[("KOPIA_CACHE_DIR", path)]), Some(LIMIT));
        let small = ("KOPIA_METADATA_CACHE_SIZE_LIMIT_MB", "100");
        assert_eq!(limit(&[("KOPIA_CACHE_DIR", path), small]), Some(100 << 20));
        assert_eq!(of(&[("KOPIA_CACHE_DIR", "/no/such/cache"), small]), None);
        assert_eq!(of(&[("KOPIA_CACHE_DIR", "cache")]), None);
    }
}
