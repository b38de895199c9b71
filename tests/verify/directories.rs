//! Directories: those of the same name, and more than there is memory for.

use std::collections::BTreeSet;
use std::path::Path;

use rokopia::testkit::{Attributes, DirectoryBuilder, RepositoryWriter, Summary, WrittenDirectory};
use rokopia::verify::{Report, Settings, Verdict};

use super::made::{self, source};
use super::support::{lost_in_reports, not_restored, open, run};

const ATTRIBUTES: Attributes =
    Attributes { mode: 0o755, mtime_ns: 1_000_000_000_000_000_000, uid: 0, gid: 0 };

fn directory(writer: &mut RepositoryWriter, entries: &[(&str, &str, &str)]) -> WrittenDirectory {
    let entries: Vec<String> = entries
        .iter()
        .map(|(name, kind, object)| {
            format!(r#"{{"name":"{name}","type":"{kind}","size":4,"obj":"{object}"}}"#)
        })
        .collect();
    let json = format!(r#"{{"stream":"kopia:directory","entries":[{}]}}"#, entries.join(","));
    let object = writer.write_prefixed_object(Some(b'k'), &mut json.as_bytes()).unwrap().id;
    WrittenDirectory { object, summary: Summary::default(), attributes: ATTRIBUTES }
}

/// The report, after it was compared with what a restore loses.
fn verified(repo: &Path) -> Report {
    let repository = open(repo, made::PASSWORD).unwrap();
    let report = run(&repository, &Settings::default()).unwrap();
    let contents = repository.contents().unwrap();
    let paths = lost_in_reports(&report);
    for snapshot in repository.catalog().unwrap().snapshots_and_problems().0 {
        let truth = not_restored(&contents, snapshot.root.as_ref().unwrap());
        assert_eq!(paths.get(snapshot.id.as_str()).cloned().unwrap_or_default(), truth);
    }
    report
}

/// Of several entries of one name all are restored, each under a name of its own: so what is lost has that name.
#[test]
fn lost_directories_have_the_names_that_a_restore_gives_them() {
    const GONE: &str = "00000000000000000000000000000001";
    let gone = format!("k{GONE}");
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let mut writer = made::writer(&repo, 1 << 20);
    let data = writer.write_content(None, b"data").unwrap().to_string();
    let good = writer.write_directory(DirectoryBuilder::new(), ATTRIBUTES).unwrap().object;
    let bad =
        directory(&mut writer, &[("here", "f", &data), ("not", "f", GONE), ("below", "d", &gone)]).object;
    let root = directory(
        &mut writer,
        &[
            ("twin", "d", &bad),
            ("file", "f", GONE),
            ("file", "f", &data),
            ("one", "d", &bad),
            ("twin", "d", &good),
            ("two", "d", &bad),
        ],
    );
    writer.snapshot(&source(), &root);
    writer.finish().unwrap();
    let report = verified(&repo);
    let lost = lost_in_reports(&report).into_values().next().unwrap();
    let expected = ["file~1", "one/below", "one/not", "twin~1/below", "twin~1/not", "two/below", "two/not"]
        .map(str::to_owned);
    assert_eq!(lost, BTreeSet::from(expected));
    assert_eq!(report.snapshots[0].damaged_paths, 7);
}

/// What is not looked at for want of memory is neither called good nor bad.
#[test]
fn directories_without_memory_are_not_called_whole() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    made::simple(&repo, 1 << 20, 1 << 18);
    let repository = made::open(&repo);
    let tight = Settings { memory: 1 << 12, threads: 1, ..Settings::default() };
    let report = run(&repository, &tight).unwrap();
    assert_eq!((report.result, report.exit_code()), (Verdict::Incomplete, 3));
    let unseen = report.damage.iter().find(|damage| damage.code == "memory-budget").unwrap();
    assert!(unseen.unchecked && unseen.more_paths && !unseen.paths.is_empty());
    assert!(!report.snapshots[0].whole && report.newest_whole.is_empty() && report.unneeded.is_empty());
    assert_eq!(run(&repository, &Settings::default()).unwrap().result, Verdict::Clean);

    for pack in made::packs(&repo) {
        made::damage(&repo, &pack);
    }
    let report = run(&repository, &tight).unwrap();
    assert_eq!(report.result, Verdict::Damaged);
    assert!(report.damage.iter().any(|damage| damage.code == "memory-budget"));
    let plain = run(&repository, &Settings::default()).unwrap();
    let contents = |report: &Report| -> BTreeSet<_> {
        report.damage.iter().filter_map(|damage| damage.content.clone()).collect()
    };
    assert!(contents(&report).is_superset(&contents(&plain)) && !contents(&plain).is_empty());
}
