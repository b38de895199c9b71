//! The existence question against repositories that real Kopia wrote, whole and damaged.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rokopia::blob::{BlobStore, FileSystem};
use rokopia::checker::{Candidates, Checker, Clock, Question, Settings, State, Template};
use rokopia::crypto::Password;
use serde_json::Value;

use crate::common::damage::{apply, copy};
use crate::common::{self, Case, fixtures};

const PATIENCE: Duration = Duration::from_secs(60);

fn checker(repository: &Path, password: &str) -> Checker {
    let (root, password) = (repository.to_path_buf(), Password::new(password));
    Checker::start(
        Settings::default(),
        Clock::system(),
        rokopia::Options::default(),
        Arc::new(move || Ok(Arc::new(FileSystem::open(&root)?) as Arc<dyn BlobStore>)),
        Arc::new(move || Ok(password.clone())),
    )
    .unwrap()
}

fn state_of(checker: &Checker, namespace: &str, pvc: &str) -> String {
    match Question::new(namespace, pvc) {
        Err(_) => "invalid".into(),
        Ok(question) => {
            let answer = checker.ask(&Template::default().candidates(&question), PATIENCE);
            let reason = answer.reason.map(|reason| format!(" ({})", reason.code())).unwrap_or_default();
            format!("{}{reason}", answer.state.as_str())
        }
    }
}

#[test]
fn the_queries_of_the_fixtures() {
    let Some(fixtures) = fixtures() else { return };
    let mut asked = 0;
    for entry in std::fs::read_dir(fixtures).unwrap().map(Result::unwrap) {
        let Some(case) = Case::load(&entry.path()).filter(|case| case.has("queries.json")) else { continue };
        if !case.name.starts_with("existence-") {
            continue;
        }
        let checker = checker(&case.repo(), case.password());
        for query in case.json("queries.json").as_array().unwrap() {
            let (namespace, pvc) = (query["namespace"].as_str().unwrap(), query["pvc"].as_str().unwrap());
            let expected = &query["expected"];
            let state = state_of(&checker, namespace, pvc);
            let word = state.split(' ').next().unwrap();
            let allowed: Vec<&str> =
                expected["allowed"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            assert!(
                allowed.contains(&word),
                "{} {namespace}/{pvc}: {state}, allowed {allowed:?}",
                entry.path().display()
            );
            asked += 1;
            if word == "exists" {
                let question = Question::new(namespace, pvc).unwrap();
                let answer = checker.ask(&Template::default().candidates(&question), PATIENCE);
                assert_eq!(
                    answer.snapshots as u64,
                    expected["snapshots"].as_u64().unwrap(),
                    "{namespace}/{pvc}"
                );
                let complete = answer.snapshots - answer.incomplete;
                assert_eq!(complete as u64, expected["complete"].as_u64().unwrap(), "{namespace}/{pvc}");
                let newest: rokopia::snapshot::UtcTimestamp =
                    expected["newest"].as_str().unwrap().parse().unwrap();
                assert_eq!(answer.latest, Some(newest), "{namespace}/{pvc}");
            }
        }
    }
    common::say(&format!("{asked} questions"));
    assert!(asked > 60);
}

/// Whichever single index blob is lost, nothing that was there becomes absent.
#[test]
fn one_lost_index_blob_makes_nothing_absent() {
    let Some(fixtures) = fixtures() else { return };
    let case = Case::load(&fixtures.join("existence-basic")).unwrap();
    let queries = case.json("queries.json");
    let index = case.repo().join("x/n0_");
    for (n, blob) in std::fs::read_dir(&index).unwrap().map(Result::unwrap).enumerate() {
        let dir = tempfile::tempdir().unwrap();
        copy(&case.repo(), dir.path());
        std::fs::remove_file(dir.path().join("x/n0_").join(blob.file_name())).unwrap();
        let checker = checker(dir.path(), case.password());
        for query in queries.as_array().unwrap() {
            if query["expected"]["snapshots"].as_u64() > Some(0) {
                let state =
                    state_of(&checker, query["namespace"].as_str().unwrap(), query["pvc"].as_str().unwrap());
                assert!(!state.starts_with("absent"), "blob {n}: {query}: {state}");
            }
        }
    }
}

/// No damage of the set makes the source absent, and what is allowed is answered.
#[test]
fn no_damage_makes_a_source_absent() {
    let Some(fixtures) = fixtures() else { return };
    let damages = std::fs::read_to_string(fixtures.join("damaged/damage.jsonl")).unwrap();
    let cases: Vec<Value> = damages.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check_damage(&fixtures, case);
                }
            });
        }
    });
    common::say(&format!("{} damages", cases.len()));
    assert!(cases.len() > 100);
}

fn check_damage(fixtures: &Path, case: &Value) {
    let name = ["name", "id"].iter().find_map(|key| case[*key].as_str()).unwrap();
    let base = Case::load(&fixtures.join(case["base"].as_str().unwrap())).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("repo");
    copy(&base.repo(), &root);
    apply(&root, &case["edits"]);
    let checker = checker(&root, base.password());
    let allowed: Vec<&str> = case["exists"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    // Blobs that keep vanishing are looked for with pauses; nobody has to wait for the end of that here.
    let patience = if allowed.contains(&"unknown") { Duration::from_secs(8) } else { PATIENCE };
    let answer = checker.ask(&Candidates::of("app-backup@vault:/data".parse().unwrap()), patience);
    let reason = answer.reason.as_ref().map(ToString::to_string);
    assert!(answer.state != State::Absent, "{name}: {reason:?}");
    assert!(
        allowed.contains(&answer.state.as_str()),
        "{name}: {:?}, allowed {allowed:?}: {reason:?}",
        answer.state
    );
}
