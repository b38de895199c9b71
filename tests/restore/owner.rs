//! The target belongs to its owner: what is there goes only where that was asked for, and the repository never does.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use rokopia::blob::FileSystem;
use rokopia::restore::{Error, Progress, Restore, Summary};
use rokopia::testkit::{Data, DataKind, Hooked, Request, Tree};

use crate::common::{Opened, Sample, assert_same, paths};

fn small() -> Tree {
    let mut tree = Tree::new();
    tree.add_file("a.txt", Data { kind: DataKind::Text, seed: 1, size: 100 }).unwrap();
    tree.add_file("sub/b", Data { kind: DataKind::Text, seed: 2, size: 2000 }).unwrap();
    tree.add_link("sub/link", "b").unwrap();
    tree
}

#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Progress for Told {
    fn warning(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

fn run_in(
    sample: &Sample,
    target: &Path,
    describe: impl FnOnce(Restore<'_>) -> Restore<'_>,
) -> Result<(Summary, Vec<String>), Error> {
    run_opened(&sample.open(), target, describe)
}

fn run_opened(
    opened: &Opened,
    target: &Path,
    describe: impl FnOnce(Restore<'_>) -> Restore<'_>,
) -> Result<(Summary, Vec<String>), Error> {
    let told = Told::default();
    let summary = describe(opened.restore()).run(target, &told)?;
    let mut told = told.0.into_inner().unwrap();
    told.sort();
    Ok((summary, told))
}

/// Whether it could be mounted; it is unmounted when dropped.
struct Mounted<'a>(&'a Path);

fn mount<'a>(arguments: &[&str], at: &'a Path) -> Option<Mounted<'a>> {
    let mut command = Command::new("mount");
    let mounted = command.args(arguments).arg(at).stderr(Stdio::null()).status();
    mounted.is_ok_and(|status| status.success()).then_some(Mounted(at))
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn no_restore_touches_the_repository() {
    let sample = Sample::new(&small());
    let (repo, above) = (sample.repo(), sample.dir.path());
    symlink(&repo, above.join("link")).unwrap();
    fs::create_dir(above.join("beside")).unwrap();
    let before = paths(above);
    let opened = sample.open();
    for target in ["repo", "repo/", "repo/new", "repo/new/deeper", "link", "link/new", "beside/../repo", "."]
    {
        for dry_run in [true, false] {
            let refused =
                run_opened(&opened, &above.join(target), |restore| restore.delete(true).dry_run(dry_run));
            assert_eq!(refused.unwrap_err().code(), "output-in-repository", "{target}");
        }
    }
    let file = opened.entry("a.txt");
    for target in ["repo/kopia.repository.f", "repo/new", "repo", "link"] {
        let refused = Restore::new(&opened.contents, &file).run(above.join(target), &());
        assert_eq!(refused.unwrap_err().code(), "output-in-repository", "{target}");
    }
    assert_eq!(paths(above), before);
    assert_eq!(
        run_opened(&opened, &above.join("beside"), |restore| restore.delete(true)).unwrap().0.errors,
        []
    );
    // A single file beside the repository is no danger to it.
    assert_eq!(Restore::new(&opened.contents, &file).run(above.join("x"), &()).unwrap().errors, []);
}

#[test]
fn a_repository_that_is_mounted_in_the_target_stays() {
    let sample = Sample::new(&small());
    let target = sample.target();
    for name in ["extra/repo", "sub"] {
        fs::create_dir_all(target.join(name)).unwrap();
    }
    let (extra, sub) = (target.join("extra/repo"), target.join("sub"));
    let repo = sample.repo();
    let bind = ["--bind", repo.to_str().unwrap()];
    let (Some(_extra), Some(_sub)) = (mount(&bind, &extra), mount(&bind, &sub)) else {
        println!("NOT CHECKED: a repository mounted in the target, because nothing can be mounted here");
        return;
    };
    let before = paths(&repo);
    let refused = run_in(&sample, &target, |restore| restore.delete(true));
    match refused {
        Ok((summary, _)) => {
            assert!(summary.errors.iter().all(|error| error.code == "output-in-repository"), "{summary:?}");
            assert!(summary.error_count > 0);
        }
        Err(error) => assert_eq!(error.code(), "output-in-repository"),
    }
    assert_eq!(paths(&repo), before);
}

#[test]
fn other_file_systems_in_the_target_are_left_alone_and_named() {
    let sample = Sample::new(&small());
    let target = sample.target();
    let elsewhere = sample.dir.path().join("elsewhere");
    for name in ["share", "old/deep/bound", "sub"] {
        fs::create_dir_all(target.join(name)).unwrap();
    }
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("photo"), "precious").unwrap();
    fs::write(target.join("old/deep/file"), "").unwrap();
    fs::write(target.join("old/bound-file"), "").unwrap();
    let (share, bound, sub) = (target.join("share"), target.join("old/deep/bound"), target.join("sub"));
    let file = target.join("old/bound-file");
    // The same file system at another place is another mount, too.
    let bind = ["--bind", elsewhere.to_str().unwrap()];
    let photo = elsewhere.join("photo");
    let (Some(_share), Some(_bound), Some(_sub), Some(_file)) = (
        mount(&["-t", "tmpfs", "tmpfs"], &share),
        mount(&bind, &bound),
        mount(&["-t", "tmpfs", "tmpfs"], &sub),
        mount(&["--bind", photo.to_str().unwrap()], &file),
    ) else {
        println!("NOT CHECKED: other file systems in the target, because nothing can be mounted here");
        return;
    };
    fs::write(share.join("photo"), "precious").unwrap();
    fs::write(sub.join("other"), "precious").unwrap();
    let (dry, told) = run_in(&sample, &target, |restore| restore.delete(true).dry_run(true)).unwrap();
    assert_eq!((dry.deleted, dry.error_count), (1, 0), "{told:?}");
    assert!(told.contains(&"old/deep/file: would be deleted".to_owned()), "{told:?}");
    let (real, told) = run_in(&sample, &target, |restore| restore.delete(true)).unwrap();
    assert_eq!((real.deleted, real.errors), (1, vec![]), "{told:?}");
    for (path, reason) in [
        ("share", "another file system is mounted there"),
        ("old/deep/bound", "another file system is mounted there"),
        ("old/bound-file", "something is mounted on it"),
    ] {
        assert!(told.contains(&format!("{path}: left alone, because {reason}")), "{path}: {told:?}");
    }
    assert!(told.iter().any(|text| text.starts_with("sub: nothing in it is deleted")), "{told:?}");
    for kept in [share.join("photo"), bound.join("photo"), sub.join("other"), sub.join("b")] {
        assert!(kept.exists(), "{}", kept.display());
    }
    assert!(!target.join("old/deep/file").exists());
}

