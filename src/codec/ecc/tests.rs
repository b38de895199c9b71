use proptest::prelude::*;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::*;

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
    dimensions: Vec<Dimension>,
}

#[derive(Deserialize)]
struct Vector {
    length: usize,
    stored_length: usize,
    percents: Vec<u8>,
    stored: Option<String>,
    stored_sha256: Option<String>,
}

#[derive(Deserialize)]
struct Dimension {
    percent: u8,
    max_shard: usize,
    data: usize,
    parity: usize,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../format-spec/vectors/ecc.json")).unwrap()
}

fn input(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 255) as u8 + 1).collect()
}

#[test]
fn dimensions_of_every_percentage() {
    let dimensions = vectors().dimensions;
    assert_eq!(dimensions.len(), 100);
    for Dimension { percent, max_shard, data, parity } in dimensions {
        assert_eq!(
            Dimensions::for_percent(percent),
            Some(Dimensions { max_shard, data, parity }),
            "{percent}"
        );
    }
    assert!(matches!(ReedSolomonCrc::new(0), Err(Error::EccOverhead { percent: 0 })));
}

#[test]
fn vectors_of_kopia() {
    for vector in vectors().vectors {
        for percent in vector.percents {
            let ecc = ReedSolomonCrc::new(percent).unwrap();
            let stored = ecc.encode(&input(vector.length)).unwrap();
            assert_eq!(stored.len(), vector.stored_length);
            if let Some(expected) = &vector.stored {
                assert_eq!(hex::encode(&stored), *expected, "{percent} % of {}", vector.length);
            }
            if let Some(expected) = &vector.stored_sha256 {
                assert_eq!(
                    hex::encode(Sha256::digest(&stored)),
                    *expected,
                    "{percent} % of {}",
                    vector.length
                );
            }
            let decoded = ecc.decode(&stored).unwrap();
            assert_eq!(decoded, Corrected { data: input(vector.length), repaired: vec![] });
            assert!(
                ecc.full_blocks.get().is_none() || vector.length > 1000,
                "decoding must not need the code"
            );
        }
    }
}

#[test]
fn overhead_with_large_shards() {
    // Kopia's own test forces shards of 1024 bytes: (percentage, length, bytes added).
    for (percent, length, added) in [(2, 1, 39), (2, 10_240, 810), (10, 1 << 20, 115_128)] {
        let (data, parity) = layout::shards(percent * 1024 - 400);
        let dimensions = Dimensions { max_shard: 1024, data, parity };
        let ecc = ReedSolomonCrc { dimensions, full_blocks: OnceLock::new(), tiny_blocks: OnceLock::new() };
        let stored = ecc.encode(&input(length)).unwrap();
        assert_eq!(stored.len() - length, added, "{percent} % of {length}");
        assert_eq!(ecc.decode(&stored).unwrap().data, input(length));
    }
}

#[test]
fn lengths_that_nothing_is_stored_in() {
    let ecc = ReedSolomonCrc::new(10).unwrap();
    let stored = ecc.encode(&input(20_000)).unwrap();
    assert!(ecc.decode(&[&stored[..], b"x"].concat()).is_err());
    for length in (0..stored.len() - 70).step_by(13) {
        assert!(ecc.decode(&stored[..length]).is_err(), "{length}");
    }
    // One byte too many to be tiny shards, and far too few for others.
    assert_eq!(ecc.decode(&[0; 1529]), Err(Error::EccLength { length: 1529 }));
}

#[test]
fn a_missing_end_is_repaired() {
    let ecc = ReedSolomonCrc::new(10).unwrap();
    for length in [0, 1, 20, 100, 1000, 5000, 20_000, 20_030] {
        for data in [input(length), vec![0; length]] {
            let stored = ecc.encode(&data).unwrap();
            for cut in 1..=4 {
                let decoded = ecc.decode(&stored[..stored.len() - cut]).unwrap();
                assert_eq!(decoded.data, data, "{length} less {cut}");
                assert_eq!(decoded.repaired.last().unwrap().end, stored.len(), "{length} less {cut}");
            }
        }
    }
}

#[test]
fn lengths_inside_that_cannot_be() {
    let ecc = ReedSolomonCrc::new(10).unwrap();
    for (length, recorded) in [(100, u32::MAX), (100, 105), (20_000, 19_999), (20_000, 21_000), (20_000, 0)] {
        let mut stored = ecc.encode(&input(length)).unwrap();
        let layout = Layout::of_stored(&ecc.dimensions, stored.len()).unwrap();
        let shard = layout.parity_len()..layout.parity_len() + layout.record();
        let shard = &mut stored[shard];
        shard[4..8].copy_from_slice(&recorded.to_be_bytes());
        let crc = crc32fast::hash(&shard[4..]);
        shard[..4].copy_from_slice(&crc.to_be_bytes());
        assert!(matches!(ecc.decode(&stored), Err(Error::EccContentLength { .. })), "{length} {recorded}");
    }
}

