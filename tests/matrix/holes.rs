//! Files of holes take no space, whatever holds them.

use std::os::unix::fs::MetadataExt;

use rokopia::Repository;
use rokopia::blob::FileSystem;
use rokopia::crypto::{KeyDerivation, Password};
use rokopia::restore::Restore;
use rokopia::snapshot::Snapshots;
use rokopia::testkit::{Data, DataKind, Options, RepositoryWriter, Tree};

use crate::cell::USERS;
use crate::targets::{Kind, TARGETS, Workshop};

/// Around the sizes from which holes are made, space is reserved, and a file is cut into pieces.
const SIZES: [u64; 9] = [
    4095,
    16 << 10,
    (16 << 10) + 1,
    (4 << 20) - 1,
    (16 << 20) - 1,
    16 << 20,
    (16 << 20) + 1,
    (21 << 20) + 5,
    40 << 20,
];

#[test]
fn holes_take_no_space() {
    if !nix::unistd::geteuid().is_root() {
        println!("NOT CHECKED: file systems are mounted by root");
        return;
    }
    let workshop = Workshop::new();
    let mut tree = Tree::new();
    for size in SIZES {
        tree.add_file(&format!("zeros-{size}"), Data { kind: DataKind::Zeros, seed: 1, size }).unwrap();
    }
    for size in [16 << 20, 24 << 20] {
        tree.add_file(&format!("holes-{size}"), Data { kind: DataKind::Holes, seed: 1, size }).unwrap();
    }
    let repo = workshop.path().join("repo");
    let options = Options { key_derivation: KeyDerivation::Pbkdf2Sha256_600000, ..Options::default() };
    let mut writer = RepositoryWriter::create(&repo, options).unwrap();
    let root = writer.write_tree(&tree).unwrap();
    writer.snapshot(&"u@h:/p".parse().unwrap(), &root);
    writer.finish().unwrap();
    let store = FileSystem::open(&repo).unwrap();
    let repository = Repository::open(store, &Password::new("testkit")).unwrap();
    let contents = repository.contents().unwrap();
    let catalog = repository.catalog().unwrap();
    let snapshot = Snapshots::new(catalog.manifests()).all().latest().unwrap();
    let root = snapshot.root.clone().unwrap();
    let mut blocks_of_holes = Vec::new();
    for name in ["tmpfs", "ext4-256", "xfs", "btrfs"] {
        let target = TARGETS.iter().find(|target| target.name == name).unwrap();
        // Reserving needs room.
        let roomy = match &target.kind {
            Kind::Image { make, kind, options, .. } => Kind::Image { make, kind, mib: 512, options },
            _ => Kind::Tmpfs,
        };
        let target = crate::targets::Target { name, kind: roomy };
        let mounted = match workshop.mount(&target, USERS[0]) {
            Ok(mounted) => mounted,
            Err(reason) => {
                println!("NOT CHECKED {name}: {reason}");
                continue;
            }
        };
        let into = mounted.path().join("into");
        assert_eq!(Restore::new(&contents, &root).run(&into, &()).unwrap().errors, []);
        nix::unistd::sync();
        for size in SIZES {
            let found = std::fs::metadata(into.join(format!("zeros-{size}"))).unwrap();
            // Up to a block at each end may be written.
            assert!(
                found.len() == size && found.blocks() <= 64,
                "{name}: {} blocks of {size} bytes",
                found.blocks()
            );
        }
        for size in [16 << 20, 24 << 20] {
            let found = std::fs::metadata(into.join(format!("holes-{size}"))).unwrap();
            blocks_of_holes.push((size, name, found.blocks()));
        }
    }
    for size in [16 << 20, 24 << 20] {
        let of_size: Vec<_> = blocks_of_holes.iter().filter(|(of, ..)| *of == size).collect();
        let least = of_size.iter().map(|(.., blocks)| *blocks).min().unwrap();
        // File systems differ in what they round to.
        assert!(of_size.iter().all(|(.., blocks)| *blocks <= least + least / 4 + 64), "{of_size:?}");
    }
}
