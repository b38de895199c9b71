//! Cases 47 to 55: what is in the volume afterwards.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use rokopia::testkit::{Attributes, Compare, Damage, Data, DataKind, Tree};

use crate::sandbox::{self, strs};
use crate::world::{World, add, create, listing, tree};

/// Leaves behind what applications leave behind.
fn litter(data: &Path) {
    for dir in ["etc/old", "nested/deep/er", "lost+found/#12", ".cache"] {
        fs::create_dir_all(data.join(dir)).unwrap();
    }
    for file in
        ["extra", ".hidden-extra", "etc/old/file", "nested/deep/er/x", "lost+found/#12/data", "hello.txt"]
    {
        fs::write(data.join(file), "old").unwrap();
    }
    fs::set_permissions(data.join("hello.txt"), PermissionsExt::from_mode(0o400)).unwrap();
    symlink("nowhere", data.join("old-link")).unwrap();
}

fn deleting(world: World) -> World {
    litter(&world.data());
    world.set("KOPIA_ENABLE_FILE_DELETION", "true")
}

#[test]
fn case_47_deletion_makes_the_volume_equal() {
    let world = deleting(World::new());
    world.run().ended(0);
    let differences = tree(3).compare(&world.data(), Compare::default()).unwrap();
    assert_eq!(differences, ["lost+found: not in the tree"]);
    assert_eq!(fs::read(world.data().join("lost+found/#12/data")).unwrap(), b"old");
}

#[test]
fn case_47_nothing_is_deleted_for_nothing() {
    let worlds = [
        deleting(World::new().set("KOPIA_OVERRIDE_USERNAME", "absent")),
        deleting(World::new().set("KOPIA_RESTORE_AS_OF", "1980-01-01T00:00:00Z")),
        deleting(World::new().set("KOPIA_PREVIOUS", "3")),
        deleting(World::new().set("KOPIA_PASSWORD", "wrong password")),
        deleting(World::new().set("KOPIA_ADDITIONAL_ARGS", "--frobnicate")),
        deleting(World::new().set("KOPIA_REPOSITORY", "filesystem:///no/such")),
    ];
    for world in worlds {
        let before = listing(&world.data());
        world.run();
        assert_eq!(listing(&world.data()), before);
    }
    for (prefix, message) in [("q", "ERROR"), ("x", "ERROR"), ("kopia.r", "ERROR")] {
        let world = deleting(World::new());
        let blobs = Damage::open(&world.repo()).unwrap();
        for blob in blobs.names(prefix).unwrap() {
            blobs.flip_some(&blob, 200, 1).unwrap();
        }
        let before = listing(&world.data());
        world.run().failed().has(message);
        assert_eq!(listing(&world.data()), before, "{prefix}");
    }
}

#[test]
fn case_47_nothing_is_deleted_for_a_part() {
    let packs = |world: &World| {
        let blobs = Damage::open(&world.repo()).unwrap();
        for pack in blobs.names("p").unwrap() {
            blobs.flip_some(&pack, 60, 7).unwrap();
        }
    };
    for (arguments, code) in [("", 1), ("--ignore-errors", 0)] {
        let world = deleting(World::new()).set("KOPIA_ADDITIONAL_ARGS", arguments);
        let mut before = listing(&world.data());
        before.remove(&world.data().join("hello.txt"));
        packs(&world);
        world.run().ended(code).has("nothing is deleted");
        let after = listing(&world.data());
        assert!(before.keys().all(|path| after.contains_key(path)), "{before:?} {after:?}");
    }
}

#[test]
fn case_48_an_ordinary_user_replaces_what_it_may_not_write() {
    let Some(wrapper) = sandbox::user() else { return };
    let tree = tree(3);
    let world = World::new();
    litter(&world.data());
    for (path, owner) in [("", 1234), ("etc", 1234), ("hello.txt", 0), (".hidden-extra", 0)] {
        chown(world.data().join(path), Some(owner), Some(5678)).unwrap();
    }
    world.run_in(&strs(&wrapper)).ended(0);
    let differences = tree.compare(&world.data(), Compare::default()).unwrap();
    assert!(differences.iter().all(|line| line.ends_with(": not in the tree")), "{differences:#?}");
    assert_eq!(world.data().join("hello.txt").metadata().unwrap().uid(), 1234);
    assert_eq!(fs::read(world.data().join(".hidden-extra")).unwrap(), b"old");
}

#[test]
fn case_48_without_deletion_extras_stay() {
    let world = World::new();
    litter(&world.data());
    chown(world.data().join("hello.txt"), Some(1), Some(1)).ok();
    world.run().ended(0);
    let differences = tree(3).compare(&world.data(), Compare::default()).unwrap();
    assert!(differences.iter().all(|line| line.ends_with(": not in the tree")), "{differences:#?}");
    assert_eq!(differences.len(), 7, "{differences:#?}");
}

