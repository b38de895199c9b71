//! Cases 1 to 14: how a run begins.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rokopia::testkit::Compare;

use crate::sandbox::{self, strs};
use crate::world::{PASSWORD, Run, World, tree};

fn restores(world: &World) {
    let run = world.run();
    run.ended(0);
    assert!(run.status().contains("Snapshot restore completed"), "{}", run.log);
    world.holds(&tree(3));
}

#[test]
fn case_01_restores_the_newest() {
    restores(&World::new());
}

#[test]
fn case_02_by_direction() {
    restores(&World::new().started_with(&[]).set("DIRECTION", "destination"));
}

#[test]
fn case_03_direction_decides_over_the_argument() {
    restores(&World::new().started_with(&["backup"]).set("DIRECTION", "destination"));
}

#[test]
fn case_04_unknown_operation() {
    let world = World::new().started_with(&["foo"]);
    world.run().ended(2).has("ERROR: unknown operation: foo");
    world.is_empty();
}

#[test]
fn case_05_no_operation() {
    World::new().started_with(&[]).run().failed().has("usage");
}

#[test]
fn case_06_no_password() {
    World::new().set("KOPIA_PASSWORD", "").run().ended(1).has("ERROR: KOPIA_PASSWORD must be defined");
}

#[test]
fn case_07_no_data_directory_named() {
    World::new().unset("DATA_DIR").run().ended(1).has("ERROR: DATA_DIR must be defined");
}

#[test]
fn case_08_data_directory_missing() {
    let world = World::new();
    let missing = world.dir.path().join("no/data");
    let world = world.set("DATA_DIR", missing.to_str().unwrap());
    world.run().ended(1).has(&format!("ERROR: Data directory {} does not exist", missing.display()));
    assert!(!missing.exists());
}

#[test]
fn case_09_no_cache_is_needed() {
    restores(&World::new().set("KOPIA_CACHE_DIR", "/no/such/cache"));
    restores(&World::new().unset("KOPIA_CACHE_DIR"));
    for script in [
        r#"mount -t tmpfs -o ro none "$KOPIA_CACHE_DIR"; exec "$@""#,
        r#"mount -t tmpfs -o size=4k none "$KOPIA_CACHE_DIR"
            head -c 9000 /dev/zero > "$KOPIA_CACHE_DIR/full" 2> /dev/null || true
            exec "$@""#,
    ] {
        let Some(wrapper) = sandbox::mounts(script) else { return };
        let world = World::new();
        world.run_in(&strs(&wrapper)).ended(0);
        world.holds(&tree(3));
    }
}

/// A container's root as Kubernetes makes it: read-only, no `/proc`, an unknown user without capabilities.
const CONTAINER: &str = r#"
R="$W/root"; mkdir -p "$R"; mount -t tmpfs none "$R"
for d in usr lib lib32 lib64 bin; do
  if [ -L "/$d" ]; then cp -P "/$d" "$R/$d"; elif [ -d "/$d" ]; then mkdir "$R/$d"; mount --rbind "/$d" "$R/$d"; fi
done
mkdir -p "$R/mover-kopia" "$R/mnt/repo" "$R/restore" "$R/cache" "$R/tmp"
cp -L "$W/entry.sh" "$R/mover-kopia/entry.sh"
mount --bind "$W/repo" "$R/mnt/repo"
for d in tmp cache restore; do mount -t tmpfs none "$R/$d"; done
[ -z "$CLOSED" ] || chmod 0555 "$R/restore"
mkdir "$R/restore/data"; mount --bind "$W/data" "$R/restore/data"; chmod 0777 "$R/tmp" "$R/cache"
mount -o remount,ro,bind "$R/mnt/repo"; mount -o remount,ro "$R"
as=$USERSPEC; unset W CLOSED USERSPEC
exec /usr/sbin/chroot --userspec="$as" --groups= "$R" /usr/bin/setpriv --no-new-privs --bounding-set=-all --inh-caps=-all \
  /mover-kopia/entry.sh restore
"#;

