//! Where damage makes Kopia list nothing, and end well.

use super::common::damage::Recorded;
use super::common::{fixtures, say};
use super::support::Place;

#[test]
fn nothing_is_not_what_damage_leaves() {
    if fixtures().is_none() {
        return;
    }
    let mut told = 0;
    for damage in Recorded::all() {
        let is_empty = damage.about["listed"].as_array().is_some_and(Vec::is_empty);
        if damage.about["kopia"]["list"]["exit"] != 0 || !is_empty {
            continue;
        }
        let copy = tempfile::tempdir().unwrap();
        damage.make(&copy.path().join("repo"));
        std::fs::copy(damage.base.dir.join("case.json"), copy.path().join("case.json")).unwrap();
        let place = Place::new(copy.path());
        place.write_config();
        let done = place.run(&["snapshot", "list", "--all", "--json"]);
        let count = serde_json::from_slice(&done.stdout).map_or(0, |all: Vec<serde_json::Value>| all.len());
        let refused = done.exit == 1 && done.stderr.contains("no snapshots found, but that is not certain");
        assert!(refused || (done.exit == 0 && count > 0), "{}: {done:?}", damage.name);
        told += 1;
    }
    assert!(told > 0);
    say(&format!("{told} damages for which Kopia lists nothing without a word"));
}
