//! What the testkit writes, read back through the library.
#![cfg(feature = "testkit")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests and their helpers")]

use rokopia::blob::FileSystem;
use rokopia::codec::CompressionId;
use rokopia::content::ContentSource;
use rokopia::crypto::{EncryptionAlgorithm, HashAlgorithm, KeyDerivation, Password};
use rokopia::index::ContentId;
use rokopia::testkit::{
    Chunks, Damage, Data, DataKind, Epochs, Fleet, IndexEntry, Options, RepositoryWriter, Shape,
    SyntheticIndex,
};
use rokopia::{Repository, content};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn open(dir: &Path) -> Repository {
    let store = FileSystem::open(dir).unwrap();
    Repository::open(store, &Password::new("testkit")).unwrap()
}

fn compressor(header: u32) -> Option<CompressionId> {
    Some(CompressionId::from_header(header).unwrap())
}

/// Writes contents of many sizes in two flushes; what each ID should give.
fn write_some(writer: &mut RepositoryWriter) -> BTreeMap<ContentId, Vec<u8>> {
    let mut expected = BTreeMap::new();
    let kinds = [DataKind::Text, DataKind::Noise, DataKind::Thin, DataKind::Zeros];
    for flush in 0..2u64 {
        for (i, size) in [0, 1, 27, 100, 4096, 65_537, 300_000, 1_500_000].into_iter().enumerate() {
            let kind = kinds[(i + flush as usize) % kinds.len()];
            let bytes = Data { kind, seed: 10 * flush + i as u64, size }.to_vec();
            for prefix in [None, Some(b'k')] {
                expected.insert(writer.write_content(prefix, &bytes).unwrap(), bytes.clone());
            }
        }
        writer.flush().unwrap();
    }
    expected
}

fn variants() -> Vec<(&'static str, Options)> {
    let mut all = vec![
        ("default", Options::default()),
        ("zstd", Options { data_compression: compressor(0x1100), ..Options::default() }),
        ("s2", Options { data_compression: compressor(0x1200), ..Options::default() }),
        ("no metadata compression", Options { metadata_compression: None, ..Options::default() }),
        ("chacha", Options { encryption: EncryptionAlgorithm::ChaCha20Poly1305, ..Options::default() }),
        ("pbkdf2", Options { key_derivation: KeyDerivation::Pbkdf2Sha256_600000, ..Options::default() }),
        ("small packs", Options { pack_size: 100_000, ..Options::default() }),
        ("format copies", Options { password_change: false, ..Options::default() }),
        (
            "flat",
            Options { shards: r#"{"default":[],"maxNonShardedLength":20}"#.into(), ..Options::default() },
        ),
        (
            "many index blobs",
            Options { epochs: Epochs { blobs_per_flush: 5, ..Epochs::default() }, ..Options::default() },
        ),
        ("no deduplication", Options { deduplicate: false, ..Options::default() }),
    ];
    for ecc_percent in [1, 2, 10, 50] {
        all.push(("error correction", Options { ecc_percent, ..Options::default() }));
    }
    all.extend(
        HashAlgorithm::ALL.into_iter().map(|hash| (hash.name(), Options { hash, ..Options::default() })),
    );
    all
}

#[test]
fn every_kind_of_repository_reads_back() {
    for (name, options) in variants() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = RepositoryWriter::create(dir.path(), options).unwrap();
        let expected = write_some(&mut writer);
        writer.finish().unwrap();
        let contents = open(dir.path()).contents().unwrap();
        let index = contents.index();
        let found: BTreeSet<ContentId> = index.iter().map(|entry| entry.id).collect();
        assert!(found.iter().eq(expected.keys()), "{name}");
        assert!(index.doubts().is_empty(), "{name}: {:?}", index.doubts());
        for (id, bytes) in &expected {
            assert!(contents.get(id).unwrap() == *bytes, "{name}: {id}");
            assert_eq!(contents.original_length(id).unwrap(), Some(bytes.len() as u64), "{name}: {id}");
        }
        assert!(contents.repairs().by_blob().is_empty(), "{name}");
    }
}

#[test]
fn the_same_calls_give_the_same_bytes() {
    let write = || {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { ecc_percent: 5, pack_size: 1 << 20, ..Options::default() };
        let mut writer = RepositoryWriter::create(dir.path(), options).unwrap();
        write_some(&mut writer);
        let root = writer.write_tree(&Shape::mixed(8 << 20).tree(1).unwrap()).unwrap();
        writer.snapshot(&"u@h:/p".parse().unwrap(), &root);
        writer.finish().unwrap();
        let damage = Damage::open(dir.path()).unwrap();
        let names = damage.names("").unwrap();
        names.into_iter().map(|name| (damage.read(&name).unwrap(), name)).collect::<Vec<_>>()
    };
    let (first, second) = (write(), write());
    assert!(first.len() > 10);
    for ((a, name), (b, other)) in first.iter().zip(&second) {
        assert_eq!(name, other);
        assert!(a == b, "{name} differs");
    }
    assert_eq!(first.len(), second.len());
}

