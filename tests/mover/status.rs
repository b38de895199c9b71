//! Cases 56 to 61: what the operator can make of the log.

use std::collections::BTreeMap;
use std::path::Path;

use rokopia::testkit::{Damage, Data, DataKind, Tree};

use crate::operator::{STATUS, discover, headline};
use crate::world::{Run, World, add, create};

const HEADER: &str = "=== Discovery Mode: Available Snapshots ===";

/// The identities of R and their newest ends.
fn identities() -> BTreeMap<String, String> {
    let found = [("app@ns", "2026-01-03 03:01:00"), ("other@ns2", "2026-01-02 12:01:00")];
    found.into_iter().map(|(identity, end)| (identity.into(), end.into())).collect()
}

fn endings() -> Vec<(Run, bool)> {
    let damaged = World::new();
    let blobs = Damage::open(&damaged.repo()).unwrap();
    for pack in blobs.names("p").unwrap() {
        blobs.delete(&pack).unwrap();
    }
    vec![
        (World::new().set("KOPIA_RESTORE_AS_OF", "1980-01-01T00:00:00Z").run(), false),
        (World::new().set("KOPIA_SHALLOW", "0").run(), false),
        (World::new().set("KOPIA_PREVIOUS", "3").run(), true),
        (World::new().set("KOPIA_SHALLOW", "0").set("ROKOPIA_STRICT", "true").run(), true),
        (damaged.run(), true),
    ]
}

#[test]
fn case_56_and_57_discovery_survives_the_cut() {
    for (run, fails) in endings() {
        let status = run.status();
        assert!(status.len() <= STATUS && status.contains(HEADER), "{status}");
        let last = status.lines().last().unwrap();
        assert!(
            if fails { last.starts_with("ERROR: ") } else { last == "No eligible snapshots found" },
            "{status}"
        );
        assert_eq!(run.code != 0, fails);
        assert_eq!(discover(&status).identities, identities(), "{status}");
    }
}

#[test]
fn case_56_with_very_long_messages() {
    let world = World::with(|dir: &Path| {
        let mut writer = create(dir);
        let mut tree = Tree::new();
        let path = vec!["error".repeat(40); 15].join("/");
        tree.add_file(&path, Data { kind: DataKind::Noise, seed: 1, size: 10 }).unwrap();
        add(&mut writer, "app@ns:/data", "2026-01-01T00:00:00Z", &tree);
        writer.finish().unwrap();
        let blobs = Damage::open(dir).unwrap();
        for pack in blobs.names("p").unwrap() {
            blobs.delete(&pack).unwrap();
        }
    });
    let run = world.run();
    let status = run.failed().status();
    assert!(status.contains(HEADER), "{status}");
    assert_eq!(discover(&status).identities["app@ns"], "2026-01-01 00:01:00");
}

#[test]
fn case_56_with_names_that_pass_the_filter_and_long_ones() {
    let world = World::with(|dir: &Path| {
        let mut writer = create(dir);
        let mut tree = Tree::new();
        tree.add_file("x", Data { kind: DataKind::Noise, seed: 1, size: 10 }).unwrap();
        for number in 0..40 {
            add(&mut writer, &format!("failed-{number}@error:/data"), "2026-01-01T00:00:00Z", &tree);
        }
        add(&mut writer, &format!("app@ns:/{}", "long/".repeat(300)), "2026-01-02T00:00:00Z", &tree);
        writer.finish().unwrap();
    });
    let path = format!("/{}", "missing/".repeat(200));
    let world = world.set("KOPIA_SOURCE_PATH_OVERRIDE", path);
    for (strict, last) in [("", "No eligible snapshots found"), ("true", "[nothing-eligible]")] {
        let run = world.run_with("ROKOPIA_STRICT", strict);
        let status = run.status();
        assert!(status.contains(HEADER) && status.ends_with(last), "{status}");
        let found = discover(&status);
        assert_eq!(found.requested.as_deref(), Some("app@ns"), "{status}");
        assert_eq!(found.identities["app@ns"], "2026-01-02 00:01:00");
    }
}

#[test]
fn case_58_strict_mode_names_the_identity() {
    for world in [
        World::new().set("ROKOPIA_STRICT", "true"),
        World::new().set("KOPIA_ADDITIONAL_ARGS", "--rokopia-strict"),
    ] {
        let run = world.set("KOPIA_RESTORE_AS_OF", "1980-01-01T00:00:00Z").run();
        let found = discover(&run.failed().status());
        assert_eq!(found.requested.as_deref(), Some("app@ns"));
        assert!(headline(&found).unwrap().ends_with("Available identities: app@ns, other@ns2"));
    }
}

#[test]
fn case_59_success_is_quiet() {
    let run = World::new().run();
    let status = run.ended(0).status();
    let lower = status.to_lowercase();
    assert!(
        !status.is_empty() && !["error", "failed", "unable to"].iter().any(|word| lower.contains(word)),
        "{status}"
    );
    // What the operator's end-to-end tests look for.
    assert!(status.contains("restoring ") && status.contains("Kopia completed in "), "{status}");
}

#[test]
fn case_60_progress_is_bounded() {
    let run = World::new().run();
    assert!(run.ended(0).log.lines().count() < 60, "{}", run.log);
    assert!(!run.log.contains('\r'));
}

#[test]
fn case_61_the_last_lines_agree_with_the_exit_code() {
    let mut runs: Vec<Run> = endings().into_iter().map(|(run, _)| run).collect();
    runs.push(World::new().run());
    runs.push(World::new().started_with(&["foo"]).run());
    runs.push(World::new().set("KOPIA_PASSWORD", "").run());
    for run in runs {
        let result = if run.code == 0 { "SUCCESS" } else { "FAILURE" };
        let lines: Vec<&str> = run.log.lines().rev().take(5).collect();
        assert_eq!(lines[0], "INFO: === Done ===");
        assert_eq!(lines[1], format!("INFO: EXIT_CODE: {}", run.code));
        assert_eq!(lines[2], format!("INFO: OPERATION_RESULT: {result}"));
    }
}
