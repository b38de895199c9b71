//! The library against a reader that shares nothing with it: `decoder.rs`.
#![cfg(feature = "testkit")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod decoder;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use rokopia::blob::FileSystem;
use rokopia::codec::CompressionId;
use rokopia::content::{ContentSource, Contents};
use rokopia::crypto::{EncryptionAlgorithm, HashAlgorithm, KeyDerivation, Password};
use rokopia::index::IndexOptions;
use rokopia::snapshot::Tree;
use rokopia::testkit::{
    Chunks, Custom, Data, DataKind, Epochs, Options, RepositoryWriter, Rng, Shape, Sizes,
};
use rokopia::{Repository, snapshot};

/// What was compared.
#[derive(Debug, Default)]
struct Compared {
    contents: usize,
    snapshots: usize,
    nodes: usize,
    bytes: usize,
}

/// Reads everything in a repository in both ways, and with its index in memory and in a file.
fn compare(dir: &Path, password: &str) -> Compared {
    let spill = tempfile::tempdir().unwrap();
    let small = IndexOptions {
        memory: 2048,
        spill_directory: Some(spill.path().to_path_buf()),
        ..IndexOptions::default()
    };
    let expected = decoder::Repository::open(dir, password);
    let repository = Repository::open(FileSystem::open(dir).unwrap(), &Password::new(password)).unwrap();
    let mut compared = Compared::default();
    for options in [small, IndexOptions::default()] {
        compared = Compared::default();
        let (store, format) = (Arc::clone(repository.store()), Arc::clone(repository.format()));
        let contents = match Contents::load(store, format, options) {
            Ok(contents) => contents,
            // A budget of 2 KiB does not hold the names of many packs.
            Err(error) if error.code() == "memory-budget" => continue,
            Err(error) => panic!("{error}"),
        };
        compare_contents(&expected, &contents, &mut compared);
        compare_snapshots(&expected, &repository, &contents, &mut compared);
    }
    compared
}

fn compare_contents(expected: &decoder::Repository, contents: &Contents, compared: &mut Compared) {
    let index = contents.index();
    let found: Vec<String> = index.iter().map(|entry| entry.id.to_string()).collect();
    assert!(found.iter().eq(expected.index.keys()), "other contents");
    for entry in index.iter() {
        let id = entry.id.to_string();
        let wanted = &expected.index[&id];
        let pack = index.pack(entry.pack).unwrap().to_string();
        assert_eq!(
            (entry.time, !entry.deleted, pack, entry.offset as usize, entry.packed_length as usize),
            (wanted.time, wanted.live, wanted.pack.clone(), wanted.offset, wanted.packed_length),
            "{id}"
        );
        assert_eq!(
            (entry.original_length as usize, entry.compression),
            (wanted.original_length, wanted.compression)
        );
        assert!(contents.get(&entry.id).unwrap() == expected.content(&id), "{id}");
        compared.contents += 1;
    }
}

fn compare_snapshots(
    expected: &decoder::Repository,
    repository: &Repository,
    contents: &Contents,
    compared: &mut Compared,
) {
    let (mut found, problems) = repository.catalog().unwrap().snapshots_and_problems();
    assert_eq!(problems, []);
    found.sort_by(|a, b| a.id.as_str().cmp(b.id.as_str()));
    let wanted = expected.snapshots();
    let ids: Vec<&str> = found.iter().map(|snapshot| snapshot.id.as_str()).collect();
    assert_eq!(ids, wanted.keys().map(String::as_str).collect::<Vec<_>>());
    for (found, wanted) in found.iter().zip(wanted.values()) {
        let source = &wanted["source"];
        assert_eq!(found.source.host, source["host"].as_str().unwrap());
        assert_eq!(found.source.user, source["userName"].as_str().unwrap());
        assert_eq!(found.source.path, source["path"].as_str().unwrap());
        assert_eq!(found.start_time.to_string(), wanted["startTime"].as_str().unwrap());
        assert_eq!(found.incomplete, wanted["incomplete"].as_str().unwrap_or_default());
        compared.snapshots += 1;
        if found.root.is_some() {
            let tree = Tree::of_snapshot(contents, found).unwrap();
            compare_trees(&expected.tree(&wanted["rootEntry"]), &tree, compared);
        }
    }
}

fn compare_trees(expected: &[decoder::Node], tree: &Tree<'_>, compared: &mut Compared) {
    let mut expected = expected.iter();
    for found in tree.walk("").unwrap() {
        let snapshot::WalkEntry { path, entry, .. } = found.unwrap();
        let wanted = expected.next().unwrap_or_else(|| panic!("{path} is not there"));
        assert_eq!(path, wanted.path);
        // What the directory says, field by field as it would be written again.
        let json = serde_json::to_value(&entry).unwrap();
        for field in ["name", "type", "mode", "size", "mtime", "uid", "gid", "obj"] {
            assert_eq!(json[field], wanted.json[field], "{path}: {field}");
        }
        if let Some(data) = &wanted.data {
            let mut bytes = Vec::new();
            tree.reader(&entry, &path).unwrap().read_to_end(&mut bytes).unwrap();
            assert!(bytes == *data, "{path}: other bytes");
            compared.bytes += bytes.len();
        }
        compared.nodes += 1;
    }
    assert_eq!(expected.next(), None, "more in the tree");
}

