//! The whole circle with a real Kopia: it writes on the mover's behalf, and the mover restores.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use rokopia::testkit::Compare;
use serde_json::Value;

use crate::world::{PASSWORD, World, tree};

/// Beside the mover's own image, one that carries a kopia.
struct Pair {
    writer: World,
    reader: World,
}

impl Pair {
    fn new(kopia: &Path) -> Self {
        let (writer, reader) = (World::without_repository(), World::without_repository());
        let bin = writer.dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(kopia, bin.join("kopia")).unwrap();
        let path = format!("{}:/usr/bin:/bin", bin.display());
        let mut writer = writer.set("PATH", path).started_with(&["backup"]);
        let mut reader = reader.set("KOPIA_REPOSITORY", format!("filesystem://{}", writer.repo().display()));
        (writer.busy, reader.busy) = (true, true);
        Self { writer, reader }
    }

    /// Calls kopia with the connection of the last backup.
    fn kopia(&self, arguments: &[&str]) -> String {
        let root = self.writer.dir.path();
        let mut command = Command::new(root.join("bin/kopia"));
        command.arg("--config-file").arg(root.join("cache/kopia.config")).args(arguments);
        command.env_clear().env("KOPIA_PASSWORD", PASSWORD).env("KOPIA_CHECK_FOR_UPDATES", "false");
        command.env("KOPIA_LOG_DIR", root.join("cache/logs"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn restores(&self, number: u64) {
        let run = self.reader.run();
        run.ended(0);
        let differences = tree(number).compare(&self.reader.data(), Compare::default()).unwrap();
        assert!(differences.is_empty(), "{differences:#?}\n{}", run.log);
    }
}

/// `KOPIA=/usr/bin/kopia cargo test --all-features --test mover -- --ignored --nocapture beside_a_real_kopia`
#[test]
#[ignore = "needs a real kopia"]
fn case_65_beside_a_real_kopia() {
    let kopia = std::env::var_os("KOPIA").expect("KOPIA names a real kopia");
    let mut pair = Pair::new(Path::new(&kopia));
    let arguments = [
        "--description=by the mover",
        "--tags=made:here",
        // The files of the three have the same sizes and times.
        "--force-hash=100",
        "--no-progress",
        "--max-upload-speed=1000000000",
    ];
    let settings = [
        ("KOPIA_ADDITIONAL_ARGS", arguments.join("|VOLSYNC_ARG_SEP|")),
        ("KOPIA_COMPRESSION", "zstd".into()),
        ("KOPIA_RETAIN_DAILY", "9".into()),
        ("KOPIA_METADATA_CACHE_SIZE_LIMIT_MB", "100".into()),
    ];
    pair.writer = settings.into_iter().fold(pair.writer, |writer, (name, value)| writer.set(name, value));

    // The volume as three snapshots of R saw it, saved one after the other.
    for number in [1, 2, 3] {
        let volume = World::new().set("KOPIA_PREVIOUS", (3 - number).to_string());
        let volume = volume
            .set("DATA_DIR", pair.writer.data().to_str().unwrap())
            .set("KOPIA_ENABLE_FILE_DELETION", "true");
        volume.run().ended(0);
        pair.writer.run().ended(0).has("Snapshot created successfully");
    }
    let listed: Vec<Value> =
        serde_json::from_str(&pair.kopia(&["snapshot", "list", "--all", "--json"])).unwrap();
    assert_eq!(listed.len(), 3);
    for snapshot in &listed {
        assert_eq!(snapshot["source"], serde_json::json!({"host": "ns", "userName": "app", "path": "/data"}));
        assert_eq!(
            (&snapshot["description"], &snapshot["tags"]["tag:made"]),
            (&"by the mover".into(), &"here".into())
        );
    }
    pair.restores(3);
    let previous =
        |pair: Pair, steps: &str| Pair { reader: pair.reader.set("KOPIA_PREVIOUS", steps), ..pair };
    for (steps, number) in [("2", 1), ("1", 2), ("", 3)] {
        pair = previous(pair, steps);
        pair.restores(number);
    }

    // Neither other clients nor maintenance, which rewrites packs and deletes the old ones at once, harm a restore.
    let done = AtomicBool::new(false);
    let restores = std::thread::scope(|scope| {
        let restoring = scope.spawn(|| {
            let mut count = 0;
            while !done.load(Ordering::SeqCst) || count < 5 {
                fs::remove_dir_all(pair.reader.data()).unwrap();
                fs::create_dir(pair.reader.data()).unwrap();
                pair.restores(3);
                count += 1;
            }
            count
        });
        let source = pair.writer.data();
        for number in 0..6 {
            fs::write(source.join("busy"), format!("{number}").repeat(100_000)).unwrap();
            let path = format!("--override-source=busy@ns:/{number}");
            pair.kopia(&["snapshot", "create", source.to_str().unwrap(), &path, "--no-progress"]);
            pair.kopia(&["maintenance", "set", "--owner=app@ns"]);
            pair.kopia(&["maintenance", "run", "--full", "--safety=none"]);
        }
        done.store(true, Ordering::SeqCst);
        restoring.join().unwrap()
    });
    println!("{restores} restores while kopia wrote and maintained");

    // Maintenance through the mover takes ownership over, and leaves everything as it was.
    let maintenance = pair.writer.started_with(&[]).set("DIRECTION", "maintenance");
    maintenance.run().ended(0).has("INFO: MAINTENANCE_STATUS: SUCCESS");
    pair.writer = maintenance;
    assert!(pair.kopia(&["maintenance", "info"]).contains("maintenance@volsync"));
    pair.restores(3);
}
