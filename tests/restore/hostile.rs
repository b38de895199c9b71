//! Entries that were written to do harm.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use rokopia::testkit::{Attributes, DirectoryBuilder, DirectoryEntry, RepositoryWriter};

use crate::common::{Sample, paths, quick};

const PLAIN: Attributes = Attributes { mode: 0o755, mtime_ns: 1_000_000_000, uid: 0, gid: 0 };

fn put(writer: &mut RepositoryWriter, data: &[u8]) -> String {
    writer.write_content(None, data).unwrap().to_string()
}

fn sample(entries: impl FnOnce(&mut RepositoryWriter, &mut DirectoryBuilder)) -> Sample {
    Sample::with(quick(), |writer| {
        let mut directory = DirectoryBuilder::new();
        entries(writer, &mut directory);
        let root = writer.write_directory(directory, PLAIN).unwrap();
        writer.snapshot(&"u@h:/p".parse().unwrap(), &root);
    })
}

#[test]
fn names_never_leave_the_target() {
    let sample = sample(|writer, directory| {
        let object = put(writer, b"evil");
        for name in ["..", "../up", "/abs", "a/b", "a\0b", "."] {
            directory.file(name, &PLAIN, 4, &object);
        }
        directory.file("good", &PLAIN, 4, &object);
    });
    let summary = sample.restore(|restore| restore);
    assert_eq!(summary.errors.len(), 6, "{:?}", summary.errors);
    assert_eq!(paths(&sample.target()), ["good"]);
    let mut around: Vec<_> =
        fs::read_dir(sample.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    around.sort();
    assert_eq!(around, ["repo", "target"]);
}

#[test]
fn planted_links_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("victim"), "untouched").unwrap();
    let sample = sample(|writer, directory| {
        let object = put(writer, b"evil");
        let mut below = DirectoryBuilder::new();
        below.file("victim", &PLAIN, 4, &object);
        let below = writer.write_directory(below, PLAIN).unwrap();
        directory.push(DirectoryEntry::directory("dir", &below), PLAIN.mtime_ns);
        directory.file("file", &PLAIN, 4, &object);
    });
    fs::create_dir(sample.target()).unwrap();
    symlink(outside.path(), sample.target().join("dir")).unwrap();
    symlink(outside.path().join("victim"), sample.target().join("file")).unwrap();
    let summary = sample.restore(|restore| restore.delete(true));
    assert_eq!(summary.errors, []);
    assert_eq!(fs::read(outside.path().join("victim")).unwrap(), b"untouched");
    assert_eq!(paths(outside.path()), ["victim"]);
    assert_eq!(fs::read(sample.target().join("dir/victim")).unwrap(), b"evil");
}

#[test]
fn sizes_that_lie_make_errors_not_files() {
    let sample = sample(|writer, directory| {
        let object = put(writer, b"data");
        for (name, size) in [("more", 5), ("less", 3), ("huge", u64::MAX / 2), ("right", 4)] {
            directory.file(name, &PLAIN, size, &object);
        }
        let unknown = "ffffffffffffffffffffffffffffffff";
        directory.file("missing", &PLAIN, 4, unknown);
        directory.file("nothing", &PLAIN, 4, "");
    });
    let summary = sample.restore(|restore| restore);
    let codes: Vec<(&str, &str)> = summary.errors.iter().map(|e| (e.path.as_str(), e.code)).collect();
    assert_eq!(
        codes,
        [
            ("huge", "entry-size-mismatch"),
            ("less", "entry-size-mismatch"),
            ("missing", "content-missing"),
            ("more", "entry-size-mismatch"),
            ("nothing", "entry-unsupported"),
        ]
    );
    assert_eq!(paths(&sample.target()), ["right"]);
}

#[test]
fn a_directory_that_contains_itself_ends() {
    let sample = Sample::with(quick(), |writer| {
        let root = writer.forge_endless_directory(PLAIN).unwrap();
        writer.snapshot(&"u@h:/p".parse().unwrap(), &root);
    });
    let summary = sample.restore(|restore| restore);
    assert!(summary.errors.iter().any(|error| error.code == "directory-loop"), "{:?}", summary.errors);
}

/// An entry with an owner as the JSON has it.
fn owned(entry: DirectoryEntry, uid: i64, gid: i64) -> DirectoryEntry {
    DirectoryEntry { uid, gid, ..entry }
}

