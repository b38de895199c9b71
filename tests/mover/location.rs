//! Cases 15 to 28: where the repository is.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use crate::common::damage::copy;
use crate::sandbox::{self, strs};
use crate::world::{World, listing, tree};

fn at(world: World, url: impl Into<String>) -> World {
    world.set("KOPIA_REPOSITORY", url)
}

#[test]
fn case_15_paths_are_taken_as_they_are() {
    for (name, suffix, slashes) in
        [("repo", "/", ""), ("repo", "", "/"), ("re po", "", ""), ("r%20o", "", "")]
    {
        let world = World::new();
        let path = world.dir.path().join(name);
        if name != "repo" {
            fs::rename(world.repo(), &path).unwrap();
        }
        let url = format!("filesystem://{slashes}{}{suffix}", path.display());
        let world = at(world, url);
        world.run().ended(0);
        world.holds(&tree(3));
    }
}

#[test]
fn a_path_and_a_file_url_name_directories_as_on_the_command_line() {
    for scheme in ["", "file://", "file://localhost"] {
        let world = World::new();
        let url = format!("{scheme}{}", world.repo().display());
        let world = at(world, url);
        world.run().ended(0);
        world.holds(&tree(3));
    }
}

#[test]
fn case_16_urls_that_name_no_directory() {
    let urls = [
        "filesystem://mnt/repo",
        "filesystem://",
        "filesystem:",
        "mnt/repo",
        "file://host/mnt/repo",
        "gcs://x",
        "",
    ];
    for url in urls {
        let world = at(World::new(), url);
        world.run().failed();
        world.is_empty();
    }
}

#[test]
fn case_17_parent_directories_are_refused() {
    let world = World::new();
    let url = format!("filesystem://{}/x/../repo", world.dir.path().display());
    at(world, url).run().failed().has("cannot contain ..");
}

#[test]
fn case_18_a_bucket_is_never_a_directory() {
    // Nothing listens there.
    let s3 = World::new().set("KOPIA_S3_BUCKET", "bucket").set("KOPIA_S3_ENDPOINT", "http://127.0.0.1:9");
    let s3 = s3.set("AWS_ACCESS_KEY_ID", "key").set("AWS_SECRET_ACCESS_KEY", "secret");
    s3.run().failed().has("[storage-unreachable]").lacks("There is no repository");
    s3.is_empty();
    for name in ["KOPIA_AZURE_CONTAINER", "KOPIA_GCS_BUCKET"] {
        let world = World::new().set(name, "bucket");
        world.run().failed().lacks("There is no repository");
        world.is_empty();
    }
}

#[test]
fn case_19_wrong_password() {
    let world = World::new().set("KOPIA_PASSWORD", "wrong horse").set("KOPIA_ENABLE_FILE_DELETION", "true");
    fs::write(world.data().join("kept"), "x").unwrap();
    fs::write(world.dir.path().join("cache/kept"), "x").unwrap();
    let before = listing(world.dir.path());
    let run = world.run();
    let status = run.failed().status();
    assert!(status.lines().last().unwrap().contains("password"), "{status}");
    assert_eq!(listing(world.dir.path()), before);
}

fn device(path: &Path) -> Option<u64> {
    path.metadata().map(|meta| meta.dev()).ok()
}

/// A world on a file system that is not that of `/`.
fn on_a_volume() -> Option<World> {
    let volume = Path::new("/dev/shm");
    if device(volume).is_some()
        && device(volume) != device(Path::new("/"))
        && tempfile::tempdir_in(volume).is_ok()
    {
        return Some(World::inside(volume));
    }
    println!("skipped: /dev/shm is no volume of its own here");
    None
}

#[test]
fn case_20_no_repository_yet() {
    for make in [&|_: &Path| {}, &|path: &Path| fs::create_dir(path).unwrap(), &|path: &Path| {
        fs::create_dir_all(path.join("lost+found")).unwrap();
    }] as [&dyn Fn(&Path); 3]
    {
        let Some(world) = on_a_volume() else { return };
        make(&world.repo());
        let before = listing(world.dir.path());
        world.run().found_nothing().has("There is no repository at");
        assert_eq!(listing(world.dir.path()), before);
        let strict = world.set("KOPIA_ADDITIONAL_ARGS", "--rokopia-strict");
        strict.run().failed();
        assert_eq!(listing(strict.dir.path()), before);
    }
}

