//! Indexes that do not fit in the memory they may use: the same answers by another way.
#![cfg(feature = "testkit")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests and their helpers")]

mod cache;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rokopia::blob::{BlobId, BlobMetadata, BlobStore, Count, FileSystem};
use rokopia::crypto::{EncryptionAlgorithm, HashAlgorithm, Password};
use rokopia::index::{ContentId, ContentIndex, Entry, Error, IndexOptions, IndexReader};
use rokopia::testkit::{
    Damage, Fleet, Hooked, IndexEntry, Options, RepositoryWriter, Rng, SyntheticIndex, encode_index,
};
use rokopia::{Repository, index};

/// So little that every blob of more than 8 KiB is read in pieces.
const TINY: u64 = 32 << 10;

fn open(dir: &Path, memory: u64, spill: Option<&Path>) -> Repository {
    let spill_directory = spill.map(Path::to_path_buf);
    let index = IndexOptions { memory, spill_directory, ..IndexOptions::default() };
    let options = rokopia::Options { index, ..rokopia::Options::default() };
    Repository::open_with(FileSystem::open(dir).unwrap(), &Password::new("testkit"), options).unwrap()
}

fn reader(repository: &Repository) -> IndexReader<'_> {
    IndexReader::new(repository.store(), repository.format(), repository.options().index)
}

/// An entry with the name of its pack instead of a number.
type Named = (ContentId, u64, bool, BlobId, u32, u32, u32, u32, u8, u8);

fn named(index: &ContentIndex, e: &Entry) -> Named {
    let pack = index.pack(e.pack).unwrap().clone();
    let lengths = (e.packed_length, e.original_length);
    (e.id, e.time, e.deleted, pack, e.offset, lengths.0, lengths.1, e.compression, e.format_version, e.key_id)
}

/// Everything that both have to answer in the same way.
fn assert_same(memory: &ContentIndex, file: &ContentIndex, what: &str) {
    assert!(file.entries() <= memory.entries(), "{what}");
    let all = |index: &ContentIndex| index.iter().map(|e| named(index, &e)).collect::<Vec<_>>();
    let expected = all(memory);
    assert!(expected == all(file), "{what}: other entries");
    assert!(expected.is_sorted_by(|a, b| a.0 < b.0), "{what}");
    for index in [memory, file] {
        for prefix in [b'k', b'm'] {
            let few: Vec<_> = index.with_prefix(prefix).map(|e| named(index, &e)).collect();
            let among_all = expected.iter().filter(|entry| entry.0.prefix() == Some(prefix));
            assert!(few.iter().eq(among_all), "{what}: other entries with {prefix}");
        }
    }
    for (position, entry) in file.positions() {
        assert_eq!(file.at(position), Some(entry), "{what}");
        assert_eq!(file.find(&entry.id).unwrap(), Some((position, entry)), "{what}");
        let absent = ContentId::new(entry.id.prefix(), &[entry.id.hash(), b"!"].concat()[1..]).unwrap();
        assert_eq!(file.mentions(&absent).unwrap(), memory.mentions(&absent).unwrap(), "{what}");
        let found = |index: &ContentIndex| index.get(&absent).unwrap().is_some();
        assert_eq!(found(file), found(memory), "{what}");
    }
    for low in ["00", "0000000000000000000000000000000000", "zffffffffffffffffffffffffffffffffff"] {
        let id = low.parse().unwrap();
        assert_eq!(file.get(&id).unwrap(), None, "{what}");
    }
    let mut packs = [memory.packs().to_vec(), file.packs().to_vec()];
    packs.iter_mut().for_each(|packs| packs.sort());
    assert!(packs[0] == packs[1], "{what}");
    assert_eq!(memory.watermark(), file.watermark(), "{what}");
    assert_eq!(memory.doubts(), file.doubts(), "{what}");
    file.check().unwrap();
}

/// Loads the index of a repository in both ways; how many contents it has.
fn compare(repository: &Repository, budget: u64, what: &str) -> u64 {
    let spill = tempfile::tempdir().unwrap();
    let memory = reader(repository).load().unwrap();
    let spill_directory = Some(spill.path().to_path_buf());
    let options = IndexOptions { memory: budget, spill_directory, ..IndexOptions::default() };
    let file = IndexReader::new(repository.store(), repository.format(), options).load().unwrap();
    assert_same(&memory, &file, what);
    assert!(file.memory() < memory.memory(), "{what}: {} and {}", file.memory(), memory.memory());
    assert_eq!(std::fs::read_dir(spill.path()).unwrap().count(), 0, "{what}: something is left behind");
    memory.iter().count() as u64
}

