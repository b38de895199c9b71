//! One tree with everything in it, restored to each kind of target, by each kind of user, in each way. What comes of each is
//! written down in `outcomes.txt`.
//!
//! Needs root, for mounts. What cannot be mounted says NOT CHECKED. `ROKOPIA_MATRIX=odd` tries only targets whose names begin
//! so.
#![cfg(feature = "testkit")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests and their helpers"
)]

mod cell;
mod collisions;
mod holes;
mod refusals;
mod targets;
mod zoo;

use std::collections::BTreeMap;
use std::sync::Mutex;

use cell::{Cell, Outcome, RUNS, USERS};
use targets::{TARGETS, Workshop};
use zoo::Repository;

/// Lines of `outcomes.txt`: target, user and run, each perhaps `*`, and the outcome. Of several that fit, the first counts.
fn expected() -> Vec<([String; 3], Outcome)> {
    let lines =
        include_str!("outcomes.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let [target, user, run, rest @ ..] = words.as_slice() else { panic!("{line}") };
            (
                [target.clone(), user.clone(), run.clone()],
                Outcome::parse(rest).unwrap_or_else(|| panic!("{line}")),
            )
        })
        .collect()
}

fn fits(pattern: &str, word: &str) -> bool {
    pattern.split(',').any(|pattern| pattern == "*" || pattern == word)
}

#[test]
fn every_target_gets_what_it_can_hold() {
    if !nix::unistd::geteuid().is_root() {
        println!("NOT CHECKED: file systems are mounted by root");
        return;
    }
    let workshop = Workshop::new();
    let repository = Repository::new(workshop.path());
    let expected = expected();
    let found: Mutex<BTreeMap<[String; 3], Outcome>> = Mutex::default();
    let wanted = std::env::var("ROKOPIA_MATRIX").unwrap_or_default();
    let targets = TARGETS.iter().rev().filter(|target| target.name.starts_with(&wanted));
    let targets = Mutex::new(targets.collect::<Vec<_>>());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let Some(target) = targets.lock().unwrap().pop() else { break };
                    for user in USERS {
                        let mounted = match workshop.mount(target, user) {
                            Ok(mounted) => mounted,
                            Err(reason) => {
                                println!("NOT CHECKED {}: {reason}", target.name);
                                break;
                            }
                        };
                        for run in RUNS {
                            let cell = Cell { target: target.name, user, run };
                            let outcome = cell.try_out(&repository, mounted.path());
                            println!("{:12} {:10} {:8} {outcome}", target.name, user.name, run.name);
                            let key = [target.name, user.name, run.name].map(str::to_owned);
                            found.lock().unwrap().insert(key, outcome);
                        }
                    }
                }
            });
        }
    });
    let mut wrong = Vec::new();
    for (key, outcome) in &found.into_inner().unwrap() {
        let line = expected.iter().find(|(patterns, _)| patterns.iter().zip(key).all(|(p, w)| fits(p, w)));
        match line {
            Some((_, expected)) if expected == outcome => {}
            Some((_, expected)) => {
                wrong.push(format!("{key:?}\n     found {outcome}\n  expected {expected}"))
            }
            None => println!("NOT CHECKED {} {} {}: no outcome is written down", key[0], key[1], key[2]),
        }
    }
    assert!(wrong.is_empty(), "{} cells differ:\n{}", wrong.len(), wrong.join("\n"));
}