/// Ranges of the records of each block: parity, then data.
fn records(ecc: &ReedSolomonCrc, stored: &[u8]) -> Vec<Vec<Range<usize>>> {
    let layout = Layout::of_stored(&ecc.dimensions, stored.len()).unwrap();
    let record = layout.record();
    let ranges = |from: usize, count: usize| {
        (0..count).map(move |i| from + i * record..from + (i + 1) * record).collect::<Vec<_>>()
    };
    (0..layout.blocks)
        .map(|block| {
            let parity = ranges(block * layout.parity * record, layout.parity);
            let data = ranges(layout.parity_len() + block * layout.data * record, layout.data);
            let existing = parity.into_iter().chain(data).filter(|range| range.start < stored.len());
            existing.map(|range| range.start..range.end.min(stored.len())).collect()
        })
        .collect()
}

fn lengths() -> impl Strategy<Value = usize> {
    prop_oneof![0..40_usize, 0..3000_usize, 0..70_000_usize]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trip(percent in 1..=100_u8, length in lengths()) {
        let ecc = ReedSolomonCrc::new(percent).unwrap();
        let decoded = ecc.decode(&ecc.encode(&input(length)).unwrap()).unwrap();
        prop_assert_eq!(decoded, Corrected { data: input(length), repaired: vec![] });
    }

    #[test]
    fn as_many_damaged_shards_as_parity_are_repaired_and_one_more_is_not(
        percent in prop_oneof![1..=100_u8, 7..=12_u8],
        length in lengths(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 2..130),
        at in any::<prop::sample::Index>(),
        flip in 1..=u8::MAX,
    ) {
        let ecc = ReedSolomonCrc::new(percent).unwrap();
        let intact = ecc.encode(&input(length)).unwrap();
        let layout = Layout::of_stored(&ecc.dimensions, intact.len()).unwrap();
        let mut stored = intact.clone();
        let mut damaged = Vec::new();
        let mut too_many = None;
        for block in records(&ecc, &stored) {
            let mut left = block;
            for pick in picks.iter().take(layout.parity.min(left.len())) {
                let range = left.remove(pick.index(left.len()));
                stored[range.start + at.index(range.len())] ^= flip;
                damaged.push(range);
            }
            let data = left.into_iter().rfind(|range| range.start >= layout.parity_len());
            too_many = too_many.or(data.filter(|_| picks.len() >= layout.parity));
        }
        damaged.sort_unstable_by_key(|range| range.start);
        let decoded = ecc.decode(&stored).unwrap();
        prop_assert_eq!(decoded.data, input(length));
        prop_assert_eq!(decoded.repaired, damaged);

        if let Some(range) = too_many {
            stored[range.start] ^= flip;
            let error = ecc.decode(&stored).unwrap_err();
            prop_assert!(matches!(error, Error::EccBeyondRepair { .. }), "{}", error);
        }
    }

    #[test]
    fn arbitrary_bytes_never_decode(percent in 1..=100_u8, stored in prop::collection::vec(any::<u8>(), 0..5000)) {
        prop_assert!(ReedSolomonCrc::new(percent).unwrap().decode(&stored).is_err());
    }

    #[test]
    fn a_cut_is_repaired_or_refused_but_never_wrong(
        percent in 1..=100_u8,
        length in lengths(),
        zeros in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 20),
    ) {
        let ecc = ReedSolomonCrc::new(percent).unwrap();
        let data = if zeros { vec![0; length] } else { input(length) };
        let stored = ecc.encode(&data).unwrap();
        for cut in cuts {
            if let Ok(decoded) = ecc.decode(&stored[..cut.index(stored.len())]) {
                prop_assert!(decoded.data == data);
                prop_assert!(!decoded.repaired.is_empty());
            }
        }
    }

    #[test]
    fn long_damage_is_repaired_or_refused_but_never_wrong(
        percent in 1..=100_u8,
        length in 0..40_000_usize,
        from in any::<prop::sample::Index>(),
        extent in 1..6000_usize,
        fill in any::<u8>(),
    ) {
        let ecc = ReedSolomonCrc::new(percent).unwrap();
        let mut stored = ecc.encode(&input(length)).unwrap();
        let from = from.index(stored.len());
        let extent = extent.min(stored.len() - from);
        let before = stored.clone();
        stored[from..from + extent].fill(fill);
        match ecc.decode(&stored) {
            Ok(decoded) => {
                prop_assert_eq!(decoded.data, input(length));
                prop_assert_eq!(decoded.repaired.is_empty(), stored == before);
            }
            Err(error) => prop_assert!(matches!(error, Error::EccBeyondRepair { .. }), "{}", error),
        }
    }
}
