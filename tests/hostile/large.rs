//! Trees and contents that are too large for memory.

use std::io::Read;

use rokopia::codec::CompressionId;
use rokopia::testkit::{DirectoryBuilder, IndirectEntry, RepositoryWriter, Summary, WrittenDirectory};

use crate::common::say;
use crate::run::{Outcome, PLAIN, Scene, quick};

/// The JSON of a directory, made as it is read.
struct Generated<F> {
    entry: F,
    next: u64,
    count: u64,
    buffer: Vec<u8>,
}

impl<F: Fn(u64) -> String> Generated<F> {
    fn new(count: u64, entry: F) -> Self {
        Self { entry, next: 0, count, buffer: b"{\"stream\":\"kopia:directory\",\"entries\":[".to_vec() }
    }
}

impl<F: Fn(u64) -> String> Read for Generated<F> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.buffer.len() < out.len() && self.next <= self.count {
            if self.next == self.count {
                self.buffer.extend(b"]}\n");
            } else {
                if self.next > 0 {
                    self.buffer.push(b',');
                }
                self.buffer.extend((self.entry)(self.next).bytes());
            }
            self.next += 1;
        }
        let count = out.len().min(self.buffer.len());
        out[..count].copy_from_slice(&self.buffer[..count]);
        self.buffer.drain(..count);
        Ok(count)
    }
}

fn directory(writer: &mut RepositoryWriter, count: u64, entry: impl Fn(u64) -> String) -> WrittenDirectory {
    let object = writer.write_prefixed_object(Some(b'k'), &mut Generated::new(count, entry)).unwrap().id;
    WrittenDirectory { object, summary: Summary::default(), attributes: PLAIN }
}

fn report(what: &str, outcome: &Outcome) {
    let (peak, seconds) = (outcome.peak_kib >> 10, outcome.seconds);
    say(&format!("{what}: exit code {}, {peak} MiB, {seconds:.1} s", outcome.code()));
    outcome.assert_orderly(what);
}

/// A directory of so many files, one of which is restored.
fn wide(count: u64) {
    let scene = Scene::new(|writer| {
        let object = writer.write_content(None, b"data").unwrap();
        directory(writer, count, |number| {
            format!(
                r#"{{"name":"file-{number:08}","type":"f","mode":"0644","size":4,"mtime":"2026-01-02T03:04:05.678901234Z","obj":"{object}"}}"#
            )
        })
    });
    let listed = scene.run(&["ls", "-R", "latest"]);
    report(&format!("{count} entries: ls"), &listed);
    if count < 1_000_000 {
        assert_eq!(listed.stdout.iter().filter(|byte| **byte == b'\n').count() as u64, count);
    }
    let verified = scene.run(&["verify", "--level", "files"]);
    report(&format!("{count} entries: verify"), &verified);
    assert_eq!(verified.code(), 0);
    let dry = scene.run(&["restore", "latest", "/nowhere", "--dry-run", "--json"]);
    report(&format!("{count} entries: dry run"), &dry);
    assert!(String::from_utf8_lossy(&dry.stdout).contains(&format!("\"files\":{count}")));
    let target = scene.target();
    let one = ["restore", "latest", target.to_str().unwrap(), "--include", "file-00000077", "--delete"];
    let restored = scene.run(&one);
    report(&format!("{count} entries: one restored"), &restored);
    assert_eq!(crate::run::paths(&target), ["file-00000077"]);
    scene.assert_untouched("a wide directory");
}

#[test]
fn a_directory_of_many_entries() {
    wide(60_000);
}

#[test]
#[ignore = "takes minutes"]
fn a_directory_of_ten_million_entries() {
    wide(10_000_000);
}

