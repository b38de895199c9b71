//! Where damage makes Kopia list nothing, and end well.

use super::common::{Case, damage, fixtures, json_lines, say};
use super::support::Place;

#[test]
fn nothing_is_not_what_damage_leaves() {
    let Some(fixtures) = fixtures() else { return };
    let mut told = 0;
    for line in json_lines(&std::fs::read(fixtures.join("damaged/damage.jsonl")).unwrap()) {
        let base = Case::load(&fixtures.join(line["base"].as_str().unwrap())).unwrap();
        let is_empty = line["listed"].as_array().is_some_and(Vec::is_empty);
        if line["kopia"]["list"]["exit"] != 0 || !is_empty {
            continue;
        }
        let copy = tempfile::tempdir().unwrap();
        damage::copy(&base.repo(), &copy.path().join("repo"));
        std::fs::copy(base.dir.join("case.json"), copy.path().join("case.json")).unwrap();
        damage::apply(&copy.path().join("repo"), &line["edits"]);
        let place = Place::new(copy.path());
        place.write_config();
        let done = place.run(&["snapshot", "list", "--all", "--json"]);
        let count = serde_json::from_slice(&done.stdout).map_or(0, |all: Vec<serde_json::Value>| all.len());
        let refused = done.exit == 1 && done.stderr.contains("no snapshots found, but that is not certain");
        assert!(refused || (done.exit == 0 && count > 0), "{}: {done:?}", line["name"]);
        told += 1;
    }
    assert!(told > 0);
    say(&format!("{told} damages for which Kopia lists nothing without a word"));
}
