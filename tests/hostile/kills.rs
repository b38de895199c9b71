//! `kill -9` at any moment, then the same command once more.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rokopia::testkit::{Chunks, Compare, Data, DataKind, Options, Rng, Shape, Tree};

use crate::common::say;
use crate::run::{Scene, paths, quick};

fn tree() -> Tree {
    let mut tree = Shape::mixed(4 << 20).tree(9).unwrap();
    tree.add_file("big", Data { kind: DataKind::Noise, seed: 3, size: 4_000_000 }).unwrap();
    tree
}

/// Kills so many restores, each at a random moment of its life, into a target that is emptied now and then.
fn kill(times: u32) {
    let tree = tree();
    let options =
        Options { chunks: Chunks::Between { min: 20_000, max: 60_000 }, pack_size: 400_000, ..quick() };
    let scene = Scene::with(options, |writer| {
        let root = writer.write_tree(&tree).unwrap();
        writer.snapshot(&"u@h:/p".parse().unwrap(), &root);
    });
    let mut files = BTreeMap::new();
    for directory in tree.directories() {
        for file in directory.files() {
            let path = format!("{}/{}", directory.path(), file.name).trim_start_matches('/').to_owned();
            files.insert(path, blake3::hash(&file.data.to_vec()));
        }
    }
    let target = scene.target();
    let target_text = target.to_str().unwrap();
    let mut rng = Rng::new(u64::from(times));
    let began = Instant::now();
    assert_eq!(scene.run(&["restore", "latest", target_text]).code(), 0);
    let life = began.elapsed();
    scene.clear();
    let (mut killed, mut whole, mut completed) = (0, 0, 0);
    for round in 0..times {
        let mode = [&[][..], &["--skip-existing"], &["--delta"], &["--delete"]][round as usize % 4];
        let arguments = [&["restore", "latest", target_text], mode].concat();
        let mut command = scene.command(&arguments);
        let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let [random, ..] = rng.bytes::<2>();
        std::thread::sleep(Duration::from_secs_f64(life.as_secs_f64() * f64::from(random) / 230.0));
        let _ = running.kill();
        let status = running.wait().unwrap();
        killed += u32::from(status.code().is_none());
        for path in paths(&target).iter().filter(|path| !path.contains(".rokopia-")) {
            let file = target.join(path);
            if file.symlink_metadata().unwrap().is_file() {
                let hash = blake3::hash(&std::fs::read(&file).unwrap());
                assert!(files.get(path) == Some(&hash), "round {round}: {path} is not what it should be");
                whole += 1;
            }
        }
        if round % 5 == 4 || round + 1 == times {
            let resumed = [&["restore", "latest", target_text], mode].concat();
            assert_eq!(scene.run(&resumed).code(), 0, "round {round}");
            let differences = tree.compare(&target, Compare::default()).unwrap();
            assert!(differences.is_empty(), "round {round}: {differences:#?}");
            completed += 1;
            scene.clear();
        }
    }
    scene.assert_untouched("killed restores");
    assert!(killed > 0);
    say(&format!(
        "killed restores: {killed} of {times}; {whole} files found whole, none partial; {completed} completed afterwards"
    ));
}

#[test]
fn twenty_killed_restores_leave_whole_files_and_are_completed() {
    kill(20);
}

#[test]
#[ignore = "takes minutes"]
fn five_hundred_killed_restores_leave_whole_files_and_are_completed() {
    kill(500);
}
