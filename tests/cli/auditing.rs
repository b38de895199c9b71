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
fn maintenance_that_nobody_runs_is_a_notice() {
    let (code, report) = audit(&[]);
    let repository = &report["repository"];
    assert_eq!((code, &repository["maintenance_owner"]), (Some(0), &Value::from("data-demo@apps")));
    assert_eq!(repository["last_maintenance"], "2026-11-21T09:23:45.544288964Z");
    assert_eq!(repository["findings"][0]["code"], "maintenance-late");
    let text = stdout(&rokopia(&["audit"])).to_owned();
    assert!(text.contains("notice[maintenance-late]: ") && text.contains("kopia maintenance info"), "{text}");
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
fn claims_of_a_cluster_must_have_a_backup() {
    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("pvc.json");
    let claim = |kind: &str, name: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"{kind}","metadata":{{"name":"{name}","namespace":"apps"}},"spec":{{}}}}"#
        )
    };
    let audited = |items: &[String]| {
        let text = format!(r#"{{"apiVersion":"v1","kind":"List","items":[{}]}}"#, items.join(","));
        std::fs::write(&list, text).unwrap();
        let template = ["--source-template", "data-{pvc}@{namespace}:/data"];
        let arguments =
            [&["audit", "--json", "--expect-claims", list.to_str().unwrap()], template.as_slice()];
        rokopia(&arguments.concat())
    };
    let pvc = |name| claim("PersistentVolumeClaim", name);
    assert_exit(&audited(&[pvc("demo")]), 0);
    let output = audited(&[pvc("demo"), pvc("other")]);
    assert_exit(&output, 1);
    let report = json_lines(&output.stdout).pop().unwrap();
    assert_eq!(codes(&report), ["backup-missing"]);
    assert!(report.to_string().contains("data-other@apps:/data"), "{report}");
    // What expects nothing finds nothing missing.
    for items in [vec![], vec![claim("Pod", "demo")]] {
        let output = audited(&items);
        assert_exit(&output, 2);
        assert!(stderr(&output).contains("--expect-claims"), "{}", stderr(&output));
    }
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

/// The sample as it was before its last snapshot: without the blobs that came with it.
fn older() -> tempfile::TempDir {
    use rokopia::snapshot::UtcTimestamp;
    use rokopia::testkit::{NewSnapshot, Options, RepositoryWriter, Tree};
    let dir = tempfile::tempdir().unwrap();
    let options = Options { password: PASSWORD.into(), ..Options::default() };
    let mut writer = RepositoryWriter::create(dir.path(), options).unwrap();
    let root = writer.write_tree(&Tree::owned_by(0, 0)).unwrap();
    for source in ["data-demo@apps:/data", "more@apps:/data"] {
        let mut snapshot = NewSnapshot::new(&source.parse().unwrap(), 0, &root);
        snapshot.start = "2025-12-31T03:00:00Z".parse().unwrap();
        snapshot.end = UtcTimestamp(snapshot.start.as_nanos() + 1_000_000_000);
        writer.put_snapshot(&snapshot);
    }
    writer.finish().unwrap();
    dir
}

#[test]
fn of_two_stores_the_one_that_is_behind_is_named() {
    let other = older();
    let other = other.path().to_str().unwrap();
    let (code, report) = audit(&["--with", other]);
    assert_eq!((code, &report["ok"]), (Some(1), &Value::from(false)), "{report}");
    let compared = report["compared"].as_array().unwrap();
    let codes: Vec<Vec<&str>> = compared
        .iter()
        .map(|source| {
            let stores = source["stores"].as_array().unwrap().iter();
            let findings = stores.flat_map(|store| store["findings"].as_array().unwrap());
            findings.map(|finding| finding["code"].as_str().unwrap()).collect()
        })
        .collect();
    assert_eq!(codes, [vec!["store-behind"], vec!["store-lacks-source"]]);
    assert!(compared[0]["best"].as_str().unwrap().ends_with("basic/repo"), "{report}");
    let text = rokopia(&["audit", "--with", other]);
    assert!(stdout(&text).contains("warning[store-behind]: data-demo@apps:/data in "), "{}", stdout(&text));
}

#[test]
fn a_store_that_cannot_be_read_is_critical_and_no_answer_about_sources() {
    let (code, report) = audit(&["--with", "/nonexistent/store"]);
    assert_eq!(
        (code, &report["stores"][1]["code"]),
        (Some(1), &Value::from("repository-not-found")),
        "{report}"
    );
    let findings = report["compared"][0]["stores"][1]["findings"].as_array().unwrap().len();
    assert_eq!((findings, &report["sources"][0]["findings"]), (0, &Value::Array(vec![])));
}

#[test]
fn the_page_and_the_metrics_say_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (page, metrics) = (directory.path().join("a.html"), directory.path().join("a.prom"));
    let outputs = ["--html", page.to_str().unwrap(), "--textfile", metrics.to_str().unwrap()];
    let (code, _) = audit(&[&["--max-age", "26h"], outputs.as_slice()].concat());
    assert_eq!(code, Some(1));
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<h1 class=\"bad\">") && page.contains("data-demo@apps:/data"), "{page}");
    let text = std::fs::read_to_string(&metrics).unwrap();
    assert!(text.contains("rokopia_audit_good 0.0"), "{text}");
    let labels = "{source=\"data-demo@apps:/data\",severity=\"critical\"} 1.0";
    assert!(text.contains(&format!("rokopia_audit_findings{labels}")), "{text}");
    let promtool = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(&metrics).unwrap())
        .output();
    match promtool {
        Ok(output) => assert!(output.status.success(), "{output:?}\n{text}"),
        Err(_) => eprintln!("metrics: NOT CHECKED, there is no promtool"),
    }
    // Never into a repository.
    let inside = crate::support::copy_without(&[]);
    let path = inside.path().join("a.html");
    let output = run(inside.path(), PASSWORD, &["--json", "audit", "--html", path.to_str().unwrap()]);
    crate::support::assert_failure(&output, 3, "output-in-repository");
}

#[test]
fn the_dashboard_shows_metrics_that_there_are() {
    let text =
        std::fs::read_to_string(crate::support::project().join("deploy/grafana/rokopia.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() >= 8);
    let source: String = ["commands/audit/metrics.rs", "commands/verify/prometheus.rs"]
        .iter()
        .map(|file| {
            std::fs::read_to_string(crate::support::project().join("src/front/cli").join(file)).unwrap()
        })
        .collect();
    for panel in panels {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for metric in words.filter(|word| word.starts_with("rokopia_")) {
                let name = metric.trim_start_matches("rokopia_audit_").trim_start_matches("rokopia_verify_");
                assert!(source.contains(&format!("\"{name}\"")), "{metric} of {expression}");
            }
        }
    }
}

#[test]
fn an_age_that_nothing_judges_is_not_called_ok() {
    let text = stdout(&rokopia(&["audit"])).to_owned();
    assert!(text.contains("age not judged\n") && !text.contains("  ok\n"), "{text}");
    assert!(text.contains("The age of 1 source was not judged"), "{text}");
    let text = stdout(&rokopia(&["audit", "--max-age", "876000h"])).to_owned();
    assert!(text.contains("  ok\n") && !text.contains("judged"), "{text}");
}
