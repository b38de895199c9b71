//! Lost index blobs: the packs stand in for them.

use std::collections::BTreeSet;

use rokopia::object::ObjectId;
use rokopia::verify::recover_index;

use super::common::damage::Recorded;
use super::common::fixtures;
use super::support::{open, unreadable};

#[test]
fn packs_know_what_lost_index_blobs_knew() {
    if fixtures().is_none() {
        return;
    }
    let (mut compared, mut regained) = (0, 0);
    for damage in Recorded::all() {
        let Recorded { name, base, about } = &damage;
        if !name.contains("index-") || name.contains("local") {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let repo = dir.path().join("repo");
        damage.make(&repo);
        let repository = open(&repo, base.password()).unwrap();
        let (report, recovered) = recover_index(&repository).unwrap();
        assert!(report.unreadable.is_empty(), "{name}: {:?}", report.unreadable);
        let whole: BTreeSet<&str> = report
            .snapshots
            .iter()
            .filter(|snapshot| snapshot.state.whole)
            .map(|snapshot| snapshot.state.id.as_str())
            .collect();
        for snapshot in base.json("snapshots.json").as_array().unwrap() {
            let id = snapshot["id"].as_str().unwrap();
            assert!(whole.contains(id), "{name}: {id} is not brought back");
            let root: ObjectId = snapshot["rootEntry"]["obj"].as_str().unwrap().parse().unwrap();
            assert_eq!(unreadable(&recovered.contents, &root), BTreeSet::new(), "{name}: {id}");
        }
        let lost = name.starts_with("index-missing") && about["lost"] != serde_json::json!({});
        assert!(report.regained > 0 || !lost, "{name}");
        regained += usize::from(report.regained > 0);
        compared += 1;
    }
    println!(
        "{compared} repositories with damaged indexes are read as a whole, {regained} of them by their packs"
    );
    assert!(compared > 20 && regained < compared);
}