#[derive(Debug, Clone)]
struct Plan {
    options: Options,
    shape: Custom,
    snapshots: u64,
    /// What happens to contents between snapshots.
    seed: u64,
}

fn plans() -> impl Strategy<Value = Plan> {
    let compression =
        prop::sample::select(vec![None, Some(0x1100), Some(0x1101), Some(0x1000), Some(0x1500)]);
    let compressor = |header: Option<u32>| header.map(|header| CompressionId::from_header(header).unwrap());
    let cipher =
        prop::sample::select(vec![EncryptionAlgorithm::Aes256Gcm, EncryptionAlgorithm::ChaCha20Poly1305]);
    let kdf = prop::sample::select(vec![KeyDerivation::Scrypt65536_8_1, KeyDerivation::Pbkdf2Sha256_600000]);
    let format = (
        prop::sample::select(HashAlgorithm::ALL.to_vec()),
        cipher,
        kdf,
        prop::sample::select(vec![0, 0, 1, 2, 4, 5, 7, 20, 100]),
        compression.clone(),
        compression,
        any::<bool>(),
    );
    let layout = (1_u32..4, 0_u32..4, any::<bool>(), 0_u32..4, 2000_usize..200_000, 1000_usize..50_000);
    let shape = (0_u32..3, 0_u32..3, 0_u32..6, 0_u32..2, 1_u64..60_000);
    (format, layout, shape, 1_u64..5, any::<u64>(), any::<bool>()).prop_map(
        move |(format, layout, shape, snapshots, seed, deduplicate)| {
            let (hash, encryption, key_derivation, ecc_percent, data, metadata, password_change) = format;
            let (blobs_per_flush, advance_at, compact, range_of, pack_size, chunk) = layout;
            let (depth, directories, files, links, high) = shape;
            let options = Options {
                seed,
                hash,
                encryption,
                key_derivation,
                ecc_percent,
                data_compression: compressor(data),
                metadata_compression: compressor(metadata),
                pack_size,
                chunks: Chunks::Between { min: chunk / 4, max: chunk },
                epochs: Epochs { blobs_per_flush, advance_at, compact, range_of },
                deduplicate: deduplicate || compact,
                password_change,
                ..Options::default()
            };
            let kinds = vec![DataKind::Text, DataKind::Noise, DataKind::Zeros, DataKind::Holes];
            let sizes = Sizes::Uniform { low: 0, high };
            Plan {
                options,
                shape: Custom { depth, directories, files, links, sizes, kinds },
                snapshots,
                seed,
            }
        },
    )
}

fn write(plan: &Plan, dir: &Path) {
    let mut writer = RepositoryWriter::create(dir, plan.options.clone()).unwrap();
    let mut rng = Rng::new(plan.seed);
    let mut loose = Vec::new();
    let mut snapshots = Vec::new();
    for number in 0..plan.snapshots {
        let tree = Shape::Custom(plan.shape.clone()).tree(plan.seed ^ number).unwrap();
        let root = writer.write_tree(&tree).unwrap();
        snapshots.push(writer.snapshot(&format!("user{number}@host:/path").parse().unwrap(), &root));
        let data = Data { kind: DataKind::Text, seed: rng.below(3), size: rng.below(5000) };
        loose.push((writer.write_content(None, &data.to_vec()).unwrap(), data));
        writer.flush().unwrap();
        writer.set_now(writer.now() + 60);
        let (id, data) = loose[rng.below(loose.len() as u64) as usize];
        match rng.below(4) {
            0 if plan.options.deduplicate => writer.delete_content(&id).unwrap(),
            1 => drop(writer.rewrite_content(None, &data.to_vec()).unwrap()),
            2 => writer.delete_manifest(&snapshots[rng.below(snapshots.len() as u64) as usize]),
            // An epoch without any index blob does not come to an end: readers take that for a loss.
            _ if plan.options.epochs.advance_at == 0 => writer.advance_epoch().unwrap(),
            _ => {}
        }
        writer.flush().unwrap();
    }
    if rng.below(2) == 0 {
        writer.set_watermark(writer.now() - rng.below(200)).unwrap();
    }
    writer.finish().unwrap();
}

proptest! {
    // Each case derives keys three times, which takes most of its time.
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_library_and_the_reference_agree(plan in plans()) {
        let dir = tempfile::tempdir().unwrap();
        write(&plan, dir.path());
        compare(dir.path(), "testkit");
    }
}

#[test]
fn both_read_what_kopia_wrote() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/basic/repo");
    let compared = compare(&dir, "rokopia");
    println!("compared {compared:?}");
    assert!(compared.snapshots > 0 && compared.bytes > 0, "{compared:?}");
}