#[test]
fn case_48_a_file_that_only_looks_right_is_replaced() {
    let world = World::new();
    world.run().ended(0);
    for path in ["same", "hello.txt"].map(|name| world.data().join(name)) {
        let modified = path.metadata().unwrap().modified().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, &bytes).unwrap();
        fs::File::open(&path).unwrap().set_modified(modified).unwrap();
    }
    world.run().ended(0);
    world.holds(&tree(3));
}

#[test]
fn case_48_a_file_takes_the_place_of_a_link() {
    let world = World::new();
    let outside = world.dir.path().join("outside");
    fs::write(&outside, "not ours").unwrap();
    symlink(&outside, world.data().join("hello.txt")).unwrap();
    symlink("nowhere", world.data().join("same")).unwrap();
    world.run().ended(0);
    world.holds(&tree(3));
    assert_eq!(fs::read(outside).unwrap(), b"not ours");
}

#[test]
fn case_48_a_volume_behind_a_link() {
    let world = World::new();
    let link = world.dir.path().join("link");
    symlink(world.data(), &link).unwrap();
    let world = world.set("DATA_DIR", link.to_str().unwrap());
    world.run().ended(0);
    world.holds(&tree(3));
}

#[test]
fn case_49_deletion_is_asked_for_by_one_word() {
    for value in ["", "1", "yes", "TRUE", "false"] {
        let world = World::new().set("KOPIA_ENABLE_FILE_DELETION", value);
        fs::write(world.data().join("extra"), "x").unwrap();
        world.run().ended(0);
        assert!(world.data().join("extra").exists(), "{value}");
    }
}

/// Every attribute and name that Kopia keeps.
fn zoo(uid: u32, gid: u32) -> Tree {
    let mut tree = Tree::owned_by(uid, gid);
    let small = |seed| Data { kind: DataKind::Text, seed, size: 100 };
    for mode in [0o4755, 0o2755, 0o1644, 0o7777, 0o400, 0o000] {
        tree.add_file(&format!("modes/{mode:o}"), small(1)).unwrap().attributes.mode = mode;
    }
    for (number, mode) in [0o500, 0o000, 0o1777, 0o2770].into_iter().enumerate() {
        let number = number as i64;
        let path = format!("closed/{mode:o}");
        tree.add_file(&format!("{path}/inside"), small(2)).unwrap();
        let directory = tree.add_directory(&path).unwrap();
        let attributes = Attributes { mode, mtime_ns: 1_000_000_001 * (number + 1), uid, gid };
        tree.set_directory_attributes(directory, attributes).unwrap();
    }
    for (name, target) in [
        ("dangling", &b"no/where"[..]),
        ("absolute", b"/etc/passwd"),
        ("odd", b"a\nb\xff\\ *"),
        ("up", b"../../.."),
    ] {
        tree.add_link(&format!("links/{name}"), target).unwrap();
    }
    tree.add_file("sparse", Data { kind: DataKind::Holes, seed: 3, size: 1 << 20 }).unwrap();
    tree.add_file("zeros", Data { kind: DataKind::Zeros, seed: 3, size: 3 << 20 }).unwrap();
    tree.add_file("early", small(4)).unwrap().attributes.mtime_ns = -1;
    for name in ["new\nline", "\"quoted\"", "-rf", "*", "ünï ©øde 漢", "x", "x.kopia-entry", "\u{fffd}", " "]
    {
        tree.add_file(&format!("names/{name}"), small(5)).unwrap();
    }
    tree.add_file(&format!("names/{}", "n".repeat(255)), small(6)).unwrap();
    tree.add_file(&format!("names/{}/f", "d".repeat(255)), small(7)).unwrap();
    tree.set_directory_attributes(
        0,
        Attributes { mode: 0o1751, mtime_ns: 123_456_789_012_345_678, uid, gid },
    )
    .unwrap();
    tree
}

fn with_tree(tree: &Tree) -> World {
    World::with(|dir| {
        let mut writer = create(dir);
        add(&mut writer, "app@ns:/data", "2026-01-01T00:00:00Z", tree);
        writer.finish().unwrap();
    })
}

#[test]
fn case_50_and_52_attributes_and_names() {
    let zoo = zoo(0, 0);
    let world = with_tree(&zoo);
    world.run().ended(0);
    world.holds(&zoo);
    world.run().ended(0);
    world.holds(&zoo);
}

#[test]
fn case_51_owners() {
    let zoo = zoo(1001, 2002);
    if nix::unistd::geteuid().is_root() {
        let world = with_tree(&zoo);
        world.run().ended(0);
        world.holds(&zoo);
    }
    let Some(wrapper) = sandbox::user() else { return };
    // Set-ID bits are for the owner that they were meant for, which an ordinary user cannot make.
    let tree = tree(1);
    let world = with_tree(&tree);
    chown(world.data(), Some(1234), Some(5678)).unwrap();
    world.run_in(&strs(&wrapper)).ended(0);
    world.holds(&tree);
    let foreign = Tree::owned_by(77, 88);
    let world = with_tree(&foreign);
    chown(world.data(), Some(1234), Some(5678)).unwrap();
    world.run_in(&strs(&wrapper)).ended(0).has("with the owner of this mover");
    assert_eq!(world.data().metadata().unwrap().uid(), 1234);
}

