//! `rokopia audit` on the sample: one source of three snapshots, long ago.

use serde_json::Value;

use crate::common::{json_lines, run};
use crate::support::{PASSWORD, assert_exit, copy_without, rokopia, stderr, stdout};

fn audit(arguments: &[&str]) -> (Option<i32>, Value) {
    let output = rokopia(&[&["audit", "--json"], arguments].concat());
    let report = json_lines(&output.stdout).pop().unwrap();
    (output.status.code(), report)
}

fn codes(report: &Value) -> Vec<String> {
    let sources = report["sources"].as_array().unwrap().iter();
    let findings = sources.flat_map(|source| source["findings"].as_array().unwrap());
    findings.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn old_backups_are_stale_by_a_limit_alone() {
    let (code, report) = audit(&[]);
    assert_eq!((code, &report["ok"], codes(&report)), (Some(0), &Value::from(true), vec![]));
    let (code, report) = audit(&["--max-age", "26h"]);
    assert_eq!((code, codes(&report)), (Some(1), vec!["backup-stale".to_owned()]));
    assert_eq!(report["sources"][0]["max_age_seconds"], 26 * 3600);
}

#[test]
fn expected_sources_are_missing_only_where_the_list_is_complete() {
    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("claims.txt");
    std::fs::write(&list, "data-demo@apps:/data\nother@apps:/data 2d\n").unwrap();
    let list = list.to_str().unwrap();
    let (code, report) = audit(&["--expect", list]);
    assert_eq!((code, codes(&report)), (Some(1), vec!["backup-missing".to_owned()]));
    assert_eq!(report["complete"], true);
    let damaged = copy_without(&["x", "n"]);
    let output = run(damaged.path(), PASSWORD, &["audit", "--json", "--expect", list]);
    let report = json_lines(&output.stdout).pop().unwrap();
    assert_exit(&output, 1);
    assert_eq!(
        (&report["complete"], codes(&report).contains(&"backup-unknown".to_owned())),
        (&false.into(), true)
    );
    assert!(!codes(&report).contains(&"backup-missing".to_owned()));
}

#[test]
fn text_names_each_finding_with_its_cure_and_lists_all_sources() {
    let output = rokopia(&["audit", "--max-age", "1h"]);
    let text = stdout(&output);
    assert!(text.starts_with("critical[backup-stale]: data-demo@apps:/data: "), "{text}");
    assert!(text.contains("\n  help: ") && text.contains("\nSOURCE "), "{text}");
    let quiet = rokopia(&["-q", "audit", "--max-age", "1h"]);
    assert!(!stdout(&quiet).contains("SOURCE"), "{}", stdout(&quiet));
    for (arguments, named) in
        [(["--max-age", "5x"], "--max-age"), (["--expect", "/nonexistent"], "/nonexistent")]
    {
        let output = rokopia(&[&["audit"], arguments.as_slice()].concat());
        assert_exit(&output, 2);
        assert!(stderr(&output).contains(named), "{}", stderr(&output));
    }
}
