//! `history`, `du`, `find --all`, and `diff` of a directory and a snapshot, on the sample: three snapshots of one source.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rokopia::testkit::{Attributes, DirectoryBuilder, NewSnapshot, Options, RepositoryWriter};
use serde_json::Value;

use crate::common::{json_lines, run};
use crate::support::{LATEST, PASSWORD, assert_exit, copy_without, files, rokopia, sample, stderr, stdout};

const SOURCE: &str = "data-demo@apps:/data";

fn changes(reference: &str) -> Vec<String> {
    let output = rokopia(&["--json", "history", reference]);
    assert_exit(&output, 0);
    let shown = |line: Value| {
        let time = line["time"].as_str().unwrap()[..10].to_owned();
        let aspects = line["aspects"].as_array().map_or_else(String::new, |aspects| {
            aspects.iter().map(|aspect| format!(" {}", aspect.as_str().unwrap())).collect()
        });
        format!("{time} {}{aspects} {}", line["change"].as_str().unwrap(), line["size"])
    };
    json_lines(&output.stdout).into_iter().map(shown).collect()
}

#[test]
fn history_says_when_a_file_appeared_changed_and_vanished() {
    assert_eq!(
        changes(&format!("{SOURCE}/notes/todo.txt")),
        ["2026-01-01 appeared 26", "2026-01-02 changed content mtime 35"]
    );
    let poem = changes("latest/notes/poem.txt");
    assert_eq!((poem.len(), &poem[1][..]), (2, "2026-01-03 vanished null"));
    assert_eq!(changes(&format!("{SOURCE}/notes/new.txt")), ["2026-01-02 appeared 15"]);
    let notes = changes(&format!("{SOURCE}/notes"));
    assert_eq!(notes.len(), 3, "a directory changes with what is in it: {notes:?}");
    let text = rokopia(&["history", &format!("{SOURCE}/notes/todo.txt")]);
    assert!(stdout(&text).contains("changed (content, mtime)"), "{}", stdout(&text));
}

#[test]
fn history_of_nothing_is_a_no_and_of_what_cannot_be_read_is_none() {
    let output = rokopia(&["--json", "history", &format!("{SOURCE}/notes/never.txt")]);
    assert_exit(&output, 1);
    let output = rokopia(&["history", &format!("{SOURCE}/notes/todo.txt/below")]);
    assert_exit(&output, 1);
    let damaged = copy_without(&[]);
    for pack in files(damaged.path(), "q") {
        // Directories and manifests are in these; whatever survives, nothing is said to have vanished.
        let mut bytes = fs::read(&pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&pack, bytes).unwrap();
    }
    let output = run(damaged.path(), PASSWORD, &["--json", "history", &format!("{SOURCE}/notes/todo.txt")]);
    assert_ne!(output.status.code(), Some(1), "{output:?}");
    assert!(!stdout(&output).contains("vanished"), "{output:?}");
}

