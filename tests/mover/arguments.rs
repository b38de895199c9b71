//! Cases 66 to 70: additional arguments.

use std::fs;
use std::os::unix::fs::MetadataExt;
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
    let world = with(&["--no-overwrite-files"]);
    fs::write(world.data().join("hello.txt"), "mine").unwrap();
    world.run().failed().has("--no-overwrite-files");
    assert_eq!(fs::read(world.data().join("hello.txt")).unwrap(), b"mine");
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
    world.run().ended(0).has("6 entries were skipped");
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
    world.run().ended(0).has("errors were ignored");
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
