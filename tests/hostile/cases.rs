//! Hostile trees, each with what must become of it.

use rokopia::codec::CompressionId;
use rokopia::index::ContentId;
use rokopia::testkit::{
    Attributes, DirectoryBuilder, DirectoryEntry, IndirectEntry, RepositoryWriter, Summary, WrittenDirectory,
};

use crate::run::PLAIN;

/// Exit codes of `restore` and `verify`, and what is in the target afterwards where that can be said.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) write: fn(&mut RepositoryWriter) -> WrittenDirectory,
    /// How `restore` ends.
    pub(crate) restore: i32,
    /// A code that `restore` reports.
    pub(crate) reports: Option<&'static str>,
    /// All paths restored, if they are few.
    pub(crate) leaves: Option<&'static [&'static str]>,
    /// How `verify --level files` ends.
    pub(crate) verify: i32,
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "names that lead elsewhere",
        write: names,
        restore: 4,
        reports: Some("entry-name-invalid"),
        leaves: Some(&["\u{1b}[2J", "a\nb", "good", "ok\u{202e}cod.exe"]),
        verify: 0,
    },
    Case {
        name: "keys in other cases and twice",
        write: keys,
        restore: 4,
        reports: Some("entry-name-invalid"),
        leaves: Some(&["good"]),
        verify: 0,
    },
    Case {
        name: "one name many times",
        write: duplicates,
        restore: 0,
        reports: None,
        leaves: None,
        verify: 0,
    },
    Case {
        name: "file and link of one name",
        write: twins,
        restore: 0,
        reports: None,
        leaves: Some(&["a", "a~1", "b", "b/victim", "b~1", "c", "c~1", "d", "d~1", "d~1/victim"]),
        verify: 0,
    },
    Case {
        name: "a link and entries below it",
        write: below_a_link,
        restore: 4,
        reports: Some("entry-name-invalid"),
        leaves: Some(&["dir", "dir/victim", "link"]),
        verify: 0,
    },
    Case {
        name: "a directory that contains itself",
        write: |writer| writer.forge_endless_directory(PLAIN).unwrap(),
        restore: 4,
        reports: Some("directory-loop"),
        leaves: None,
        verify: 1,
    },
    Case {
        name: "two directories that contain each other",
        write: ring,
        restore: 4,
        reports: Some("directory-loop"),
        leaves: None,
        verify: 1,
    },
    Case {
        name: "10,000 levels",
        write: deep,
        restore: 4,
        reports: Some("directory-too-deep"),
        leaves: None,
        verify: 1,
    },
    Case {
        name: "directories that double at each level",
        write: doubling,
        restore: 4,
        reports: Some("content-missing"),
        leaves: None,
        verify: 1,
    },
    Case {
        name: "tables that name themselves",
        write: endless_tables,
        restore: 4,
        reports: Some("object-too-deep"),
        leaves: Some(&["good"]),
        verify: 1,
    },
    Case {
        name: "tables with gaps, overlaps and lies",
        write: crooked_tables,
        restore: 4,
        reports: Some("object-index-damaged"),
        leaves: Some(&["good"]),
        verify: 1,
    },
    Case {
        name: "lengths near 2^63",
        write: lengths,
        restore: 4,
        reports: Some("entry-size-mismatch"),
        leaves: Some(&["good"]),
        verify: 1,
    },
    Case {
        name: "entries that are no entries",
        write: no_entries,
        restore: 4,
        reports: Some("entry-invalid"),
        leaves: Some(&["good"]),
        verify: 1,
    },
    Case {
        name: "devices, pipes and types nobody knows",
        write: types,
        restore: 4,
        reports: Some("entry-unsupported"),
        leaves: Some(&["good"]),
        verify: 0,
    },
    Case {
        name: "setuid and nonsense modes",
        write: modes,
        restore: 0,
        reports: None,
        leaves: Some(&["all", "setgid", "setuid", "sticky"]),
        verify: 0,
    },
    Case {
        name: "times beyond the calendar",
        write: times,
        restore: 4,
        reports: Some("entry-invalid"),
        leaves: Some(&["last", "last64", "year1"]),
        verify: 1,
    },
    Case {
        name: "contents that inflate beyond what they claim",
        write: bombs,
        restore: 4,
        reports: Some("content-undecodable"),
        leaves: Some(&["good"]),
        verify: 1,
    },
    Case {
        name: "contents that claim more than is there",
        write: claims,
        restore: 4,
        reports: Some("content-entry-invalid"),
        leaves: Some(&["good"]),
        verify: 1,
    },
    Case {
        name: "link targets without end",
        write: links,
        restore: 4,
        reports: None,
        leaves: None,
        verify: 0,
    },
    Case {
        name: "a directory that is a file and a file that is a directory",
        write: mistaken,
        restore: 4,
        reports: Some("directory-damaged"),
        leaves: None,
        verify: 1,
    },
];