#[test]
fn lost_and_found_stays_at_the_root() {
    let sample = Sample::new(&small());
    let target = sample.target();
    fs::create_dir_all(target.join("lost+found/#12")).unwrap();
    fs::create_dir_all(target.join("sub/lost+found")).unwrap();
    let (dry, _) = run_in(&sample, &target, |restore| restore.delete(true).dry_run(true)).unwrap();
    let (real, told) = run_in(&sample, &target, |restore| restore.delete(true)).unwrap();
    assert_eq!((dry.deleted, real.deleted), (1, 1), "{told:?}");
    assert!(target.join("lost+found/#12").exists() && !target.join("sub/lost+found").exists());
}

#[test]
fn a_file_goes_into_a_directory_and_never_in_its_place() {
    let sample = Sample::new(&small());
    let home = sample.dir.path().join("home");
    fs::create_dir_all(home.join("docs")).unwrap();
    fs::write(home.join("docs/thesis"), "precious").unwrap();
    symlink(&home, sample.dir.path().join("link")).unwrap();
    let opened = sample.open();
    let file = opened.entry("sub/b");
    for (target, delete) in [("home", false), ("home", true), ("link", true)] {
        for dry_run in [true, false] {
            let restore = Restore::new(&opened.contents, &file).delete(delete).dry_run(dry_run);
            let summary = restore.run(sample.dir.path().join(target), &()).unwrap();
            assert_eq!((summary.files, summary.dirs, summary.deleted), (1, 0, 0), "{target}");
            assert_eq!(summary.errors, []);
            assert_eq!(summary.target, sample.dir.path().join(target).join("b"));
        }
        assert_eq!(fs::read(home.join("b")).unwrap().len(), 2000);
        fs::remove_file(home.join("b")).unwrap();
    }
    // Not even one of the same name makes room.
    fs::create_dir(home.join("b")).unwrap();
    let summary = Restore::new(&opened.contents, &file).delete(true).run(&home, &()).unwrap();
    assert_eq!(summary.errors[0].code, "target-conflict");
    assert_eq!(paths(&home), ["b", "docs", "docs/thesis"]);
}