#[test]
fn contents_survive_epochs_and_compactions() {
    for epochs in [
        Epochs { advance_at: 1, ..Epochs::default() },
        Epochs { advance_at: 2, compact: true, ..Epochs::default() },
        Epochs { advance_at: 3, blobs_per_flush: 3, compact: true, range_of: 3 },
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut writer =
            RepositoryWriter::create(dir.path(), Options { epochs, ..Options::default() }).unwrap();
        let mut ids = Vec::new();
        for number in 0..20u32 {
            for part in 0..4 {
                ids.push(writer.write_content(None, format!("{number}/{part}").as_bytes()).unwrap());
            }
            writer.flush().unwrap();
        }
        let last = writer.epoch();
        writer.finish().unwrap();
        assert!(last >= 9, "{epochs:?}: epoch {last}");
        let contents = open(dir.path()).contents().unwrap();
        assert!(contents.index().doubts().is_empty(), "{epochs:?}: {:?}", contents.index().doubts());
        for id in &ids {
            contents.get(id).unwrap();
        }
        let names = Damage::open(dir.path()).unwrap().names("x").unwrap();
        let count = |prefix: &str| names.iter().filter(|name| name.starts_with(prefix)).count();
        assert_eq!(count("xs") > 0, epochs.compact, "{names:?}");
        assert_eq!(count("xr") > 0, epochs.range_of > 0, "{names:?}");
        assert!(!epochs.compact || count("xn0_") == 0, "{names:?}");
    }
}

#[test]
fn deletions_hide_contents_only_below_the_watermark() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = RepositoryWriter::create(dir.path(), Options::default()).unwrap();
    let gone = writer.write_content(None, b"gone").unwrap();
    let kept = writer.write_content(None, b"kept").unwrap();
    let back = writer.write_content(None, b"back").unwrap();
    writer.flush().unwrap();
    writer.set_now(writer.now() + 100);
    writer.delete_content(&gone).unwrap();
    writer.delete_content(&back).unwrap();
    writer.flush().unwrap();
    writer.set_now(writer.now() + 100);
    writer.rewrite_content(None, b"back").unwrap();
    writer.flush().unwrap();
    let repository = open(dir.path());
    let contents = repository.contents().unwrap();
    assert_eq!(contents.get(&gone).unwrap(), b"gone");
    writer.set_watermark(writer.now()).unwrap();
    let contents = repository.contents().unwrap();
    assert!(matches!(contents.get(&gone), Err(content::Error::Missing { .. })));
    assert_eq!(contents.get(&kept).unwrap(), b"kept");
    assert_eq!(contents.get(&back).unwrap(), b"back");
}

#[test]
fn damage_is_an_error_unless_it_can_be_corrected() {
    for ecc_percent in [0, 10] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { ecc_percent, ..Options::default() };
        let mut writer = RepositoryWriter::create(dir.path(), options).unwrap();
        let bytes = Data { kind: DataKind::Noise, seed: 1, size: 500_000 }.to_vec();
        let id = writer.write_content(None, &bytes).unwrap();
        writer.finish().unwrap();
        let damage = Damage::open(dir.path()).unwrap();
        let pack = damage.names("p").unwrap().remove(0);
        damage.flip(&pack, 200_000, 4).unwrap();
        let contents = open(dir.path()).contents().unwrap();
        if ecc_percent == 0 {
            assert!(contents.get(&id).is_err());
        } else {
            assert!(contents.get(&id).unwrap() == bytes);
            assert_eq!(contents.repairs().by_blob().len(), 1);
        }
    }
}

#[test]
fn forged_contents_decrypt_but_are_not_what_they_claim() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = RepositoryWriter::create(dir.path(), Options::default()).unwrap();
    let honest = writer.write_content(None, b"honest").unwrap();
    let forged: ContentId = "00112233445566778899aabbccddeeff".parse().unwrap();
    writer.forge_content(forged, b"not the hash of this").unwrap();
    let zstd = CompressionId::from_header(0x1100).unwrap();
    let bomb = writer.forge_bomb(None, zstd, 50 << 20, 1000).unwrap();
    let template = writer.pending_entries()[0].clone();
    let nowhere: ContentId = "ffffffffffffffffffffffffffffffff".parse().unwrap();
    writer.forge_entry(IndexEntry { id: nowhere, pack: "pgone".into(), ..template.clone() });
    let beyond: ContentId = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee".parse().unwrap();
    writer.forge_entry(IndexEntry { id: beyond, offset: 1 << 29, ..template });
    let root = writer
        .forge_endless_directory(rokopia::testkit::Attributes { mode: 0o755, mtime_ns: 1, uid: 0, gid: 0 })
        .unwrap();
    writer.forge_endless_object().unwrap();
    writer.finish().unwrap();
    let contents = open(dir.path()).contents().unwrap();
    assert_eq!(contents.get(&honest).unwrap(), b"honest");
    for bad in [bomb, nowhere, beyond] {
        assert!(contents.get(&bad).is_err(), "{bad}");
    }
    // Who knows the password can store anything under any name; only the hash tells.
    let stored = contents.get(&forged);
    assert!(stored.is_err() || stored.unwrap() == b"not the hash of this");
    let endless = contents.get(&root.object.parse().unwrap());
    assert!(endless.is_err() || String::from_utf8(endless.unwrap()).unwrap().contains(&root.object));
}