#[test]
fn a_spilled_index_answers_like_one_in_memory() {
    for (contents, blobs, budget) in [
        (63, 1, 4 << 10),
        (64, 2, 4 << 10),
        (65, 1, 4 << 10),
        (129, 1, 4 << 10),
        (5000, 1, TINY),
        (20_000, 700, TINY),
        (20_000, 3, TINY),
    ] {
        for encryption in [EncryptionAlgorithm::Aes256Gcm, EncryptionAlgorithm::ChaCha20Poly1305] {
            let dir = tempfile::tempdir().unwrap();
            let options = Options { encryption, ..Options::default() };
            let mut writer = RepositoryWriter::create(dir.path(), options).unwrap();
            writer.write_synthetic_index(&SyntheticIndex::new(contents, blobs)).unwrap();
            // The same contents again, from another time: half of them win.
            let again = SyntheticIndex {
                time: 1_767_225_600 + 60,
                per_pack: 3000,
                ..SyntheticIndex::new(contents, 2)
            };
            writer.put_epoch_index(&again.encode(0).unwrap()).unwrap();
            writer.write_content(Some(b'm'), b"manifest").unwrap();
            writer.finish().unwrap();
            let what = format!("{contents} contents in {blobs} blobs, {encryption}");
            let found = compare(&open(dir.path(), u64::MAX, None), budget, &what);
            assert_eq!(found, contents + 1);
        }
    }
}

#[test]
fn the_winner_is_the_same() {
    let mut rng = Rng::new(5);
    for (hash, digits) in [(HashAlgorithm::Blake2b256_128, 32), (HashAlgorithm::HmacSha224, 56)] {
        for ecc_percent in [0, 5] {
            let dir = tempfile::tempdir().unwrap();
            let options = Options { hash, ecc_percent, ..Options::default() };
            let mut writer = RepositoryWriter::create(dir.path(), options).unwrap();
            for _ in 0..30 {
                let mut entries = BTreeMap::new();
                for _ in 0..300 {
                    let prefix = ["", "k", "m", "x"][rng.below(4) as usize];
                    let id: ContentId = format!("{prefix}{:0digits$x}", rng.below(700)).parse().unwrap();
                    let (time, pack, deleted) = (rng.below(5), rng.below(4), rng.below(3) == 0);
                    // Two entries differ in what decides between them, or in nothing.
                    let rest = time * 8 + pack * 2 + u64::from(deleted);
                    let entry = IndexEntry {
                        id,
                        time: 1_767_000_000 + time,
                        deleted,
                        pack: format!("p{pack}").into(),
                        offset: rest as u32,
                        packed_length: 28 + rest as u32,
                        original_length: (rest << 20) as u32,
                        compression: 0x1100 + (rest % 3) as u32,
                        format_version: (rest % 4) as u8,
                        key_id: 0,
                    };
                    entries.insert(id, entry);
                }
                let entries: Vec<IndexEntry> = entries.into_values().collect();
                writer.put_epoch_index(&encode_index(&entries).unwrap()).unwrap();
            }
            let repository = open(dir.path(), u64::MAX, None);
            let found = compare(&repository, TINY, "many versions of the same contents");
            writer.set_watermark(1_767_000_003).unwrap();
            let left = compare(&repository, TINY, "with a watermark");
            assert!(found > 2000 && left < found && left > 500, "{found} {left}");
        }
    }
}

#[test]
fn without_a_place_for_it_an_index_over_budget_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = RepositoryWriter::create(dir.path(), Options::default()).unwrap();
    writer.write_synthetic_index(&SyntheticIndex::new(10_000, 3)).unwrap();
    writer.finish().unwrap();
    let error = reader(&open(dir.path(), TINY, None)).load().err().unwrap();
    assert!(matches!(error, Error::OverBudget { .. }), "{error}");
    let elsewhere = tempfile::tempdir().unwrap();
    let missing = elsewhere.path().join("missing");
    let error = reader(&open(dir.path(), TINY, Some(&missing))).load().err().unwrap();
    assert!(matches!(error, Error::Spill(_)), "{error}");
    assert_eq!(error.code(), "index-spill");
    let error = reader(&open(dir.path(), TINY, Some(dir.path()))).load().err().unwrap();
    assert_eq!(error.code(), "output-in-repository");
}

