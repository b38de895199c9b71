//! Which index blobs count in a repository with epochs (`format-spec/09-index-sets.md`).

use std::collections::{BTreeMap, HashMap, HashSet};

use super::active::{ActiveSet, Doubt};
use crate::blob::{BlobId, BlobKind, BlobMetadata};

/// What the names of the index blobs, and of all that tells which of them count, begin with.
pub const PREFIX: &str = "x";

/// Epoch numbers beyond this cannot be reached by a real repository; markers are not authenticated.
const MAX_EPOCH: u64 = 1 << 31;

/// An epoch is settled, and may be compacted, when two newer ones have begun.
const SETTLED: u64 = 2;

#[derive(Default)]
struct Listing<'a> {
    write_epoch: u64,
    watermark: Option<i64>,
    uncompacted: BTreeMap<u64, Vec<&'a BlobMetadata>>,
    single: BTreeMap<u64, Vec<&'a BlobMetadata>>,
    ranges: BTreeMap<(u64, u64), Vec<&'a BlobMetadata>>,
}

/// Chooses the active set from a listing of all blobs whose names begin with `x`.
pub fn select(blobs: &[BlobMetadata]) -> ActiveSet {
    let listing = Listing::read(blobs);
    let mut set = ActiveSet { watermark: listing.watermark, ..ActiveSet::default() };
    let settled = |epoch: u64| epoch + SETTLED <= listing.write_epoch;

    let mut ranges = HashMap::new();
    for (&(first, last), members) in &listing.ranges {
        match first_complete_set(members) {
            Some(complete) if settled(last) => {
                ranges.insert((first, last), complete);
            }
            // The markers contradict it: either it or they are wrong.
            Some(complete) => {
                set.doubts.extend(complete.first().map(|b| Doubt::RangeAhead { blob: b.id.clone() }));
                set.optional.extend(complete.into_iter().cloned());
            }
            None => {}
        }
    }
    let mut start = 0;
    for range in longest_chain(ranges.keys().copied()) {
        set.blobs.extend(ranges.remove(&range).unwrap_or_default().into_iter().cloned());
        start = range.1 + 1;
    }

    let mut expected = start;
    for epoch in listing.epochs_from(start) {
        if epoch > listing.write_epoch + 1 {
            let blobs = listing.uncompacted.get(&epoch).into_iter().flatten().copied();
            for blob in blobs {
                set.doubts.push(Doubt::EpochAhead { blob: blob.id.clone() });
                set.optional.push(blob.clone());
            }
            continue;
        }
        if epoch > expected && settled(expected) {
            set.doubts.push(Doubt::EpochGap { epoch: expected });
        }
        expected = epoch + 1;
        let members = listing.single.get(&epoch).map(Vec::as_slice).unwrap_or_default();
        if settled(epoch)
            && let Some(complete) = first_complete_set(members)
        {
            set.blobs.extend(complete.into_iter().cloned());
            continue;
        }
        match listing.uncompacted.get(&epoch) {
            Some(blobs) => set.blobs.extend(blobs.iter().copied().cloned()),
            None if settled(epoch) => set.doubts.push(Doubt::IncompleteCompaction { epoch }),
            None => {}
        }
    }
    if settled(expected) {
        set.doubts.push(Doubt::EpochGap { epoch: expected });
    }
    let chosen: HashSet<&BlobId> = set.blobs.iter().chain(&set.optional).map(|blob| &blob.id).collect();
    let superseded = listing.indexes().filter(|blob| !chosen.contains(&blob.id)).cloned().collect();
    set.superseded = superseded;
    set
}

impl<'a> Listing<'a> {
    fn read(blobs: &'a [BlobMetadata]) -> Self {
        let mut listing = Self::default();
        for blob in blobs {
            let name = blob.id.as_str();
            match blob.id.kind() {
                BlobKind::EpochMarker => {
                    listing.write_epoch = listing.write_epoch.max(epoch_of(name).unwrap_or(0));
                }
                BlobKind::DeletionWatermark => {
                    let seconds = name.trim_start_matches(BlobKind::DeletionWatermark.prefix());
                    listing.watermark = listing.watermark.max(seconds.parse::<i64>().ok());
                }
                BlobKind::EpochIndex => {
                    if let Some(epoch) = epoch_of(name) {
                        listing.uncompacted.entry(epoch).or_default().push(blob);
                    }
                }
                BlobKind::EpochCompaction => {
                    if let Some(epoch) = epoch_of(name) {
                        listing.single.entry(epoch).or_default().push(blob);
                    }
                }
                BlobKind::RangeCompaction => {
                    if let Some(range) = range_of(name) {
                        listing.ranges.entry(range).or_default().push(blob);
                    }
                }
                _ => {}
            }
        }
        listing
    }

