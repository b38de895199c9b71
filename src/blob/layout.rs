//! Where a blob lies: how its name becomes a path or a key.

use std::collections::BTreeMap;

use super::sharding::SUFFIX;
use super::{BlobId, BlobKind, Sharding};

/// The rule by which a store keeps blobs: how names are spread over directories, and what the names of files end in.
///
/// Kopia writes two: sharded with the ending `.f` into directories, SFTP, WebDAV and rclone, and bare names into object
/// stores. Copies from one to the other keep the rule of where they come from.
///
/// ```
/// use rokopia::blob::{BlobId, Layout};
/// let pack = BlobId::new("p2f09ebc80929c10afce9d8ad8ae3bed7-s8df48a5d3ea727bc147").unwrap();
/// let path = "p/2f0/9ebc80929c10afce9d8ad8ae3bed7-s8df48a5d3ea727bc147.f";
/// assert_eq!(Layout::bare().path(&pack), pack.as_str());
/// assert_eq!(Layout::guess([path]).unwrap().path(&pack), path);
/// assert_eq!(Layout::blob_at(path), Some(pack));
/// assert_eq!(Layout::blob_at("p/2f0/._9ebc80929c10afce9d8ad8ae3bed7-s8df48a5d3ea727bc147.f"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    sharding: Sharding,
    suffix: &'static str,
}

impl Default for Layout {
    /// That of a directory that does not say otherwise.
    fn default() -> Self {
        Self::sharded(Sharding::default())
    }
}

impl Layout {
    /// Names as they are: no directories, no ending.
    pub fn bare() -> Self {
        Self { sharding: Sharding::none(), suffix: "" }
    }

    /// Names spread over directories, of files that end in `.f`.
    pub fn sharded(sharding: Sharding) -> Self {
        Self { sharding, suffix: SUFFIX }
    }

    /// The path of a blob below the root of the store, with `/` between directories.
    pub fn path(&self, id: &BlobId) -> String {
        let mut path = self.sharding.directories(id.as_str());
        path.push_str(self.suffix);
        path
    }

    /// The content of a `.shards` that says the same; none does of bare names.
    pub(super) fn shards_file(&self) -> Option<String> {
        (!self.suffix.is_empty()).then(|| self.sharding.file())
    }

    /// The blob that a file at this path holds under one layout or another; `None` for a foreign file.
    pub fn blob_at(path: &str) -> Option<BlobId> {
        let joined: String = path.split('/').collect();
        let name = joined.strip_suffix(SUFFIX).unwrap_or(&joined);
        BlobId::new(name).ok().filter(|id| id.kind() != BlobKind::Foreign)
    }

    /// The layout that most of these files have; `None` where none of them is a blob.
    pub fn guess<'p>(paths: impl IntoIterator<Item = &'p str>) -> Option<Self> {
        let mut shards: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
        let (mut with_suffix, mut bare) = (0_usize, 0_usize);
        for path in paths {
            let Some(id) = Self::blob_at(path) else { continue };
            *(if path.ends_with(SUFFIX) { &mut with_suffix } else { &mut bare }) += 1;
            if id.as_str().len() > Sharding::SHORT_NAME {
                let mut lengths: Vec<usize> = path.split('/').map(str::len).collect();
                lengths.pop();
                *shards.entry(lengths).or_default() += 1;
            }
        }
        if with_suffix + bare == 0 {
            return None;
        }
        let most = shards.into_iter().max_by_key(|(_, count)| *count).map(|(lengths, _)| lengths);
        let otherwise = if with_suffix >= bare { Self::default() } else { Self::bare() };
        Some(Self { sharding: most.map_or(otherwise.sharding, Sharding::by), ..otherwise })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACK: &str = "p2f09ebc80929c10afce9d8ad8ae3bed7-s8df48a5d3ea727bc147";

    fn guessed(paths: &[&str]) -> Option<String> {
        let layout = Layout::guess(paths.iter().copied())?;
        Some(layout.path(&BlobId::new(PACK).unwrap()))
    }

    #[test]
    fn the_layout_is_that_of_most_blobs() {
        let hash = "9ebc80929c10afce9d8ad8ae3bed7-s8df48a5d3ea727bc147.f";
        for (paths, expected) in [
            (vec![format!("p/2f0/{hash}")], format!("p/2f0/{hash}")),
            (vec![format!("x/n0_/b3dc39b1f3223aa6edc80e4571cb1f83.f")], format!("p/2f0/{hash}")),
            (vec![format!("q2f/09e/{}", &hash[2..])], format!("p2f/09e/{}", &hash[2..])),
            (vec![format!("q2f0{hash}"), "kopia.repository.f".into()], format!("{PACK}.f")),
            (vec![format!("q2f0{hash}").replace(".f", ""), "kopia.repository".into()], PACK.to_owned()),
            (
                vec![
                    "p/readme.f".into(),
                    format!("q/2f0/{hash}"),
                    format!("q/2f1/{hash}"),
                    format!("q2f0{hash}"),
                ],
                format!("p/2f0/{hash}"),
            ),
            // Nothing tells how long names are spread: as a directory without `.shards`.
            (vec!["kopia.repository.f".into()], format!("p2f/09e/{}", &hash[2..])),
        ] {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            assert_eq!(guessed(&paths), Some(expected), "{paths:?}");
        }
        assert_eq!(guessed(&["readme.txt", "p/x.f"]), None);
    }
}
