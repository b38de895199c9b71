//! The tree, and a repository of it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rokopia::crypto::KeyDerivation;
use rokopia::testkit::{Attributes, Chunks, Data, DataKind, Options, RepositoryWriter, Tree};

/// Who owns some of it, and restores some of it.
pub(crate) const USER: u32 = 1234;
pub(crate) const GROUP: u32 = 5678;

/// All types, odd names, times, modes and owners.
pub(crate) fn tree() -> Tree {
    let mut tree = Tree::owned_by(USER, GROUP);
    let small = |seed| Data { kind: DataKind::Text, seed, size: 100 };
    for mode in [0o4755, 0o2755, 0o1644, 0o400, 0o000, 0o755] {
        let file = tree.add_file(&format!("modes/{mode:o}"), small(1)).unwrap();
        file.attributes.mode = mode;
    }
    for (name, uid, gid, mode) in
        [("root", 0, 0, 0o644), ("set-id", 77, 88, 0o6755), ("group", USER, 88, 0o2755)]
    {
        let file = tree.add_file(&format!("owners/{name}"), small(2)).unwrap();
        file.attributes = Attributes { mode, uid, gid, ..file.attributes };
    }
    for (mode, name) in [(0o500, "closed"), (0o000, "shut"), (0o1777, "sticky"), (0o2770, "setgid")] {
        tree.add_file(&format!("directories/{name}/inside"), small(3)).unwrap();
        let number = tree.add_directory(&format!("directories/{name}")).unwrap();
        let attributes = Attributes { mode, mtime_ns: 1_600_000_000_123_456_789, uid: USER, gid: GROUP };
        tree.set_directory_attributes(number, attributes).unwrap();
    }
    for (name, target) in
        [("dangling", &b"no/where"[..]), ("absolute", b"/etc/passwd"), ("odd", b"a\nb\xff\\ *")]
    {
        tree.add_link(&format!("links/{name}"), target).unwrap();
    }
    for (name, mtime_ns) in [
        ("odd", 1_600_000_001_987_654_321),
        ("even", 1_600_000_002_000_000_000),
        ("far", 4_000_000_000_000_000_000),
    ] {
        tree.add_file(&format!("times/{name}"), small(4)).unwrap().attributes.mtime_ns = mtime_ns;
    }
    for name in ["new\nline", "-rf", "ünï ©øde 漢", "\u{fffd}", "x.kopia-entry", ".rokopia-"] {
        tree.add_file(&format!("names/{name}"), small(5)).unwrap();
    }
    tree.add_file(&format!("names/{}", "n".repeat(255)), small(6)).unwrap();
    for name in ["a:b", "quo\"ted", "end.", "end ", "back\\slash"] {
        tree.add_file(&format!("windows/{name}"), small(7)).unwrap();
    }
    tree.add_file("windows/di:r/below", small(7)).unwrap();
    for name in ["README", "readme", "Docs/x", "docs/y", "docs/sub/z"] {
        tree.add_file(&format!("case/{name}"), Data { seed: name.len() as u64, ..small(8) }).unwrap();
    }
    for name in ["\u{e9}", "e\u{301}"] {
        tree.add_file(&format!("normal/{name}"), small(9)).unwrap();
    }
    tree.add_file("empty", Data { kind: DataKind::Text, seed: 1, size: 0 }).unwrap();
    tree.add_file("big", Data { kind: DataKind::Noise, seed: 2, size: 300_000 }).unwrap();
    tree.add_file("zeros", Data { kind: DataKind::Zeros, seed: 2, size: 1_000_001 }).unwrap();
    tree
}

/// A repository that every user may read.
pub(crate) struct Repository {
    pub(crate) tree: Tree,
    pub(crate) path: PathBuf,
    pub(crate) password: PathBuf,
}

impl Repository {
    pub(crate) fn new(dir: &Path) -> Self {
        let (tree, path, password) = (tree(), dir.join("repo"), dir.join("password"));
        let options = Options {
            key_derivation: KeyDerivation::Pbkdf2Sha256_600000,
            chunks: Chunks::Between { min: 20_000, max: 60_000 },
            ..Options::default()
        };
        let mut writer = RepositoryWriter::create(&path, options).unwrap();
        let root = writer.write_tree(&tree).unwrap();
        writer.snapshot(&"u@h:/zoo".parse().unwrap(), &root);
        writer.finish().unwrap();
        std::fs::write(&password, "testkit").unwrap();
        std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o644)).unwrap();
        for entry in walkdir::WalkDir::new(&path).into_iter().flatten() {
            let mode = if entry.file_type().is_dir() { 0o755 } else { 0o644 };
            std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        Self { tree, path, password }
    }
}
