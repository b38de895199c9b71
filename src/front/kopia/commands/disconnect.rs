//! `kopia repository disconnect`: forgets a connection.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::blob::WritablePath;
use crate::front::kopia::config::{Config, os_text};
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Command, Typed};
use crate::front::kopia::json::Object;
use crate::front::kopia::{password, paths};

pub(super) const COMMAND: Command = Command::new(&["disconnect"], &[], &[], run);

/// What Kopia and this program keep in a cache directory. Only such a directory is deleted: the file that names it may be wrong.
const CACHE_PARTS: &[&str] = &[
    "blob-list",
    "contents",
    "index-blobs",
    "indexes",
    "metadata",
    "own-writes",
    "server-contents",
    crate::cache::NAME,
];

fn run(typed: &Typed) -> Result<(), Failure> {
    let path = paths::config_file(typed);
    let failed = |reason: String| Failure::new(format!("unable to disconnect from repository: {reason}"));
    let config = Config::load(&path).map_err(|failure| failed(failure.to_string()))?.ok_or_else(|| {
        failed(format!("error loading config file: open {}: no such file or directory", path.display()))
    })?;
    // A repository that is named as the cache of a connection to it is none.
    let cache = cache_directory(&config).map(|cache| config.guard().writable_tree(&cache, true));
    if let Some(Ok(cache)) = cache {
        remove_cache(&cache);
    }
    forget(&path);
    match fs::symlink_metadata(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => password::forget(&path),
        Err(e) => Err(failed(os_text(&e))),
        Ok(_) => Err(failed(format!("{} cannot be removed", path.display()))),
    }
}

/// Removes the connection file and what belongs to it.
pub(super) fn forget(path: &Path) {
    for extension in [".update-info.json", ".mlock", ".kopia-password", ""] {
        // What is left shows in the end: a connection that is still there.
        let _ = fs::remove_file(Config::companion(path, extension));
    }
}

/// Where a real Kopia keeps its cache.
pub(in crate::front::kopia) fn cache_directory(config: &Config) -> Option<PathBuf> {
    let caching: Object = config.object.get("caching").ok().flatten()?;
    let directory = caching.get::<String>("cacheDirectory").ok().flatten().filter(|path| !path.is_empty())?;
    let named = config.path.parent().unwrap_or(Path::new("")).join(directory);
    let override_ =
        std::env::var_os("KOPIA_CACHE_DIRECTORY").map(PathBuf::from).filter(|path| path.is_absolute());
    override_.or(Some(named)).filter(|path| path.is_absolute()).map(|path| paths::clean(&path))
}

/// Removes Kopia's own parts, and the directory if nothing else is in it.
#[allow(clippy::disallowed_methods, reason = "the path is writable")]
fn remove_cache(directory: &WritablePath) {
    let directory = directory.as_path();
    for part in CACHE_PARTS {
        let part = directory.join(part);
        if fs::symlink_metadata(&part).is_ok_and(|found| found.is_dir()) {
            let _ = fs::remove_dir_all(part);
        }
    }
    for file in ["CACHEDIR.TAG", "kopia.repository", "kopia.blobcfg", ".initialized"] {
        let _ = fs::remove_file(directory.join(file));
    }
    let _ = fs::remove_dir(directory);
}