#[test]
fn entries_without_objects_by_the_hundred_thousand() {
    let scene = Scene::new(|writer| {
        directory(writer, 150_000, |number| format!(r#"{{"name":"{number}","type":"f","size":4}}"#))
    });
    let target = scene.target();
    let target = target.to_str().unwrap();
    for (arguments, code) in [
        (&["restore", "latest", target, "--json"][..], 4),
        (&["verify", "--level", "files", "--json"], 1),
        (&["tar", "latest"], 4),
    ] {
        let outcome = scene.run(arguments);
        report(&format!("150,000 entries without objects: {}", arguments[0]), &outcome);
        assert_eq!(outcome.code(), code);
    }
    scene.assert_untouched("entries without objects");
}

/// A directory of so many others, none of which is there; gives the most that was resident, in KiB.
fn many_subdirectories(count: u64, memory: &str, expected: &str) -> u64 {
    let filler = "n".repeat(150);
    let scene = Scene::new(|writer| {
        directory(writer, count, |number| {
            format!(r#"{{"name":"{number}{filler}","type":"d","mode":"0755","obj":"k{number:032x}"}}"#)
        })
    });
    let outcome = scene.run(&["verify", "--level", "files", "--json", "--memory", memory]);
    report(&format!("{count} subdirectories: verify in {memory}"), &outcome);
    let said = String::from_utf8_lossy(&outcome.stdout);
    assert!(said.contains(expected), "{expected}");
    assert!(said.contains("\"whole\":false"));
    scene.assert_untouched("many subdirectories");
    outcome.peak_kib
}

#[test]
fn subdirectories_by_the_ten_thousand() {
    many_subdirectories(60_000, "64MiB", "more of these than are reported one by one");
}

/// With optimisation, as in a release: `cargo test --profile quick`.
#[test]
#[ignore = "takes minutes"]
fn subdirectories_by_the_million() {
    let peak = many_subdirectories(5_000_000, "256MiB", "memory-budget");
    assert!(peak <= 256 << 10, "{peak} KiB");
}

#[test]
fn long_names_that_occur_twice() {
    let scene = Scene::new(|writer| {
        let object = writer.write_content(None, b"data").unwrap();
        directory(writer, 600, |number| {
            let name = format!("{}{}", "n".repeat(1 << 20), number / 2);
            format!(r#"{{"name":"{name}","type":"f","size":4,"obj":"{object}"}}"#)
        })
    });
    let target = scene.target();
    let restored = scene.run(&["restore", "latest", target.to_str().unwrap(), "--json"]);
    report("600 names of 1 MiB: restore", &restored);
    // Each costs itself, and none is repeated in full.
    assert_eq!(restored.code(), 4);
    assert!(crate::run::paths(&target).is_empty());
    let said = String::from_utf8_lossy(&restored.stdout);
    assert_eq!(said.matches("\"entry-name-invalid\"").count(), 600);
    assert!(said.len() < 1 << 20, "{} bytes", said.len());
    report("600 names of 1 MiB: ls", &scene.run(&["ls", "-R", "latest"]));
    report("600 names of 1 MiB: verify", &scene.run(&["verify", "--level", "files"]));
    scene.assert_untouched("long names");
}

/// Every directory has so many children that the walk leaves it before its end, to come back later.
#[test]
fn wide_directories_inside_each_other() {
    let scene = Scene::new(|writer| {
        let mut inner = writer.write_directory(DirectoryBuilder::new(), PLAIN).unwrap();
        for _ in 0..60 {
            let object = inner.object.clone();
            let filler = "n".repeat(200);
            inner = directory(writer, 33_000, |number| {
                format!(r#"{{"name":"{number}{filler}","type":"d","mode":"0755","obj":"{object}"}}"#)
            });
        }
        inner
    });
    let mut seen = 0;
    for arguments in [["restore", "latest", "/nowhere", "--dry-run"], ["ls", "-R", "latest", "--json"]] {
        // There is no end to it: 33,000 to the power of 60 paths.
        let outcome = scene.run_for(&arguments, 5.0);
        say(&format!("wide directories inside each other: {}: {} MiB", arguments[0], outcome.peak_kib >> 10));
        assert!(outcome.peak_kib < crate::run::BUDGET_KIB);
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn contents_as_long_as_they_may_be() {
    let scene = Scene::new(|writer| {
        let mut root = DirectoryBuilder::new();
        let compression = CompressionId::from_header(0x1101).unwrap();
        for number in 0..16 {
            let size = (60 << 20) + number;
            let id = writer.forge_bomb(None, compression, size, size as u32).unwrap();
            root.file(&format!("f{number}"), &PLAIN, size as u64, &id.to_string());
        }
        let size = 200 << 20;
        let id = writer.forge_bomb(None, compression, size, size as u32).unwrap();
        root.file("longer", &PLAIN, size as u64, &id.to_string());
        writer.write_directory(root, PLAIN).unwrap()
    });
    let target = scene.target();
    let restored = scene.run(&["restore", "latest", target.to_str().unwrap(), "--json", "--threads", "8"]);
    report("16 contents of 60 MiB: restore", &restored);
    assert_eq!(restored.code(), 4);
    assert_eq!(crate::run::paths(&target).len(), 16);
    assert!(String::from_utf8_lossy(&restored.stdout).contains("content-entry-invalid"));
    for command in [&["verify", "--level", "files"][..], &["tar", "latest"], &["cat", "latest/f1"]] {
        report(&format!("16 contents of 60 MiB: {}", command[0]), &scene.run(command));
    }
}

/// A table that names one content very often: an object of any length out of nothing.
#[test]
fn objects_of_one_content_a_million_times() {
    let scene = Scene::new(|writer| {
        let blanks = writer.write_content(None, &vec![b' '; 1 << 20]).unwrap().to_string();
        let length = 1 << 20;
        let line = |number: i64| IndirectEntry { start: number * length, length, object: blanks.clone() };
        let table: Vec<IndirectEntry> = (0..100_000).map(line).collect();
        let object = writer.write_indirect(None, &table).unwrap();
        let mut root = DirectoryBuilder::new();
        root.link("link", &PLAIN, 4, &object);
        let summary = Summary::default();
        root.directory("directory", &WrittenDirectory { object, summary, attributes: PLAIN });
        writer.write_directory(root, PLAIN).unwrap()
    });
    for command in [&["ls", "-R", "latest"][..], &["verify", "--level", "files"], &["tar", "latest"]] {
        let outcome = scene.run(command);
        report(&format!("100 GiB of blanks: {}", command[0]), &outcome);
        assert_ne!(outcome.code(), 0);
    }
    let target = scene.target();
    let restored = scene.run(&["restore", "latest", target.to_str().unwrap(), "--json"]);
    report("100 GiB of blanks: restore", &restored);
    assert_eq!(restored.code(), 4);
}

/// Half a gigabyte of the same snapshot, which deflates to a thousandth.
fn snapshots_by_the_megabyte(data: &str) -> Scene {
    Scene::with(quick(), |writer| {
        for number in 0..64 {
            let entry = |n: usize| {
                format!(
                    r#"{{"id":"{number:016x}{n:016x}","labels":{{"type":"snapshot","username":"user","hostname":"host","path":"/data"}},"modified":"2026-01-02T03:04:05Z","data":{data}}}"#
                )
            };
            let entries: Vec<String> = (0..(8 << 20) / entry(0).len()).map(entry).collect();
            writer
                .write_manifest_content(format!("{{\"entries\":[{}]}}", entries.join(",")).as_bytes())
                .unwrap();
        }
        let root = writer.write_directory(DirectoryBuilder::new(), PLAIN).unwrap();
        writer.snapshot(&"user@host:/data".parse().unwrap(), &root);
    })
}

#[test]
fn snapshots_that_do_not_fit_in_memory() {
    let source =
        r#""source":{"host":"host","userName":"user","path":"/data"},"startTime":"2026-01-02T03:04:05Z""#;
    let long = format!(r#"{{{source},"description":"{}"}}"#, "x".repeat(1 << 20));
    let pins = format!(r#"{{{source},"pins":[{}"p"]}}"#, r#""p","#.repeat(1 << 18));
    let tiny = format!("{{{source}}}");
    for (what, data) in [("long descriptions", long), ("many pins", pins), ("no root", tiny)] {
        let scene = snapshots_by_the_megabyte(&data);
        for command in [&["snapshots", "--json"][..], &["exists", "user@host:/data"], &["ls", "latest"]] {
            let outcome = scene.run(command);
            report(&format!("512 MiB of snapshots with {what}: {}", command[0]), &outcome);
            assert_eq!(outcome.code(), 3, "{what}: {}", outcome.stderr);
            assert!(outcome.stderr.contains("memory-budget"), "{what}: {}", outcome.stderr);
        }
    }
}

#[test]
fn manifests_that_inflate() {
    let scene = Scene::with(quick(), |writer| {
        for number in 0..4 {
            let mut json = b"{\"entries\":[".to_vec();
            json.resize((200 << 20) + number, b' ');
            json.extend(b"]}");
            writer.write_manifest_content(&json).unwrap();
        }
        let root = writer.write_directory(DirectoryBuilder::new(), PLAIN).unwrap();
        writer.snapshot(&"user@host:/data".parse().unwrap(), &root);
    });
    for command in [&["snapshots", "--json"][..], &["exists", "user@host:/data"], &["ls", "latest"]] {
        let outcome = scene.run(command);
        report(&format!("800 MiB of blanks in manifests: {}", command[0]), &outcome);
        assert_eq!(outcome.code(), 0);
    }
}