#[test]
fn case_51_an_ordinary_user_fetches_nothing_twice() {
    let Some(wrapper) = sandbox::user() else { return };
    let mut tree = Tree::owned_by(1234, 5678);
    for mode in [0o400, 0o444, 0o600, 0o755] {
        let data = Data { kind: DataKind::Noise, seed: mode.into(), size: 9000 };
        tree.add_file(&format!("objects/{mode:o}"), data).unwrap().attributes.mode = mode;
    }
    let world = with_tree(&tree);
    chown(world.data(), Some(1234), Some(5678)).unwrap();
    world.run_in(&strs(&wrapper)).ended(0);
    world.run_in(&strs(&wrapper)).ended(0).has("; 0 bytes fetched");
    world.holds(&tree);
}

#[test]
fn case_52_user_files_with_the_suffix_of_placeholders_survive() {
    let world = World::new();
    fs::write(world.data().join("hello.txt.kopia-entry"), "mine").unwrap();
    let beside = world.dir.path().join("data.kopia-entry");
    fs::write(&beside, "mine").unwrap();
    world.run().ended(0);
    assert!(world.data().join("hello.txt.kopia-entry").exists() && beside.exists());
}

/// Things in the way of `etc` (a directory), `hello.txt` (a file) and `link`.
fn conflict(kind: &str, data: &Path) {
    match kind {
        "file for directory" => fs::write(data.join("etc"), "x").unwrap(),
        "link for directory" => {
            fs::create_dir(data.join("elsewhere")).unwrap();
            symlink("elsewhere", data.join("etc")).unwrap();
        }
        "directory for file" => fs::create_dir_all(data.join("hello.txt/below")).unwrap(),
        _ => fs::write(data.join("link"), "x").unwrap(),
    }
}

#[test]
fn case_53_conflicts() {
    for (kind, path) in [
        ("file for directory", "etc"),
        ("link for directory", "etc"),
        ("directory for file", "hello.txt"),
        ("file for link", "link"),
    ] {
        let world = World::new();
        conflict(kind, &world.data());
        let before = fs::symlink_metadata(world.data().join(path)).unwrap().ino();
        world.run().failed().has(&format!("{path}: "));
        assert_eq!(fs::symlink_metadata(world.data().join(path)).unwrap().ino(), before, "{kind}");
        assert!(!world.data().join("elsewhere/settings.json").exists());

        let world = World::new().set("KOPIA_ENABLE_FILE_DELETION", "true");
        conflict(kind, &world.data());
        world.run().ended(0);
        world.holds(&tree(3));
    }
}

#[test]
fn case_54_damaged_data_is_never_written() {
    for missing in [false, true] {
        let world = World::new();
        let blobs = Damage::open(&world.repo()).unwrap();
        for pack in blobs.names("p").unwrap() {
            match missing {
                true => blobs.delete(&pack).unwrap(),
                false => drop(blobs.flip_some(&pack, 60, 7).unwrap()),
            }
        }
        world.run().failed().has("same: ");
        for path in listing(&world.data()).into_keys() {
            let name = path.strip_prefix(world.data()).unwrap().to_str().unwrap().to_owned();
            assert!(tree(3).listing().any(|entry| entry.path == name), "{name} is not of the snapshot");
        }
        let differences = tree(3).compare(&world.data(), Compare::default()).unwrap();
        assert!(differences.iter().all(|line| line.contains("No such file")), "{differences:#?}");
    }
}

#[test]
fn case_55_a_volume_that_must_not_be_written() {
    let script = r#"mount --bind "$DATA_DIR" "$DATA_DIR"; mount -o remount,ro,bind "$DATA_DIR"; exec "$@""#;
    let Some(wrapper) = sandbox::mounts(script) else { return };
    let world = World::new();
    world.run_in(&strs(&wrapper)).failed().has("Read-only file system");
    world.is_empty();
}

#[test]
fn case_55_a_full_volume() {
    let script = r#"mount -t tmpfs -o size=2m none "$DATA_DIR"
        "$@" || code=$?
        find "$DATA_DIR" -type f | sed "s,^,left: ,"; exit ${code:-0}"#;
    let Some(wrapper) = sandbox::mounts(script) else { return };
    let mut tree = Tree::new();
    for seed in 0..8 {
        tree.add_file(&format!("noise-{seed}"), Data { kind: DataKind::Noise, seed, size: 600_000 }).unwrap();
    }
    let run = with_tree(&tree).run_in(&strs(&wrapper));
    run.failed().has("No space left");
    for line in run.log.lines().filter_map(|line| line.strip_prefix("left: ")) {
        assert!(line.contains("/noise-"), "{line} was left behind");
    }
}