/// A run in such a container by this user, to whom the empty volume belongs, with R.
fn contained(owner: (u32, u32), closed: &str, data_dir: &str) -> Option<(World, Run)> {
    let wrapper = sandbox::mounts(CONTAINER)?;
    sandbox::user()?;
    let world = World::new();
    let root = world.dir.path().to_str().unwrap().to_owned();
    let world = world
        .set("W", root)
        .set("CLOSED", closed)
        .set("USERSPEC", format!("{}:{}", owner.0, owner.1))
        .set("DATA_DIR", data_dir)
        .set("KOPIA_CACHE_DIR", "/cache")
        .set("KOPIA_REPOSITORY", "filesystem:///mnt/repo")
        .unset("KOPIA_SOURCE_PATH_OVERRIDE");
    chown(world.data(), Some(owner.0), Some(owner.1)).unwrap();
    fs::set_permissions(world.data(), PermissionsExt::from_mode(0o755)).unwrap();
    let run = world.run_in(&strs(&wrapper));
    Some((world, run))
}

fn restores_contained(closed: &str) {
    let Some((world, run)) = contained((1234, 5678), closed, "/restore/data") else { return };
    run.ended(0).has("path /data (original path) even though restoring to /restore/data");
    world.holds(&tree(3));
}

#[test]
fn case_10_read_only_root_unknown_user() {
    restores_contained("");
}

#[test]
fn case_11_only_the_volume_is_writable() {
    restores_contained("yes");
}

/// The operator sets no user unless it is asked to, and neither does the image: root of the container, without any capability,
/// owns the root of a new volume.
#[test]
fn root_without_capabilities_fills_a_new_volume() {
    let Some((world, run)) = contained((0, 0), "", "/restore/data") else { return };
    run.ended(0).has("Snapshot restore completed");
    let compare = Compare { owners: false, ..Compare::default() };
    assert_eq!(tree(3).compare(&world.data(), compare).unwrap(), [""; 0], "its own user stays on the files");
}

/// The operator's own directory stands for the source's by its very name alone; any other is the path itself.
#[test]
fn the_data_directory_is_compared_to_the_letter() {
    let Some((world, run)) = contained((1234, 5678), "", "/restore/data/") else { return };
    run.found_nothing().has("app@ns:/restore/data");
    world.is_empty();
}

#[test]
fn case_12_debug_mode_waits() {
    let script = r#"mount -t tmpfs none /tmp; exec "$@""#;
    let Some(wrapper) = sandbox::mounts(script) else { return };
    let world = World::inside(Path::new(env!("CARGO_TARGET_TMPDIR"))).set("DEBUG_MOVER", "1");
    if world.dir.path().starts_with("/tmp") {
        println!("skipped: the build lies in /tmp");
        return;
    }
    let mut child = world.command(&strs(&wrapper)).spawn().unwrap();
    let flag = format!("/proc/{}/root/tmp/exit-debug-if-removed", child.id());
    let deadline = Instant::now() + Duration::from_secs(120);
    while !Path::new(&flag).exists() {
        assert!(Instant::now() < deadline, "debug mode does not begin");
        assert!(child.try_wait().unwrap().is_none(), "debug mode does not wait");
        std::thread::sleep(Duration::from_millis(20));
    }
    fs::remove_file(flag).unwrap();
    assert!(child.wait().unwrap().success());
    world.is_empty();
}

#[test]
fn case_13_no_secrets_in_the_log() {
    let secrets = [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "KOPIA_AZURE_STORAGE_KEY",
        "B2_APPLICATION_KEY",
        "SFTP_PASSWORD",
        "WEBDAV_PASSWORD",
    ];
    let with_secrets = |mut world: World| {
        for name in secrets {
            world = world.set(name, format!("secret-of-{name}"));
        }
        world
    };
    with_secrets(World::new()).run().ended(0);
    with_secrets(World::new().set("KOPIA_S3_BUCKET", "b")).run().failed();
    with_secrets(World::new().set("KOPIA_PREVIOUS", "9")).run().failed();
    with_secrets(World::new().set("KOPIA_PASSWORD", "wrong horse staple")).run().failed();
    let flag = "--sftp-password=secret-of-SFTP_PASSWORD";
    with_secrets(World::new().set("KOPIA_ADDITIONAL_ARGS", flag)).run().failed();
}

#[test]
fn case_14_other_directions_need_kopia() {
    for (direction, arguments) in [("", &["backup"][..]), ("maintenance", &[]), ("source", &[])] {
        let run = World::new().started_with(arguments).set("DIRECTION", direction).run();
        assert_eq!(run.failed().log.matches("ERROR:").count(), 1, "{}", run.log);
        run.has("kopia binary");
    }
}

/// A kopia that records how it was called, and is connected once it was told to connect.
const STUB: &str = r#"#!/bin/sh
echo "$*" | sed 's/--config-file=[^ ]* --log-dir=[^ ]* --log-level=[^ ]* --file-log-level=[^ ]* --log-dir-max-files=[^ ]* --log-dir-max-age=[^ ]* //' >> "$RECORD"
case "$*" in
  *"repository status"*) [ -e "$RECORD.connected" ] ;;
  *"repository connect"*) touch "$RECORD.connected" ;;
  *"maintenance info"*) echo "Owner: someone@else" ;;
