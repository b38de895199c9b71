//! Error correction: counted where it mends, written out as it should be, and never in place.

use std::path::Path;

use rokopia::verify::{Error, Settings, Verdict, write_repaired};
use serde_json::Value;

use super::support::{copy, edit, fixtures, open, password, run};

fn damaged(fixtures: &Path, name: &str, repo: &Path) -> Value {
    let text = std::fs::read_to_string(fixtures.join("damaged/damage.jsonl")).unwrap();
    let cases = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let case = cases.into_iter().find(|case| case["name"] == name).unwrap();
    copy(&fixtures.join(case["base"].as_str().unwrap()).join("repo"), repo);
    case["edits"].as_array().unwrap().iter().for_each(|change| edit(repo, change));
    case
}

#[test]
fn mended_blobs_are_counted_and_can_be_written_out() {
    let Some(fixtures) = fixtures() else { return };
    let mut written_in_all = 0;
    for name in [
        "ecc-p-one-byte",
        "ecc-p-first-byte",
        "ecc-p-last-byte",
        "ecc-p-burst",
        "ecc-p-two-places",
        "ecc-q-root-one-byte",
        "ecc-q-manifest-one-byte",
        "ecc-index-one-byte",
        "ecc-index-cut-one-byte",
        "ecc-every-content-one-byte",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let repo = dir.path().join("repo");
        let case = damaged(&fixtures, name, &repo);
        let base = fixtures.join(case["base"].as_str().unwrap());
        let repository = open(&repo, &password(&base)).unwrap();
        let report = run(&repository, &Settings::default()).unwrap();
        assert_eq!(report.result, Verdict::Clean, "{name}");
        assert!(
            report.ecc.repaired_blobs > 0 && report.ecc.unrepairable_blobs == 0,
            "{name}: {:?}",
            report.ecc
        );
        for change in case["edits"].as_array().unwrap().iter().filter(|change| change["op"] == "xor") {
            let flat = change["path"].as_str().unwrap().replace('/', "");
            let blob = report.ecc.repairs.iter().find(|blob| format!("{}.f", blob.blob) == flat);
            let blob = blob.unwrap_or_else(|| panic!("{name}: {flat} is not listed: {:?}", report.ecc));
            let offset = change["offset"].as_u64().unwrap();
            // The largest shards are those of contents that are too short for many.
            let near = blob.offsets.iter().any(|start| (*start..start + 200).contains(&offset));
            assert!(near || blob.places > blob.offsets.len() as u64, "{name}: {offset} in {blob:?}");
        }

        assert!(matches!(
            write_repaired(&repository, &report, &repo.join("new/deep")),
            Err(Error::InRepository { .. })
        ));
        assert!(!repo.join("new").exists());
        let out = dir.path().join("out");
        let written = write_repaired(&repository, &report, &out).unwrap();
        assert_eq!(written.len() as u64, report.ecc.repaired_blobs, "{name}");
        for path in &written {
            let file = path.file_name().unwrap().to_str().unwrap();
            let original = original(&base.join("repo"), file).unwrap();
            assert!(std::fs::read(path).unwrap() == std::fs::read(original).unwrap(), "{name}: {file}");
        }
        written_in_all += written.len();
    }
    println!("{written_in_all} corrected blobs are what they were before the damage");
}

/// The file of a blob, whatever the layout of directories.
fn original(dir: &Path, flat: &str) -> Option<std::path::PathBuf> {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            if let Some(found) = flat.strip_prefix(name.as_str()).and_then(|rest| original(&path, rest)) {
                return Some(found);
            }
        } else if name == flat {
            return Some(path);
        }
    }
    None
}
