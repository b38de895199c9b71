//! A dry run tells what the real one does.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::SystemTime;

use rokopia::restore::{Overwrite, Progress, Restore, Summary};

use crate::basics::mixed;
use crate::common::{Sample, paths};

#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Progress for Told {
    fn warning(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

/// Everything below a directory with the time of its last change.
fn state(root: &Path) -> Vec<(String, SystemTime)> {
    let changed = |path: &String| fs::symlink_metadata(root.join(path)).unwrap().modified().unwrap();
    paths(root).into_iter().map(|path| (path.clone(), changed(&path))).collect()
}

#[test]
fn a_dry_run_counts_what_the_real_one_does() {
    let sample = Sample::new(&mixed());
    let target = sample.target();
    sample.restore(|restore| restore);
    fs::write(target.join("a/b/c/d/bottom"), "changed").unwrap();
    fs::remove_dir_all(target.join("nothing")).unwrap();
    fs::create_dir_all(target.join("a/stray/below")).unwrap();
    fs::write(target.join("a/stray/below/file"), "").unwrap();
    fs::write(target.join("stray"), "").unwrap();
    fs::remove_file(target.join("zeros")).unwrap();
    fs::create_dir(target.join("zeros")).unwrap();
    let before = state(&target);

    type Mode = fn(Restore<'_>) -> Restore<'_>;
    let modes: [(&str, Mode); 6] = [
        ("skip and delete", |restore| restore.skip_existing(true).delete(true)),
        ("never", |restore| restore.overwrite(Overwrite::Never)),
        ("changed", |restore| restore.overwrite(Overwrite::IfChanged)),
        ("delta and delete", |restore| restore.delta(true).delete(true)),
        ("kinds", |restore| restore.keep_kinds(true)),
        ("all", |restore| restore),
    ];
    let mut deleting = 0;
    for (name, mode) in modes {
        let copy = sample.dir.path().join(name);
        let status = Command::new("cp").arg("-a").args([&target, &copy]).status().unwrap();
        assert!(status.success());
        let (opened, told) = (sample.open(), Told::default());
        let dry = mode(opened.restore()).dry_run(true).run(&target, &told).unwrap();
        let real = mode(opened.restore()).run(&copy, &()).unwrap();
        let counts =
            |s: &Summary| (s.files, s.symlinks, s.dirs, s.bytes, s.skipped, s.deleted, s.errors.clone());
        assert_eq!(counts(&dry), counts(&real), "{name}");
        assert_eq!((dry.fetched_bytes, state(&target)), (0, before.clone()), "{name}");
        let mut told = told.0.into_inner().unwrap();
        told.retain(|message| message.ends_with(": would be deleted"));
        told.sort();
        let expected: &[&str] = match real.deleted {
            0 => &[],
            _ => &[
                "a/stray/below/file: would be deleted",
                "a/stray/below: would be deleted",
                "a/stray: would be deleted",
                "stray: would be deleted",
                "zeros: would be deleted",
            ],
        };
        assert_eq!(told, expected, "{name}");
        deleting += usize::from(real.deleted == 5);
    }
    assert_eq!(deleting, 2);
}

#[test]
fn a_dry_run_makes_no_target_and_enters_no_link() {
    let sample = Sample::new(&mixed());
    let dry = sample.restore(|restore| restore.dry_run(true).delete(true));
    assert_eq!((dry.skipped, dry.deleted), (0, 0));
    assert!(!sample.target().exists());
    // What a link leads to is not what would be restored into.
    let elsewhere = sample.dir.path().join("elsewhere");
    fs::create_dir_all(elsewhere.join("b/mine")).unwrap();
    fs::create_dir(sample.target()).unwrap();
    std::os::unix::fs::symlink(&elsewhere, sample.target().join("a")).unwrap();
    let dry = sample.restore(|restore| restore.dry_run(true).delete(true));
    assert_eq!((dry.deleted, dry.error_count), (1, 0));
    let real = sample.restore(|restore| restore.delete(true));
    assert_eq!((real.deleted, real.error_count), (1, 0));
    assert!(elsewhere.join("b/mine").exists());
}

#[test]
fn a_closed_directory_is_not_opened_but_said_to_be_unseen() {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    let sample = Sample::new(&mixed());
    let target = sample.target();
    sample.restore(|restore| restore);
    let root = nix::unistd::geteuid().is_root();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let close = |path: &Path, to: u32| fs::set_permissions(path, fs::Permissions::from_mode(to)).unwrap();
    for closed in [target.join("a"), target.clone()] {
        let before = mode(&closed);
        close(&closed, 0);
        for (delete, exit) in [(false, 0), (true, 4)] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_rokopia"));
            if root {
                fs::set_permissions(sample.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
                chown(&target, Some(1234), Some(1234)).unwrap();
                chown(target.join("a"), Some(1234), Some(1234)).ok();
                command.uid(1234).gid(1234);
            }
            command.env("ROKOPIA_PASSWORD", "testkit").arg("--repo").arg(sample.repo());
            command.args(["restore", "--dry-run", "latest"]).arg(&target);
            if delete {
                command.arg("--delete");
            }
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(exit), "{output:?}");
            let words = if delete { "cannot tell what would be deleted" } else { "was not looked at" };
            assert_eq!(said.matches(words).count(), 1, "{said}");
            assert_eq!(mode(&closed), 0, "nothing is changed");
        }
        close(&closed, before);
    }
}
