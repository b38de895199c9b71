//! A writer and maintenance that change the repository while it is verified.

use std::path::Path;

use rokopia::content::ContentSource;
use rokopia::testkit::{Damage, RepositoryWriter};
use rokopia::verify::{Ledger, Report, Settings, Verdict, Verifier};

use super::made::{add_snapshot, open, packs, simple, with_ledger, writer};
use super::trace::Trace;

/// Moves all contents to new packs, as maintenance does with packs that are mostly dead, and deletes the old ones.
fn repack(dir: &Path, writer: &mut RepositoryWriter, delete_index: bool) {
    let damage = Damage::open(dir).unwrap();
    let (old_packs, old_indexes) = (packs(dir), damage.names("xn").unwrap());
    let contents = open(dir).contents().unwrap();
    let ids: Vec<_> = contents.index().iter().map(|entry| entry.id).collect();
    for id in ids {
        let rewritten = writer.rewrite_content(id.prefix(), &contents.get(&id).unwrap()).unwrap();
        assert_eq!(rewritten, id);
    }
    writer.flush().unwrap();
    let doomed = old_packs.iter().chain(old_indexes.iter().filter(|_| delete_index));
    doomed.for_each(|blob| damage.delete(blob).unwrap());
}

fn verify_while(dir: &Path, act: impl FnOnce() + Send + 'static) -> Report {
    let (repository, _) = Trace::new().before_packs(act).open(dir);
    Verifier::new(&repository, &Settings { threads: 2, ..Settings::default() }).run().unwrap()
}

#[test]
fn moved_contents_are_found_again_and_deleted_packs_are_not() {
    for (what, repacks, delete_index) in
        [("moved", true, false), ("moved, old index gone", true, true), ("lost", false, false)]
    {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_path_buf();
        let mut writer = writer(&path, 400_000);
        add_snapshot(&mut writer, 3 << 20, 1);
        let report = verify_while(dir.path(), move || {
            if repacks {
                repack(&path, &mut writer, delete_index);
            } else {
                let damage = Damage::open(&path).unwrap();
                packs(&path).iter().for_each(|pack| damage.delete(pack).unwrap());
            }
        });
        if repacks {
            assert_eq!(report.result, Verdict::Clean, "{what}: {:#?}", report.damage);
            assert_eq!(report.coverage.verified, report.coverage.contents, "{what}");
            assert!(report.snapshots.iter().all(|snapshot| snapshot.whole), "{what}");
        } else {
            assert_eq!(report.exit_code(), 1, "{what}");
            assert!(report.damage.iter().all(|damage| damage.code == "pack-missing"), "{what}");
        }
    }
}

#[test]
fn a_snapshot_that_is_finished_meanwhile_is_no_lost_index() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path(), 400_000);
    add_snapshot(&mut writer, 1 << 20, 1);
    let finish = move || drop(add_snapshot(&mut writer, 1 << 20, 2));
    let (repository, _) = Trace::new().before_listing(finish).open(dir.path());
    let report = Verifier::new(&repository, &Settings::default()).run().unwrap();
    assert_eq!((report.result, report.exit_code()), (Verdict::Clean, 0), "{:#?}", report.damage);
    assert_eq!(report.warnings, [""; 0]);
    assert_eq!(open(dir.path()).catalog().unwrap().snapshots_and_problems().0.len(), 2);
}

#[test]
fn a_snapshot_that_is_deleted_meanwhile_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_path_buf();
    let mut writer = writer(&path, 400_000);
    let kept = add_snapshot(&mut writer, 1 << 20, 1);
    let before = packs(&path);
    let doomed = add_snapshot(&mut writer, 1 << 20, 2);
    let report = verify_while(dir.path(), move || {
        let own: Vec<String> = packs(&path).into_iter().filter(|pack| !before.contains(pack)).collect();
        let contents = open(&path).contents().unwrap();
        let index = contents.index();
        let named = |entry: &rokopia::index::Entry| index.pack(entry.pack).unwrap().to_string();
        writer.delete_manifest(&doomed);
        // What its packs hold is marked deleted, and maintenance drops the packs.
        for entry in index.iter().filter(|entry| own.contains(&named(entry))) {
            writer.delete_content(&entry.id).unwrap();
        }
        writer.flush().unwrap();
        own.iter().for_each(|pack| Damage::open(&path).unwrap().delete(pack).unwrap());
    });
    assert_eq!((report.result, report.exit_code()), (Verdict::Clean, 0), "{:#?}", report.damage);
    assert_eq!(report.snapshots.iter().map(|known| known.id.clone()).collect::<Vec<_>>(), [kept]);
}

/// A network file system that is unmounted leaves an empty directory: nothing is known then, least of all that nothing
/// is wrong, or that everything is lost.
#[test]
fn a_mount_that_goes_away_is_no_answer() {
    for before_packs in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let (repo, aside) = (dir.path().join("repo"), dir.path().join("aside"));
        simple(&repo, 2 << 20, 400_000);
        let path = dir.path().join("ledger");
        assert_eq!(with_ledger(&open(&repo), &path, &Settings::default()).result, Verdict::Clean);
        let known = std::fs::read_to_string(&path).unwrap();
        let unmount = {
            let (repo, aside) = (repo.clone(), aside.clone());
            move || {
                std::fs::rename(&repo, &aside).unwrap();
                std::fs::create_dir(&repo).unwrap();
            }
        };
        let trace = Trace::new();
        let trace = if before_packs { trace.before_packs(unmount) } else { trace.before_listing(unmount) };
        let (repository, _) = trace.open(&repo);
        let ledger = Ledger::open(&path, &repository).unwrap();
        let result = Verifier::new(&repository, &Settings::default()).ledger(&ledger).run();
        let error = result.expect_err("there is nothing to report");
        assert_eq!(error.code(), "not-a-repository", "{error}");
        drop(ledger);
        let now = std::fs::read_to_string(&path).unwrap();
        assert_eq!(now, known, "what was seen is not forgotten");
    }
}