fn put(writer: &mut RepositoryWriter, data: &[u8]) -> String {
    writer.write_content(None, data).unwrap().to_string()
}

/// A directory of what `fill` adds and one good file.
fn with_good(
    writer: &mut RepositoryWriter,
    fill: impl FnOnce(&mut RepositoryWriter, &mut DirectoryBuilder),
) -> WrittenDirectory {
    let mut directory = DirectoryBuilder::new();
    fill(writer, &mut directory);
    let object = put(writer, b"good");
    directory.file("good", &PLAIN, 4, &object);
    writer.write_directory(directory, PLAIN).unwrap()
}

fn json(writer: &mut RepositoryWriter, entries: &[String]) -> WrittenDirectory {
    let json = format!("{{\"stream\":\"kopia:directory\",\"entries\":[{}]}}\n", entries.join(","));
    writer.write_directory_json(json.as_bytes(), Summary::default(), PLAIN).unwrap()
}

fn names(writer: &mut RepositoryWriter) -> WrittenDirectory {
    with_good(writer, |writer, directory| {
        let object = put(writer, b"evil");
        let long = "n".repeat(300);
        for name in ["", ".", "..", "/", "a/b", "../victim", "/etc/x", "a\0b", "./x", "x/", &long] {
            directory.file(name, &PLAIN, 4, &object);
        }
        // Ugly, but names.
        for name in ["a\nb", "\u{1b}[2J", "ok\u{202e}cod.exe"] {
            directory.file(name, &PLAIN, 4, &object);
        }
        let mut below = DirectoryBuilder::new();
        below.file("victim", &PLAIN, 4, &object);
        let below = writer.write_directory(below, PLAIN).unwrap();
        for name in ["..", "../below", ".", "/", "", "../../around/below"] {
            directory.directory(name, &below);
        }
        for name in ["..", "../link", "."] {
            directory.link(name, &PLAIN, 4, &object);
        }
    })
}