#[test]
fn synthetic_contents_are_found_by_number() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = RepositoryWriter::create(dir.path(), Options::default()).unwrap();
    let real = writer.write_content(None, b"real").unwrap();
    let synthetic = SyntheticIndex::new(50_000, 7);
    writer.write_synthetic_index(&synthetic).unwrap();
    writer.finish().unwrap();
    let contents = open(dir.path()).contents().unwrap();
    let index = contents.index();
    assert_eq!(index.entries(), 50_001);
    assert_eq!(contents.get(&real).unwrap(), b"real");
    for number in (0..50_000).step_by(997) {
        let wanted = synthetic.entry(number).unwrap();
        let found = index.get(&wanted.id).unwrap().unwrap();
        assert_eq!(index.pack(found.pack).unwrap().as_str(), &*wanted.pack);
        assert_eq!(
            (found.time, found.offset, found.packed_length, found.original_length, found.deleted),
            (wanted.time, wanted.offset, wanted.packed_length, wanted.original_length, false)
        );
    }
    assert!(contents.get(&synthetic.entry(3).unwrap().id).is_err());
}

#[test]
fn a_fleet_has_what_was_asked_for() {
    for fleet in [
        Fleet { sources: 7, snapshots: 40, index_blobs: 13 },
        Fleet { sources: 3, snapshots: 5, index_blobs: 12 },
        Fleet { sources: 1, snapshots: 0, index_blobs: 2 },
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = RepositoryWriter::create(dir.path(), Options::default()).unwrap();
        writer.write_fleet(&fleet).unwrap();
        writer.finish().unwrap();
        let repository = open(dir.path());
        let catalog = repository.catalog().unwrap();
        let (snapshots, problems) = catalog.snapshots_and_problems();
        assert_eq!(problems, []);
        assert_eq!(snapshots.len(), fleet.snapshots as usize);
        assert_eq!(catalog.index().blob_count(), fleet.index_blobs as usize);
        let sources: BTreeSet<String> = snapshots.iter().map(|s| s.source.to_string()).collect();
        assert_eq!(sources.len(), fleet.sources.min(fleet.snapshots) as usize);
        let contents = repository.contents().unwrap();
        let mut files = BTreeSet::new();
        for snapshot in &snapshots {
            let root: ContentId = snapshot.root_object().unwrap().to_string().parse().unwrap();
            assert!(files.insert(contents.get(&root).unwrap()), "two snapshots hold the same");
        }
    }
}

#[test]
fn objects_are_cut_as_the_options_say() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { chunks: Chunks::Between { min: 1000, max: 3000 }, ..Options::default() };
    let mut writer = RepositoryWriter::create(dir.path(), options).unwrap();
    let data = Data { kind: DataKind::Noise, seed: 1, size: 100_000 };
    let object = writer.write_object(&mut data.reader()).unwrap();
    assert_eq!(object.length, 100_000);
    let mut unprefixed: Vec<IndexEntry> =
        writer.pending_entries().iter().filter(|entry| entry.id.prefix().is_none()).cloned().collect();
    let last = unprefixed.pop().unwrap();
    assert!(last.original_length <= 3000);
    assert!(unprefixed.iter().all(|e| (1000..=3000).contains(&e.original_length)));
    let mut lengths: Vec<u32> = unprefixed.iter().map(|e| e.original_length).collect();
    lengths.dedup();
    assert!(lengths.len() > 10);
    // The table of some fifty parts does not fit one content: tables of tables.
    assert!(object.id.starts_with("IIx"), "{}", object.id);
    for (size, chunks, prefix) in [(0, 1, ""), (1000, 1, ""), (1001, 2, "Ix")] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { chunks: Chunks::Fixed(1000), ..Options::default() };
        let mut writer = RepositoryWriter::create(dir.path(), options).unwrap();
        let object = writer.write_object(&mut Data { size, ..data }.reader()).unwrap();
        let count = writer.pending_entries().iter().filter(|entry| entry.id.prefix().is_none()).count();
        assert_eq!((count, object.length), (chunks, size));
        assert!(object.id.starts_with(prefix) && object.id.starts_with('I') == (chunks > 1), "{}", object.id);
    }
}
