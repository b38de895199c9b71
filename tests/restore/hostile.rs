//! Entries that were written to do harm.

use std::fs;
use std::os::unix::fs::symlink;

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
