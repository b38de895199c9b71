//! Whether a restored directory is the tree that went into the repository.

use super::error::{Error, Result};
use super::tree::{Attributes, Listed, ListedKind, Tree};
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use rayon::prelude::*;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What counts as equal.
#[derive(Debug, Clone, Copy)]
pub struct Compare {
    /// Owner and group have to be the tree's. Only root can restore those.
    pub owners: bool,
    /// Read and compare the bytes of files, not only their sizes.
    pub data: bool,
    /// Accept what `kopia restore` does to times: a directory below the root gets the newest time below it, a link's
    /// time is rounded up to a microsecond.
    pub kopia_times: bool,
}

impl Default for Compare {
    fn default() -> Self {
        Compare { owners: nix::unistd::geteuid().is_root(), data: true, kopia_times: false }
    }
}

impl Tree {
    /// Differences between the tree and what lies in `root`, as lines for people; none if all is equal.
    ///
    /// # Errors
    /// Only if `root` itself cannot be read. Anything below that is missing or refused is a difference.
    pub fn compare(&self, root: &Path, options: Compare) -> Result<Vec<String>> {
        fs::read_dir(root).map_err(Error::io("list", root))?;
        let newest = options.kopia_times.then(|| self.newest_times());
        let numbers: Vec<usize> = (0..self.directories().len()).collect();
        let mut differences: Vec<String> = numbers
            .par_iter()
            .flat_map_iter(|&number| self.compare_directory(root, number, &options, newest.as_deref()))
            .collect();
        differences.sort_unstable();
        Ok(differences)
    }

    fn compare_directory(
        &self,
        root: &Path,
        number: usize,
        options: &Compare,
        newest: Option<&[i64]>,
    ) -> Vec<String> {
        let Some(directory) = self.directories().get(number) else { return Vec::new() };
        let mut differences = Vec::new();
        let mut expected = HashSet::new();
        let mut attributes = directory.attributes();
        if let Some(newest) = newest.filter(|_| number != 0).and_then(|newest| newest.get(number)) {
            attributes.mtime_ns = *newest;
        }
        let own = Listed { path: directory.path().into(), attributes, kind: ListedKind::Directory };
        compare_entry(root, &own, options, &mut differences);
        let below = |name: &str| match directory.path() {
            "" => name.to_owned(),
            path => format!("{path}/{name}"),
        };
        for file in directory.files() {
            let kind = ListedKind::File(file.data);
            let listed = Listed { path: below(&file.name), attributes: file.attributes, kind };
            compare_entry(root, &listed, options, &mut differences);
            expected.insert(file.name);
        }
        for link in directory.links() {
            let kind = ListedKind::Link(link.target.clone());
            let listed = Listed { path: below(&link.name), attributes: link.attributes, kind };
            compare_entry(root, &listed, options, &mut differences);
            expected.insert(link.name.clone());
        }
        expected.extend(directory.directories().map(|(name, _)| name.to_owned()));
        for found in fs::read_dir(root.join(directory.path())).into_iter().flatten().flatten() {
            let name = found.file_name();
            if !name.to_str().is_some_and(|name| expected.contains(name)) {
                differences.push(format!("{}: not in the tree", below(&name.to_string_lossy())));
            }
        }
        differences
    }

    /// For each directory the newest time of what is in it, as Kopia computes it; its own time if it is empty.
    fn newest_times(&self) -> Vec<i64> {
        let mut newest: Vec<i64> = self.directories().iter().map(|d| d.attributes().mtime_ns).collect();
        for number in self.bottom_up() {
            let Some(directory) = self.directories().get(number) else { continue };
            let files = directory.files().map(|file| file.attributes.mtime_ns);
            let links = directory.links().map(|link| link.attributes.mtime_ns);
            let children = directory.directories().flat_map(|(_, child)| {
                let own = self.directories().get(child).map(|d| d.attributes().mtime_ns);
                own.into_iter().chain(newest.get(child).copied())
            });
            let found = files.chain(links).chain(children).max();
            if let (Some(found), Some(slot)) = (found, newest.get_mut(number)) {
                *slot = found;
            }
        }
        newest
    }
}

