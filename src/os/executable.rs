//! Which other programs there are. This one answers to several names, `kopia` among them, and must not start itself.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The first `kopia` in these directories (a value of `PATH`) that is not this very program.
pub(crate) fn next_kopia(directories: &OsStr) -> Option<PathBuf> {
    env::split_paths(directories)
        .map(|directory| directory.join("kopia"))
        .find(|path| is_executable(path) && !is_this_program(path))
}

/// Whether a path leads here.
pub(crate) fn is_this_program(path: &Path) -> bool {
    match env::current_exe().ok().and_then(|own| identity(&own)) {
        Some(own) => identity(path) == Some(own),
        // Without `/proc` we do not know our own file; our other names are links to it.
        None => path.canonicalize().is_ok_and(|path| path.file_name() == Some(OsStr::new("rokopia"))),
    }
}

/// Whether it is a file that can be run.
pub(crate) fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// What makes a file the same by any name.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_first_that_can_be_run_and_is_not_us() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["ours", "text", "real", "later"] {
            fs::create_dir(at(name)).unwrap();
        }
        symlink(env::current_exe().unwrap(), at("ours/kopia")).unwrap();
        for (name, mode) in [("text", 0o644), ("real", 0o755), ("later", 0o755)] {
            fs::write(at(name).join("kopia"), "").unwrap();
            fs::set_permissions(at(name).join("kopia"), fs::Permissions::from_mode(mode)).unwrap();
        }
        let found = |names: &[&str]| next_kopia(&env::join_paths(names.iter().map(|name| at(name))).unwrap());
        assert_eq!(found(&["none", "ours", "text", "real", "later"]), Some(at("real/kopia")));
        assert_eq!(found(&["ours", "text"]), None);
        assert!(is_this_program(&at("ours/kopia")) && !is_this_program(&at("real/kopia")));
    }
}
