//! Every recorded damage: what is reported is what cannot be read back, and no more than Kopia lost.

use std::collections::BTreeSet;

use rokopia::verify::{Settings, Verdict};
use serde_json::Value;

use super::common::damage::Recorded;
use super::common::in_parallel;
use super::support::{lost_in_reports, not_restored, open, run};

/// Whether a reported path is among those that Kopia lost: as such, or as a directory of them.
fn is_recorded(lost: &Value, snapshot: &str, path: &str) -> bool {
    let Some(paths) = lost[snapshot].as_array() else { return false };
    let below = format!("{path}/");
    paths
        .iter()
        .filter_map(Value::as_str)
        .any(|known| known == "*" || known == path || known.starts_with(&below) || path == "/")
}

/// What is wrong with the report of one damage, if anything, and a line about it.
fn judge(damage: &Recorded, trouble: &mut Vec<String>) -> String {
    let Recorded { name, base, about } = damage;
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    damage.make(&repo);
    let lost = &about["lost"];
    let kopia_lost = lost.as_object().unwrap().len();
    let repository = match open(&repo, base.password()) {
        Ok(repository) => repository,
        Err(e) => {
            if kopia_lost == 0 {
                trouble.push(format!("{name}: not opened, but Kopia lost nothing: {e}"));
            }
            return format!("{name}: not opened: {}", e.code());
        }
    };
    let report = match run(&repository, &Settings::default()) {
        Ok(report) => report,
        Err(e) => {
            if kopia_lost == 0 {
                trouble.push(format!("{name}: not verified, but Kopia lost nothing: {e}"));
            }
            return format!("{name}: not verified: {}", e.code());
        }
    };
    let contents = repository.contents().unwrap();
    let paths = lost_in_reports(&report);
    let listed = repository.catalog().unwrap().snapshots_and_problems().0;
    for snapshot in base.json("snapshots.json").as_array().unwrap() {
        let id = snapshot["id"].as_str().unwrap();
        let Some(state) = report.snapshots.iter().find(|state| state.id == id) else {
            if report.result == Verdict::Clean && lost.get(id).is_some() {
                trouble.push(format!("{name}: snapshot {id} is gone and the report is clean"));
            }
            continue;
        };
        let root =
            listed.iter().find(|known| known.id.to_string() == id).and_then(|known| known.root.as_ref());
        let truth = not_restored(&contents, root.unwrap());
        let ours = paths.get(id).cloned().unwrap_or_default();
        if truth != ours {
            trouble.push(format!("{name}: {id}: reported {ours:?}, not restored {truth:?}"));
        }
        if state.whole != truth.is_empty() {
            trouble.push(format!("{name}: {id}: whole is {}", state.whole));
        }
    }
    for lost_path in report.damage.iter().flat_map(|damage| &damage.paths) {
        if !is_recorded(lost, &lost_path.snapshot, &lost_path.path) {
            trouble.push(format!("{name}: Kopia did not lose {lost_path:?}"));
        }
    }
    if kopia_lost == 0 && report.damage.iter().any(|damage| !damage.paths.is_empty()) {
        trouble.push(format!("{name}: paths are reported, but Kopia lost nothing"));
    }
    let codes: BTreeSet<&str> = report.damage.iter().map(|damage| damage.code.as_str()).collect();
    let unneeded: BTreeSet<&str> = report.unneeded.iter().map(|damage| damage.code.as_str()).collect();
    let count: usize = paths.values().map(BTreeSet::len).sum();
    format!(
        "{name}: {:?} exit {}, {} snapshots, {count} paths, {codes:?}, unneeded {unneeded:?}, warnings {}, noticed by kopia: {}",
        report.result,
        report.exit_code(),
        report.snapshots.len(),
        report.warnings.len(),
        about["noticed"]
    )
}

#[test]
fn reported_paths_are_those_that_cannot_be_read() {
    let damages = Recorded::all();
    in_parallel(&damages, |damage| {
        let mut found = Vec::new();
        println!("{}", judge(damage, &mut found));
        found
    });
    println!("{} damages compared", damages.len());
    assert!(!damages.is_empty());
}
