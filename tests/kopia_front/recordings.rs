//! Every command of the contract, with what Kopia v0.23.1 answered.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::common::{fixtures, say};
use super::compare::{Agreement, Times, agreement, differs};
use super::support::{Done, Place, testdata};

struct Recorded {
    args: Vec<String>,
    done: Done,
    /// Hash of an output that was too long to be kept.
    hash: Option<String>,
}

fn read(file: &Path) -> Vec<Recorded> {
    let text = std::fs::read_to_string(file).unwrap();
    let parse = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        Recorded {
            args: row["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap().to_owned()).collect(),
            done: Done {
                exit: i32::try_from(row["exit"].as_i64().unwrap()).unwrap(),
                stdout: row["stdout"].as_str().unwrap_or_default().as_bytes().to_vec(),
                stderr: row["stderr"].as_str().unwrap().to_owned(),
            },
            hash: row["stdout"]["sha256"].as_str().map(str::to_owned),
        }
    };
    text.lines().map(parse).collect()
}

/// Names paths of this run as the recordings do.
fn anonymous(place: &Place, done: Done) -> Done {
    let mut texts = [done.text(), done.stderr];
    let (config, target) = (place.config(), place.target());
    for (path, name) in [(&place.repository, "REPO"), (&target, "TARGET"), (&config, "CONFIG")] {
        texts = texts.map(|text| text.replace(path.to_str().unwrap(), name));
    }
    let [stdout, stderr] = texts;
    Done { exit: done.exit, stdout: stdout.into_bytes(), stderr }
}

fn arguments<'a>(place: &Place, recorded: &'a Recorded, target: &'a mut String) -> Vec<&'a str> {
    *target = place.target().to_str().unwrap().to_owned();
    recorded.args.iter().map(|arg| if arg == "TARGET" { target.as_str() } else { arg.as_str() }).collect()
}

/// Runs what was recorded; gives back how many commands agreed and how many are not ours.
fn replay(case: &Path, recording: &Path) -> (usize, usize) {
    let place = Place::new(case);
    place.connect();
    let mut failures = Vec::new();
    let (mut same, mut foreign) = (0, 0);
    for recorded in read(recording) {
        let mut target = String::new();
        let args = arguments(&place, &recorded, &mut target);
        let ours = anonymous(&place, place.run(&args));
        let _ = std::fs::remove_dir_all(place.target());
        let difference = match &recorded.hash {
            None => differs(&args, &ours, &recorded.done, Times::Lost),
            // The order of lines is lost with the text.
            Some(_) if agreement(&args) != Agreement::Exact => None,
            Some(hash) => {
                let found = hex::encode(Sha256::digest(&ours.stdout));
                (found != *hash || ours.exit != recorded.done.exit).then(|| "the hash differs".to_owned())
            }
        };
        match difference {
            Some(difference) => failures.push(format!("{}: {difference}", args.join(" "))),
            None if agreement(&args) == Agreement::HandedOver => foreign += 1,
            None => same += 1,
        }
    }
    assert!(failures.is_empty(), "{}:\n{}", case.display(), failures.join("\n"));
    (same, foreign)
}

#[test]
fn answers_as_recorded() {
    let (same, foreign) = replay(&testdata("basic"), &testdata("kopia-front/basic.jsonl"));
    assert!(same > 50 && foreign > 0, "{same} {foreign}");
}

#[test]
fn answers_as_recorded_on_more_repositories() {
    let Some(fixtures) = fixtures() else { return };
    let run =
        |case: &str| replay(&fixtures.join(case), &fixtures.join("cli").join(case).with_extension("jsonl"));
    let counts: Vec<(usize, usize)> = std::thread::scope(|scope| {
        let cases = ["actions-policies", "entry-errors", "existence-basic", "volsync-multi"];
        let run = &run;
        let running = cases.map(|case| scope.spawn(move || run(case)));
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let same: usize = counts.iter().map(|(same, _)| same).sum();
    let foreign: usize = counts.iter().map(|(_, foreign)| foreign).sum();
    say(&format!("compared {same} commands with recordings; {foreign} are not answered by the front"));
}

#[test]
fn lists_are_those_of_all_fixtures() {
    let Some(fixtures) = fixtures() else { return };
    let mut compared = 0;
    for entry in std::fs::read_dir(fixtures).unwrap() {
        let case = entry.unwrap().path();
        let (Ok(snapshots), Ok(manifests), Ok(facts)) = (
            std::fs::read_to_string(case.join("snapshots.json")),
            std::fs::read_to_string(case.join("manifests.json")),
            std::fs::read_to_string(case.join("case.json")),
        ) else {
            continue;
        };
        // What Kopia said of these was recorded with another format blob, or not at all.
        if ["kopia_refuses", "damage", "damages"].iter().any(|key| facts.contains(key)) {
            continue;
        }
        let place = Place::new(&case);
        place.write_config();
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let listed = place.run(&["snapshot", "list", "--all", "--incomplete", "--json"]);
        assert_eq!(listed.exit, 0, "{name}: {}", listed.stderr);
        assert_eq!(value(&listed.text()), value(&snapshots), "{name}");
        let listed = place.run(&["manifest", "list", "--json"]);
        assert_eq!(value(&listed.text()), value(&manifests), "{name}");
        compared += 1;
    }
    say(&format!("compared the lists of {compared} repositories"));
    assert!(compared >= 30, "{compared}");
}

/// Runs both on every command of the recordings. `KOPIA` names the real one:
/// `KOPIA=/usr/bin/kopia cargo test --test kopia_front -- --ignored --nocapture beside_a_real_kopia`
#[test]
#[ignore = "needs a real kopia"]
fn beside_a_real_kopia() {
    let kopia = std::env::var_os("KOPIA").expect("KOPIA names a real kopia");
    let fixtures = fixtures().expect("fixtures");
    let run = |case: &str| {
        let (front, real) = (Place::new(&fixtures.join(case)), Place::new(&fixtures.join(case)));
        front.connect();
        // The real one goes on with the connection of the front.
        std::fs::create_dir(real.config().parent().unwrap()).unwrap();
        std::fs::copy(front.config(), real.config()).unwrap();
        let mut failures = Vec::new();
        let (mut same, mut foreign) = (0, 0);
        for recorded in read(&fixtures.join("cli").join(case).with_extension("jsonl")) {
            let mut target = String::new();
            let args = arguments(&front, &recorded, &mut target);
            let ours = anonymous(&front, front.run(&args));
            let _ = std::fs::remove_dir_all(front.target());
            let mut target = String::new();
            let mut command = Command::new(&kopia);
            real.prepare(&mut command);
            command.args(["--no-progress"]).args(arguments(&real, &recorded, &mut target));
            let theirs = anonymous(&real, command.output().unwrap().into());
            let _ = std::fs::remove_dir_all(real.target());
            match differs(&args, &ours, &theirs, Times::Comparable) {
                Some(difference) => failures.push(format!("{case}: {}: {difference}", args.join(" "))),
                None if agreement(&args) == Agreement::HandedOver => foreign += 1,
                None => same += 1,
            }
        }
        println!(
            "{case}: {same} commands agree, {foreign} are not answered by the front, {} differ",
            failures.len()
        );
        failures
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let run = &run;
        let cases = ["basic", "actions-policies", "entry-errors", "existence-basic", "volsync-multi"];
        let running = cases.map(|case| scope.spawn(move || run(case)));
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
