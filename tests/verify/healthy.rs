//! No alarm where nothing is wrong.

use rokopia::verify::{Level, Settings, Verdict};

use super::common::{Counter, cases, in_parallel};
use super::support::{open, run};

/// What these repositories were recorded for: it is named, but nothing is damaged.
fn is_recorded_oddity(case: &str, warning: &str) -> bool {
    match case {
        "clock-skew" | "existence-times" => warning.contains(" in the future, at "),
        "tree-zoo" => warning.ends_with("[names-repeated]"),
        _ => false,
    }
}

#[test]
fn healthy_repositories_are_clean() {
    let (repositories, contents) = (Counter::new(), Counter::new());
    in_parallel(&cases(), |case| {
        let name = &case.name;
        let repository = match open(&case.repo(), case.password()) {
            Ok(repository) => repository,
            Err(e) => {
                println!("{name}: not opened: {e}");
                return Vec::new();
            }
        };
        let report = run(&repository, &Settings { level: Level::Files, ..Settings::default() }).unwrap();
        repositories.add(1);
        contents.add(report.coverage.verified as usize);
        let odd = report.warnings.iter().any(|warning| !is_recorded_oddity(name, warning));
        if report.result != Verdict::Clean || !report.unneeded.is_empty() || odd {
            let text = serde_json::to_string_pretty(&report).unwrap();
            return vec![format!("{name}: {}", text.chars().take(3000).collect::<String>())];
        }
        Vec::new()
    });
    println!("{} repositories verified, {} contents", repositories.get(), contents.get());
    assert!(repositories.get() > 0 && contents.get() > 0);
}
