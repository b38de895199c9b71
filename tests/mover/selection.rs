//! Cases 29 to 46: whose snapshot, and which.

use crate::operator::discover;
use crate::world::{STARTS, World, add, create, source, tree};

use rokopia::snapshot::UtcTimestamp;
use rokopia::testkit::NewSnapshot;

/// R with these settings restores snapshot `number`, or nothing for 0.
fn chooses(settings: &[(&str, &str)], number: u64) {
    let world = settings.iter().fold(World::new(), |world, (name, value)| world.set(name, *value));
    match number {
        0 => {
            world.run().found_nothing();
            world.is_empty();
        }
        _ => {
            world.run().ended(0);
            world.holds(&tree(number));
        }
    }
}

const AS_OF: &str = "KOPIA_RESTORE_AS_OF";
const PREVIOUS: &str = "KOPIA_PREVIOUS";
const SHALLOW: &str = "KOPIA_SHALLOW";

#[test]
fn case_29_path_override() {
    for path in ["/var/lib/app", "/var/lib/app/", "/var//lib/app"] {
        let world = World::with(|dir| {
            let mut writer = create(dir);
            add(&mut writer, "app@ns:/var/lib/app", STARTS[0], &tree(1));
            writer.finish().unwrap();
        });
        let world = world.set("KOPIA_SOURCE_PATH_OVERRIDE", path);
        world.run().ended(0);
        world.holds(&tree(1));
    }
}

#[test]
fn the_data_directory_is_the_path_of_the_snapshot() {
    for slashes in ["", "/", "//."] {
        let world = World::without_repository().unset("KOPIA_SOURCE_PATH_OVERRIDE");
        let data = world.data().to_str().unwrap().to_owned();
        let mut writer = create(&world.repo());
        add(&mut writer, &format!("app@ns:{data}"), STARTS[0], &tree(1));
        add(&mut writer, "app@ns:/data", STARTS[1], &tree(2));
        writer.finish().unwrap();
        let world = world.set("DATA_DIR", data + slashes);
        world.run().ended(0).lacks("even though");
        world.holds(&tree(1));
    }
}

#[test]
fn case_30_path_override_without_snapshots() {
    chooses(&[("KOPIA_SOURCE_PATH_OVERRIDE", "/var/lib/app")], 0);
}

/// Snapshots of `/data`, and newer ones of other paths of the same identity.
fn with_other_paths(paths: &[&str]) -> World {
    World::with(|dir| {
        let mut writer = create(dir);
        add(&mut writer, "app@ns:/data", STARTS[0], &tree(1));
        for path in paths {
            add(&mut writer, &format!("app@ns:{path}"), STARTS[2], &tree(3));
        }
        writer.finish().unwrap();
    })
}

#[test]
fn case_31_one_of_two_paths() {
    let world = with_other_paths(&["/cfg", "/data/below", "/dat"]);
    world.run().ended(0);
    world.holds(&tree(1));
}

#[test]
fn case_32_never_a_parent() {
    let world = with_other_paths(&["/"]);
    world.run().ended(0);
    world.holds(&tree(1));
    with_other_paths(&["/"]).set(PREVIOUS, "1").run().failed();
}

#[test]
fn case_33_nothing_for_the_identity() {
    let world =
        World::new().set("KOPIA_OVERRIDE_USERNAME", "nobody-knows").set("KOPIA_ENABLE_FILE_DELETION", "true");
    std::fs::write(world.data().join("kept"), "x").unwrap();
    let run = world.run();
    run.found_nothing().has("=== No data will be restored ===");
    assert!(run.status().contains("No snapshots found for nobody-knows@ns:/data"));
    assert!(world.data().join("kept").exists());
}

#[test]
fn case_34_previous() {
    for (previous, number) in [("1", 2), ("2", 1), ("0", 3), ("", 3)] {
        chooses(&[(PREVIOUS, previous)], number);
    }
}

#[test]
fn case_35_previous_too_large() {
    for more in [None, Some((AS_OF, "2026-12-31T00:00:00Z")), Some((SHALLOW, "9"))] {
        let world = World::new().set(PREVIOUS, "3");
        let world = more.into_iter().fold(world, |world, (name, value)| world.set(name, value));
        let run = world.run();
        let status = run.failed().status();
        let last = status.lines().last().unwrap();
        assert!(last.contains('3') && last.contains("3 found"), "{last}");
        world.is_empty();
    }
}

#[test]
fn case_36_previous_that_makes_no_sense() {
    for value in ["-1", "-3", "abc", "1.0"] {
        World::new().set(PREVIOUS, value).run().failed().has("KOPIA_PREVIOUS");
    }
    World::new().set(AS_OF, "yesterday").run().failed().has("RFC 3339");
}

#[test]
fn case_37_as_of_is_inclusive() {
    chooses(&[(AS_OF, STARTS[1])], 2);
    chooses(&[(AS_OF, "2026-01-02T03:00:00.123456699Z")], 1);
}

#[test]
fn case_38_as_of_is_an_instant() {
    for time in [
        "2026-01-02T05:00:00.1234567+02:00",
        "2026-01-01T23:00:00.1234567-04:00",
        "2026-01-02t03:00:00.123456700z",
        "2026-01-02T03:00:01Z",
    ] {
        chooses(&[(AS_OF, time)], 2);
    }
    chooses(&[(AS_OF, "2026-01-02T02:59:59Z")], 1);
}