/// A Secret that was made with `echo` ends with a line break, which is no reason to call a backup absent.
#[test]
fn case_20_a_path_that_is_mistyped_by_a_blank() {
    for end in ["\n", " ", "\r"] {
        let Some(world) = on_a_volume() else { return };
        copy(&World::new().repo(), &world.repo());
        let url = format!("filesystem://{}{end}", world.repo().display());
        at(world, url).run().failed().lacks("No eligible snapshots").has("look into the Secret");
    }
}

#[test]
fn case_20_a_volume_of_the_same_device() {
    let script = r#"mount --bind "$VOLUME" "$VOLUME"; exec "$@""#;
    let Some(wrapper) = sandbox::mounts(script) else { return };
    for make in [true, false] {
        let world = World::without_repository();
        let volume = world.dir.path().join("volume");
        fs::create_dir_all(if make { volume.join("repo") } else { volume.clone() }).unwrap();
        let url = format!("filesystem://{}/repo", volume.display());
        let world = at(world, url).set("VOLUME", volume.to_str().unwrap());
        world.run_in(&strs(&wrapper)).found_nothing().has("There is no repository at");
        // Without the mount it is the container's own file system.
        if device(&volume) == device(Path::new("/")) {
            world.run().failed().has("no volume is mounted");
        }
        assert_eq!(volume.join("repo").exists(), make);
    }
}

