//! Every command over every hostile tree.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use crate::cases::{CASES, Case};
use crate::common::{Counter, in_parallel, say};
use crate::run::{Outcome, Scene, paths};

/// What runs over each tree beside `restore` and `verify`. All may fail; none may do harm.
const COMMANDS: &[&[&str]] = &[
    &["snapshots", "--json"],
    &["sources"],
    &["ls", "-R", "latest"],
    &["ls", "-R", "latest", "--json"],
    &["tar", "latest"],
    &["cat", "latest/good"],
    &["cat", "latest/.."],
    &["find", "*"],
    &["diff", "latest", "latest", "--json"],
    &["show", "latest"],
    &["exists", "user@host:/data"],
    &["restore", "latest", "/nowhere", "--dry-run"],
];

/// Those of them that see most of a tree. With `ROKOPIA_HOSTILE_ALL=1` all run, which takes minutes.
const FEW: &[&[&str]] = &[&["ls", "-R", "latest"], &["tar", "latest"]];

fn all() -> bool {
    std::env::var_os("ROKOPIA_HOSTILE_ALL").is_some()
}

#[test]
fn no_command_harms_or_is_harmed() {
    let (runs, peak) = (Counter::new(), Mutex::new((0, String::new())));
    in_parallel(CASES, |case| {
        let ended = catch_unwind(AssertUnwindSafe(|| try_case(case, &runs, &peak)));
        ended.err().map(|_| format!("{}: see above", case.name)).into_iter().collect()
    });
    let (peak, what) = peak.into_inner().unwrap();
    let (cases, runs) = (CASES.len(), runs.get());
    say(&format!("hostile trees: {cases} cases, {runs} runs, at most {} MiB ({what})", peak >> 10));
}

fn try_case(case: &Case, runs: &Counter, peak: &Mutex<(u64, String)>) {
    let scene = Scene::new(case.write);
    let run = |arguments: &[&str]| {
        let what = format!("{}: {arguments:?}", case.name);
        let outcome = scene.run(arguments);
        outcome.assert_orderly(&what);
        scene.assert_untouched(&what);
        runs.add(1);
        let mut peak = peak.lock().unwrap();
        if outcome.peak_kib > peak.0 {
            *peak = (outcome.peak_kib, what);
        }
        outcome
    };
    let commands = if all() { COMMANDS } else { FEW };
    for arguments in commands {
        let outcome = run(arguments);
        match arguments {
            ["exists", ..] => assert_eq!(outcome.code(), 0, "{}: {}", case.name, outcome.stderr),
            ["ls", "-R", "latest"] => {
                assert!(!outcome.stdout.contains(&0x1b), "{}: raw escape sequences", case.name);
            }
            _ => {}
        }
    }
    let target = scene.target();
    let target = target.to_str().unwrap();
    let ways = [&[][..], &["--delta"], &["--verify"], &["--skip-existing"], &["--delete"]];
    for more in ways.into_iter().take(if all() { ways.len() } else { 2 }) {
        let arguments = [&["restore", "latest", target, "--json"], more].concat();
        check_restore(case, more, &run(&arguments), &scene);
    }
    scene.clear();
    let verified = run(&["verify", "--level", "files", "--json"]);
    assert_eq!(verified.code(), case.verify, "{}: verify: {}", case.name, verified.stderr);
}

fn check_restore(case: &Case, more: &[&str], outcome: &Outcome, scene: &Scene) {
    let name = case.name;
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned() + &outcome.stderr;
    let short: String = text.chars().take(3000).collect();
    // Forged contents do not have the hash that their name promises.
    if more != ["--verify"] {
        assert_eq!(outcome.code(), case.restore, "{name} {more:?}: {short}");
        if let Some(code) = case.reports {
            assert!(text.contains(code), "{name} {more:?}: no {code} in {short}");
        }
        if let Some(leaves) = case.leaves {
            assert_eq!(paths(&scene.target()), leaves, "{name} {more:?}");
        }
    }
}
