//! Which layout a directory has.

use std::fs;
use std::path::Path;

use super::filesystem::{is_missing, open_file, read_full};
use super::listing::SHARDS_FILE;
use super::{BlobKind, Error, Layout, Sharding};

/// `.shards` of a real store has some hundred bytes.
const MAX_SHARDS_FILE: u64 = 64 * 1024;

/// Directories below the root that are looked into, and files of each that are looked at.
const MAX_DIRECTORIES: usize = 64;
const MAX_FILES: usize = 8;

/// Levels of directories that are looked for blobs.
const MAX_LEVELS: usize = 8;

/// The layout of a directory.
pub(super) struct Detected {
    pub(super) layout: Layout,
    /// Whether it was derived from where blobs lie, instead of read from `.shards`.
    pub(super) is_guess: bool,
    /// What is wrong with `.shards`.
    pub(super) problem: Option<String>,
}

/// Reads the layout that `.shards` describes. Where that file is not there, or does not describe one, the layout is that of
/// the blobs which are found first.
///
/// # Errors
/// A `.shards` that cannot be read.
pub(super) fn layout(root: &Path) -> Result<Detected, Error> {
    let path = root.join(SHARDS_FILE);
    let reason = match read_sharding(&path)? {
        Some(Ok(sharding)) => {
            return Ok(Detected { layout: Layout::sharded(sharding), is_guess: false, problem: None });
        }
        Some(Err(reason)) => Some(reason),
        None => None,
    };
    let found = Sample::of(root);
    let layout = Layout::guess(found.paths.iter().map(String::as_str)).unwrap_or_default();
    let state = match reason {
        Some(reason) => Some(format!("does not say how blobs are laid out ({reason})")),
        // Kopia assumes this one where it finds no file.
        None if layout == Layout::default() => None,
        None => Some("is missing".to_owned()),
    };
    let remedy = layout.shards_file().map_or_else(
        || "it reads a copy of a bucket only from an object storage".to_owned(),
        |file| format!("put {file} into it"),
    );
    let problem = state.map(|state| {
        format!(
            "{} {state}: rokopia reads the repository all the same, Kopia does not; {remedy}",
            path.display()
        )
    });
    Ok(Detected { layout, is_guess: true, problem })
}

/// What `.shards` says; the reason where it says nothing that makes sense.
fn read_sharding(path: &Path) -> Result<Option<Result<Sharding, String>>, Error> {
    let open = |source| Error::Open { path: path.to_path_buf(), source };
    let file = match open_file(path) {
        Ok(file) => file,
        Err(e) if is_missing(&e) => return Ok(None),
        Err(source) => return Err(open(source)),
    };
    let length = file.metadata().map_or(0, |m| m.len());
    if length > MAX_SHARDS_FILE {
        return Ok(Some(Err(format!("it has {length} bytes"))));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let got = read_full(&file, 0, &mut bytes).map_err(open)?;
    bytes.truncate(got);
    Ok(Some(Sharding::parse(&bytes)))
}

/// Some of the blobs below a directory.
#[derive(Default)]
struct Sample {
    /// Below the root, with `/` between directories.
    paths: Vec<String>,
    directories: usize,
}

impl Sample {
    fn of(root: &Path) -> Self {
        let mut sample = Self::default();
        sample.look_into(root, "", 0);
        sample
    }

    /// What cannot be read tells nothing here: listing says it.
    fn look_into(&mut self, root: &Path, relative: &str, level: usize) {
        let Ok(entries) = fs::read_dir(root.join(relative)) else { return };
        let mut files = 0;
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if relative.is_empty() { name } else { format!("{relative}/{name}") };
            let joined: String = path.split('/').collect();
            // A link to a directory is one.
            let is_directory = fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir());
            if is_directory {
                let is_shard = BlobKind::beginning_with(&joined).next().is_some();
                if is_shard && level < MAX_LEVELS && self.directories < MAX_DIRECTORIES {
                    self.directories += 1;
                    self.look_into(root, &path, level + 1);
                }
            } else if files < MAX_FILES && Layout::blob_at(&path).is_some() {
                files += 1;
                self.paths.push(path);
            }
        }
    }
}
