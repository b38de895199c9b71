//! Where Kopia keeps things, and who it takes its user to be.

use std::env;
use std::path::{Component, Path, PathBuf};

use nix::sys::utsname::uname;
use nix::unistd::Uid;

use super::grammar::Typed;
use crate::os::users;

/// The connection file when nothing says otherwise.
const DEFAULT_CONFIG: &str = "repository.config";

fn directory(variable: &str, below_home: &str) -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(variable).or_else(|| Some(set("HOME")?.join(below_home)))
}

/// The connection file: as given if a directory is part of the name, else in the user's configuration directory.
pub(super) fn config_file(typed: &Typed) -> PathBuf {
    let name = typed.text("config-file").unwrap_or(DEFAULT_CONFIG);
    if name.contains('/') {
        return PathBuf::from(name);
    }
    directory("XDG_CONFIG_HOME", ".config").unwrap_or_default().join("kopia").join(name)
}

/// The user's directory for caches.
pub(super) fn user_cache() -> Option<PathBuf> {
    directory("XDG_CACHE_HOME", ".cache")
}

/// The name of this machine as Kopia writes it into sources.
pub(super) fn host_name() -> String {
    let name =
        uname().ok().and_then(|names| names.nodename().to_str().map(str::to_owned)).unwrap_or_default();
    match name.split('.').next() {
        Some(first) if !first.is_empty() => first.to_lowercase(),
        _ => "nohost".to_owned(),
    }
}

/// The name of this user as Kopia writes it into sources.
pub(super) fn user_name() -> String {
    users::name_of(Uid::current().as_raw())
        .or_else(|| env::var("USER").ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "nobody".to_owned())
}

/// A path without `.`, `..` and doubled separators, by its text alone.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if cleaned.file_name().is_some() => {
                cleaned.pop();
            }
            Component::ParentDir if cleaned.has_root() => {}
            part => cleaned.push(part),
        }
    }
    cleaned
}

/// The way from one absolute directory to another; `None` when one of them is not absolute.
pub(super) fn relative(from: &Path, to: &Path) -> Option<PathBuf> {
    if !from.is_absolute() || !to.is_absolute() {
        return None;
    }
    let (from, to) = (clean(from), clean(to));
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    let way: PathBuf = up.chain(to.components().skip(common)).collect();
    Some(if way.as_os_str().is_empty() { PathBuf::from(".") } else { way })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_between_directories() {
        let way = |from: &str, to: &str| {
            relative(Path::new(from), Path::new(to)).map(|way| way.to_str().unwrap().to_owned())
        };
        assert_eq!(way("/a/c", "/a/cache").as_deref(), Some("../cache"));
        assert_eq!(way("/a", "/a/./b//c").as_deref(), Some("b/c"));
        assert_eq!(way("/a", "/a").as_deref(), Some("."));
        assert_eq!(way("/", "/x/../y").as_deref(), Some("y"));
        assert_eq!(way("a", "/x"), None);
        assert_eq!(clean(Path::new("/../a/b/../c/.")), Path::new("/a/c"));
    }
}