esac
"#;

fn with_stub(variables: &[(&str, &str)], arguments: &[&str]) -> World {
    let world = World::new().started_with(arguments);
    let bin = world.dir.path().join("bin");
    let record = world.dir.path().join("record");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("kopia"), STUB).unwrap();
    fs::set_permissions(bin.join("kopia"), PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(world.data().join("file"), "data").unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let world = world.set("PATH", path).set("RECORD", record.to_str().unwrap());
    variables.iter().fold(world, |world, (name, value)| world.set(name, *value))
}

/// The calls of the stub.
fn recorded(world: &World) -> Vec<String> {
    let recorded = fs::read_to_string(world.dir.path().join("record")).unwrap();
    let root = world.dir.path().to_str().unwrap().to_owned();
    recorded.replace(&root, "").lines().map(str::to_owned).collect()
}

#[test]
fn case_14_a_backup_never_goes_elsewhere_because_of_a_typing_error() {
    let variable = ("KOPIA_STRUCTURED_REPOSITORY_CONFIG", "{\"token\": \"hunter22\"");
    let world = with_stub(&[variable], &["backup"]);
    world.run().failed().has("KOPIA_STRUCTURED_REPOSITORY_CONFIG").lacks("hunter22");
    assert_eq!(recorded(&world), ["--version", "repository status"]);
}

#[test]
fn case_14_other_directions_are_handed_to_a_kopia_that_is_there() {
    let run = |variables: &[(&str, &str)], arguments: &[&str]| {
        let world = with_stub(variables, arguments);
        world.run().ended(0);
        recorded(&world)
    };
    let connected = [
        "--version",
        "repository status",
        "repository connect filesystem --path=/repo --cache-directory=/cache",
        "repository set-client --username=app --hostname=ns",
        "repository status",
        "cache set --cache-directory=/cache --metadata-cache-size-limit-mb=100",
    ];
    let limit = ("KOPIA_METADATA_CACHE_SIZE_LIMIT_MB", "100");
    let backup = run(&[limit, ("KOPIA_PARALLELISM", "2"), ("KOPIA_RETAIN_DAILY", "7")], &["backup"]);
    assert_eq!(backup[..6], connected);
    assert_eq!(
        backup[6..],
        ["snapshot create /data --parallel=2 --override-source=/data", "policy set /data --keep-daily=7"]
    );
    let flags = "--description=of us|VOLSYNC_ARG_SEP|--tags=a:b|VOLSYNC_ARG_SEP|--readonly=false";
    let backup = run(&[("KOPIA_ADDITIONAL_ARGS", flags)], &["backup"]);
    assert_eq!(backup[2], format!("{} --description=of us --readonly=false", connected[2]));
    assert_eq!(backup[6], "snapshot create /data --override-source=/data --description=of us --tags=a:b");
}

/// The operator gives maintenance no identity, and its pods run as a user without a name.
#[test]
fn maintenance_has_an_identity_of_its_own_from_the_start() {
    let world = with_stub(&[("DIRECTION", "maintenance")], &[])
        .unset("KOPIA_OVERRIDE_USERNAME")
        .unset("KOPIA_OVERRIDE_HOSTNAME")
        .unset("DATA_DIR");
    world.run().ended(0).has("INFO: MAINTENANCE_STATUS: SUCCESS");
    assert_eq!(
        recorded(&world),
        [
            "--version",
            "repository status",
            "repository connect filesystem --path=/repo --cache-directory=/cache",
            "repository set-client --username=maintenance --hostname=volsync",
            "repository status",
            "cache set --cache-directory=/cache",
            "repository set-client --username=maintenance --hostname=volsync",
            "maintenance info",
            "maintenance set --owner=maintenance@volsync",
            "maintenance set --enable-quick=true",
            "maintenance run",
            "maintenance run --full"
        ]
    );
}

#[test]
fn the_same_program_as_a_command() {
    let world = World::new();
    let output = Command::new(env!("CARGO_BIN_EXE_rokopia"))
        .args(["mover", "restore"])
        .env_clear()
        .envs(world.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("KOPIA_PASSWORD", PASSWORD)
        .output()
        .unwrap();
    assert!(output.status.success());
    world.holds(&tree(3));
}
