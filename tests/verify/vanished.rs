//! A writer and maintenance that change the repository while it is verified.

use std::path::Path;
use std::sync::Arc;

use rokopia::Repository;
use rokopia::blob::FileSystem;
use rokopia::content::ContentSource;
use rokopia::crypto::Password;
use rokopia::testkit::{Damage, RepositoryWriter};
use rokopia::verify::{Report, Settings, Verdict, Verifier};

use super::made::{PASSWORD, add_snapshot, open, packs, writer};
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
    let store = Trace::new(FileSystem::open(dir).unwrap(), usize::MAX).before_packs(act);
    let repository = Repository::open(Arc::new(store), &Password::new(PASSWORD)).unwrap();
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
