//! Cases 71 and 72: a repository that cannot be read as it should.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use rokopia::testkit::Damage;

use crate::sandbox::{self, strs};
use crate::world::{STARTS, World, add, create, listing, tree, write_r};

fn refuses(world: &World) {
    fs::write(world.data().join("kept"), "x").unwrap();
    let before = listing(&world.data());
    world.run().failed().lacks("No eligible snapshots found");
    assert_eq!(listing(&world.data()), before);
}

fn damaged(prefix: &str, how: impl Fn(&Damage, &str)) -> World {
    let world = World::new().set("KOPIA_ENABLE_FILE_DELETION", "true");
    let blobs = Damage::open(&world.repo()).unwrap();
    for blob in blobs.names(prefix).unwrap() {
        how(&blobs, &blob);
    }
    world
}

#[test]
fn case_71_indexes_and_manifests() {
    refuses(&damaged("xn", |blobs, blob| drop(blobs.flip_some(blob, 1, 1).unwrap())));
    refuses(&damaged("xn", |blobs, blob| blobs.truncate(blob, 10).unwrap()));
    refuses(&damaged("q", |blobs, blob| drop(blobs.flip_some(blob, 100, 1).unwrap())));
    refuses(&damaged("q", |blobs, blob| blobs.delete(blob).unwrap()));
}

#[test]
fn case_71_lost_indexes_are_not_an_empty_repository() {
    refuses(&damaged("xn", |blobs, blob| blobs.delete(blob).unwrap()));
    // Only the index with our snapshot is lost: all others can be listed.
    let world = World::with(|dir| {
        let mut writer = create(dir);
        add(&mut writer, "other@ns2:/data", STARTS[0], &tree(1));
        let blobs = Damage::open(dir).unwrap();
        let before = blobs.names("xn").unwrap();
        add(&mut writer, "app@ns:/data", STARTS[1], &tree(2));
        writer.finish().unwrap();
        for blob in blobs.names("xn").unwrap().into_iter().filter(|blob| !before.contains(blob)) {
            blobs.delete(&blob).unwrap();
        }
    });
    refuses(&world);
    // Another identity is none the worse for it.
    let world = world.set("KOPIA_OVERRIDE_USERNAME", "other").set("KOPIA_OVERRIDE_HOSTNAME", "ns2");
    world.run().ended(0);
}

#[test]
fn case_71_a_directory_that_must_not_be_listed() {
    let Some(wrapper) = sandbox::user() else { return };
    for name in ["x", "."] {
        let world = World::new();
        let directory = world.repo().join(name);
        if !directory.is_dir() {
            continue;
        }
        fs::set_permissions(&directory, PermissionsExt::from_mode(0o0)).unwrap();
        world.run_in(&strs(&wrapper)).failed().has("ermission denied");
        fs::set_permissions(&directory, PermissionsExt::from_mode(0o755)).unwrap();
        world.is_empty();
    }
}

/// R with a snapshot manifest of `user` that cannot be understood.
fn with_broken_manifest(user: &str) -> World {
    World::with(|dir| {
        let mut writer = write_r(dir);
        let labels = [("type", "snapshot"), ("username", user), ("hostname", "ns"), ("path", "/data")];
        let labels: BTreeMap<String, String> = labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        writer.put_manifest(labels, serde_json::json!({"startTime": "broken"}));
        writer.finish().unwrap();
    })
}

#[test]
fn case_72_a_manifest_of_someone_else() {
    let world = with_broken_manifest("neighbour");
    world.run().ended(0);
    world.holds(&tree(3));
}

#[test]
fn a_manifest_of_ours_forbids_to_call_another_the_newest() {
    refuses(&with_broken_manifest("app"));
    let world = with_broken_manifest("app").set("KOPIA_ADDITIONAL_ARGS", "--rokopia-degraded");
    world.run().ended(0);
    world.holds(&tree(3));
}
