use std::collections::BTreeMap;

use super::*;
use crate::index::ContentId;

const DIRECTORY: &str = "k00";

fn entries(json: &str) -> Vec<Result<DirEntry, Error>> {
    Entries::new(DIRECTORY.parse().unwrap(), json.as_bytes()).collect()
}

fn document(list: &str) -> String {
    format!(r#"{{"stream":"kopia:directory","entries":{list},"summary":{{"size":3,"files":1,"dirs":1}}}}"#)
}

fn names<'a>(found: impl IntoIterator<Item = &'a Result<DirEntry, Error>>) -> Vec<String> {
    found
        .into_iter()
        .map(|e| e.as_ref().map_or_else(|e| format!("!{}", e.code()), |e| e.raw_name.clone()))
        .collect()
}

fn source(json: &str) -> BTreeMap<ContentId, Vec<u8>> {
    BTreeMap::from([(DIRECTORY.parse().unwrap(), json.as_bytes().to_vec())])
}

fn effective(json: &str) -> Result<Vec<Result<DirEntry, Error>>, Error> {
    Ok(EffectiveEntries::open(&source(json), &DIRECTORY.parse().unwrap())?.collect())
}

#[test]
fn reads_entries_and_summary() {
    let json = document(
        r#"[{"name":"sub","type":"d","obj":"k01"},{"NAME":"a.txt","Type":"f","size":3,"obj":"02"}]"#,
    );
    let mut stream = Entries::new(DIRECTORY.parse().unwrap(), json.as_bytes());
    let all: Vec<DirEntry> = stream.by_ref().map(Result::unwrap).collect();
    assert_eq!(all.len(), 2);
    assert!(all[0].is_directory());
    assert_eq!((all[1].raw_name.as_str(), all[1].size), ("a.txt", 3));
    assert_eq!(stream.summary().unwrap().size, 3);
    for empty in ["null", "[]"] {
        assert!(entries(&document(empty)).is_empty());
    }
    assert!(entries(r#"{"stream":"kopia:directory"}"#).is_empty());
}

#[test]
fn other_objects_are_no_directories() {
    for json in [
        "",
        "not json",
        "{}",
        "[]",
        r#"{"entries":[]}"#,
        r#"{"stream":"kopia:indirect","entries":[{"name":"a"}]}"#,
        r#"{"stream":null,"entries":[{"name":"a"}]}"#,
        r#"{"stream":"kopia:directory","entries":{}}"#,
    ] {
        let found = entries(json);
        assert_eq!(names(&found), ["!directory-damaged"], "{json}");
        let error = found[0].as_ref().unwrap_err();
        assert_eq!(error.object().unwrap().to_string(), DIRECTORY);
        assert!(!error.is_entry() && error.to_string().contains("k00"), "{error}");
    }
    let late = entries(r#"{"entries":[{"name":"a"}],"stream":"other"}"#);
    assert_eq!(names(&late), ["a", "!directory-damaged"]);
    let late = entries(r#"{"entries":[{"name":"a"}],"stream":"kopia:directory"}"#);
    assert_eq!(names(&late), ["a"]);
}

#[test]
fn bad_entries_do_not_hide_good_ones() {
    let json = document(r#"[{"name":"a"},null,{"name":"b","mode":"rw"},7,{"name":"c"}]"#);
    let found = entries(&json);
    assert_eq!(names(&found), ["a", "!entry-invalid", "!entry-invalid", "!entry-invalid", "c"]);
    let error = found[2].as_ref().unwrap_err();
    assert!(error.is_entry());
    assert_eq!((error.path(), error.object().unwrap().to_string()), (Some("b"), DIRECTORY.to_owned()));
    assert_eq!(names(&effective(&json).unwrap()), names(&found));
}

#[test]
fn a_cut_directory_ends_in_an_error() {
    let json = document(r#"[{"name":"a"},{"name":"b"}]"#);
    for end in 0..json.len() {
        let found = entries(&json[..end]);
        let error = found.last().unwrap().as_ref().unwrap_err();
        assert_eq!(error.code(), "directory-damaged", "{end}");
        assert!(effective(&json[..end]).is_err());
    }
}

#[test]
fn entries_of_one_name_are_told_apart() {
    let json = document(
        r#"[{"name":"x","type":"d"},{"name":"a","size":1},{"name":"x","size":2},{"name":"b"},{"name":"x","size":3},{"name":"a","size":4}]"#,
    );
    let found = effective(&json).unwrap();
    assert_eq!(names(&found), ["x~1", "a~1", "x~2", "b", "x", "a"]);
    let of = |at: usize| found[at].as_ref().unwrap();
    assert_eq!((of(4).size, of(5).size), (3, 4), "the last keeps the name");
    assert_eq!((of(0).stored_name.as_deref(), of(4).stored_name.as_deref()), (Some("x"), None));
    assert_eq!(names(&entries(&json)), ["x", "a", "x", "b", "x", "a"], "the plain iteration changes nothing");
}

#[test]
fn made_names_are_those_of_no_other_entry() {
    let json = document(
        r#"[{"name":"x~1"},{"name":"x"},{"name":"x~~2"},{"name":"x"},{"name":"x~~1"},{"name":"x"},{"name":"x","mode":1}]"#,
    );
    let found = names(&effective(&json).unwrap());
    assert_eq!(found, ["x~1", "x~~~1", "x~~2", "x~~~2", "x~~1", "x~~~3", "!entry-invalid"]);
}

#[test]
fn many_entries_may_have_one_name() {
    let list: Vec<String> = (0..20_000).map(|at| format!(r#"{{"name":"{}é"}}"#, at % 7_000)).collect();
    let found = effective(&document(&format!("[{}]", list.join(",")))).unwrap();
    let distinct: std::collections::BTreeSet<String> = names(&found).into_iter().collect();
    assert_eq!(distinct.len(), 20_000);
}

#[test]
fn suspended_directories_go_on_where_they_were() {
    let list: Vec<String> = (0..50).map(|i| format!(r#"{{"name":"n{}"}}"#, i % 40)).collect();
    let source = source(&document(&format!("[{}]", list.join(","))));
    let object = DIRECTORY.parse().unwrap();
    let expected = names(&EffectiveEntries::open(&source, &object).unwrap().collect::<Vec<_>>());
    let mut effective = EffectiveEntries::open(&source, &object).unwrap();
    let mut found = Vec::new();
    loop {
        effective.suspend();
        effective.suspend();
        assert_eq!(effective.held(), 0);
        let Some(next) = effective.next() else { break };
        found.push(next);
    }
    assert_eq!(names(&found), expected);
    assert_eq!(expected.iter().filter(|name| name.ends_with("~1")).count(), 10);
    effective.suspend();
    assert!(effective.next().is_none(), "the end stays the end");
}

#[test]
fn missing_contents_are_named() {
    let error = Entries::open(&BTreeMap::new(), &DIRECTORY.parse().unwrap()).next().unwrap().unwrap_err();
    assert_eq!(error.content().unwrap().to_string(), DIRECTORY);
    assert!(!error.is_entry());
}
