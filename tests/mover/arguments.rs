//! Cases 66 to 70: additional arguments.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::time::Duration;

use rokopia::testkit::{Compare, Damage};

use crate::world::{World, listing, tree};

fn with(elements: &[&str]) -> World {
    World::new().set("KOPIA_ADDITIONAL_ARGS", elements.join("|VOLSYNC_ARG_SEP|"))
}

#[test]
fn case_66_flags_are_honoured() {
    let world = with(&["--parallel=2", "--skip-owners"]);
    world.run().ended(0);
    let differences =
        tree(3).compare(&world.data(), Compare { owners: false, ..Compare::default() }).unwrap();
    assert!(differences.is_empty(), "{differences:#?}");
    assert_eq!(world.data().join("same").metadata().unwrap().uid(), nix::unistd::geteuid().as_raw());
}

#[test]
fn case_67_elements_arrive_whole() {
    with(&["--description=A_B|C VOLSYNC"]).run().ended(0);
    with(&["--mode=LOCAL_PATH"]).run().failed().has("LOCAL_PATH");
}

#[test]
fn case_68_no_overwriting() {
    for elements in [&["--no-overwrite-files"][..], &["--no-overwrite-files", "--skip-existing"]] {
        let world = with(elements);
        fs::write(world.data().join("hello.txt"), "mine").unwrap();
        fs::create_dir(world.data().join("etc")).unwrap();
        let status = world.run().failed().status();
        assert!(status.lines().last().unwrap().contains("hello.txt: "), "{status}");
        // Whatever is not in the way of anything is there all the same.
        let differences = tree(3).compare(&world.data(), Compare::default()).unwrap();
        assert!(!differences.is_empty() && differences.iter().all(|line| line.starts_with("hello.txt: ")));
        assert_eq!(fs::read(world.data().join("hello.txt")).unwrap(), b"mine");
    }
}

#[test]
fn case_68_no_overwriting_of_links() {
    for target in ["hello.txt", "no/where"] {
        let world = with(&["--no-overwrite-files"]);
        symlink(target, world.data().join("bin")).unwrap();
        symlink(target, world.data().join("link")).unwrap();
        world.run().failed().has("bin: ");
        assert_eq!(fs::read_link(world.data().join("bin")).unwrap(), Path::new(target));
        // A link where the snapshot has one is no file.
        assert_eq!(fs::read_link(world.data().join("link")).unwrap(), Path::new("etc/settings.json"));
    }
    let world = with(&["--no-overwrite-files"]);
    symlink("no/where", world.data().join("hello.txt")).unwrap();
    world.run().failed().has("hello.txt: ");
    assert_eq!(fs::read_link(world.data().join("hello.txt")).unwrap(), Path::new("no/where"));
}

#[test]
fn case_68_no_overwriting_of_what_was_restored_before() {
    let world = with(&["--no-overwrite-files"]);
    world.run().ended(0);
    world.holds(&tree(3));
    let before = listing(&world.data());
    world.run().failed().has("(and 5 more entries)");
    assert_eq!(listing(&world.data()), before);
    // Together with the other flag nothing is in the way of itself.
    let world = world.set("KOPIA_ADDITIONAL_ARGS", "--skip-existing|VOLSYNC_ARG_SEP|--no-overwrite-files");
    world.run().ended(0).has("7 entries skipped");
    assert_eq!(listing(&world.data()), before);
    let kept = alter(&world.data().join("same"), 9.0);
    world.run().failed().has("same: ").lacks("more entries");
    assert_eq!(fs::read(world.data().join("same")).unwrap(), kept);
    let world = world.set("KOPIA_ADDITIONAL_ARGS", "--no-overwrite-files|VOLSYNC_ARG_SEP|--ignore-errors");
    world.run().ended(0).has("6 errors ignored");
    assert_eq!(fs::read(world.data().join("same")).unwrap(), kept);
}

