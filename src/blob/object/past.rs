//! A bucket as it was at a moment, where the storage keeps versions.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::listing::Listed;
use super::service::{Service, Version, VersionAsk, VersionMarker, not_a_listing};
use crate::blob::{Cause, Trouble};
use crate::os::sync::Mutex;

/// Versions of objects that are remembered, of some 150 bytes each. Others are asked for when they are read.
const MAX_KNOWN: usize = 500_000;

/// Pages of one listing: a thousand versions each. More is a listing without an end.
const MAX_PAGES: usize = 1_000_000;

/// The moment, and which versions held then. Neither changes.
#[derive(Debug)]
pub(super) struct Past {
    moment: Timestamp,
    known: Mutex<HashMap<String, String>>,
    /// Whether the bucket was found to keep versions.
    checked: OnceCell<()>,
}

/// What held for one object: nothing where it was deleted.
struct Held {
    modified: Timestamp,
    version: Option<(String, u64)>,
}

impl Past {
    pub(super) fn new(moment: Timestamp) -> Self {
        Self { moment, known: Mutex::default(), checked: OnceCell::new() }
    }

    /// The version of an object that held; `None` where there was none.
    pub(super) async fn version(&self, service: &Service, key: &str) -> Result<Option<String>, Trouble> {
        if let Some(version) = self.known.lock().get(key) {
            return Ok(Some(version.clone()));
        }
        let held = self.held(service, key, false, false).await?;
        let version = held.into_iter().find(|(name, _)| name == key).and_then(|(_, held)| held.version);
        Ok(version.map(|(id, _)| id))
    }

    /// Every object that was there; `to_the_end` asks once more for what is behind the last name.
    pub(super) async fn listing(
        &self,
        service: &Service,
        prefix: &str,
        flat: bool,
        to_the_end: bool,
    ) -> Result<Listed, Trouble> {
        let held = self.held(service, prefix, flat, to_the_end).await?;
        let mut known = self.known.lock();
        let mut listed = Listed::new();
        for (key, Held { modified, version }) in held {
            let Some((id, size)) = version else { continue };
            let room = known.len() < MAX_KNOWN;
            match known.entry(key.clone()) {
                Entry::Occupied(mut known) => drop(known.insert(id)),
                Entry::Vacant(place) if room => drop(place.insert(id)),
                Entry::Vacant(_) => {}
            }
            listed.insert(key, (size, Some(modified.into())));
        }
        Ok(listed)
    }

    /// All names that have a version or a deletion of that moment or before.
    async fn held(
        &self,
        service: &Service,
        prefix: &str,
        flat: bool,
        to_the_end: bool,
    ) -> Result<BTreeMap<String, Held>, Trouble> {
        self.check(service).await?;
        let mut held: BTreeMap<String, Held> = BTreeMap::new();
        let mut last: Option<String> = None;
        let mut marker: Option<VersionMarker> = None;
        let mut markers: HashSet<VersionMarker> = HashSet::new();
        loop {
            let ask = VersionAsk { prefix, flat, marker: marker.as_ref() };
            let page = service.versions(ask).await?;
            for version in page.versions {
                if !version.key.starts_with(prefix) {
                    return Err(not_a_listing(format!(
                        "it has {:?}, which does not begin with {prefix:?}",
                        version.key
                    )));
                }
                last = last.max(Some(version.key.clone()));
                self.consider(&mut held, version);
            }
            let Some(next) = page.next else { break };
            if !markers.insert(next.clone()) || markers.len() > MAX_PAGES {
                return Err(not_a_listing("it has no end"));
            }
            marker = Some(next);
        }
        if let Some(last) = last.filter(|_| to_the_end) {
            let behind = VersionMarker { key: last.clone(), id: None };
            let page = service.versions(VersionAsk { prefix, flat, marker: Some(&behind) }).await?;
            if let Some(version) = page.versions.iter().find(|version| version.key > last) {
                let why = format!("it ended before {:?}, which is there", version.key);
                return Err(Trouble::new(Cause::ListingUncertain, why));
            }
        }
        Ok(held)
    }

    /// Versions of one object come newest first, though some servers list deletions apart. Of two that began to hold in the
    /// same second, the one that holds now counts, or else the first one.
    fn consider(&self, held: &mut BTreeMap<String, Held>, version: Version) {
        let Version { key, id, size, modified, deleted, latest } = version;
        let newer = |known: &Held| known.modified > modified || (known.modified == modified && !latest);
        if modified > self.moment || held.get(&key).is_some_and(newer) {
            return;
        }
        held.insert(key, Held { modified, version: (!deleted).then_some((id, size)) });
    }

    async fn check(&self, service: &Service) -> Result<(), Trouble> {
        let check = || async {
            match service.keeps_versions().await? {
                true => Ok(()),
                false => {
                    let why = "what was deleted or replaced in it is gone: it can only be read as it is now";
                    Err(Trouble::new(Cause::VersionsMissing, why))
                }
            }
        };
        self.checked.get_or_try_init(check).await.copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_that_moment_counts_and_deletions_do() {
        let time = |second: i64| Timestamp::from_second(second).unwrap();
        let past = Past::new(time(10));
        let held = |versions: &[(&str, i64, bool)]| {
            let mut held = BTreeMap::new();
            for (id, second, deleted) in versions {
                let (key, id) = ("k".to_owned(), (*id).to_owned());
                past.consider(
                    &mut held,
                    Version {
                        key,
                        id: id.clone(),
                        size: 1,
                        modified: time(*second),
                        deleted: *deleted,
                        latest: id == "last",
                    },
                );
            }
            held.remove("k").and_then(|held| held.version).map(|(id, _)| id)
        };
        assert_eq!(
            held(&[("new", 11, false), ("then", 10, false), ("old", 3, false)]).as_deref(),
            Some("then")
        );
        assert_eq!(held(&[("gone", 11, true), ("then", 9, false)]).as_deref(), Some("then"));
        assert_eq!(held(&[("gone", 9, true), ("then", 8, false)]), None);
        assert_eq!(held(&[("gone", 9, true), ("then", 9, false)]), None);
        assert_eq!(held(&[("again", 9, false), ("gone", 9, true)]).as_deref(), Some("again"));
        assert_eq!(held(&[("old", 3, false), ("then", 8, false)]).as_deref(), Some("then"));
        assert_eq!(held(&[("new", 11, false)]), None);
        assert_eq!(held(&[("then", 9, false), ("last", 9, true)]), None);
        assert_eq!(held(&[("last", 9, false), ("gone", 9, true)]).as_deref(), Some("last"));
    }
}