#[test]
fn an_owner_that_no_file_can_have_takes_the_set_id_bits_along() {
    let set_id = Attributes { mode: 0o6755, ..PLAIN };
    let impossible = [-1, i64::MIN, 4_294_967_295, 4_294_967_296, i64::MAX];
    let sample = sample(|writer, directory| {
        let object = put(writer, b"evil");
        for (at, id) in impossible.into_iter().enumerate() {
            let file = |name: &str| DirectoryEntry::file(&format!("{name}-{at}"), &set_id, 4, &object);
            directory.push(owned(file("user"), id, 0), 0);
            directory.push(owned(file("group"), 0, id), 0);
            directory.push(owned(file("both"), id, id), 0);
            let below = writer.write_directory(DirectoryBuilder::new(), set_id).unwrap();
            let below = DirectoryEntry::directory(&format!("directory-{at}"), &below);
            directory.push(owned(below, 0, id), 0);
            let link = DirectoryEntry::link(&format!("link-{at}"), &set_id, 4, &object);
            directory.push(owned(link, id, id), 0);
        }
        directory.file("honest", &set_id, 4, &object);
    });
    let entries = 5 * impossible.len();
    let check = |summary: rokopia::restore::Summary| {
        assert_eq!(summary.errors, []);
        for path in paths(&sample.target()) {
            let found = sample.target().join(&path).symlink_metadata().unwrap();
            let bits = if found.is_symlink() { 0 } else { found.mode() & 0o6000 };
            let honest = path == "honest" && nix::unistd::geteuid().is_root();
            assert_eq!(bits, if honest { 0o6000 } else { 0 }, "{path}");
        }
        assert_eq!(paths(&sample.target()).len(), entries + 1);
        assert!(summary.refused.owner as usize >= entries, "{}", summary.refused);
    };
    check(sample.restore(|restore| restore));
    // What is there already, perhaps with the bits, is no better.
    for path in paths(&sample.target()) {
        let path = sample.target().join(path);
        if !path.is_symlink() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o6755)).unwrap();
        }
    }
    check(sample.restore(|restore| restore.delta(true)));
    let summary = sample.restore(|restore| restore.skip_existing(true));
    assert!(summary.skipped > 0);
    for path in paths(&sample.target()).iter().filter(|path| !path.starts_with("honest")) {
        let found = sample.target().join(path).symlink_metadata().unwrap();
        assert!(found.is_symlink() || found.mode() & 0o6000 == 0, "{path}");
    }
}

#[test]
fn set_id_bits_need_the_owner_to_be_set() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can change owners");
        return;
    }
    let set_id = Attributes { mode: 0o6755, uid: 7, gid: 8, ..PLAIN };
    let sample = sample(|writer, directory| {
        let object = put(writer, b"data");
        directory.file("file", &set_id, 4, &object);
    });
    let mode = || fs::metadata(sample.target().join("file")).unwrap().mode() & 0o7777;
    sample.restore(|restore| restore.owner(false));
    assert_eq!(mode(), 0o755);
    chown(sample.target().join("file"), Some(7), Some(9)).unwrap();
    sample.restore(|restore| restore.owner(false).delta(true));
    assert_eq!(mode(), 0o4755);
    sample.restore(|restore| restore);
    assert_eq!(mode(), 0o6755);
}

#[test]
fn an_impossible_name_costs_a_directory_itself_and_nothing_beside_it() {
    let impossible = ["..", ".", "", "a/b", "/abs", "a\0b", "../up"];
    let sample = sample(|writer, directory| {
        let object = put(writer, b"data");
        for name in impossible {
            let mut below = DirectoryBuilder::new();
            below.file("inside", &PLAIN, 4, &object);
            let below = writer.write_directory(below, PLAIN).unwrap();
            directory.push(DirectoryEntry::directory(name, &below), PLAIN.mtime_ns);
        }
        let mut below = DirectoryBuilder::new();
        below.file("inside", &PLAIN, 4, &object);
        let below = writer.write_directory(below, PLAIN).unwrap();
        directory.push(DirectoryEntry::directory("honest", &below), PLAIN.mtime_ns);
        directory.file("file", &PLAIN, 4, &object);
    });
    let summary = sample.restore(|restore| restore.delete(true));
    assert_eq!(summary.errors.len(), impossible.len(), "{:?}", summary.errors);
    assert!(summary.errors.iter().all(|error| error.code == "entry-name-invalid"), "{:?}", summary.errors);
    assert_eq!(paths(&sample.target()), ["file", "honest", "honest/inside"]);
}

#[test]
fn with_verify_all_that_is_read_is_hashed() {
    // What decrypts under a name that is not its own: a directory, and the list of chunks of a file.
    for kind in ["directory", "chunks"] {
        let sample = Sample::with(quick(), |writer| {
            let object = put(writer, b"data");
            let mut below = DirectoryBuilder::new();
            below.file("inside", &PLAIN, 4, &object);
            let below = below.json(&below.summary(0)).unwrap();
            let mut root = DirectoryBuilder::new();
            root.file("honest", &PLAIN, 4, &object);
            let forged: rokopia::index::ContentId = match kind {
                "directory" => "k00112233445566778899aabbccddeeff",
                _ => "x00112233445566778899aabbccddeeff",
            }
            .parse()
            .unwrap();
            if kind == "directory" {
                writer.forge_content(forged, &below).unwrap();
                let below = writer.write_directory(DirectoryBuilder::new(), PLAIN).unwrap();
                let entry = DirectoryEntry::directory("forged", &below);
                root.push(DirectoryEntry { object: forged.to_string(), ..entry }, 0);
            } else {
                let table = format!(r#"{{"stream":"kopia:indirect","entries":[{{"l":4,"o":"{object}"}}]}}"#);
                writer.forge_content(forged, table.as_bytes()).unwrap();
                root.file("forged", &PLAIN, 4, &format!("I{forged}"));
            }
            let root = writer.write_directory(root, PLAIN).unwrap();
            writer.snapshot(&"u@h:/p".parse().unwrap(), &root);
        });
        let summary = sample.restore(|restore| restore);
        assert_eq!(summary.errors, [], "without hashing nobody can tell: {kind}");
        fs::remove_dir_all(sample.target()).unwrap();
        let summary = sample.restore(|restore| restore.verify(true));
        let codes: Vec<_> = summary.errors.iter().map(|error| (error.path.as_str(), error.code)).collect();
        assert_eq!(codes, [("forged", "content-wrong-hash")]);
        assert!(sample.target().join("honest").exists());
    }
}
