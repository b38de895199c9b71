//! Error correction: counted where it mends, written out as it should be, and never in place.

use std::path::Path;

use rokopia::verify::{Error, Settings, Verdict, write_repaired};

use super::common::damage::Recorded;
use super::common::fixtures;
use super::support::{open, run};

#[test]
fn mended_blobs_are_counted_and_can_be_written_out() {
    if fixtures().is_none() {
        return;
    }
    let damages = Recorded::all();
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
        let damage = damages.iter().find(|damage| damage.name == name).unwrap();
        damage.make(&repo);
        let Recorded { base, about, .. } = damage;
        let repository = open(&repo, base.password()).unwrap();
        let report = run(&repository, &Settings::default()).unwrap();
        assert_eq!(report.result, Verdict::Clean, "{name}");
        assert!(
            report.ecc.repaired_blobs > 0 && report.ecc.unrepairable_blobs == 0,
            "{name}: {:?}",
            report.ecc
        );
        for change in about["edits"].as_array().unwrap().iter().filter(|change| change["op"] == "xor") {
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
            let original = original(&base.repo(), file).unwrap();
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