#[test]
fn case_21_no_volume_there() {
    let world = at(World::new(), "filesystem:///no-such-volume/repo");
    world.run().failed().has("no volume is mounted");
    world.is_empty();

    let Some(wrapper) = sandbox::mounts(r#"mkdir -p "$REPO"; mount -t tmpfs -o ro none "$REPO"; exec "$@""#)
    else {
        return;
    };
    let world = World::without_repository();
    fs::create_dir(world.repo()).unwrap();
    let repo = world.repo().to_str().unwrap().to_owned();
    world.set("REPO", repo).run_in(&strs(&wrapper)).failed().has("read-only");
}

#[test]
fn case_21_something_else_is_there() {
    let Some(world) = on_a_volume() else { return };
    fs::create_dir(world.repo()).unwrap();
    fs::write(world.repo().join("photo.jpg"), "x").unwrap();
    world.run().failed().has("is not a repository");

    for bytes in [&b""[..], b"{", b"\0\xff", b"{\"version\":99}"] {
        fs::write(world.repo().join("kopia.repository.f"), bytes).unwrap();
        world.run().failed();
    }
    fs::remove_file(world.repo().join("kopia.repository.f")).unwrap();
    symlink("gone", world.repo().join("kopia.repository.f")).unwrap();
    world.run().failed();
}

#[test]
fn case_21_a_format_blob_that_must_not_be_read() {
    let Some(wrapper) = sandbox::user() else { return };
    let world = World::new();
    let blob = world.repo().join("kopia.repository.f");
    fs::set_permissions(blob, PermissionsExt::from_mode(0o0)).unwrap();
    world.run_in(&strs(&wrapper)).failed().has("ermission denied");
}

#[test]
fn case_22_a_read_only_mount() {
    let script = r#"mount --bind "$REPO" "$REPO"; mount -o remount,ro,bind "$REPO"; exec "$@""#;
    let Some(wrapper) = sandbox::mounts(script) else { return };
    let world = World::new();
    let repo = world.repo().to_str().unwrap().to_owned();
    let world = world.set("REPO", repo);
    world.run_in(&strs(&wrapper)).ended(0);
    world.holds(&tree(3));
}

#[test]
fn case_23_policies_are_not_written() {
    let policy = r#"{"retention":{"keepDaily":1}}"#;
    let world = World::new();
    let file = world.dir.path().join("global-policy.json");
    fs::write(&file, policy).unwrap();
    let directory = world.dir.path().to_str().unwrap().to_owned();
    let world = world
        .set("KOPIA_CONFIG_PATH", directory)
        .set("KOPIA_GLOBAL_POLICY_FILE", file.to_str().unwrap())
        .set("KOPIA_STRUCTURED_REPOSITORY_CONFIG", r#"{"enableActions":true}"#);
    world.run().ended(0);
    world.set("KOPIA_PREVIOUS", "77").run().failed();
}

#[test]
fn case_24_a_stale_connection_is_not_used() {
    let world = World::new();
    let config = r#"{"storage":{"type":"filesystem","config":{"path":"/somewhere/else"}}}"#;
    fs::write(world.dir.path().join("cache/kopia.config"), config).unwrap();
    world.run().ended(0);
    world.holds(&tree(3));
}

#[test]
fn case_25_structured_configuration() {
    let world = World::new();
    let elsewhere = world.dir.path().join("elsewhere");
    copy(&world.repo(), &elsewhere);
    let config = format!(
        r#"{{"storage":{{"type":"filesystem","config":{{"path":{:?},"dirShards":null}}}},"hostname":"x"}}"#,
        elsewhere.display().to_string()
    );
    let world = at(world, "filesystem:///no/such").set("KOPIA_STRUCTURED_REPOSITORY_CONFIG", config);
    world.run().ended(0);
    world.holds(&tree(3));
    for json in ["{", "\"secret-token\"", r#"{"storage":"secret-token"}"#, r#"{"storage":{"type":"s3"}}"#] {
        let world = World::new().set("KOPIA_STRUCTURED_REPOSITORY_CONFIG", json);
        world.run().failed().lacks("secret-token");
        world.is_empty();
    }
}

#[test]
fn case_26_manual_configuration() {
    for config in [r#"{"caching":{"maxCacheSize":1},"encryption":{"algorithm":"X"}}"#, "{", "x"] {
        let world = World::new().set("KOPIA_MANUAL_CONFIG", config);
        world.run().ended(0);
        world.holds(&tree(3));
    }
}

#[test]
fn case_27_policy_files() {
    for text in [Some("{}"), Some("{"), None] {
        let world = World::new();
        let file = world.dir.path().join("policy");
        if let Some(text) = text {
            fs::write(&file, text).unwrap();
        }
        let path = file.to_str().unwrap();
        let world = world.set("KOPIA_GLOBAL_POLICY_FILE", path).set("KOPIA_REPOSITORY_CONFIG_FILE", path);
        world.run().ended(0);
        world.holds(&tree(3));
    }
}

#[test]
fn case_28_settings_without_effect() {
    let mut world = World::new();
    for (name, value) in [
        ("KOPIA_SKIP_CACHE_CONFIG", "true"),
        ("KOPIA_METADATA_CACHE_SIZE_LIMIT_MB", "1"),
        ("KOPIA_CONTENT_CACHE_SIZE_LIMIT_MB", "x"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("https_proxy", "http://127.0.0.1:1"),
        ("CUSTOM_CA", "/customCA/ca.crt"),
        ("SFTP_KEY_FILE", "/credentials/sftp_key"),
    ] {
        world = world.set(name, value);
    }
    world.run().ended(0);
    world.holds(&tree(3));
}

#[test]
fn a_log_in_the_repository_is_refused_and_nothing_is_written_to_it() {
    for of_stdout in [true, false] {
        let world = World::new();
        let file = fs::File::create(world.repo().join("log")).unwrap();
        let before = listing(&world.repo());
        let mut command = world.command(&[]);
        if of_stdout {
            command.stdout(file);
        } else {
            command.stderr(file);
        }
        let output = command.output().unwrap();
        let log = String::from_utf8(if of_stdout { output.stderr } else { output.stdout }).unwrap();
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(log.contains("[output-in-repository]") && log.contains("OPERATION_RESULT: FAILURE"), "{log}");
        assert_eq!(listing(&world.repo()), before);
        world.is_empty();
    }
}
