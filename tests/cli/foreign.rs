//! What lies beside the blobs, where blobs lie, and blobs that are cut: commands answer as if all were in order, or say
//! what is not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::{damage, run, say};
use crate::support::{
    PASSWORD, assert_exit, assert_failure, copy_without, files, project, rokopia, sample, stderr, stdout,
};

const LIST: &[&str] = &["snapshots", "--json"];
const NEVER: &[&str] = &["exists", "never@backed.up:/data"];

fn verify(repo: &Path) -> (Output, serde_json::Value) {
    let output = run(repo, PASSWORD, &["verify", "--json"]);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output, report)
}

/// Answers are as without what was put beside the blobs.
#[track_caller]
fn assert_as_ever(repo: &Path) {
    assert_eq!(stdout(&run(repo, PASSWORD, LIST)), stdout(&rokopia(LIST)));
    assert_exit(&run(repo, PASSWORD, NEVER), 1);
    assert_exit(&run(repo, PASSWORD, &["status"]), 0);
    let (output, report) = verify(repo);
    assert_exit(&output, 0);
    assert_eq!(report["result"], "clean", "{report}");
}

#[test]
fn foreign_files_change_no_answer_and_are_counted() {
    let copy = copy_without(&[]);
    let mut beside = 0;
    for file in files(copy.path(), "").iter().filter(|file| file.extension().is_some_and(|end| end == "f")) {
        let name = file.file_name().unwrap().to_str().unwrap();
        for name in [
            format!("._{name}"),
            format!("{}.sync-conflict-20260101-101010-ABCDEFG.f", name.trim_end_matches(".f")),
            format!("{name}.tmp.0123456789abcdef"),
            format!(".{name}.Xy12Zw"),
            format!(".syncthing.{name}.tmp"),
        ] {
            fs::write(file.with_file_name(name), [0; 9]).unwrap();
            beside += 1;
        }
    }
    for name in
        ["queue.f", "xn0_.f", ".DS_Store", "desktop.ini", "q/Thumbs.db", "p/.nfs000000000123abcd00000001"]
    {
        fs::write(copy.path().join(name), "x").unwrap();
        beside += 1;
    }
    for name in ["media", "nas", "qnap", "p/p", "q/q", "@eaDir", "#recycle", ".snapshot"] {
        damage::copy(&sample(), &copy.path().join(name));
        beside += 1;
    }
    assert_as_ever(copy.path());
    let (_, report) = verify(copy.path());
    assert_eq!(report["foreign"]["count"], beside, "{}", report["foreign"]);
    let text = run(copy.path(), PASSWORD, &["verify"]);
    let said = format!("Note: {beside} files or directories are no part of the repository and ignored");
    assert!(stdout(&text).contains(&said), "{text:?}");
}

#[test]
fn a_repository_inside_a_shard_directory_is_not_this_one() {
    let copy = copy_without(&[]);
    for name in ["p", "q", "x", "s", "n"] {
        damage::copy(&sample(), &copy.path().join(name));
    }
    assert_as_ever(copy.path());
}

#[test]
fn copies_of_a_bucket_open_like_any_other() {
    let sharded = files(&sample(), "");
    for end in ["", ".f"] {
        let copy = tempfile::tempdir().unwrap();
        for file in sharded.iter().filter(|file| file.extension().is_some_and(|end| end == "f")) {
            let relative = file.strip_prefix(sample()).unwrap().to_str().unwrap();
            let name = relative.replace('/', "");
            fs::copy(file, copy.path().join(name.strip_suffix(".f").unwrap().to_owned() + end)).unwrap();
        }
        assert_as_ever(copy.path());
        for shards in ["", "{", r#"{"default":[3,3],"maxNonShardedLength":20}"#] {
            fs::write(copy.path().join(".shards"), shards).unwrap();
            assert_as_ever(copy.path());
        }
    }
}