/// What is wrong with blobs is the same error whether they are read whole or in pieces.
#[test]
fn damage_is_found_in_pieces_too() {
    let spill = tempfile::tempdir().unwrap();
    for encryption in [EncryptionAlgorithm::Aes256Gcm, EncryptionAlgorithm::ChaCha20Poly1305] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { encryption, ..Options::default() };
        let mut writer = RepositoryWriter::create(dir.path(), options).unwrap();
        writer.write_content(Some(b'm'), b"manifest").unwrap();
        let name = writer.put_epoch_index(&SyntheticIndex::new(3000, 1).encode(0).unwrap()).unwrap();
        writer.finish().unwrap();
        let damage = Damage::open(dir.path()).unwrap();
        let whole = damage.read(&name).unwrap();
        let (in_memory, in_pieces) =
            (open(dir.path(), u64::MAX, None), open(dir.path(), TINY, Some(spill.path())));
        let errors = || {
            let load = |repository: &Repository| {
                let error = reader(repository).load().err().unwrap();
                let catalog = repository.catalog().err().unwrap();
                assert_eq!(catalog.code(), error.code(), "{catalog} but {error}");
                (error.code(), std::mem::discriminant(&error), error.blob().cloned())
            };
            assert_eq!(load(&in_memory), load(&in_pieces));
        };
        for at in [
            0,
            11,
            12,
            40,
            5000,
            8192 + 12,
            whole.len() / 2,
            whole.len() - 17,
            whole.len() - 16,
            whole.len() - 1,
        ] {
            damage.flip(&name, at, 1).unwrap();
            errors();
            damage.write(&name, &whole).unwrap();
        }
        for length in [whole.len() - 1, whole.len() - 16, 9000] {
            damage.truncate(&name, length).unwrap();
            errors();
            damage.write(&name, &whole).unwrap();
        }
        // Bytes of another blob under this name decrypt to nothing.
        let other = SyntheticIndex { seed: 2, ..SyntheticIndex::new(3000, 1) };
        let other_name = writer_like(dir.path(), encryption, &other);
        let foreign = damage.read(&other_name).unwrap();
        damage.write(&name, &foreign).unwrap();
        errors();
    }
}

/// Adds an index blob to a repository that the same options made.
fn writer_like(dir: &Path, encryption: EncryptionAlgorithm, index: &SyntheticIndex) -> String {
    let other = tempfile::tempdir().unwrap();
    let options = Options { encryption, ..Options::default() };
    let mut writer = RepositoryWriter::create(other.path(), options).unwrap();
    let name = writer.put_epoch_index(&index.encode(0).unwrap()).unwrap();
    let bytes = Damage::open(other.path()).unwrap().read(&name).unwrap();
    Damage::open(dir).unwrap().write(&name, &bytes).unwrap();
    name
}

#[test]
fn authentic_nonsense_is_found_in_pieces_too() {
    let spill = tempfile::tempdir().unwrap();
    let honest = SyntheticIndex::new(3000, 1).encode(0).unwrap();
    let stride = 35;
    let edits: [(usize, u8); 10] = [
        (0, 3),                         // version
        (1, 1),                         // size of keys
        (3, 20),                        // size of values
        (4, 0xff),                      // far more entries
        (8, 0xff),                      // far more packs
        (17 + 200 * stride, 0x40),      // a prefix that is none
        (17 + 200 * stride + 1, 0xff),  // out of order
        (17 + 200 * stride + 31, 0xff), // no such pack
        (17 + 3000 * stride, 0xff),     // a longer pack name
        (17 + 3000 * stride + 1, 0xff), // a pack name beyond the end
    ];
    let dir = tempfile::tempdir().unwrap();
    let mut writer = RepositoryWriter::create(dir.path(), Options::default()).unwrap();
    let (in_memory, in_pieces) =
        (open(dir.path(), u64::MAX, None), open(dir.path(), TINY, Some(spill.path())));
    for (at, value) in edits {
        let mut bytes = honest.clone();
        bytes[at] = value;
        let name = writer.put_epoch_index(&bytes).unwrap();
        let whole = reader(&in_memory).load().err().unwrap();
        let pieces = reader(&in_pieces).load().err().unwrap();
        assert!(matches!(whole, Error::Malformed { .. }), "{at}: {whole}");
        assert_eq!(whole.to_string(), pieces.to_string(), "{at}");
        assert_eq!(in_pieces.catalog().err().unwrap().to_string(), whole.to_string(), "{at}");
        Damage::open(dir.path()).unwrap().delete(&name).unwrap();
    }
}

