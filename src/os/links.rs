//! Where symbolic links lead, and which files have further names.

use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

/// Directories below one in which links are looked for; with more of them only its own are.
const MAX_LISTED: usize = 16;

/// What links in a directory lead to, and with `below` those in its directories, as far as few listings tell.
pub(crate) fn targets(directory: &Path, below: bool) -> Vec<PathBuf> {
    let (mut directories, mut found) = (Vec::new(), Vec::new());
    let mut list = |directory: &Path, below: &mut Vec<PathBuf>| {
        for entry in directory.read_dir().into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_symlink() => found.extend(entry.path().canonicalize()),
                Ok(kind) if kind.is_dir() => below.push(entry.path()),
                Ok(_) | Err(_) => {}
            }
        }
    };
    list(directory, &mut directories);
    if below && directories.len() <= MAX_LISTED {
        directories.iter().for_each(|directory| list(directory, &mut Vec::new()));
    }
    found
}

/// Whether a file somewhere in a directory has this inode number, as far as listings tell. It lists all of them.
pub(crate) fn has_inode(directory: &Path, inode: u64) -> bool {
    let mut directories = vec![directory.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in directory.read_dir().into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                Ok(kind) if kind.is_file() && entry.ino() == inode => return true,
                Ok(_) | Err(_) => {}
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_of_two_levels_are_found() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for name in ["repository/p/0", "disk/q", "disk/p1", "disk/deep"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        symlink(at("disk/q"), at("repository/q")).unwrap();
        symlink("../../disk/p1", at("repository/p/1")).unwrap();
        symlink(at("disk/deep"), at("repository/p/0/pack")).unwrap();
        symlink("nowhere", at("repository/dangling")).unwrap();
        let mut found = targets(&at("repository"), true);
        found.sort();
        assert_eq!(found, [at("disk/p1"), at("disk/q")].map(|path| path.canonicalize().unwrap()));
        assert_eq!(targets(&at("repository"), false), [at("disk/q").canonicalize().unwrap()]);
        for number in 0..MAX_LISTED {
            std::fs::create_dir(at("repository").join(number.to_string())).unwrap();
        }
        assert_eq!(targets(&at("repository"), true), [at("disk/q").canonicalize().unwrap()]);
        assert!(targets(&at("missing"), true).is_empty());
    }
}