fn keys(writer: &mut RepositoryWriter) -> WrittenDirectory {
    let object = put(writer, b"good");
    let entry = |names: &str| format!(r#"{{{names},"type":"f","size":4,"obj":"{object}"}}"#);
    let entries = [
        entry(r#""name":"fine","NAME":"../victim""#),
        entry(r#""name":"fine","name":"../victim""#),
        entry(r#""Name":"..""#),
        entry(r#""name":"good""#),
    ];
    json(writer, &entries)
}

fn duplicates(writer: &mut RepositoryWriter) -> WrittenDirectory {
    let mut directory = DirectoryBuilder::new();
    for number in 0..1000 {
        let object = put(writer, format!("{number:04}").as_bytes());
        directory.file("same", &PLAIN, 4, &object);
    }
    writer.write_directory(directory, PLAIN).unwrap()
}

/// Links first and last; the links lead outside.
fn twins(writer: &mut RepositoryWriter) -> WrittenDirectory {
    let evil = put(writer, b"evil");
    let out = put(writer, b"../../outside/victim");
    let dir = put(writer, b"../../outside");
    let mut below = DirectoryBuilder::new();
    below.file("victim", &PLAIN, 4, &evil);
    let below = writer.write_directory(below, PLAIN).unwrap().object;
    let entry = |name: &str, kind: &str, size: usize, object: &str| {
        format!(r#"{{"name":"{name}","type":"{kind}","mode":"0644","size":{size},"obj":"{object}"}}"#)
    };
    let entries = [
        entry("a", "s", 20, &out),
        entry("a", "f", 4, &evil),
        entry("b", "s", 13, &dir),
        entry("b", "d", 0, &below),
        entry("c", "f", 4, &evil),
        entry("c", "s", 20, &out),
        entry("d", "d", 0, &below),
        entry("d", "s", 13, &dir),
    ];
    json(writer, &entries)
}

fn below_a_link(writer: &mut RepositoryWriter) -> WrittenDirectory {
    let evil = put(writer, b"evil");
    let out = put(writer, b"../../outside");
    let mut below = DirectoryBuilder::new();
    below.file("victim", &PLAIN, 4, &evil);
    let below = writer.write_directory(below, PLAIN).unwrap().object;
    let link = format!(r#"{{"name":"link","type":"s","size":13,"obj":"{out}"}}"#);
    let entries = [
        link,
        format!(r#"{{"name":"link/victim","type":"f","size":4,"obj":"{evil}"}}"#),
        format!(r#"{{"name":"link/below","type":"d","obj":"{below}"}}"#),
        format!(r#"{{"name":"dir","type":"d","mode":"0755","obj":"{below}"}}"#),
        // An entry that has children and says that it is a link.
        format!(r#"{{"name":"dir/victim","type":"s","size":13,"obj":"{out}"}}"#),
    ];
    json(writer, &entries)
}

fn ring(writer: &mut RepositoryWriter) -> WrittenDirectory {
    let ids = ["one", "two"].map(|name| writer.content_id(Some(b'k'), name.as_bytes()).unwrap());
    for (at, id) in ids.iter().enumerate() {
        let other = ids[1 - at];
        let json = format!(
            r#"{{"stream":"kopia:directory","entries":[{{"name":"x","type":"d","mode":"0755","obj":"{other}"}},{{"name":"y","type":"d","mode":"0755","obj":"{id}"}}]}}"#
        );
        writer.forge_content(*id, json.as_bytes()).unwrap();
    }
    WrittenDirectory { object: ids[0].to_string(), summary: Summary::default(), attributes: PLAIN }
}

fn deep(writer: &mut RepositoryWriter) -> WrittenDirectory {
    let object = put(writer, b"deep");
    let mut inner = writer.write_directory(DirectoryBuilder::new(), PLAIN).unwrap();
    for _ in 0..10_000 {
        let mut directory = DirectoryBuilder::new();
        directory.file("f", &PLAIN, 4, &object);
        directory.directory("d", &WrittenDirectory { summary: Summary::default(), ..inner });
        inner = writer.write_directory(directory, PLAIN).unwrap();
    }
    inner
}

/// 2^10 paths to one directory that is missing.
fn doubling(writer: &mut RepositoryWriter) -> WrittenDirectory {
    let object = "kffffffffffffffffffffffffffffffff".to_owned();
    let mut inner = WrittenDirectory { object, summary: Summary::default(), attributes: PLAIN };
    for _ in 0..10 {
        let mut directory = DirectoryBuilder::new();
        directory.directory("0", &inner);
        directory.directory("1", &inner);
        inner = writer.write_directory(directory, PLAIN).unwrap();
    }
    inner
}

fn endless_tables(writer: &mut RepositoryWriter) -> WrittenDirectory {
    with_good(writer, |writer, directory| {
        let endless = writer.forge_endless_object().unwrap();
        directory.file("endless", &PLAIN, 200, &endless);
        directory.file("endless-huge", &PLAIN, i64::MAX as u64, &endless);
        directory.link("endless-link", &PLAIN, 200, &endless);
        let summary = Summary::default();
        directory.directory("endless-dir", &WrittenDirectory { object: endless, summary, attributes: PLAIN });
        let levels = format!("{}x00112233445566778899aabbccddeeff", "I".repeat(100));
        directory.file("levels", &PLAIN, 4, &levels);
        // A table whose only chunk is itself, at its whole length: the length never ends the descent.
        let id = writer.content_id(Some(b'x'), b"itself").unwrap();
        let table = format!(r#"{{"stream":"kopia:indirect","entries":[{{"l":9000,"o":"I{id}"}}]}}"#);
        writer.forge_content(id, table.as_bytes()).unwrap();
        directory.file("itself", &PLAIN, 9000, &format!("I{id}"));
        directory.file("itself-twice", &PLAIN, 9000, &format!("II{id}"));
    })
}

fn crooked_tables(writer: &mut RepositoryWriter) -> WrittenDirectory {
    with_good(writer, |writer, directory| {
        let chunk = put(writer, &[7; 100]);
        let line = |start: i64, length: i64| IndirectEntry { start, length, object: chunk.clone() };
        let tables = [
            ("gap", vec![line(0, 100), line(200, 100)], 300),
            ("late", vec![line(100, 100)], 200),
            ("overlap", vec![line(0, 100), line(50, 100)], 150),
            ("backwards", vec![line(100, 100), line(0, 100)], 200),
            ("negative", vec![line(0, 100), line(-100, 100)], 100),
            ("shrinking", vec![line(0, 100), line(100, -100)], 0),
            ("longer", vec![line(0, 200)], 200),
            ("shorter", vec![line(0, 50)], 50),
            ("overflow", vec![line(0, i64::MAX), line(i64::MAX, i64::MAX)], i64::MAX as u64),
            ("empty", vec![], 0),
        ];
        for (name, table, size) in tables {
            let object = writer.write_indirect(None, &table).unwrap();
            directory.file(name, &PLAIN, size, &object);
        }
        for (name, text) in [
            ("null", r#"{"stream":"kopia:indirect","entries":null}"#),
            ("none", r#"{"stream":"kopia:indirect"}"#),
            ("null-line", r#"{"stream":"kopia:indirect","entries":[null]}"#),
            ("no-json", "\0\0\0\0"),
            ("nothing", ""),
        ] {
            let id = writer.write_content(Some(b'x'), text.as_bytes()).unwrap();
            directory.file(name, &PLAIN, 100, &format!("I{id}"));
        }
    })
}

fn lengths(writer: &mut RepositoryWriter) -> WrittenDirectory {
    with_good(writer, |writer, directory| {
        let object = put(writer, b"data");
        for (name, size) in [("huge", i64::MAX as u64), ("five", 5), ("three", 3), ("zero", 0)] {
            directory.file(name, &PLAIN, size, &object);
        }
        directory.push(
            DirectoryEntry { size: i64::MIN, ..DirectoryEntry::file("negative", &PLAIN, 4, &object) },
            0,
        );
        let lines = |length: i64, object: &str| {
            vec![
                IndirectEntry { start: 0, length: 4, object: object.into() },
                IndirectEntry { start: 4, length, object: object.into() },
            ]
        };
        for (name, length) in [("table-max", i64::MAX), ("table-near", i64::MAX - 4)] {
            let table = writer.write_indirect(None, &lines(length, &object)).unwrap();
            directory.file(name, &PLAIN, i64::MAX as u64, &table);
            directory.link(&format!("{name}-link"), &PLAIN, 4, &table);
            let summary = Summary::default();
            let written = WrittenDirectory { object: table, summary, attributes: PLAIN };
            directory.directory(&format!("{name}-dir"), &written);
        }
    })
}

fn no_entries(writer: &mut RepositoryWriter) -> WrittenDirectory {
    let object = put(writer, b"good");
    let good = format!(r#"{{"name":"good","type":"f","size":4,"obj":"{object}"}}"#);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let mut entries: Vec<String> = [
        "null",
        "17",
        "\"text\"",
        "[]",
        "{}",
        r#"{"name":7}"#,
        r#"{"name":"a","type":"f","size":"4","obj":"00"}"#,
        r#"{"name":"b","type":"f","size":1e400,"obj":"00"}"#,
        r#"{"name":"c","type":"f","size":99999999999999999999,"obj":"00"}"#,
        r#"{"name":"d","type":"f","obj":"zz"}"#,
        r#"{"name":"e","type":"f","obj":""}"#,
        r#"{"name":"\ud800","type":"f","obj":"00"}"#,
        r#"{"name":"f","type":"f","uid":-1,"gid":4294967296,"obj":"00"}"#,
    ]
    .map(str::to_owned)
    .into();
    entries.push(format!(r#"{{"name":"g","type":"f","obj":"00","x":{deep}}}"#));
    entries.push(good);
    json(writer, &entries)
}

fn types(writer: &mut RepositoryWriter) -> WrittenDirectory {
    with_good(writer, |writer, directory| {
        let object = put(writer, b"evil");
        for (at, kind) in ["b", "c", "p", "S", "D", "ff", "F", "", "\u{1b}"].into_iter().enumerate() {
            let entry = DirectoryEntry {
                kind: kind.into(),
                // Go's bits of a device, a character device and a pipe.
                mode: Some(["0400000644", "04010000644", "0200000644"][at % 3].into()),
                ..DirectoryEntry::file(&format!("special-{at}"), &PLAIN, 4, &object)
            };
            directory.push(entry, 0);
        }
    })
}

fn modes(writer: &mut RepositoryWriter) -> WrittenDirectory {
    let mut directory = DirectoryBuilder::new();
    let object = put(writer, b"#!/bin/sh\n");
    for (name, mode) in [("setuid", 0o4755), ("setgid", 0o2755), ("sticky", 0o1644), ("all", 0o7777)] {
        directory.file(name, &Attributes { mode, uid: 0, gid: 0, ..PLAIN }, 10, &object);
    }
    writer.write_directory(directory, PLAIN).unwrap()
}

fn times(writer: &mut RepositoryWriter) -> WrittenDirectory {
    let object = put(writer, b"good");
    let entry = |name: &str, time: &str| {
        format!(r#"{{"name":"{name}","type":"f","mode":"0644","mtime":"{time}","size":4,"obj":"{object}"}}"#)
    };
    let entries = [
        entry("year1", "0001-01-01T00:00:00Z"),
        entry("last", "9999-12-31T23:59:59.999999999Z"),
        entry("last64", "2262-04-11T23:47:16.854775807Z"),
        entry("year0", "0000-00-00T00:00:00Z"),
        entry("far", "99999-01-01T00:00:00Z"),
        entry("past", "-0001-01-01T00:00:00Z"),
        entry("hour25", "2026-01-01T25:61:61Z"),
        entry("february", "2026-02-30T00:00:00Z"),
        entry("offset", "2026-01-01T00:00:00+99:99"),
        entry("text", "yesterday"),
        entry("none", ""),
    ];
    json(writer, &entries)
}

/// One of each family: zstd, gzip, S2, deflate.
const COMPRESSIONS: [u32; 4] = [0x1101, 0x1000, 0x1200, 0x1500];

fn bombs(writer: &mut RepositoryWriter) -> WrittenDirectory {
    with_good(writer, |writer, directory| {
        for header in COMPRESSIONS {
            let compression = CompressionId::from_header(header).unwrap();
            for (claimed, at) in [(100, 0), (8 << 20, 1)] {
                let size = (32 << 20) + at;
                let id = writer.forge_bomb(None, compression, size, claimed).unwrap();
                let name = format!("{header:x}-{claimed}");
                directory.file(&name, &PLAIN, claimed.into(), &id.to_string());
                directory.link(&format!("{name}-link"), &PLAIN, claimed.into(), &id.to_string());
                let id = writer.forge_bomb(Some(b'k'), compression, size, claimed).unwrap();
                let summary = Summary::default();
                let written = WrittenDirectory { object: id.to_string(), summary, attributes: PLAIN };
                directory.directory(&format!("{name}-dir"), &written);
            }
        }
        for (at, stream) in [endless_zstd(), endless_zstd_blocks()].into_iter().enumerate() {
            let id = writer.content_id(None, &stream).unwrap();
            writer.forge_stored(id, &stream, 1 << 20, 0x1101).unwrap();
            directory.file(&format!("100-gib-{at}"), &PLAIN, 1 << 20, &id.to_string());
        }
        // Compressed once more at the object layer, where no length is stated.
        let compression = CompressionId::from_header(0x1101).unwrap();
        let id = writer.content_id(None, b"object layer").unwrap();
        let mut object = 0x1101_u32.to_be_bytes().to_vec();
        object.extend(zstd::bulk::compress(&vec![0; 200 << 20], 1).unwrap());
        writer.forge_stored(id, &object, object.len() as u32, 0).unwrap();
        directory.file("object-layer", &PLAIN, 200 << 20, &format!("Z{id}"));
        let _ = compression;
    })
}

/// A zstd frame of under 1 KiB that says it holds 100 GiB.
fn endless_zstd() -> Vec<u8> {
    let mut stream = 0x1101_u32.to_be_bytes().to_vec();
    stream.extend(0xfd2f_b528_u32.to_le_bytes());
    // Single segment: the window is as long as the content, whose size takes eight bytes.
    stream.push(0b1110_0000);
    stream.extend((100_u64 << 30).to_le_bytes());
    // Blocks of one repeated byte, 128 KiB each.
    for _ in 0..200 {
        stream.extend(rle_block(false));
    }
    stream.extend(rle_block(true));
    stream
}

/// The same with a window of 2 GiB and no size.
fn endless_zstd_blocks() -> Vec<u8> {
    let mut stream = 0x1101_u32.to_be_bytes().to_vec();
    stream.extend(0xfd2f_b528_u32.to_le_bytes());
    stream.extend([0b0000_0000, 21 << 3]);
    for _ in 0..200 {
        stream.extend(rle_block(false));
    }
    stream.extend(rle_block(true));
    stream
}

fn rle_block(last: bool) -> [u8; 4] {
    let header = (128 << 10 << 3) | (1 << 1) | u32::from(last);
    let [a, b, c, _] = header.to_le_bytes();
    [a, b, c, 0]
}

fn claims(writer: &mut RepositoryWriter) -> WrittenDirectory {
    with_good(writer, |writer, directory| {
        for (at, claimed) in [(1 << 28) - 1, 1 << 27, 5000].into_iter().enumerate() {
            let data = format!("claim {at}");
            let id: ContentId = writer.content_id(None, data.as_bytes()).unwrap();
            writer.forge_stored(id, data.as_bytes(), claimed, 0).unwrap();
            directory.file(&format!("claim-{at}"), &PLAIN, claimed.into(), &id.to_string());
            let compressed = writer.content_id(None, format!("z{data}").as_bytes()).unwrap();
            let mut stream = 0x1101_u32.to_be_bytes().to_vec();
            stream.extend(zstd::bulk::compress(&vec![0; 1 << 20], 1).unwrap());
            writer.forge_stored(compressed, &stream, claimed, 0x1101).unwrap();
            directory.file(&format!("z-claim-{at}"), &PLAIN, claimed.into(), &compressed.to_string());
        }
    })
}

fn links(writer: &mut RepositoryWriter) -> WrittenDirectory {
    with_good(writer, |writer, directory| {
        for (name, target) in [
            ("empty", Vec::new()),
            ("nul", b"a\0b".to_vec()),
            ("long", vec![b'x'; 5000]),
            ("megabytes", vec![b'x'; 3 << 20]),
        ] {
            let object = put(writer, &target);
            directory.link(name, &PLAIN, target.len() as u64, &object);
        }
    })
}

fn mistaken(writer: &mut RepositoryWriter) -> WrittenDirectory {
    with_good(writer, |writer, directory| {
        let file = put(writer, b"no directory");
        let inner = writer.write_directory(DirectoryBuilder::new(), PLAIN).unwrap();
        let summary = Summary::default();
        directory.directory("file", &WrittenDirectory { object: file, summary, attributes: PLAIN });
        directory.file("directory", &PLAIN, 4, &inner.object);
        directory.link("link", &PLAIN, 4, &inner.object);
    })
}