#[test]
fn du_counts_files_below_each_directory() {
    let output = rokopia(&["--json", "du", SOURCE]);
    assert_exit(&output, 0);
    let lines = json_lines(&output.stdout);
    let size = |path: &str| lines.iter().find(|line| line["path"] == path).unwrap()["size"].as_u64().unwrap();
    let listed = rokopia(&["--json", "ls", "-R", SOURCE]);
    let below = |top: &str| {
        let entries = json_lines(&listed.stdout);
        let files = entries.iter().filter(|entry| entry["type"] == "f");
        let below = files.filter(|file| file["path"].as_str().unwrap().starts_with(top));
        below.map(|file| file["size"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((size("notes"), size("photos"), size("")), (below("notes/"), below("photos/"), below("")));
    let whole = json_lines(&rokopia(&["--json", "du", "-d", "0", SOURCE]).stdout);
    assert_eq!((whole.len(), whole[0]["size"].as_u64()), (1, Some(below(""))), "the totals that Kopia wrote");
}

#[test]
fn du_new_counts_what_each_snapshot_added() {
    let lines = json_lines(&rokopia(&["--json", "du", "--new", SOURCE]).stdout);
    let counts: Vec<_> = lines
        .iter()
        .map(|line| ["added", "changed", "removed"].map(|field| line[field].as_u64().unwrap()))
        .collect();
    assert_eq!(counts[1..], [[1, 1, 0], [1, 0, 1]], "{lines:?}");
    assert_eq!(lines[1]["bytes"], 15 + 35);
}

#[test]
fn find_all_says_since_when_and_until_when() {
    let output = rokopia(&["--json", "find", "--all", "*.txt"]);
    assert_exit(&output, 0);
    let lines = json_lines(&output.stdout);
    let days = |path: &str| -> Vec<String> {
        let of_path = lines.iter().filter(|line| line["path"] == path);
        of_path
            .map(|line| {
                let day = |field: &str| line[field].as_str().unwrap()[8..10].to_owned();
                format!("{}-{} {} {}", day("since"), day("until"), line["snapshots"], line["present"])
            })
            .collect()
    };
    assert_eq!(days("notes/todo.txt"), ["02-03 2 true", "01-01 1 false"]);
    assert_eq!(days("notes/poem.txt"), ["01-02 2 false"]);
    let text = rokopia(&["find", "--all", "poem.txt"]);
    assert!(
        stdout(&text).starts_with(SOURCE) && stdout(&text).contains(" to 2026-01-02"),
        "{}",
        stdout(&text)
    );
    assert_exit(&rokopia(&["find", "--all", "latest", "x"]), 2);
}

/// A restored sample.
fn restored() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let output = rokopia(&["restore", LATEST, directory.path().to_str().unwrap()]);
    assert_exit(&output, 0);
    directory
}

fn diff(directory: &Path, more: &[&str]) -> (Option<i32>, Vec<String>) {
    let output = rokopia(&[&["diff", directory.to_str().unwrap(), LATEST], more].concat());
    (output.status.code(), stdout(&output).lines().map(str::to_owned).collect())
}

#[test]
fn a_restored_directory_is_identical_until_anything_is_changed() {
    let directory = restored();
    let top = directory.path();
    // Who is not root cannot give files away.
    let ignored: &[&str] = if is_root() { &[] } else { &["--ignore", "owner"] };
    let (code, lines) = diff(top, ignored);
    assert_eq!(code, Some(0), "{lines:?}");
    assert!(lines.len() == 1 && lines[0].starts_with("identical: 5 files, 4 directories"), "{lines:?}");

    let todo = top.join("notes/todo.txt");
    let (time, old) = (fs::metadata(&todo).unwrap().modified().unwrap(), fs::read(&todo).unwrap());
    fs::set_permissions(&todo, fs::Permissions::from_mode(0o600)).unwrap();
    let mut other = old.clone();
    other[0] ^= 1;
    fs::write(&todo, other).unwrap();
    fs::File::options().write(true).open(&todo).unwrap().set_modified(time).unwrap();
    let ignored = [ignored, &["--ignore", "mtime"]].concat();
    let (code, lines) = diff(top, &ignored);
    assert_eq!(
        (code, lines.as_slice()),
        (Some(1), ["M notes/todo.txt (content, mode)".to_owned()].as_slice())
    );

    fs::remove_file(&todo).unwrap();
    fs::remove_file(top.join("current")).unwrap();
    symlink("elsewhere", top.join("current")).unwrap();
    fs::write(top.join("extra"), "x").unwrap();
    let (code, lines) = diff(top, &[ignored.as_slice(), &["--ignore", "owner"]].concat());
    assert_eq!(code, Some(1));
    assert_eq!(lines, ["M current (content)", "- extra", "+ notes/todo.txt"]);
    let reversed = rokopia(&["diff", LATEST, top.to_str().unwrap(), "--ignore", "owner,mtime"]);
    assert!(stdout(&reversed).contains("+ extra"), "{}", stdout(&reversed));
}

#[test]
fn json_of_a_directory_ends_with_a_summary() {
    let directory = restored();
    let output =
        rokopia(&["--json", "diff", directory.path().to_str().unwrap(), LATEST, "--ignore", "owner"]);
    assert_exit(&output, 0);
    let last = json_lines(&output.stdout).pop().unwrap();
    assert_eq!(
        (&last["identical"], &last["files"], &last["differences"]),
        (&true.into(), &5.into(), &0.into())
    );
}

#[test]
fn what_cannot_be_read_is_never_identical() {
    let directory = restored();
    let damaged = copy_without(&["p"]);
    let output = run(
        damaged.path(),
        PASSWORD,
        &["diff", directory.path().to_str().unwrap(), LATEST, "--ignore", "owner"],
    );
    assert_exit(&output, 4);
    assert!(!stdout(&output).contains("identical"), "{}", stdout(&output));
}

#[test]
fn sockets_are_left_out_and_named() {
    let directory = restored();
    let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("notes/socket")).unwrap();
    let (code, lines) = diff(directory.path(), &["--ignore", "owner,mtime"]);
    assert_eq!(code, Some(0), "{lines:?}");
}

#[test]
fn a_path_that_is_a_directory_and_a_source_is_not_guessed() {
    let top = tempfile::tempdir().unwrap();
    let path = top.path().canonicalize().unwrap();
    let path = path.to_str().unwrap();
    let repository = crate::asking::repository(
        &[rokopia::snapshot::Source::new("me", "here", path)],
        &["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"],
    );
    let diff = |arguments: &[&str]| run(repository.path(), "asking", &[&["diff"], arguments].concat());
    let output = diff(&[path, "latest"]);
    assert_exit(&output, 2);
    assert!(stderr(&output).contains(&format!("{path}/.")), "{}", stderr(&output));
    let output = diff(&[&format!("{path}/."), "latest", "--ignore", "owner,mtime,mode"]);
    assert_exit(&output, 0);
    let output = diff(&[&format!("me@here:{path}~1"), "latest"]);
    assert_exit(&output, 0);
    assert_exit(&run(&sample(), PASSWORD, &["diff", "/tmp", "/"]), 2);
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn entries_of_one_name_are_listed_with_the_name_that_kopia_stored() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { password: PASSWORD.into(), ..Options::default() };
    let mut writer = RepositoryWriter::create(dir.path(), options).unwrap();
    let attributes = Attributes { mode: 0o644, mtime_ns: 5, uid: 0, gid: 0 };
    let mut directory = DirectoryBuilder::new();
    for text in ["one", "another"] {
        let object = writer.write_object(&mut text.as_bytes()).unwrap();
        directory.file("caf\u{fffd}", &attributes, object.length, &object.id);
    }
    let root = writer.write_directory(directory, attributes).unwrap();
    writer.put_snapshot(&NewSnapshot::new(&SOURCE.parse().unwrap(), 1, &root));
    writer.finish().unwrap();
    for list in [&["ls", "latest", "--json"][..], &["find", "latest", "*caf*", "--json"]] {
        let output = run(dir.path(), PASSWORD, list);
        assert_exit(&output, 0);
        let lines = json_lines(&output.stdout);
        assert_eq!(lines.len(), 2, "{list:?} {lines:?}");
        let renamed: Vec<_> = lines.iter().filter(|line| line["path"] != "caf\u{fffd}").collect();
        assert_eq!(renamed.len(), 1, "{lines:?}");
        assert_eq!(renamed[0]["stored_name"], "caf\u{fffd}");
        let path = renamed[0]["path"].as_str().unwrap();
        assert_eq!(stdout(&run(dir.path(), PASSWORD, &["cat", &format!("latest/{path}")])), "one");
    }
}

fn listed(filters: &[&str]) -> Vec<String> {
    let output = rokopia(&[&["ls", "-R", "latest"], filters].concat());
    assert_exit(&output, 0);
    stdout(&output).lines().map(str::to_owned).collect()
}

#[test]
fn ls_has_the_filters_of_find() {
    assert_eq!(listed(&["--type", "d"]), ["notes/", "outbox/", "photos/"]);
    assert_eq!(listed(&["--type", "l"]), ["current"]);
    assert_eq!(listed(&["--larger", "68KiB"]), ["photos/cat.raw", "photos/dog.raw"]);
    assert_eq!(listed(&["--smaller", "1B"]), ["empty.log"]);
    assert_eq!(listed(&["--name", "*.RAW"]), [""; 0]);
    assert_eq!(listed(&["--iname", "*.RAW", "--smaller", "1MB"]), ["photos/dog.raw"]);
    assert_eq!(listed(&["--name", "notes/*"]), ["notes/new.txt", "notes/todo.txt"]);
    assert_eq!(listed(&["--newer", "2025-10-09T08:53:26Z"]), ["notes/new.txt", "photos/dog.raw"]);
    assert_eq!(listed(&["--older", "2025-10-09T08:53:24Z", "--type", "f"]), ["photos/cat.raw"]);
    let found = rokopia(&["find", "latest", "*", "--older", "2025-10-09T08:53:24Z", "--type", "f"]);
    assert!(stdout(&found).contains("/photos/cat.raw  ") && !stdout(&found).contains("dog"), "{found:?}");
}

#[test]
fn a_size_without_a_unit_is_not_guessed() {
    for filter in [["--larger", "5"], ["--smaller", "x"], ["--newer", "soon"], ["--name", "["]] {
        assert_exit(&rokopia(&[&["ls", "latest"], &filter[..]].concat()), 2);
    }
}

#[test]
fn filters_of_diff_choose_which_differences_count() {
    let differences = |filters: &[&str]| {
        let output = rokopia(&[&["diff", "latest~2", "latest"], filters].concat());
        (output.status.code(), stdout(&output).to_owned())
    };
    let (code, all) = differences(&[]);
    assert!(code == Some(1) && all.contains("todo.txt") && all.contains("poem.txt"), "{all}");
    assert_eq!(differences(&["--name", "poem*"]), (Some(1), "- notes/poem.txt\n".to_owned()));
    assert_eq!(differences(&["--name", "*.conf"]), (Some(0), String::new()));

    let directory = restored();
    fs::write(directory.path().join("notes/todo.txt"), "else").unwrap();
    let (code, lines) = diff(directory.path(), &["--ignore", "owner,mtime", "--name", "*.raw"]);
    assert_eq!(code, Some(0));
    assert!(lines[0].starts_with("nothing that the filters choose differs: "), "{lines:?}");
}

#[test]
fn a_directory_that_is_typed_without_a_dot_is_pointed_out() {
    let directory = restored();
    let name = directory.path().file_name().unwrap().to_str().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_rokopia"))
        .current_dir(directory.path().parent().unwrap())
        .env("ROKOPIA_PASSWORD", PASSWORD)
        .args(["--repo", sample().to_str().unwrap(), "diff", name, LATEST])
        .output()
        .unwrap();
    assert_exit(&output, 1);
    let help = format!("help: ./{name} is the directory of this machine");
    assert!(stderr(&output).contains(&help), "{output:?}");
}

#[test]
fn find_that_finds_nothing_says_that_it_looks_for_whole_names() {
    let said = |pattern: &str| stderr(&rokopia(&["find", pattern])).to_owned();
    assert!(said("todo").contains("'*todo*' matches a part of a name"), "{}", said("todo"));
    assert!(!said("todo*.conf").contains("part of a name"));
}