/// File deletion is a restore into an emptied volume for the stock mover, which no flag of the restore can mean.
#[test]
fn case_47_and_68_nothing_stays_where_deletion_is_enabled() {
    for element in ["--no-overwrite-files", "--skip-existing"] {
        let world = with(&[element]);
        world.run().ended(0);
        alter(&world.data().join("same"), 0.0);
        fs::write(world.data().join("extra"), "x").unwrap();
        world.run_with("KOPIA_ENABLE_FILE_DELETION", "true").ended(0);
        world.holds(&tree(3));
    }
}

/// The flag alone deletes what the snapshot does not have, and leaves the rest to the others.
#[test]
fn case_68_delete_extra_beside_no_overwriting() {
    let world = with(&["--delete-extra", "--no-overwrite-files"]);
    fs::create_dir_all(world.data().join("hello.txt/below")).unwrap();
    fs::write(world.data().join("extra"), "x").unwrap();
    world.run().ended(0);
    world.holds(&tree(3));
    fs::write(world.data().join("extra"), "x").unwrap();
    world.run().failed().has("nothing is deleted");
    assert!(world.data().join("extra").exists());
}

/// Changes bytes but not the size, and leaves a modification time that differs by `seconds` from what it was.
fn alter(path: &Path, seconds: f64) -> Vec<u8> {
    let modified = path.metadata().unwrap().modified().unwrap();
    let bytes: Vec<u8> = fs::read(path).unwrap().iter().map(|byte| !byte).collect();
    fs::write(path, &bytes).unwrap();
    fs::File::open(path).unwrap().set_modified(modified + Duration::from_secs_f64(seconds)).unwrap();
    bytes
}

#[test]
fn case_68_skip_existing() {
    let world = with(&["--skip-existing"]);
    world.run().ended(0);
    let [same, near, far] = ["same", "hello.txt", "bin/tool"].map(|name| world.data().join(name));
    let (kept, kept_too) = (alter(&same, 0.0), alter(&near, 1.9));
    alter(&far, 2.1);
    world.run().ended(0).has("6 entries skipped");
    assert_eq!(fs::read(&same).unwrap(), kept);
    assert_eq!(fs::read(&near).unwrap(), kept_too);
    fs::remove_file(same).unwrap();
    fs::remove_file(near).unwrap();
    world.run().ended(0);
    world.holds(&tree(3));
}

#[test]
fn case_68_delete_extra() {
    let world = with(&["--delete-extra"]);
    fs::create_dir_all(world.data().join("etc/extra")).unwrap();
    fs::create_dir_all(world.data().join("lost+found")).unwrap();
    world.run().ended(0);
    let differences = tree(3).compare(&world.data(), Compare::default()).unwrap();
    assert_eq!(differences, ["lost+found: not in the tree"]);
}

#[test]
fn case_68_ignore_errors() {
    let world = with(&["--ignore-errors"]);
    let blobs = Damage::open(&world.repo()).unwrap();
    for pack in blobs.names("p").unwrap() {
        blobs.delete(&pack).unwrap();
    }
    world.run().ended(0).has("errors ignored");
}

#[test]
fn case_69_flags_that_cannot_be_honoured() {
    for flag in ["--exclude", "--override-uid", "--verbose", "--shallow", "--skip-verification"] {
        let world = with(&["--parallel=2", &format!("{flag}=1")]).set("KOPIA_ENABLE_FILE_DELETION", "true");
        fs::write(world.data().join("kept"), "x").unwrap();
        let before = listing(world.dir.path());
        world.run().failed().has(flag);
        assert_eq!(listing(world.dir.path()), before);
    }
}

#[test]
fn case_70_flags_for_connecting() {
    let world = with(&[
        "--cache-directory=/x",
        "--content-cache-size-mb=5000",
        "--max-download-speed",
        "1000",
        "--readonly",
        "--no-check-for-updates",
        "--description=x",
        "--log-level=debug",
        "--no-progress",
        "--flat",
    ]);
    world.run().ended(0);
    world.holds(&tree(3));
}