    /// All blobs that hold entries.
    fn indexes(&self) -> impl Iterator<Item = &'a BlobMetadata> + '_ {
        let of_epochs = self.uncompacted.values().chain(self.single.values());
        of_epochs.chain(self.ranges.values()).flatten().copied()
    }

    /// Epochs that occur in the listing: never the numeric interval, whose end is an unauthenticated name.
    fn epochs_from(&self, start: u64) -> Vec<u64> {
        let mut epochs: Vec<u64> = self
            .uncompacted
            .range(start..)
            .map(|(e, _)| *e)
            .chain(self.single.range(start..).map(|(e, _)| *e))
            .collect();
        epochs.sort_unstable();
        epochs.dedup();
        epochs
    }
}

fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten().filter(|n| *n <= MAX_EPOCH)
}

fn without_letters(text: &str) -> &str {
    text.trim_start_matches(|c: char| !c.is_ascii_digit())
}

fn epoch_of(name: &str) -> Option<u64> {
    decimal(without_letters(name.split('_').next()?))
}

fn range_of(name: &str) -> Option<(u64, u64)> {
    let mut parts = name.split('_');
    let first = decimal(without_letters(parts.next()?))?;
    let last = decimal(parts.next()?)?;
    parts.next()?;
    (first <= last).then_some((first, last))
}

/// The members of the first set that the listing has completely. Names end in `-<set>-c<count>`; any other name is a
/// complete set of its own.
fn first_complete_set<'a>(blobs: &[&'a BlobMetadata]) -> Option<Vec<&'a BlobMetadata>> {
    let mut sets: HashMap<&str, Vec<&BlobMetadata>> = HashMap::new();
    for &blob in blobs {
        let Some((set, count)) = set_and_count(blob.id.as_str()) else { return Some(vec![blob]) };
        let members = sets.entry(set).or_default();
        members.push(blob);
        if members.len() as u64 == count {
            return sets.remove(set);
        }
    }
    None
}

fn set_and_count(name: &str) -> Option<(&str, u64)> {
    let mut parts = name.split('-').skip(1);
    let set = parts.next().filter(|set| set.starts_with('s'))?;
    let count = decimal(parts.next()?.strip_prefix('c')?)?;
    Some((set, count))
}