#[test]
fn a_lost_layout_file_is_named_by_verify_alone() {
    let copy = copy_without(&[]);
    for (shards, said) in [
        (Some(""), "(it is empty)"),
        (Some(r#"{"default":[2]}"#), "blobs are not where"),
        (None, "is missing"),
    ] {
        let path = copy.path().join(".shards");
        match shards {
            Some(shards) => fs::write(path, shards).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        assert_as_ever(copy.path());
        let (_, report) = verify(copy.path());
        assert!(report["warnings"].to_string().contains(said), "{}", report["warnings"]);
    }
}

#[test]
fn an_empty_index_blob_is_called_so() {
    let copy = copy_without(&[]);
    fs::write(&files(copy.path(), "xn")[0], "").unwrap();
    for command in [LIST, &["exists", "never@backed.up:/data", "--json"]] {
        let output = run(copy.path(), PASSWORD, command);
        assert_exit(&output, 3);
        assert!(stderr(&output).contains("is empty (0 bytes)"), "{output:?}");
    }
    let (output, report) = verify(copy.path());
    assert_exit(&output, 1);
    assert!(report["damage"].to_string().contains("is empty (0 bytes)"), "{}", report["damage"]);
}

#[test]
fn an_empty_pack_that_no_index_names_makes_no_answer_uncertain() {
    let copy = copy_without(&[]);
    let packs = files(copy.path(), "q");
    let new = packs[0].with_file_name(format!("{}-s0123456789abcdef147.f", "a".repeat(29)));
    fs::write(&new, "").unwrap();
    assert_as_ever(copy.path());
    let (_, report) = verify(copy.path());
    assert!(report["warnings"].to_string().contains("are empty (0 bytes)"), "{report}");

    fs::write(&new, "cut").unwrap();
    assert_exit(&run(copy.path(), PASSWORD, NEVER), 3);
    let (_, report) = verify(copy.path());
    assert!(report["warnings"].to_string().contains("answer unknown instead of absent"), "{report}");
}

/// A copy of a repository of format version 1, and its password.
fn old_repository() -> (tempfile::TempDir, String) {
    let copy = tempfile::tempdir().unwrap();
    let from = project().join("testdata/format-v1");
    let case: serde_json::Value = serde_json::from_slice(&fs::read(from.join("case.json")).unwrap()).unwrap();
    damage::copy(&from.join("repo"), copy.path());
    (copy, case["password"].as_str().unwrap().to_owned())
}

#[test]
fn a_lost_format_blob_is_found_in_packs_of_old_repositories() {
    let (copy, password) = old_repository();
    let password = password.as_str();
    let expected = run(copy.path(), password, LIST).stdout;
    let blob = copy.path().join("kopia.repository.f");
    let whole = fs::read(&blob).unwrap();
    for damaged in [None, Some(&b""[..]), Some(&whole[..100]), Some(b"{}")] {
        match damaged {
            Some(bytes) => fs::write(&blob, bytes).unwrap(),
            None => fs::remove_file(&blob).unwrap(),
        }
        for command in [LIST, &["exists", "never@backed.up:/data", "--json", "--degraded"]] {
            let output = run(copy.path(), password, command);
            assert_exit(&output, 3);
            assert!(stderr(&output).contains("holds a copy of it"), "{output:?}");
        }
        assert_failure(&run(copy.path(), password, LIST), 3, "format-copy-exists");
        let degraded = run(copy.path(), password, &["snapshots", "--json", "--degraded"]);
        assert_eq!(degraded.stdout, expected, "{degraded:?}");
        assert!(stderr(&degraded).contains("is used instead"), "{degraded:?}");
        assert_failure(&run(copy.path(), "not it", &["status", "--degraded", "--json"]), 3, "wrong-password");
    }
}

#[test]
fn a_flipped_byte_of_the_format_blob_is_damage_and_no_wrong_password() {
    let (copy, password) = old_repository();
    let password = password.as_str();
    let expected = run(copy.path(), password, LIST).stdout;
    assert_failure(&run(copy.path(), "not it", LIST), 3, "wrong-password");
    let blob = copy.path().join("kopia.repository.f");
    let whole = fs::read(&blob).unwrap();
    let text = String::from_utf8(whole.clone()).unwrap();
    for field in ["\"uniqueID\":", "\"encryptedBlockFormat\":"] {
        let mut bytes = whole.clone();
        let at = text.find(field).unwrap() + field.len() + 10;
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        fs::write(&blob, bytes).unwrap();
        let output = run(copy.path(), password, LIST);
        assert_failure(&output, 3, "format-copy-exists");
        let said = stderr(&output);
        assert!(
            said.contains("kopia.repository is damaged: 1 of its") && said.contains("--degraded"),
            "{said}"
        );
        let degraded = run(copy.path(), password, &["snapshots", "--json", "--degraded"]);
        assert_eq!(degraded.stdout, expected, "{degraded:?}");
        assert_failure(&run(copy.path(), "not it", &["status", "--degraded", "--json"]), 3, "wrong-password");
    }
}

/// Runs the program as a user who is not root.
fn as_nobody(repo: &Path, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rokopia"));
    command.env("ROKOPIA_PASSWORD", PASSWORD).arg("--repo").arg(repo).args(arguments);
    if nix::unistd::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    match command.output() {
        Ok(output) => Some(output),
        Err(e) => {
            say(&format!("NOT CHECKED: the program cannot be run as another user: {e}"));
            None
        }
    }
}

#[test]
fn what_may_not_be_read_is_not_damaged() {
    let copy = copy_without(&[]);
    let change = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    change(copy.path(), 0o755);
    for name in ["private", "s", "_"] {
        fs::create_dir_all(copy.path().join(name)).unwrap();
        change(&copy.path().join(name), 0o000);
    }
    let Some(unneeded) = as_nobody(copy.path(), &["verify"]) else { return };
    assert_exit(&unneeded, 0);
    for (prefix, code) in
        [("xn", "permission-denied"), ("q", "permission-denied"), ("p", "permission-denied")]
    {
        let file = &files(copy.path(), prefix)[0];
        change(file, 0o000);
        let output = as_nobody(copy.path(), &["verify", "--json"]).unwrap();
        assert_exit(&output, 3);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["result"], "incomplete", "{prefix}: {report}");
        assert!(report["damage"].to_string().contains(code), "{prefix}: {}", report["damage"]);
        change(file, 0o644);
    }
    let denied = copy.path().join("kopia.repository.f");
    change(&denied, 0o000);
    let output = as_nobody(copy.path(), &["snapshots", "--json"]).unwrap();
    assert_failure(&output, 3, "permission-denied");
    for name in ["private", "s", "_", "kopia.repository.f"] {
        change(&copy.path().join(name), 0o755);
    }
}