fn compare_entry(root: &Path, entry: &Listed, options: &Compare, differences: &mut Vec<String>) {
    let path = root.join(&entry.path);
    let shown = if entry.path.is_empty() { "(root)" } else { &entry.path };
    let mut differ = |what: String| differences.push(format!("{shown}: {what}"));
    let found = match fs::symlink_metadata(&path) {
        Ok(found) => found,
        Err(e) => return differ(e.to_string()),
    };
    let Attributes { mode, mut mtime_ns, uid, gid } = entry.attributes;
    match &entry.kind {
        ListedKind::Directory if !found.is_dir() => return differ("not a directory".into()),
        ListedKind::File(_) if !found.is_file() => return differ("not a file".into()),
        ListedKind::Link(_) if !found.is_symlink() => return differ("not a link".into()),
        ListedKind::Directory => {}
        ListedKind::File(data) if found.len() != data.size => {
            differ(format!("{} bytes instead of {}", found.len(), data.size));
        }
        ListedKind::File(data) => {
            if options.data
                && let Some(what) = compare_data(&path, data)
            {
                differ(what);
            }
        }
        ListedKind::Link(target) => {
            if fs::read_link(&path).map(|t| t.as_os_str().as_bytes().to_vec()).ok().as_ref() != Some(target) {
                differ("another target".into());
            }
            if options.kopia_times {
                mtime_ns += (1000 - mtime_ns.rem_euclid(1000)) % 1000;
            }
        }
    }
    if !found.is_symlink() && found.mode() & 0o7777 != mode {
        differ(format!("mode {:04o} instead of {mode:04o}", found.mode() & 0o7777));
    }
    let found_ns = found.mtime() * 1_000_000_000 + found.mtime_nsec();
    if found_ns != mtime_ns {
        differ(format!("modified at {found_ns} ns instead of {mtime_ns}"));
    }
    if options.owners && (found.uid(), found.gid()) != (uid, gid) {
        differ(format!("owner {}:{} instead of {uid}:{gid}", found.uid(), found.gid()));
    }
}

/// What is wrong with the bytes of a file whose size is right.
fn compare_data(path: &Path, data: &super::data::Data) -> Option<String> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) => return Some(e.to_string()),
    };
    let size = data.size.min(1 << 20) as usize;
    let (mut found, mut wanted) = (vec![0; size], vec![0; size]);
    let mut offset = 0;
    while offset < data.size {
        let length = (data.size - offset).min(size as u64) as usize;
        let (Some(found), Some(wanted)) = (found.get_mut(..length), wanted.get_mut(..length)) else { break };
        if let Err(e) = file.read_exact(found) {
            return Some(e.to_string());
        }
        data.fill(offset, wanted);
        if found != wanted {
            let at = found.iter().zip(&*wanted).position(|(a, b)| a != b).unwrap_or_default();
            return Some(format!("other bytes from offset {}", offset + at as u64));
        }
        offset += length as u64;
    }
    None
}

/// Sets the time of a file, directory or link.
pub(crate) fn set_mtime(path: &Path, mtime_ns: i64) -> Result<()> {
    let time = TimeSpec::new(mtime_ns.div_euclid(1_000_000_000), mtime_ns.rem_euclid(1_000_000_000));
    utimensat(AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink)
        .map_err(|errno| Error::io("set the time of", path)(errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{Custom, DataKind, Shape, Sizes};

    fn tree() -> Tree {
        Shape::Custom(Custom {
            depth: 2,
            directories: 2,
            files: 3,
            links: 1,
            sizes: Sizes::Uniform { low: 0, high: 70_000 },
            kinds: vec![DataKind::Text, DataKind::Noise, DataKind::Holes],
        })
        .tree_owned_by(3, nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
        .unwrap()
    }

    #[test]
    fn a_written_tree_is_equal_and_every_change_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let tree = tree();
        tree.write_to(root).unwrap();
        let check = || tree.compare(root, Compare::default()).unwrap();
        assert_eq!(check(), Vec::<String>::new());

        let file = root.join("d000/f00001");
        let bytes = fs::read(&file).unwrap();
        let times = fs::metadata(&file).unwrap();
        let restore_time = || set_mtime(&file, times.mtime() * 1_000_000_000 + times.mtime_nsec()).unwrap();
        let mut wrong = bytes.clone();
        wrong[5] ^= 1;
        fs::write(&file, &wrong).unwrap();
        restore_time();
        assert_eq!(check(), ["d000/f00001: other bytes from offset 5"]);
        fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        restore_time();
        assert!(check()[0].contains("bytes instead of"), "{:?}", check());
        fs::write(&file, &bytes).unwrap();
        assert!(check()[0].contains("modified at"), "{:?}", check());
        restore_time();
        assert_eq!(check(), Vec::<String>::new());

        let keep = fs::metadata(root.join("d001")).unwrap();
        fs::write(root.join("d001/extra"), b"").unwrap();
        fs::remove_file(root.join("d001/l00000")).unwrap();
        std::os::unix::fs::symlink("f00000", root.join("d001/f-gone")).unwrap();
        set_mtime(&root.join("d001"), keep.mtime() * 1_000_000_000 + keep.mtime_nsec()).unwrap();
        let found = check();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(tree.compare(&root.join("missing"), Compare::default()).is_err());
    }
}
