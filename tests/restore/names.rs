//! Entries of one name, and files of checkpoints.

use std::fs;
use std::io::Read;
use std::sync::Mutex;

use rokopia::restore::Progress;
use rokopia::testkit::{Attributes, DirectoryBuilder, DirectoryEntry};

use crate::common::{Sample, paths, quick};

const PLAIN: Attributes = Attributes { mode: 0o644, mtime_ns: 1_000_000_000, uid: 0, gid: 0 };

#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Progress for Warnings {
    fn warning(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

/// Files and directories that had names of Latin-1, which all became the same.
fn latin() -> Sample {
    Sample::with(quick(), |writer| {
        let mut root = DirectoryBuilder::new();
        for text in ["one", "two", "three"] {
            let object = writer.write_content(None, text.as_bytes()).unwrap().to_string();
            root.file("caf\u{fffd}.txt", &PLAIN, text.len() as u64, &object);
            let mut below = DirectoryBuilder::new();
            below.file(text, &PLAIN, text.len() as u64, &object);
            let below = writer.write_directory(below, Attributes { mode: 0o755, ..PLAIN }).unwrap();
            root.push(DirectoryEntry::directory("\u{fffd}", &below), 0);
        }
        let root = writer.write_directory(root, PLAIN).unwrap();
        writer.snapshot(&"u@h:/p".parse().unwrap(), &root);
    })
}

#[test]
fn entries_of_one_name_are_all_restored() {
    let sample = latin();
    let warnings = Warnings::default();
    let opened = sample.open();
    let summary = opened.restore().run(sample.target(), &warnings).unwrap();
    assert_eq!((summary.errors.len(), summary.files), (0, 6));
    let expected = [
        "caf\u{fffd}.txt",
        "caf\u{fffd}~1.txt",
        "caf\u{fffd}~2.txt",
        "\u{fffd}",
        "\u{fffd}/three",
        "\u{fffd}~1",
        "\u{fffd}~1/one",
        "\u{fffd}~2",
        "\u{fffd}~2/two",
    ];
    assert_eq!(paths(&sample.target()), expected);
    assert_eq!(fs::read(sample.target().join(expected[1])).unwrap(), b"one");
    assert_eq!(warnings.0.into_inner().unwrap().len(), 4);
    // They are not taken for what the snapshot does not have.
    let again = sample.restore(|restore| restore.delete(true).skip_existing(true));
    assert_eq!((again.deleted, again.skipped), (0, 6));
    assert_eq!(paths(&sample.target()), expected);
}

#[test]
fn a_file_of_a_checkpoint_is_restored_as_far_as_it_was_saved() {
    const UUID: &str = "123e4567-e89b-12d3-a456-426614174000";
    let names = [format!(".checkpointed.dump.sql.{UUID}"), format!(".checkpointed.big.{UUID}")];
    let sample = Sample::with(quick(), |writer| {
        let mut root = DirectoryBuilder::new();
        let object = writer.write_content(None, b"begun").unwrap().to_string();
        root.file(&names[0], &PLAIN, 1000, &object);
        let many = writer.write_object(&mut std::io::repeat(7).take(500_000)).unwrap();
        root.file(&names[1], &PLAIN, 9_000_000, &many.id);
        root.file("plain", &PLAIN, 1000, &object);
        let root = writer.write_directory(root, PLAIN).unwrap();
        writer.snapshot(&"u@h:/p".parse().unwrap(), &root);
    });
    let warnings = Warnings::default();
    let opened = sample.open();
    let summary = opened.restore().run(sample.target(), &warnings).unwrap();
    let errors: Vec<_> = summary.errors.iter().map(|error| (error.path.as_str(), error.code)).collect();
    assert_eq!(errors, [("plain", "entry-size-mismatch")], "any other file has to be whole");
    assert_eq!(fs::read(sample.target().join(&names[0])).unwrap(), b"begun");
    assert_eq!(fs::metadata(sample.target().join(&names[1])).unwrap().len(), 500_000);
    let warnings = warnings.0.into_inner().unwrap();
    assert!(
        warnings.len() == 2 && warnings.iter().any(|warning| warning.contains("5 of 1000 bytes")),
        "{warnings:?}"
    );
}
