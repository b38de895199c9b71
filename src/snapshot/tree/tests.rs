use std::collections::BTreeMap;
use std::io::Read;

use super::*;
use crate::index::ContentId;
use crate::manifest::Manifest;

fn contents() -> BTreeMap<ContentId, Vec<u8>> {
    let directory =
        |entries: &str| format!(r#"{{"stream":"kopia:directory","entries":[{entries}]}}"#).into_bytes();
    [
        ("k01", directory(r#"{"name":"etc","type":"d","obj":"k02"},{"name":"link","type":"s","obj":"02"},{"name":"a/b","type":"f","obj":"01"},{"name":"none","type":"f"},{"name":"lost","type":"d","obj":"k99"}"#)),
        ("k02", directory(r#"{"name":"hosts","type":"f","size":1,"obj":"00"},{"name":"hosts","type":"f","size":5,"obj":"01"},{"name":"bad","mode":1}"#)),
        ("01", b"hello".to_vec()),
        ("02", b"../\xff".to_vec()),
        ("03", vec![b'x'; 1 << 18]),
        ("k04", b"no directory".to_vec()),
    ]
    .into_iter()
    .map(|(id, data)| (id.parse().unwrap(), data))
    .collect()
}

fn snapshot(root: &str) -> Snapshot {
    Snapshot::parse(&Manifest::for_tests("snap", &[], &format!(r#"{{"rootEntry":{root}}}"#))).unwrap()
}

const ROOT: &str = r#"{"name":"data","type":"d","mode":"0750","obj":"k01"}"#;

#[test]
fn finds_entries_by_path() {
    let contents = contents();
    let tree = Tree::of_snapshot(&contents, &snapshot(ROOT)).unwrap();
    assert_eq!(tree.entry("").unwrap(), *tree.root());
    assert_eq!(tree.entry("/").unwrap().raw_name, "data");
    assert_eq!(tree.entry("//etc//hosts/").unwrap().size, 5, "the later of equal names");
    assert_eq!(tree.entry("a/b").unwrap().raw_name, "a/b");
    for (path, code, found) in [
        ("etc/passwd", "path-not-found", true),
        ("nowhere/x", "path-not-found", true),
        ("etc/hosts/x", "not-a-directory", true),
        ("..", "path-not-found", true),
        ("etc/bad", "entry-invalid", false),
        ("lost/x", "content-missing", false),
    ] {
        let error = tree.entry(path).unwrap_err();
        assert_eq!((error.code(), error.is_not_found(), error.path()), (code, found, Some(path)));
        assert_eq!(error.snapshot().unwrap().as_str(), "snap");
    }
}

#[test]
fn opens_files_links_and_directories() {
    let contents = contents();
    let tree = Tree::of_snapshot(&contents, &snapshot(ROOT)).unwrap();
    let mut text = String::new();
    tree.open("etc/hosts").unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    assert_eq!(tree.open("etc").err().unwrap().code(), "is-a-directory");
    assert_eq!(tree.open("none").err().unwrap().code(), "entry-without-object");
    let link = tree.entry("link").unwrap();
    assert_eq!(tree.link_target(&link, "link").unwrap(), b"../\xff");
    let long = DirEntry { object: Some("03".parse().unwrap()), ..link };
    assert_eq!(tree.link_target(&long, "link").unwrap_err().code(), "object-too-large");
    let names: Vec<String> =
        tree.read_dir("etc").unwrap().map(|e| e.map_or_else(|e| e.code().into(), |e| e.raw_name)).collect();
    assert_eq!(names, ["hosts~1", "hosts", "entry-invalid"]);
    assert_eq!(tree.entry("etc/hosts~1").unwrap().size, 1, "a made name can be asked for");
    assert_eq!(tree.entry("etc/hosts~2").unwrap_err().code(), "path-not-found");
    assert_eq!(tree.read_dir("link").err().unwrap().code(), "not-a-directory");
    let walked: Vec<String> =
        tree.walk("/etc/").unwrap().filter_map(Result::ok).map(|found| found.path).collect();
    assert_eq!(walked, ["etc", "etc/hosts~1", "etc/hosts"]);
}

#[test]
fn roots_may_be_files_or_missing() {
    let contents = contents();
    let tree = Tree::of_snapshot(&contents, &snapshot(r#"{"name":"f","type":"f","obj":"01"}"#)).unwrap();
    assert_eq!(tree.open("").unwrap().length().unwrap(), 5);
    assert_eq!(tree.entry("x").unwrap_err().code(), "not-a-directory");
    assert_eq!(tree.walk("").unwrap().count(), 1);
    assert_eq!(
        Tree::of_snapshot(&contents, &snapshot("null")).err().unwrap().code(),
        "snapshot-without-root"
    );
}

#[test]
fn objects_are_told_apart() {
    let contents = contents();
    let of = |id: &str| Tree::of_object(&contents, &id.parse().unwrap());
    let root = |id: &str| of(id).unwrap().root().clone();
    let directory = root("k01");
    assert_eq!(
        (directory.raw_name.as_str(), directory.mode.to_posix(), directory.is_directory()),
        ("/", 0o555, true)
    );
    let file = root("01");
    assert_eq!(
        (file.raw_name.as_str(), file.mode.to_posix(), file.size, file.kind),
        ("file", 0o644, 5, EntryType::File)
    );
    assert_eq!(root("k04").kind, EntryType::File, "the prefix alone makes no directory");
    assert_eq!(of("k99").err().unwrap().code(), "content-missing");
    assert_eq!(of("k01").unwrap().entry("etc/hosts").unwrap().size, 5);
}