#[test]
fn as_of_means_all_of_its_last_digit() {
    for time in ["2026-01-02T03:00:00Z", "2026-01-02T03:00:00.1Z", "2026-01-02T03:00:00.1234567Z"] {
        chooses(&[(AS_OF, time)], 2);
    }
    for time in ["2026-01-02T03:00:00.0Z", "2026-01-02T03:00:00.123456Z"] {
        chooses(&[(AS_OF, time)], if time.ends_with("456Z") { 2 } else { 1 });
    }
}

#[test]
fn case_39_as_of_before_everything() {
    chooses(&[(AS_OF, "1980-01-01T00:00:00Z")], 0);
    chooses(&[(AS_OF, "1980-01-01T00:00:00Z"), (PREVIOUS, "2")], 0);
}

#[test]
fn case_40_previous_counts_from_as_of() {
    chooses(&[(AS_OF, "2026-01-02T12:00:00Z"), (PREVIOUS, "1")], 1);
}

#[test]
fn case_41_shallow() {
    chooses(&[(SHALLOW, "9999")], 3);
    chooses(&[(SHALLOW, "1")], 3);
    chooses(&[(SHALLOW, "2"), (PREVIOUS, "1")], 2);
    chooses(&[(SHALLOW, "0")], 0);
}

#[test]
fn case_42_shallow_beside_as_of() {
    chooses(&[(AS_OF, STARTS[1]), (SHALLOW, "1")], 2);
    chooses(&[(AS_OF, STARTS[1]), (SHALLOW, "0")], 2);
}

fn with_incomplete(also_complete: bool) -> World {
    World::with(|dir| {
        let mut writer = create(dir);
        if also_complete {
            add(&mut writer, "app@ns:/data", STARTS[0], &tree(1));
        }
        let root = writer.write_tree(&tree(2)).unwrap();
        for (reason, start) in [("checkpoint", STARTS[1]), ("canceled", STARTS[2])] {
            let mut snapshot = NewSnapshot::new(&source("app@ns:/data"), 0, &root);
            snapshot.start = start.parse().unwrap();
            snapshot.end = snapshot.start;
            snapshot.incomplete = Some(reason.into());
            writer.put_snapshot(&snapshot);
        }
        writer.finish().unwrap();
    })
}

#[test]
fn case_43_incomplete_snapshots_are_passed_over() {
    let world = with_incomplete(true);
    world.run().ended(0);
    world.holds(&tree(1));
}

#[test]
fn case_44_only_incomplete_snapshots() {
    let world = with_incomplete(false);
    world.run().found_nothing().has("passed over as incomplete: 2 snapshots");
    world.is_empty();
}

#[test]
fn case_45_identity_of_the_system() {
    let host = nix::sys::utsname::uname().unwrap().nodename().to_str().unwrap().to_owned();
    let short = host.split('.').next().unwrap().to_lowercase();
    let names = std::fs::read_to_string("/etc/passwd").unwrap();
    let uid = format!(":{}:", nix::unistd::geteuid());
    let user = names.lines().find(|line| line.splitn(3, ':').nth(2).unwrap_or("").starts_with(&uid[1..]));
    let user = user.and_then(|line| line.split(':').next());
    let asked = |world: World| world.run().log;
    let searched = |who: &str, at: &str| format!("Looking for snapshots with identity: {who}@{at}:/data");
    let log = asked(World::new().unset("KOPIA_OVERRIDE_HOSTNAME"));
    assert!(log.contains(&searched("app", &host)), "{log}");
    if let Some(user) = user {
        let log = asked(World::new().unset("KOPIA_OVERRIDE_USERNAME"));
        assert!(log.contains(&searched(user, "ns")), "{log}");
    }
    let log = asked(World::new().unset("KOPIA_OVERRIDE_USERNAME").unset("KOPIA_OVERRIDE_HOSTNAME"));
    assert!(log.contains(&searched(user.unwrap_or("nobody"), &short)), "{log}");
}

#[test]
fn case_46_many_snapshots_and_identities() {
    let write = |dir: &std::path::Path| {
        let mut writer = create(dir);
        let older = writer.write_tree(&tree(1)).unwrap();
        let newest = writer.write_tree(&tree(2)).unwrap();
        let minute = |n: i64| UtcTimestamp(1_767_225_600_000_000_000 + n * 60_000_000_000);
        for n in 0..3000_i64 {
            let name = format!("application-with-a-long-name-{}@namespace-{}:/data", n % 300, n % 7);
            let mut snapshot = NewSnapshot::new(&source(&name), 0, &older);
            (snapshot.start, snapshot.end) = (minute(n), minute(n + 1));
            writer.put_snapshot(&snapshot);
        }
        for (n, root) in [(10_000, &newest), (9_000, &older)] {
            let mut snapshot = NewSnapshot::new(&source("app@ns:/data"), 0, root);
            (snapshot.start, snapshot.end) = (minute(n), minute(n + 1));
            writer.put_snapshot(&snapshot);
        }
        writer.finish().unwrap();
    };
    let world = World::with(write);
    world.run().ended(0);
    world.holds(&tree(2));
    let run = World::with(write).set(PREVIOUS, "5").run();
    let status = run.failed().status();
    assert!(status.contains("=== Discovery Mode: Available Snapshots ==="), "{status}");
    assert!(status.lines().last().unwrap().starts_with("ERROR:"));
    let found = discover(&status);
    assert!(found.identities.len() > 5, "{found:?}");
    assert_eq!(found.identities["app@ns"], "2026-01-07 22:41:00");
}
