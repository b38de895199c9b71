//! No alarm where nothing is wrong.

use std::sync::Mutex;

use rokopia::verify::{Level, Settings, Verdict};

use super::support::{fixtures, in_parallel, open, password, run};

#[test]
fn healthy_repositories_are_clean() {
    let Some(fixtures) = fixtures() else { return };
    let mut cases: Vec<_> = std::fs::read_dir(&fixtures)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("repo").is_dir() && path.join("case.json").is_file())
        .collect();
    cases.sort();
    let trouble = Mutex::new(Vec::new());
    let verified = Mutex::new((0, 0));
    in_parallel(cases.len(), |at| {
        let case = &cases[at];
        let name = case.file_name().unwrap().to_string_lossy();
        let repository = match open(&case.join("repo"), &password(case)) {
            Ok(repository) => repository,
            Err(e) => return println!("{name}: not opened: {e}"),
        };
        let report = run(&repository, &Settings { level: Level::Files, ..Settings::default() }).unwrap();
        if report.result != Verdict::Clean || !report.unneeded.is_empty() || !report.warnings.is_empty() {
            let text = serde_json::to_string_pretty(&report).unwrap();
            trouble.lock().unwrap().push((name.to_string(), text.chars().take(3000).collect::<String>()));
        }
        let mut verified = verified.lock().unwrap();
        *verified = (verified.0 + 1, verified.1 + report.coverage.verified);
    });
    println!("{:?} repositories and contents verified", verified.into_inner().unwrap());
    let trouble = trouble.into_inner().unwrap();
    for (name, text) in &trouble {
        println!("{name}: {text}");
    }
    let names: Vec<_> = trouble.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.is_empty(), "{names:?}");
}