#[test]
fn a_catalogue_needs_no_more_than_its_manifests() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = RepositoryWriter::create(dir.path(), Options::default()).unwrap();
    writer.write_fleet(&Fleet { sources: 3, snapshots: 20, index_blobs: 20 }).unwrap();
    let mut entries: Vec<IndexEntry> =
        (0..5000).map(|n| SyntheticIndex::new(5000, 1).entry(n).unwrap()).collect();
    writer.write_content(Some(b'm'), b"not a manifest, and not in any blob of its own").unwrap();
    let manifest = writer.pending_entries().pop().unwrap();
    entries.push(IndexEntry { deleted: true, ..manifest.clone() });
    entries.sort_by_key(|entry| entry.id);
    writer.put_epoch_index(&encode_index(&entries).unwrap()).unwrap();
    writer.finish().unwrap();
    let count = |memory| {
        let catalog = open(dir.path(), memory, None).catalog().unwrap();
        let (snapshots, problems) = catalog.snapshots_and_problems();
        assert_eq!(problems, []);
        let known: Vec<ContentId> = catalog.index().contents().copied().collect();
        assert!(known.contains(&manifest.id));
        (snapshots.len(), known, catalog.index().packs().count())
    };
    let whole = count(u64::MAX);
    assert_eq!(whole.0, 20);
    assert_eq!(whole, count(TINY));
}

#[test]
fn a_catalogue_and_contents_come_from_one_look_at_each_index_blob() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = RepositoryWriter::create(dir.path(), Options::default()).unwrap();
    writer.write_fleet(&Fleet { sources: 3, snapshots: 20, index_blobs: 20 }).unwrap();
    writer.write_synthetic_index(&SyntheticIndex::new(3000, 1)).unwrap();
    writer.finish().unwrap();
    let alone = open(dir.path(), u64::MAX, None);
    let opened = |store: Arc<dyn BlobStore>, memory| {
        let index = IndexOptions { memory, ..IndexOptions::default() };
        let options = rokopia::Options { index, ..rokopia::Options::default() };
        Repository::with_format(store, Arc::clone(alone.format()), options)
    };
    let expected = alone.catalog().unwrap();
    let said = |catalog: &rokopia::Catalog| {
        let (snapshots, problems) = catalog.snapshots_and_problems();
        let ids: Vec<String> = snapshots.iter().map(|snapshot| snapshot.id.to_string()).collect();
        let packs: BTreeSet<BlobId> = catalog.index().packs().cloned().collect();
        (ids, problems, packs, catalog.index().blob_count(), catalog.absence_of_content().unwrap())
    };

    let store = Count::new(Arc::new(FileSystem::open(dir.path()).unwrap()));
    let (catalog, contents) = opened(Arc::new(store.clone()), u64::MAX).catalog_and_contents().unwrap();
    let (blobs, manifests) = (catalog.index().blob_count(), catalog.index().live().count());
    let read = store.counts();
    assert_eq!((read.lists, read.reads), (1, (blobs + manifests) as u64));
    assert_eq!(said(&catalog), said(&expected));
    assert_eq!(contents.unwrap().index().blobs().len(), blobs);

    // What does not fit into memory is not loaded, and the list is there all the same.
    let (catalog, contents) = opened(Arc::new(store.clone()), TINY).catalog_and_contents().unwrap();
    assert!(contents.is_none());
    assert_eq!(said(&catalog), said(&expected));

    // A pack that moves in between is for the catalogue to look for.
    let missed = AtomicU32::new(0);
    let store = Hooked::new(FileSystem::open(dir.path()).unwrap()).before(move |request| {
        match request.blob().filter(|blob| blob.as_str().starts_with('q')) {
            Some(blob) if missed.fetch_add(1, Ordering::SeqCst) == 0 => {
                Err(rokopia::blob::Error::NotFound { blob: blob.clone() })
            }
            _ => Ok(()),
        }
    });
    let (catalog, contents) = opened(Arc::new(store), u64::MAX).catalog_and_contents().unwrap();
    assert!(contents.is_none());
    assert_eq!(said(&catalog), said(&expected));
}

#[test]
fn blobs_that_vanish_while_they_are_spilled_are_listed_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = RepositoryWriter::create(dir.path(), Options::default()).unwrap();
    writer.write_synthetic_index(&SyntheticIndex::new(3000, 2)).unwrap();
    writer.finish().unwrap();
    // The first listings name a blob that is gone.
    let lists = AtomicU32::new(0);
    let store = Hooked::new(FileSystem::open(dir.path()).unwrap()).listed(move |_, blobs| {
        if lists.fetch_add(1, Ordering::SeqCst) < 2 {
            let id = BlobId::new("xn0_00112233445566778899aabbccddeeff-s0123456789abcdef147-c1").unwrap();
            blobs.push(BlobMetadata { id, size: 20_000, modified: None });
        }
    });
    let spill = tempfile::tempdir().unwrap();
    let repository = open(dir.path(), TINY, Some(spill.path()));
    let store: Arc<dyn BlobStore> = Arc::new(Count::new(store));
    let reader = index::IndexReader::new(&store, repository.format(), repository.options().index);
    assert_eq!(reader.load().unwrap().iter().count(), 3000);
}