#[test]
fn closed_directories_of_ones_own_are_emptied() {
    let sample = Sample::new(&small());
    let target = sample.target();
    fs::create_dir_all(target.join("closed/deep")).unwrap();
    fs::write(target.join("closed/deep/file"), "").unwrap();
    for (name, mode) in [("closed/deep", 0o500), ("closed", 0)] {
        fs::set_permissions(target.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let (summary, _) = run_in(&sample, &target, |restore| restore.delete(true)).unwrap();
    assert_eq!((summary.deleted, summary.errors), (3, vec![]));
    assert_same(&small(), &target);
}

#[test]
fn the_home_of_a_person_is_deleted_from_only_when_that_is_said() {
    let sample = Sample::new(&small());
    let refused = run_in(&sample, Path::new("/"), |restore| restore.delete(true).dry_run(true));
    assert_eq!(refused.unwrap_err().code(), "delete-refused");
    let Some(home) = std::env::var_os("HOME").filter(|home| Path::new(home).is_dir()) else { return };
    let opened = sample.open();
    for above in Path::new(&home).ancestors() {
        let refused = run_opened(&opened, above, |restore| restore.delete(true).dry_run(true));
        assert_eq!(refused.unwrap_err().code(), "delete-refused", "{}", above.display());
    }
}

/// Things of other types where the snapshot has something, and something that it does not have.
fn in_the_way(target: &Path) {
    fs::create_dir_all(target.join("a.txt/deep")).unwrap();
    fs::write(target.join("a.txt/deep/file"), "precious").unwrap();
    fs::write(target.join("sub"), "precious").unwrap();
    fs::write(target.join("extra"), "precious").unwrap();
}

#[test]
fn each_deletion_is_announced_and_counted() {
    let sample = Sample::new(&small());
    let (opened, target) = (sample.open(), sample.target());
    in_the_way(&target);
    let before = paths(&target);
    let (dry, told) = run_opened(&opened, &target, |restore| restore.delete(true).dry_run(true)).unwrap();
    assert_eq!((dry.deleted, dry.errors), (5, vec![]), "{told:?}");
    let announced = ["a.txt/deep/file", "a.txt/deep", "a.txt", "extra", "sub"];
    assert_eq!(told, announced.map(|path| format!("{path}: would be deleted")));
    assert_eq!(paths(&target), before);
    let (real, _) = run_opened(&opened, &target, |restore| restore.delete(true)).unwrap();
    assert_eq!((real.deleted, real.errors), (5, vec![]));
    assert_same(&small(), &target);
    // A link in the way of a file is deleted, a file in the way of a file is overwritten.
    fs::remove_file(target.join("a.txt")).unwrap();
    symlink("/etc/passwd", target.join("a.txt")).unwrap();
    let (dry, told) = run_opened(&opened, &target, |restore| restore.dry_run(true)).unwrap();
    assert_eq!((dry.deleted, told), (1, vec!["a.txt: would be deleted".to_owned()]));
    assert_eq!(run_opened(&opened, &target, |restore| restore).unwrap().0.deleted, 1);
    assert_same(&small(), &target);
}

#[test]
fn nothing_is_deleted_unless_everything_is_in_place() {
    let sample = Sample::new(&small());
    let target = sample.target();
    in_the_way(&target);
    let before = paths(&target);
    let store = FileSystem::open(sample.repo()).unwrap();
    let damaged = Opened::new(Hooked::new(store).before(|request| match request {
        Request::ReadAt(id, ..) if id.as_str().starts_with('p') => {
            Err(rokopia::blob::Error::NotFound { blob: id.clone() })
        }
        _ => Ok(()),
    }));
    let (summary, told) = run_opened(&damaged, &target, |restore| restore.delete(true)).unwrap();
    assert!(
        told.contains(&"nothing is deleted, because not everything could be restored".to_owned()),
        "{told:?}"
    );
    assert_eq!((summary.deleted, summary.files, summary.symlinks), (0, 0, 0));
    let conflict = summary.errors.iter().find(|error| error.path == "sub").unwrap();
    assert_eq!(conflict.code, "target-conflict");
    assert_eq!(paths(&target), before);
    assert_eq!(fs::read(target.join("sub")).unwrap(), b"precious");
    // The next run finds nothing of the first one in its way.
    let (summary, _) = run_in(&sample, &target, |restore| restore.delete(true)).unwrap();
    assert_eq!((summary.deleted, summary.errors), (5, vec![]));
    assert_same(&small(), &target);
}
