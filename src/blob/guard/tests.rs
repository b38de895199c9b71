use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;

/// A repository among other directories.
fn places() -> (tempfile::TempDir, Guard) {
    let dir = tempfile::tempdir().unwrap();
    for name in ["host/backup/repo/p/0", "host/other", "disk/q", "disk/p1", "disk/free"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("host/backup/repo/kopia.repository.f"), "{}").unwrap();
    let repo = dir.path().join("host/backup/repo");
    symlink(dir.path().join("disk/q"), repo.join("q")).unwrap();
    symlink(dir.path().join("disk/p1"), repo.join("p/1")).unwrap();
    let guard = Guard::new(&repo).unwrap();
    (dir, guard)
}

#[test]
fn nothing_in_the_repository_is_writable_by_any_path() {
    let (dir, guard) = places();
    let at = |name: &str| dir.path().join(name);
    symlink(at("host/backup/repo"), at("link")).unwrap();
    symlink(at("host/backup/repo/new.json"), at("dangling")).unwrap();
    symlink("dangling", at("chained")).unwrap();
    symlink(at("host/other/file"), at("host/backup/repo/outwards")).unwrap();
    for (path, relation) in [
        ("host/backup/repo", Relation::Same),
        ("host/backup/repo/", Relation::Same),
        ("host/other/../backup/repo", Relation::Same),
        ("link", Relation::Same),
        ("link/not/yet/there", Relation::Inside),
        ("host/backup/repo/kopia.repository.f", Relation::Inside),
        ("host/backup/repo/new", Relation::Inside),
        ("host/backup/repo/new/../../elsewhere", Relation::Inside),
        ("host/backup/repo/p/0/new", Relation::Inside),
        ("host/backup/repo/outwards", Relation::Inside),
        ("dangling", Relation::Inside),
        ("chained", Relation::Inside),
        ("disk/q", Relation::Same),
        ("disk/q/new", Relation::Inside),
    ] {
        let refused = guard.writable(&at(path)).unwrap_err();
        assert_eq!((refused.relation, refused.code()), (relation, "output-in-repository"), "{path}");
    }
    for path in
        ["host", "host/other", "host/backup/report.json", "host/backup/repository", "disk/free/new", ""]
    {
        assert!(guard.writable(&at(path)).is_ok(), "{path}");
    }
}

#[test]
fn a_second_name_of_a_blob_is_not_writable() {
    let (dir, guard) = places();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("disk/q/blob"), "data").unwrap();
    fs::write(at("host/other/own"), "data").unwrap();
    fs::hard_link(at("host/backup/repo/kopia.repository.f"), at("host/other/format")).unwrap();
    fs::hard_link(at("disk/q/blob"), at("host/other/blob")).unwrap();
    fs::hard_link(at("host/other/own"), at("host/other/second")).unwrap();
    symlink("format", at("host/other/link")).unwrap();
    for path in ["host/other/format", "host/other/link", "host/other/blob"] {
        assert_eq!(guard.writable(&at(path)).unwrap_err().relation, Relation::HardLink, "{path}");
        let file = fs::OpenOptions::new().append(true).open(at(path)).unwrap();
        assert_eq!(guard.open_file(file).unwrap_err().relation, Relation::HardLink, "{path}");
    }
    assert!(guard.writable(&at("host/other/second")).is_ok());
}

#[test]
fn a_directory_that_contains_the_repository_is_no_tree_to_write_to() {
    let (dir, guard) = places();
    let at = |name: &str| dir.path().join(name);
    symlink(at("host"), at("link")).unwrap();
    for path in ["host/backup", "host", "", "link", "host/other/..", "host/backup/repo/p/..", "disk"] {
        assert!(guard.writable_tree(&at(path), false).is_err(), "{path}");
    }
    assert!(guard.writable_tree(Path::new("/"), false).is_err());
    for path in ["host/other", "host/backup/new", "disk/free", "new/host"] {
        assert!(guard.writable_tree(&at(path), true).is_ok(), "{path}");
    }
    // Of the links in shard directories those count where something may be removed.
    assert!(guard.writable_tree(&at("disk/p1"), false).is_ok());
    fs::remove_file(at("host/backup/repo/q")).unwrap();
    let guard = Guard::new(&at("host/backup/repo")).unwrap();
    assert!(guard.writable_tree(&at("disk"), false).is_ok());
    assert!(guard.writable_tree(&at("disk"), true).is_err());
}

#[test]
fn open_files_in_the_repository_are_refused() {
    let (dir, guard) = places();
    let at = |name: &str| dir.path().join(name);
    assert!(guard.open_file(fs::File::create(at("host/backup/repo/log")).unwrap()).is_err());
    assert!(guard.open_file(fs::File::create(at("host/backup/log")).unwrap()).is_ok());
    assert!(guard.open_file(fs::File::open("/dev/null").unwrap()).is_ok());
}

#[test]
fn bind_mounts_show_the_same_repository() {
    let (dir, _) = places();
    let at = |name: &str| dir.path().join(name);
    for name in ["repo", "part", "whole"] {
        fs::create_dir(at(name)).unwrap();
    }
    let bind = |from: &str, to: &str| {
        let mut command = Command::new("mount");
        command.arg("--bind").args([at(from), at(to)]).stderr(std::process::Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !bind("host/backup/repo", "repo") {
        println!("NOT CHECKED: bind mounts, because nothing can be mounted here");
        return;
    }
    let bound = bind("host/backup/repo/p", "part") && bind("host", "whole");
    // The repository is opened by way of one mount, and written to by way of another.
    let checked = std::panic::catch_unwind(|| {
        assert!(bound);
        let guard = Guard::new(&at("repo")).unwrap();
        for path in ["host/backup/repo/x", "whole/backup/repo/x", "part/x", "part"] {
            assert_eq!(guard.writable(&at(path)).unwrap_err().relation, Relation::Inside, "{path}");
        }
        for path in ["host", "host/backup", "whole"] {
            assert_eq!(
                guard.writable_tree(&at(path), false).unwrap_err().relation,
                Relation::Contains,
                "{path}"
            );
        }
        for path in ["host/other", "whole/other", "disk/free"] {
            assert!(guard.writable_tree(&at(path), true).is_ok(), "{path}");
        }
    });
    for name in ["whole", "part", "repo"] {
        let _ = Command::new("umount").arg(at(name)).status();
    }
    checked.unwrap();
}

#[test]
fn a_pipe_is_written_to_and_a_link_stays_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    fs::write(at("file"), "old").unwrap();
    symlink("file", at("link")).unwrap();
    let reader = std::thread::spawn({
        let pipe = at("pipe");
        move || fs::read_to_string(pipe).unwrap()
    });
    for name in ["pipe", "link"] {
        Guard::default().writable(&at(name)).unwrap().replace(b"new", None).unwrap();
    }
    assert_eq!(reader.join().unwrap(), "new");
    assert!(!at("pipe").is_file());
    assert!(at("link").is_symlink());
    assert_eq!(fs::read_to_string(at("file")).unwrap(), "new");
    Guard::default().writable(Path::new("/dev/null")).unwrap().replace(b"new", Some(0o600)).unwrap();
    assert!(!Path::new("/dev/null").is_file());
}
