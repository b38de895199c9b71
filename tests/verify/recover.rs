//! Lost index blobs: the packs stand in for them.

use std::collections::BTreeSet;

use rokopia::object::ObjectId;
use rokopia::verify::recover_index;
use serde_json::Value;

use super::support::{copy, edit, fixtures, json, open, password, unreadable};

#[test]
fn packs_know_what_lost_index_blobs_knew() {
    let Some(fixtures) = fixtures() else { return };
    let text = std::fs::read_to_string(fixtures.join("damaged/damage.jsonl")).unwrap();
    let (mut compared, mut regained) = (0, 0);
    for case in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let name = case["name"].as_str().unwrap();
        if !name.contains("index-") || name.contains("local") {
            continue;
        }
        let base = fixtures.join(case["base"].as_str().unwrap());
        let dir = tempfile::tempdir().unwrap();
        let repo = dir.path().join("repo");
        copy(&base.join("repo"), &repo);
        case["edits"].as_array().unwrap().iter().for_each(|change| edit(&repo, change));
        let repository = open(&repo, &password(&base)).unwrap();
        let (report, recovered) = recover_index(&repository).unwrap();
        assert!(report.unreadable.is_empty(), "{name}: {:?}", report.unreadable);
        let whole: BTreeSet<&str> = report
            .snapshots
            .iter()
            .filter(|snapshot| snapshot.state.whole)
            .map(|snapshot| snapshot.state.id.as_str())
            .collect();
        for snapshot in json(&base.join("snapshots.json")).as_array().unwrap() {
            let id = snapshot["id"].as_str().unwrap();
            assert!(whole.contains(id), "{name}: {id} is not brought back");
            let root: ObjectId = snapshot["rootEntry"]["obj"].as_str().unwrap().parse().unwrap();
            assert_eq!(unreadable(&recovered.contents, &root), BTreeSet::new(), "{name}: {id}");
        }
        let lost = name.starts_with("index-missing") && case["lost"] != serde_json::json!({});
        assert!(report.regained > 0 || !lost, "{name}");
        regained += usize::from(report.regained > 0);
        compared += 1;
    }
    println!(
        "{compared} repositories with damaged indexes are read as a whole, {regained} of them by their packs"
    );
    assert!(compared > 20 && regained < compared);
}