/// Among chains of adjoining ranges from epoch 0, the one that reaches furthest; of those, the one with fewest ranges.
fn longest_chain(ranges: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut sorted: Vec<_> = ranges.collect();
    sorted.sort_unstable();
    // By the epoch after its end: the fewest ranges that reach it, and the last of them.
    let mut reached: BTreeMap<u64, (usize, Option<(u64, u64)>)> = BTreeMap::from([(0, (0, None))]);
    for range in sorted {
        let Some(&(count, _)) = reached.get(&range.0) else { continue };
        let better = reached.get(&(range.1 + 1)).is_none_or(|(known, _)| count + 1 < *known);
        if better {
            reached.insert(range.1 + 1, (count + 1, Some(range)));
        }
    }
    let mut chain = Vec::new();
    let mut at = reached.last_key_value().map_or(0, |(end, _)| *end);
    while let Some((_, Some(range))) = reached.get(&at) {
        chain.push(*range);
        at = range.0;
    }
    chain.reverse();
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blobs(names: &[&str]) -> Vec<BlobMetadata> {
        names.iter().map(|n| BlobMetadata { id: BlobId::new(n).unwrap(), size: 0, modified: None }).collect()
    }

    /// `xn0_a-s1-c1` with as many digits as real names have.
    fn long(name: &str) -> String {
        let Some((start, rest)) = name.rsplit_once('_') else { return name.to_owned() };
        let (hash, session) = rest.split_once("-s").unwrap_or((rest, ""));
        let session = session
            .split_once('-')
            .map_or(String::new(), |(digit, count)| format!("-s{}-{count}", digit.repeat(16)));
        format!("{start}_{}{session}", hash.repeat(32))
    }

    fn listed(names: &[&str]) -> Vec<BlobMetadata> {
        let names: Vec<String> = names.iter().map(|name| long(name)).collect();
        blobs(&names.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn chosen(names: &[&str]) -> Vec<String> {
        let mut chosen: Vec<_> = select(&listed(names)).blobs.iter().map(|b| b.id.to_string()).collect();
        chosen.sort();
        chosen
    }

    fn doubts(names: &[&str]) -> Vec<Doubt> {
        select(&listed(names)).doubts
    }

    #[test]
    fn names_of_epochs() {
        for (name, epoch) in
            [("pppp9", Some(9)), ("x7", Some(7)), ("x01234_1235", Some(1234)), ("abc1234_xx-sad", Some(1234))]
        {
            assert_eq!(epoch_of(name), epoch, "{name}");
        }
        for name in ["_", "a_", "x123x_", "xe99999999999"] {
            assert_eq!(epoch_of(name), None, "{name}");
        }
        assert_eq!(range_of("xr0_7_abc-s1-c1"), Some((0, 7)));
        for name in ["xr0_7", "xr0_-1_a", "xr5_3_a", "xr_7_a"] {
            assert_eq!(range_of(name), None, "{name}");
        }
    }

    #[test]
    fn complete_sets() {
        let first = |names: &[&str]| {
            let blobs = blobs(names);
            let refs: Vec<_> = blobs.iter().collect();
            first_complete_set(&refs).map(|set| set.iter().map(|b| b.id.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(first(&["a-s0-c2", "malformed", "b-s0-c2"]).unwrap(), ["malformed"]);
        assert_eq!(
            first(&["foo-s0-c2", "aaa-s1-c2", "bar-s0-c2", "bbb-s1-c2"]).unwrap(),
            ["foo-s0-c2", "bar-s0-c2"]
        );
        assert_eq!(first(&["foo-s0-c3", "aaa-s1-c3", "bar-s0-c3", "bbb-s1-c3"]), None);
    }

    #[test]
    fn the_longest_chain_is_not_found_greedily() {
        for (ranges, chain) in [
            (vec![(0, 9), (10, 19), (20, 29), (50, 59)], vec![(0, 9), (10, 19), (20, 29)]),
            (vec![(0, 9), (20, 29)], vec![(0, 9)]),
            (vec![(0, 9), (0, 29), (10, 19), (30, 39)], vec![(0, 29), (30, 39)]),
            (vec![(0, 9), (0, 29), (10, 59), (30, 39)], vec![(0, 9), (10, 59)]),
            (vec![(10, 59), (30, 39), (50, 59), (40, 49), (0, 9), (0, 29)], vec![(0, 9), (10, 59)]),
            (vec![], vec![]),
        ] {
            assert_eq!(longest_chain(ranges.clone().into_iter()), chain, "{ranges:?}");
        }
    }

    #[test]
    fn epochs_up_to_the_one_after_the_write_epoch_are_read() {
        let names = [
            "xe3",
            "xn0_a-s1-c1",
            "xn1_b-s1-c1",
            "xs1_c-s2-c1",
            "xs2_9-s3-c1",
            "xn2_d-s1-c1",
            "xn3_e-s1-c1",
            "xn4_f-s1-c1",
        ];
        assert_eq!(
            chosen(&names),
            ["xn0_a-s1-c1", "xn2_d-s1-c1", "xn3_e-s1-c1", "xn4_f-s1-c1", "xs1_c-s2-c1"].map(long)
        );
        assert!(doubts(&names).is_empty());
    }

    #[test]
    fn a_range_replaces_what_it_covers() {
        let names =
            ["xe9", "xr0_7_a-s1-c1", "xn3_b-s1-c1", "xs4_c-s1-c1", "xn8_d-s1-c1", "xw17", "xw23", "xwabc"];
        assert_eq!(chosen(&names), ["xn8_d-s1-c1", "xr0_7_a-s1-c1"].map(long));
        assert_eq!(select(&listed(&names)).watermark, Some(23));
        assert!(doubts(&names).is_empty());
    }

    #[test]
    fn what_the_markers_contradict_is_read_only_if_it_can_be() {
        let set = select(&listed(&["xn0_a-s1-c1", "xn7_b-s1-c1", "xr0_3_c-s1-c1"]));
        assert_eq!(set.blobs.len(), 1);
        assert_eq!(set.optional.len(), 2);
        assert_eq!(set.doubts.len(), 2);
    }

    #[test]
    fn gaps_and_incomplete_compactions_are_doubts() {
        assert_eq!(doubts(&["xe5", "xn0_a-s1-c1"]), [Doubt::EpochGap { epoch: 1 }]);
        assert_eq!(doubts(&["xe4", "xn0_a-s1-c1", "xn2_b-s1-c1"]), [Doubt::EpochGap { epoch: 1 }]);
        assert_eq!(
            doubts(&["xe2", "xs0_a-s1-c2", "xn1_b-s1-c1", "xn2_b-s1-c1"]),
            [Doubt::IncompleteCompaction { epoch: 0 }]
        );
        assert!(doubts(&["xe2000000000"]).len() == 1);
    }
}
